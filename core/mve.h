/* What the kernels with Helium share (cortex_mve_*.c). GCC 12 compiles constant predicates wrongly; only what vctp gives is safe. */
#ifndef BITWRIGHT_MVE_H
#define BITWRIGHT_MVE_H
#include <arm_mve.h>

#include "cortex.h"
#include "epilogue.h"

enum { CHANNELS = 32 }; /* of a dense layer whose sums wait together for their epilogue */

/* 1: values less the zero point are bytes without a sign, -1: with one, 0: neither. */
static inline int byte_sign(const bw_tensor *t) {
  const int32_t low = t->min - t->zeroPoint, high = t->max - t->zeroPoint;
  if (t->containerBits > 8) return 0;
  return low >= 0 && high <= 255 ? 1 : low >= -128 && high <= 127 ? -1 : 0;
}

/* The fields of channel c of sixteen inputs, number `part` of their unit, from the planes of a unit at w. */
ALWAYS uint8x16_t fields(const uint32_t bits, const uint8_t *w, const uint32_t part, const uint32_t c) {
  const uint32_t parts = bits % 2 ? 2 : 1; /* of a unit */
  uint8x16_t v = vdupq_n_u8(0);
  if (bits & 4) {
    v = vldrbq_u8(w + 16 * (2 * part + c / 2));
    v = c % 2 ? vshrq_n_u8(v, 4) : vandq_u8(v, vdupq_n_u8(15));
    w += 32 * parts;
  }
  if (bits & 2) {
    uint8x16_t u = vldrbq_u8(w + 16 * part);
    if (c == 1) u = vshrq_n_u8(u, 2);
    if (c == 2) u = vshrq_n_u8(u, 4);
    u = c == 3 ? vshrq_n_u8(u, 6) : vandq_u8(u, vdupq_n_u8(3));
    v = bits & 4 ? vorrq_u8(v, vshlq_n_u8(u, 4)) : u;
    w += 16 * parts;
  }
  if (bits & 1) {
    uint8x16_t u = vldrbq_u8(w);
    switch (4 * part + c) {
      case 1: u = vshrq_n_u8(u, 1); break;
      case 2: u = vshrq_n_u8(u, 2); break;
      case 3: u = vshrq_n_u8(u, 3); break;
      case 4: u = vshrq_n_u8(u, 4); break;
      case 5: u = vshrq_n_u8(u, 5); break;
      case 6: u = vshrq_n_u8(u, 6); break;
      case 7: u = vshrq_n_u8(u, 7); break;
      default: break;
    }
    u = vandq_u8(u, vdupq_n_u8(1));
    if (bits == 1) v = u;
    if (bits == 3) v = vorrq_u8(v, vshlq_n_u8(u, 2));
    if (bits == 5) v = vorrq_u8(v, vshlq_n_u8(u, 4));
    if (bits == 7) v = vorrq_u8(v, vshlq_n_u8(u, 6));
  }
  return v;
}

/* Whether vectors requantize right: no shift to the left. */
static inline int vector_way(const bw_step *s, const bw_epilogue *e) {
  int all = !s->l.logMagnitude && s->y.containerBits <= 8;
  uint32_t c;
  for (c = 0; c < s->y.channels; c++) all &= e->shift[c] <= 0;
  return all;
}

/* gemmlowp's two roundings; VRSHL takes ties up, so that one is taken off below zero where it shifts. */
ALWAYS int32x4_t round_shift(int32x4_t high, int32x4_t shift) {
  return vrshlq_s32(vqaddq_s32(high, vshrq_n_s32(vandq_s32(high, shift), 31)), shift);
}

/* `count` channels from c on of a pixel. */
ALWAYS void finish_channels(const bw_epilogue *e, const int32_t *sums, int32_t rest, uint32_t c, uint32_t count, int32_t sumShift,
                            int8_t *to) {
  const int32x4_t low = vdupq_n_s32(e->low), high = vdupq_n_s32(e->high);
  const int32_t zeroPoint = e->zeroPoint;
  const int32_t *bias = (const int32_t *)e->bias + c, *multiplier = (const int32_t *)e->multiplier + c;
  const int8_t *shift = e->shift + c;
  for (; count >= 4; count -= 4, bias += 4, multiplier += 4, shift += 4, sums += 4, to += 4) {
    int32x4_t v = vaddq_s32(vshlq_r_s32(vldrwq_s32(sums), sumShift), vldrwq_s32(bias));
    v = round_shift(vqrdmulhq_s32(vaddq_n_s32(v, rest), vldrwq_s32(multiplier)), vldrbq_s32(shift));
    vstrbq_s32(to, vminq_s32(vmaxq_s32(vaddq_n_s32(v, zeroPoint), low), high));
  }
  if (count > 0) {
    const mve_pred16_t p = vctp32q(count);
    int32x4_t v = vaddq_s32(vshlq_r_s32(vldrwq_s32(sums), sumShift), vldrwq_z_s32(bias, p));
    v = round_shift(vqrdmulhq_s32(vaddq_n_s32(v, rest), vldrwq_z_s32(multiplier, p)), vldrbq_z_s32(shift, p));
    vstrbq_p_s32(to, vminq_s32(vmaxq_s32(vaddq_n_s32(v, zeroPoint), low), high), p);
  }
}

/* The same, or the long way, into any container; index: the first one's. */
ALWAYS void finish_pixel(const bw_step *s, const bw_epilogue *e, int vectorWay, const int32_t *sums, int32_t rest, uint32_t index, uint32_t c,
                         uint32_t count, int32_t sumShift) {
  uint32_t k;
  if (vectorWay) {
    int8_t fields[CHANNELS], *to = s->y.containerBits == 8 ? (int8_t *)s->out + index : fields;
    finish_channels(e, sums, rest, c, count, sumShift, to);
    if (to == fields) bw_put_fields(&s->y, s->out, index, fields, count);
  } else {
    for (k = 0; k < count; k++) bw_long_epilogue(s, e, index + k, c + k, sums[k], rest);
  }
}

/* A dense layer whose inputs fit no bytes. */
int bw_run_dense_halves(const bw_step *step);

#endif
