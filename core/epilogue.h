/* From sums to values on microcontrollers. bw_requantize() needs a 64-bit product and a comparison; where the multiplier is in
 * [2^30, 2^31) and the shift to the right, as converted models have them, these few instructions give the same bits:
 *   high = (v m + 2^30) / 2^31 is v + (v (2 m - 2^32) + 2^31) / 2^32, and 2 m - 2^32 is 2 m as an int32;
 *   rounding `high` ties away from zero is floor((high + (high < 0 ? -1 : 0) + 2^(s-1)) / 2^s). */
#ifndef BITWRIGHT_EPILOGUE_H
#define BITWRIGHT_EPILOGUE_H
#include "dsp.h"
#include "layer.h"
#include "values.h"
#include "weights.h"

typedef int32_t __attribute__((may_alias)) bw_word; /* parameters of the image are aligned */

typedef struct {
  const bw_word *bias, *multiplier, *logOffset;
  const int8_t *shift;
  uint32_t unit; /* of the sums, a power of two */
  int32_t zeroPoint, twice, low, high; /* of what is stored: of narrow containers, values less the smallest; twice: 1 + twice the zero point */
} bw_epilogue;

static inline bw_epilogue bw_epilogue_of(const bw_step *s, uint32_t sumShift) {
  const uint32_t channels = s->y.channels;
  bw_epilogue e;
  e.bias = (const bw_word *)(const void *)s->parameters;
  e.multiplier = e.bias + channels;
  e.logOffset = e.multiplier + channels;
  e.shift = (const int8_t *)(const void *)(e.multiplier + (s->l.logMagnitude ? 2 : 1) * channels);
  e.unit = 1u << sumShift;
  e.zeroPoint = s->y.zeroPoint, e.low = s->y.min, e.high = s->y.max;
  if (s->y.containerBits < 8) e.zeroPoint -= s->y.min, e.high -= s->y.min, e.low = 0;
  e.twice = 1 + 2 * e.zeroPoint;
  return e;
}

/* Whether the short way is right for every channel; from a shift of -2 on nothing can wrap. */
static inline int bw_short_way(const bw_step *s, const bw_epilogue *e) {
  int all = !s->l.logMagnitude && s->y.containerBits <= 8;
  uint32_t c;
  for (c = 0; c < s->y.channels; c++) all &= e->multiplier[c] >= (int32_t)1 << 30 && e->shift[c] < -1;
  return all;
}

/* Twice the value with its zero point, and one to round. m2: twice the multiplier; right: the shift to the right, less one. */
static inline int32_t bw_short_requantize(const bw_epilogue *e, int32_t v, uint32_t m2, uint32_t right) {
  v = bw_smmlar((uint32_t)v, m2, v);
  v += v >> 31;
  return (v >> (right & 31)) + e->twice;
}

static inline int8_t bw_short_clamp(const bw_epilogue *e, int32_t twice, int whole) {
  if (whole) return (int8_t)bw_ssat8_half(twice);
  twice >>= 1;
  return (int8_t)(twice < e->low ? e->low : twice > e->high ? e->high : twice);
}

/* Fields of a narrow container: `count` neighbours from element `index` on. */
static inline void bw_put_fields(const bw_tensor *t, uint8_t *base, uint32_t index, const int8_t *fields, uint32_t count) {
  uint8_t *to = base + index * t->containerBits / 8;
  if (on_byte(t, index) && t->containerBits == 4) {
    for (; count >= 2; count -= 2, index += 2, fields += 2) *to++ = (uint8_t)(fields[0] | fields[1] << 4);
  } else if (on_byte(t, index)) {
    for (; count >= 4; count -= 4, index += 4, fields += 4)
      *to++ = (uint8_t)(fields[0] | fields[1] << 2 | fields[2] << 4 | fields[3] << 6);
  }
  for (; count > 0; count--, index++) store(t, base, index, *fields++ + t->min - t->zeroPoint);
}

/* The same, `step` elements apart. */
static inline void bw_put_fields_apart(const bw_tensor *t, uint8_t *base, uint32_t index, uint32_t step, const int8_t *fields, uint32_t count) {
  const uint32_t bits = t->containerBits, at = index * bits & 7;
  if (step * bits % 8 == 0) {
    uint8_t *to = base + index * bits / 8;
    const uint32_t kept = ~(((1u << bits) - 1) << at);
    for (; count > 0; count--, to += step * bits / 8) *to = (uint8_t)((*to & kept) | (uint32_t)*fields++ << at);
  }
  for (; count > 0; count--, index += step) store(t, base, index, *fields++ + t->min - t->zeroPoint);
}

/* Values of a narrow container less the zero point, `step` elements apart. */
static inline void bw_fetch_apart(const bw_tensor *t, const uint8_t *base, uint32_t index, uint32_t step, int16_t *to, uint32_t count) {
  const uint32_t bits = t->containerBits, at = index * bits & 7;
  if (bits < 8 && step * bits % 8 == 0) {
    const uint8_t *from = base + index * bits / 8;
    const int32_t mask = (1 << bits) - 1, least = t->min - t->zeroPoint;
    for (; count > 0; count--, from += step * bits / 8) *to++ = (int16_t)((*from >> at & mask) + least);
  }
  for (; count > 0; count--, index += step) *to++ = fetch1(t, base, index);
}

/* One value the long way, of sum * unit + rest. */
static inline void bw_long_epilogue(const bw_step *s, const bw_epilogue *e, uint32_t index, uint32_t c, int32_t sum, int32_t rest) {
  const uint32_t v = (uint32_t)sum * e->unit + (uint32_t)rest;
  int32_t value = (int32_t)v;
  if (s->l.logMagnitude) value = bw_log2((value < 0 ? 0u - v : v) + (uint32_t)e->logOffset[c]);
  store(&s->y, s->out, index, bw_requantize(value + e->bias[c], e->multiplier[c], e->shift[c]));
}

#endif
