/* What planning a stream leaves for running it. */
#ifndef BITWRIGHT_STREAM_H
#define BITWRIGHT_STREAM_H
#include "bw.h"

/* A map in the stream. A reshape or crop shows the rows of its base. */
typedef struct {
  uint32_t offset;  /* in the state */
  uint32_t rows;    /* there, the newest last */
  uint32_t step;    /* rows of the input from one row to the next */
  uint32_t first;   /* the row of the input that completes row 0 */
  uint32_t skipped; /* rows of the base before row 0 */
  uint16_t base, last; /* last: the layer that reads it last */
  uint16_t kept, fresh; /* fresh: rows that are new in this step */
} map_plan;

typedef struct {
  uint32_t wait;    /* rows that must come before it runs next */
  uint32_t scratch; /* offset in the state */
  uint32_t sums;    /* of an average: their offset in the state */
  uint32_t oldest;  /* and which row's are the oldest */
} layer_plan;

static inline map_plan *maps_of(const bw_stream *s) { return s->plan; }
static inline layer_plan *layers_of(const bw_stream *s) { return (layer_plan *)(void *)(maps_of(s) + s->model->header.tensorCount); }

static inline uint64_t up16(uint64_t bytes) { return (bytes + 15) & ~(uint64_t)15; }
static inline uint64_t row_bits(const bw_tensor *t) { return (uint64_t)t->width * t->channels * t->containerBits; }

/* The tensor as the stream holds it: 16 bits a value where a row is not whole bytes. */
static inline void stream_tensor(const bw_model *m, uint32_t index, bw_tensor *t) {
  bw_get_tensor(m, index, t);
  if (row_bits(t) % 8 == 0) return;
  t->containerBits = 16;
  t->min = (int16_t)(t->min - t->zeroPoint);
  t->max = (int16_t)(t->max - t->zeroPoint);
  t->zeroPoint = 0;
}

static inline uint64_t row_bytes(const bw_model *m, uint32_t index) {
  bw_tensor t;
  stream_tensor(m, index, &t);
  return row_bits(&t) / 8;
}

static inline int has_window(const bw_layer *l) { return l->op == BW_CONVOLUTION || l->op == BW_AVERAGE_POOL; }
static inline int has_sums(const bw_layer *l) { return l->op == BW_AVERAGE_POOL && l->kernel[0] > 1; }

/* Bytes of one of the sums that an average keeps of each row. */
static inline uint32_t sum_bytes(const bw_model *m, const bw_layer *l) {
  bw_tensor x;
  int32_t low, high;
  bw_get_tensor(m, l->input[0], &x);
  low = x.zeroPoint - x.min, high = x.max - x.zeroPoint;
  return (uint64_t)l->kernel[1] * (uint64_t)(low > high ? low : high) <= INT16_MAX ? 2 : 4;
}

static inline uint32_t row_sums(const bw_model *m, const bw_layer *l) {
  bw_tensor y;
  bw_get_tensor(m, l->output, &y);
  return (uint32_t)y.width * y.channels;
}

/* The input of an addition that comes last: its rows are what makes the addition run. */
static inline uint32_t trigger_of(const map_plan *maps, const bw_layer *l) {
  return l->op == BW_ADD && maps[l->input[1]].first > maps[l->input[0]].first ? l->input[1] : l->input[0];
}

#endif
