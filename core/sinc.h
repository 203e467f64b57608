/* Band-pass filters made on the device from two cut-offs each, so that a SincConv layer (arXiv 2104.06666; Ravanelli & Bengio 2018) costs
 * four bytes a filter and not hundreds. In integers, so that every platform makes the same taps.
 *
 * With n the distance from the middle and the cut-offs as fractions of the sample rate, a tap is
 *   cos(pi (high + low) n) * sin(pi (high - low) n) / (pi (high - low) n) * (0.54 + 0.46 cos(2 pi n / (taps - 1))),
 * which is 1 in the middle, as int8 in units of 1 / 127. */
#ifndef BITWRIGHT_SINC_H
#define BITWRIGHT_SINC_H
#include <stdint.h>
#include <string.h>

extern const uint16_t bw_sine_table[258];

typedef struct {
  uint32_t sum, difference; /* of the cut-offs, in 2^-16 of the sample rate */
  uint32_t inverse;         /* 2^31 / (pi * difference) */
  uint32_t window;          /* phase of the window from one m to the next, 2^32 to a turn */
} bw_sinc;

/* 2^23 * sin of a phase in 2^-18 turns, by a line between 256 points a quarter: within 2^-15 of it. */
static inline int32_t bw_sine(uint32_t phase) {
  uint32_t in = phase & 0xffff, index, rest;
  int32_t value;
  if (phase & 0x10000) in = 0x10000 - in;
  index = in >> 8;
  rest = in & 255;
  value = (int32_t)(((uint32_t)bw_sine_table[index] << 8) + (uint32_t)(bw_sine_table[index + 1] - bw_sine_table[index]) * rest);
  return phase & 0x20000 ? -value : value;
}

/* The filter of `taps` taps between two cut-offs in 2^-16 of the sample rate; it passes nothing where high <= low. */
static inline bw_sinc bw_sinc_filter(uint32_t low, uint32_t high, uint32_t taps) {
  bw_sinc f;
  f.sum = low + high;
  f.difference = high > low ? high - low : 0;
  f.inverse = f.difference ? 683565276u / f.difference : 0;
  f.window = taps > 1 ? 0x80000000u / (taps - 1) : 0;
  return f;
}

/* Of one channel of a layer: its cut-offs lie in the image as two uint16, low and high. */
static inline bw_sinc bw_sinc_load(const uint8_t *cutoffs, uint32_t channel, uint32_t taps) {
  uint16_t pair[2];
  memcpy(pair, cutoffs + 4 * channel, sizeof pair);
  return bw_sinc_filter(pair[0], pair[1], taps);
}

/* |2 i - (taps - 1)|: the distance of tap i from the middle, in halves. */
static inline uint32_t bw_sinc_distance(uint32_t i, uint32_t taps) { return 2 * i < taps ? taps - 1 - 2 * i : 2 * i + 1 - taps; }

/* The tap at distance m / 2 from the middle. */
static inline int32_t bw_sinc_tap(const bw_sinc *f, uint32_t m) {
  int32_t value = 1 << 15, window;
  if (!f->difference) return 0;
  if (m) value = (int32_t)(((int64_t)(bw_sine(f->difference * m) / (int32_t)m) * f->inverse + (1 << 21)) >> 22);
  value = value * ((bw_sine(f->sum * m + 0x10000) + 128) >> 8) >> 15;
  window = 17695 + (15073 * ((bw_sine((f->window * m >> 14) + 0x10000) + 128) >> 8) >> 15);
  return ((value * window >> 15) * 127 + (1 << 14)) >> 15;
}

#endif
