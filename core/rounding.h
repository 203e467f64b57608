/* Requantization in float32 with the bits of bw_requantize(), for the fast paths of prepared models. */
#ifndef BITWRIGHT_ROUNDING_H
#define BITWRIGHT_ROUNDING_H
#include <stdint.h>

/* Sums from `least` to `most` become clamp(bw_requantize(sum * 2^left + bias, multiplier, shift), low, high). No sum may leave int32. */
typedef struct {
  int64_t least, most;
  uint32_t left;
  int32_t bias, multiplier, shift, low, high;
} bw_rounding;

/* bw_round() works on values less this one, where a float is finest. */
static inline int32_t bw_centre(int32_t low, int32_t high) { return (low + high + 1) >> 1; }

/* Looks for a scale and an offset with which bw_round() does the same for each of these sums, less bw_centre(); returns 0 where it finds none. */
int bw_find_rounding(const bw_rounding *rounding, float *scale, float *offset);

#endif
