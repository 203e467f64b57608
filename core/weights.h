/* Where a layer's weights lie. A file made for no target in particular holds one stream of fields (bw_weight). A dense layer packed for a
 * target holds the same fields, padded, in the order its kernels unpack for next to nothing (docs/bw-format.md, "Packed weights"). */
#ifndef BITWRIGHT_WEIGHTS_H
#define BITWRIGHT_WEIGHTS_H
#include "arithmetic.h"
#include "bw.h"

enum { BW_STREAM = 0, BW_PAIRED_INPUTS = 1, BW_PAIRED_OUTPUTS = 2, BW_VECTORS = 3 };

static inline uint32_t bw_layout(const bw_layer *l) { return l->weightKind >> 5; }
static inline uint32_t bw_width(const bw_layer *l) { return l->weightKind & 15; }
static inline int bw_packed(const bw_layer *l) { return bw_layout(l) != BW_STREAM && !l->depthwise; }
static inline int bw_odd(const bw_layer *l) { return (l->weightKind & 16) || bw_width(l) == 1; }

/* Output channels that lie together. */
static inline uint32_t bw_group(uint32_t layout) { return layout == BW_PAIRED_INPUTS ? 2 : 4; }

/* Inputs that lie together: as many as fill whole words or vectors of the narrowest plane. */
static inline uint32_t bw_unit(uint32_t layout, uint32_t bits) {
  const uint32_t narrowest = bits & (0u - bits);
  if (layout == BW_VECTORS) return narrowest == 1 ? 32 : 16;
  if (layout == BW_PAIRED_OUTPUTS) return 8 / narrowest;
  return narrowest == 8 ? 4 : 16 / narrowest;
}

static inline uint32_t bw_round_up(uint32_t value, uint32_t unit) { return (value + unit - 1) / unit * unit; }

/* Inputs of a dense layer with the padding of its layout. */
static inline uint32_t bw_padded_depth(const bw_layer *l, uint32_t depth) {
  return bw_packed(l) ? bw_round_up(depth, bw_unit(bw_layout(l), bw_width(l))) : depth;
}

static inline uint64_t bw_weight_bytes(const bw_layer *l, uint64_t channels, uint32_t depth) {
  const uint32_t group = bw_group(bw_layout(l));
  if (l->weightKind == 0) return 4 * channels;
  if (bw_packed(l)) return (channels + group - 1) / group * group * bw_padded_depth(l, depth) * bw_width(l) / 8;
  return (channels * depth * bw_width(l) + 7) / 8;
}

static inline int bw_pointwise(const bw_layer *l) {
  return !l->depthwise && l->kernel[0] == 1 && l->kernel[1] == 1 && l->stride[0] == 1 && l->stride[1] == 1 &&
         !(l->padding[0] | l->padding[1] | l->padding[2] | l->padding[3]);
}

/* Whether a dense layer takes all channels of a pixel or two before the next, so that a pointwise one may write over what it has read. */
static inline int bw_by_pixels(const bw_layer *l) { return bw_packed(l) || bw_pointwise(l); }

/* One field of a packed layer. A width is kept in planes of 8, 4, 2 or 1 bits, the low ones first, each with its slots side by side in the
 * lanes of its words. */
static inline uint32_t bw_packed_field(const bw_layer *l, const uint8_t *weights, uint32_t depth, uint32_t channel, uint32_t k) {
  const uint32_t layout = bw_layout(l), bits = bw_width(l), group = bw_group(layout), unit = bw_unit(layout, bits);
  const uint32_t lanes = layout == BW_VECTORS ? 16 : 2, laneBits = layout == BW_VECTORS ? 8 : 16, c = channel % group, i = k % unit;
  const uint8_t *p = weights + ((uint64_t)(channel / group) * (bw_padded_depth(l, depth) / unit) + k / unit) * (group * unit * bits / 8);
  uint32_t slot, lane, plane, low = 0, field = 0;
  if (layout == BW_PAIRED_INPUTS) slot = i / 4 * 4 + i % 2 * 2 + c, lane = i / 2 % 2;
  else if (layout == BW_PAIRED_OUTPUTS) slot = i * 2 + c / 2, lane = c % 2;
  else slot = i / 16 * 4 + c, lane = i % 16;
  for (plane = 8; plane > 0; plane /= 2) {
    const uint32_t perWord = laneBits / plane, at = slot % perWord * plane;
    if (!(bits & plane)) continue;
    field |= (p[(slot / perWord * lanes + lane) * (laneBits / 8) + at / 8] >> at % 8 & ((1u << plane) - 1)) << low;
    low += plane;
    p += group * unit * plane / 8;
  }
  return field;
}

/* Weight k of a depthwise layer's channel, with a short way for even ones that lie in one byte each. */
static inline int32_t bw_tap(const bw_layer *l, const uint8_t *weights, uint32_t taps, uint32_t channel, uint32_t k) {
  const uint32_t kind = l->weightKind & 31, i = channel * taps + k;
  if (kind == 8) return weights[i] - 128;
  if (kind == 4) return (weights[i / 2] >> i % 2 * 4 & 15) - 8;
  if (kind == 2) return (weights[i / 4] >> i % 4 * 2 & 3) - 2;
  return bw_weight(weights, kind, i);
}

/* Any weight of a layer that is not made from cut-offs; depth: its weights per output channel. */
static inline int32_t bw_layer_weight(const bw_layer *l, const uint8_t *weights, uint32_t depth, uint32_t channel, uint32_t k) {
  if (bw_packed(l)) {
    const int32_t field = (int32_t)bw_packed_field(l, weights, depth, channel, k), levels = (int32_t)1 << bw_width(l);
    return bw_odd(l) ? 2 * field + 1 - levels : field - levels / 2;
  }
  return bw_weight(weights, l->weightKind & 31, (uint64_t)channel * depth + k);
}

#endif
