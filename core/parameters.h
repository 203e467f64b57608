/* What each output channel of a convolution adds to its sums and multiplies them with, as it lies in the image: words and bytes, or, compact,
 * four bytes a channel (docs/bw-format.md, "Compact parameters"). */
#ifndef BITWRIGHT_PARAMETERS_H
#define BITWRIGHT_PARAMETERS_H
#include "arithmetic.h"
#include "bw.h"

typedef struct {
  int32_t bias, multiplier, shift;
} bw_channel;

enum { BW_MOST_BIAS_SHIFT = 17, BW_LEAST_EXPONENT = -62, BW_MOST_EXPONENT = 2 };

/* Of compact parameters: what a scale's last bit is worth where its exponent is 0, and how far biases reach, as powers of two. */
static inline int32_t bw_scale_exponent(const bw_layer *l) { return (int8_t)(l->input[1] & 255); }
static inline int32_t bw_bias_exponent(const bw_layer *l) { return (int8_t)(l->input[1] >> 8); }

static inline uint32_t bw_parameter_bytes(const bw_layer *l) { return l->compact ? 4 : l->logMagnitude ? 13 : 9; }

/* code: 13 bits of fraction, 4 of exponent, 15 of bias. Scales are as in IEEE 754, with gradual underflow. */
static inline bw_channel bw_expand(int32_t scaleExponent, int32_t biasExponent, uint32_t code) {
  const uint32_t exponent = code >> 13 & 15;
  uint32_t fraction = code & 0x1fff;
  int32_t shift = scaleExponent + 14, left;
  bw_channel c;
  if (exponent > 0) {
    fraction |= 0x2000, shift += (int32_t)exponent - 1;
  } else {
    while (fraction != 0 && fraction < 0x2000) fraction <<= 1, shift--;
  }
  left = biasExponent - shift;
  left = left < 0 ? 0 : left > BW_MOST_BIAS_SHIFT ? BW_MOST_BIAS_SHIFT : left;
  c.bias = (int32_t)((uint32_t)((int32_t)code >> 17) << left);
  fraction <<= 17;
  if (shift < -31) fraction >>= -31 - shift, shift = -31;
  else if (shift > -6 && shift < 0) fraction >>= -shift, shift = 0; /* so that it is rounded once */
  c.multiplier = (int32_t)fraction, c.shift = shift;
  return c;
}

/* Channel c; parameters: where those of the layer are in the image. */
static inline bw_channel bw_load_channel(const bw_layer *l, const uint8_t *parameters, uint32_t channels, uint32_t c) {
  bw_channel to;
  if (l->compact) return bw_expand(bw_scale_exponent(l), bw_bias_exponent(l), bw_load32(parameters + 4 * c));
  to.bias = (int32_t)bw_load32(parameters + 4 * c);
  to.multiplier = (int32_t)bw_load32(parameters + 4 * (channels + c));
  to.shift = (int8_t)parameters[4 * (l->logMagnitude ? 3 : 2) * channels + c];
  return to;
}

#endif
