/* The instructions of the Armv7E-M DSP extension that cortex_dsp_*.c use; in C for builds that try its paths on other processors
 * (-DBW_CORTEX_DSP). */
#ifndef BITWRIGHT_DSP_H
#define BITWRIGHT_DSP_H
#include <stdint.h>

#if defined(__ARM_FEATURE_DSP)

#define BW_DSP3(name)                                                                    \
  static inline int32_t bw_##name(uint32_t a, uint32_t b, int32_t c) {                   \
    int32_t r;                                                                           \
    __asm__(#name " %0, %1, %2, %3" : "=r"(r) : "r"(a), "r"(b), "r"(c));                 \
    return r;                                                                            \
  }
/* c + a.low b.low + a.high b.high; c + (a b + 2^31) / 2^32 */
BW_DSP3(smlad)
BW_DSP3(smmlar)

/* The even bytes of v, and the odd ones, as signed halves added to those of a. */
static inline uint32_t bw_sxtab16(uint32_t a, uint32_t v) {
  uint32_t r;
  __asm__("sxtab16 %0, %1, %2" : "=r"(r) : "r"(a), "r"(v));
  return r;
}
static inline uint32_t bw_sxtab16_odd(uint32_t a, uint32_t v) {
  uint32_t r;
  __asm__("sxtab16 %0, %1, %2, ror #8" : "=r"(r) : "r"(a), "r"(v));
  return r;
}
static inline uint32_t bw_sadd16(uint32_t a, uint32_t b) {
  uint32_t r;
  __asm__("sadd16 %0, %1, %2" : "=r"(r) : "r"(a), "r"(b));
  return r;
}
/* floor(v / 2) as int8 */
static inline int32_t bw_ssat8_half(int32_t v) {
  int32_t r;
  __asm__("ssat %0, #8, %1, asr #1" : "=r"(r) : "r"(v));
  return r;
}

#else

static inline int32_t bw_smlad(uint32_t a, uint32_t b, int32_t c) {
  const int32_t low = (int16_t)a * (int16_t)b, high = (int16_t)(a >> 16) * (int16_t)(b >> 16);
  return (int32_t)((uint32_t)c + (uint32_t)low + (uint32_t)high);
}
static inline int32_t bw_smmlar(uint32_t a, uint32_t b, int32_t c) {
  const int64_t product = (int64_t)(int32_t)a * (int32_t)b + ((int64_t)1 << 31);
  return (int32_t)((uint32_t)c + (uint32_t)(product >> 32));
}
static inline uint32_t bw_sadd16(uint32_t a, uint32_t b) { return ((a + b) & 0xffff) | ((a & 0xffff0000u) + (b & 0xffff0000u)); }
static inline uint32_t bw_sxtab16(uint32_t a, uint32_t v) {
  return bw_sadd16(a, ((uint32_t)(int8_t)v & 0xffff) | (uint32_t)(int8_t)(v >> 16) << 16);
}
static inline uint32_t bw_sxtab16_odd(uint32_t a, uint32_t v) { return bw_sxtab16(a, v >> 8); }
static inline int32_t bw_ssat8_half(int32_t v) { return v < -256 ? -128 : v > 255 ? 127 : v >> 1; }

#endif
#endif
