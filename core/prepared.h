/* Prepared models: where memory is plenty and vectors are wide, weights are laid out once (prepare.c) for the fast paths (prepared.c). */
#ifndef BITWRIGHT_PREPARED_H
#define BITWRIGHT_PREPARED_H
#include "attend.h"
#include "layer.h"
#include "simd.h"
#include "weights.h"

/* Runs a step of one layer of a prepared model. Returns 0 where it has no fast path and has to run as it lies in the image. */
int bw_run_prepared(const bw_model *model, uint32_t layer, const bw_step *step);

#ifdef BW_LANES

enum { L = BW_LANES, FIELDS = 5 };

typedef struct {
  const int16_t *weights;   /* dense: [panel][pair of inputs][lanes][2]; depthwise: [panel][pair of taps][2][lanes][2] */
  const float *roundings;   /* [vector][scale, offset][lanes]; one vector for all where uniform; the first scale of a panel is zero where it has none */
  const int32_t *epilogues; /* [vector][FIELDS][lanes]: bias, multiplier, half, mask, shift count; one vector for all where uniform */
  const int32_t *taps;      /* depthwise: places of the taps of a window in the image */
  const uint32_t *logOffsets;
  uint32_t runnable;
} prepared_layer;

typedef struct {
  prepared_layer *layers;
  int16_t *image, *second;
  uint8_t *attention;
} prepared;

enum { BW_ATTENTION_ROWS = 4 };

/* What attention works in (prepared_attend.c); depth and positions are even. */
typedef struct {
  uint32_t depth, positions, scoreStride, sumStride;
  int16_t *row, *queries, *keys, *values, *shares;
  int32_t *scores, *sums, *points;
} prepared_attention;

uint64_t bw_attention_room(const bw_tensor *x, const bw_tensor *y);
void bw_turn_attention(const bw_attention *a, uint8_t *memory, prepared_attention *work);
/* Sums of some queries, at most BW_ATTENTION_ROWS, in work->sums. */
void bw_attend_rows(const bw_attention *a, const prepared_attention *work, uint32_t first, uint32_t count);

/* How a convolution sees its input in the image. */
typedef struct {
  uint32_t channels;      /* of a pixel in the image: depthwise ones are filled up to whole vectors */
  uint32_t height, width; /* with the border */
  uint32_t runs, run;     /* a window: so many runs of so many values ... */
  uint32_t pairs;         /* ... read as so many pairs each */
  uint32_t rows, columns; /* output pixels; a pointwise map counts as one row */
  uint32_t pixelStep, rowStep;
} view;

static inline view view_of(const bw_layer *l, const bw_tensor *x, const bw_tensor *y) {
  view v;
  const int pointwise = bw_pointwise(l);
  v.channels = l->depthwise ? (x->channels + 2u * L - 1) / (2 * L) * (2 * L) : x->channels;
  v.height = x->height + l->padding[0] + l->padding[1];
  v.width = (uint32_t)x->width + l->padding[2] + l->padding[3];
  v.runs = l->kernel[0];
  v.run = l->kernel[1] * v.channels;
  if (l->kernel[1] == v.width) v.run *= v.runs, v.runs = 1; /* whole rows lie one after the other */
  v.pairs = (v.run + 1) / 2;
  v.rows = pointwise ? 1 : y->height;
  v.columns = pointwise ? y->height * y->width : y->width;
  v.pixelStep = l->stride[1] * v.channels;
  v.rowStep = l->stride[0] * v.width * v.channels;
  return v;
}

/* Panels of two vectors of output channels, the last one of a dense layer of one where that is enough. */
static inline uint32_t panel_vectors(uint32_t channelsLeft) { return channelsLeft > L ? 2 : 1; }

#endif
#endif
