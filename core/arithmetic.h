/* Integer arithmetic of the core: gemmlowp's requantization (Jacob et al. 2018, arXiv 1712.05877, section 2.2, as in gemmlowp's
 * fixedpoint.h and TensorFlow Lite's MultiplyByQuantizedMultiplier) and the integer base-2 logarithm. */
#ifndef BITWRIGHT_ARITHMETIC_H
#define BITWRIGHT_ARITHMETIC_H
#include <stdint.h>
#include <string.h>

static inline int32_t bw_saturate(int64_t v) {
  return v > INT32_MAX ? INT32_MAX : v < INT32_MIN ? INT32_MIN : (int32_t)v;
}

/* round(v * multiplier * 2^(shift - 31)) with two roundings: a doubling high multiply (ties up), then a right shift (ties away from
 * zero). shift in [-31, 30]; a left shift saturates. */
static inline int32_t bw_requantize(int32_t v, int32_t multiplier, int32_t shift) {
  int32_t high, mask, rest, threshold;
  if (shift > 0) v = bw_saturate((int64_t)v * ((int64_t)1 << shift));
  if (v == INT32_MIN && multiplier == INT32_MIN) {
    high = INT32_MAX;
  } else {
    high = (int32_t)(((int64_t)v * multiplier + ((int64_t)1 << 30)) >> 31);
  }
  if (shift >= 0) return high;
  mask = (int32_t)(((uint32_t)1 << -shift) - 1);
  rest = high & mask;
  threshold = (mask >> 1) + (high < 0);
  return (high >> -shift) + (rest > threshold);
}

/* log2(v) * 2^16, v = 0 counting as 1: between 64 points an octave a line plus the bulge of the curve above it, d^2 t (1 - t) ln(2) / 2
 * (355 / 1024) for a segment that rises by d; at most 1.2 units from the exact value. */
extern const uint16_t bw_log2_table[64];
static inline int32_t bw_log2(uint32_t v) {
  uint32_t exponent = 31, index, low, rise, fraction, bulge;
  if (v == 0) return 0;
#if defined(__wasm__) || defined(__x86_64__) || defined(__ARM_FEATURE_CLZ)
  exponent -= (uint32_t)__builtin_clz(v);
  v <<= 31 - exponent;
#else
  while (!(v & 0x80000000u)) {
    v <<= 1;
    exponent--;
  }
#endif
  index = v >> 25 & 63;
  fraction = v >> 9 & 0xffff;
  low = bw_log2_table[index];
  rise = (index == 63 ? 65536u : bw_log2_table[index + 1]) - low;
  bulge = (((rise * rise >> 8) * (fraction * (0x10000u - fraction) >> 16) >> 8) * 355u) >> 10;
  return (int32_t)((exponent << 16) + low + ((rise * fraction + bulge + 0x8000u) >> 16));
}

static inline uint32_t bw_load32(const uint8_t *p) {
  uint32_t v;
  memcpy(&v, p, 4);
  return v;
}

/* Weight number i of a stream of fields, least significant bit first. kind: their width, plus 16 where the weights are odd: 2 field + 1 -
 * 2^bits, as they always are at one bit (-1, +1); else field - 2^(bits-1). */
static inline int32_t bw_weight(const uint8_t *stream, uint32_t kind, uint64_t i) {
  const uint32_t bits = kind & 15;
  uint64_t at = i * bits;
  const uint8_t *p = stream + (at >> 3);
  uint32_t low = (uint32_t)(at & 7), word = p[0];
  if (low + bits > 8) word |= (uint32_t)p[1] << 8;
  word = word >> low & ((1u << bits) - 1);
  return kind > 16 || bits == 1 ? (int32_t)(2 * word + 1) - (1 << bits) : (int32_t)word - (1 << (bits - 1));
}

#endif
