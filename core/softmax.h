/* Softmax in whole numbers, so that every processor gives the same: of logits (scores.c) and of the rows of attention (attend.c).
 *
 * With d the distance from the largest, exp(-scale d) is 2^-t, t = scale log2(e) d in 2^-16: its whole part a shift, the rest a line between
 * 64 points; nothing from 20 octaves on. */
#ifndef BITWRIGHT_SOFTMAX_H
#define BITWRIGHT_SOFTMAX_H
#include "arithmetic.h"

/* 2^16 * 2^(-i / 64), rounded */
extern const uint32_t bw_powers[65];

/* t is (factor * (d << left) / 2^32) >> right, for d up to `most`, from which on it is beyond all octaves. */
typedef struct {
  uint32_t factor, most, left, right;
} bw_octaves;

static inline bw_octaves bw_octaves_of(float scale) {
  bw_octaves o;
  uint32_t bits, exponent;
  int32_t down;
  memcpy(&bits, &scale, sizeof bits);
  exponent = bits >> 23 & 255;
  o.factor = (uint32_t)(((bits & 0x7fffffu) | (exponent ? 0x800000u : 0)) * (uint64_t)3098164009u >> 24); /* log2(e) * 2^31 */
  down = 109 - (int32_t)(exponent ? exponent : 1); /* t is factor * d / 2^(32 + down) */
  o.right = down < 0 ? 0 : down > 31 ? 31 : (uint32_t)down;
  o.left = down > 0 ? 0 : down < -31 ? 31 : (uint32_t)-down;
  o.most = UINT32_MAX >> o.left;
  return o;
}

/* 2^16 * exp(-scale * d), d < 2^31. */
static inline uint32_t bw_power(const bw_octaves *o, uint32_t d) {
  const uint32_t t = (uint32_t)((uint64_t)o->factor * ((d < o->most ? d : o->most) << o->left) >> 32) >> o->right;
  const uint32_t octaves = t >> 16, *point = bw_powers + (t >> 10 & 63);
  if (octaves >= 20) return 0;
  return (point[0] - (((point[0] - point[1]) * (t & 1023) + 512) >> 10) + ((1u << octaves) >> 1)) >> octaves;
}

#endif
