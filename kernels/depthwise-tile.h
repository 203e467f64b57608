// The geometry of depthwise tiles: which outputs, inputs and output gradients a tile has, and where they lie in maps and in scratch.
#pragma once
#include "correlate.h"
#include "layer.h"

// Vectors of channels in a tile: whole cache lines of each column. Keep in step with packages/engine/src/ops/depthwise.ts.
#define GROUP 4

// One axis of a layer, and a tile's place on it: the outputs from `at` on, and the inputs from at * stride on, `length` strides of them.
// What lies beyond the last output or input is left out.
typedef struct {
  int size, out, kernel, stride, before, length, at;
} Axis;
INLINE int outputs(const Axis *a) { return a->at + a->length < a->out ? a->length : a->out > a->at ? a->out - a->at : 0; }
INLINE int tiles(const Axis *a) {
  int inputs = (a->size - 1) / a->stride + 1;
  return ((inputs > a->out ? inputs : a->out) - 1) / a->length + 1;
}
// Columns of a phase that the tile's windows reach beyond its outputs.
INLINE int overlap(const Axis *a) { return (a->kernel - 1) / a->stride; }
// Outputs before and after the tile's that its inputs take part in.
INLINE int margin(const Axis *a) { return a->kernel > a->before ? (a->kernel - 1 - a->before) / a->stride : 0; }
INLINE int end_margin(const Axis *a) { return (a->stride - 1 + a->before) / a->stride; }

// The places of a tile that lie inside a map: index of the first in the map, how many, and which place is the first.
typedef struct {
  int first, count, position;
} Part;
// Of `count` places, one every `step`, the first at index `first` of a map of `size`.
INLINE Part inside(int first, int count, int step, int size) {
  int skipped = first < 0 ? (step - 1 - first) / step : 0;
  first += skipped * step;
  int most = first < size ? (size - 1 - first) / step + 1 : 0, left = count > skipped ? count - skipped : 0;
  return (Part){first, most < left ? most : left, skipped};
}
INLINE Part own_inputs(const Axis *a) { return inside(a->at * a->stride, a->length * a->stride, 1, a->size); }

typedef struct {
  Axis y, x;
  // Strip: [rows][phase][columns of a phase][LANES]
  int rows, columns;
  int64_t row, strip;
  // Output gradient with its margins: [rows][columns][LANES]
  int64_t rowG, origin, gradient;
  Runs runs;
} Tile;

static void read_tile(Tile *t, const Layer *l, int length, int width) {
  t->y = (Axis){l->height, l->outHeight, l->kernelHeight, l->strideY, l->top, length, 0};
  t->x = (Axis){l->width, l->outWidth, l->kernelWidth, l->strideX, l->left, width, 0};
  t->rows = (length - 1) * l->strideY + l->kernelHeight;
  t->columns = width + overlap(&t->x);
  t->row = (int64_t)t->columns * l->strideX * LANES, t->strip = t->rows * t->row;
  t->rowG = (int64_t)(margin(&t->x) + width + end_margin(&t->x)) * LANES;
  t->origin = margin(&t->y) * t->rowG + margin(&t->x) * LANES, t->gradient = (margin(&t->y) + length + end_margin(&t->y)) * t->rowG;
  // the runs that a window consists of
  t->runs.count = 0, t->runs.weightStep = l->strideX * LANES;
  for (int phase = 0; phase < l->strideX && phase < l->kernelWidth; phase++)
    add_runs(&t->runs, (l->kernelWidth - phase - 1) / l->strideX + 1, l->kernelHeight, phase * t->columns * LANES, (int)t->row, phase * LANES, l->kernelWidth * LANES);
}
#define EACH_TILE(t) \
  for (int ty = tiles(&(t)->y), y_ = ((t)->y.at = 0); y_ < ty; y_++, (t)->y.at += (t)->y.length) \
    for (int tx = tiles(&(t)->x), x_ = ((t)->x.at = 0); x_ < tx; x_++, (t)->x.at += (t)->x.length)

INLINE Part tile_rows(const Layer *l, const Tile *t) { return inside(t->y.at * l->strideY - l->top, t->rows, 1, l->height); }
INLINE Part tile_columns(const Layer *l, const Tile *t) { return inside(t->x.at * l->strideX - l->left, t->columns * l->strideX, 1, l->width); }
// The tile's inputs and outputs in a map of the input's or the output's shape.
static Area input_area(const Layer *l, const Tile *t, const float *map) {
  Part rows = tile_rows(l, t), columns = tile_columns(l, t);
  return (Area){map + rows.first * l->rowStride + (int64_t)columns.first * l->channels, l->channels, l->rowStride, columns.count, rows.count};
}
INLINE int64_t output_begin(const Layer *l, const Tile *t) { return ((int64_t)t->y.at * l->outWidth + t->x.at) * l->channels; }
static Area output_area(const Layer *l, const Tile *t, const float *map) {
  return (Area){map + output_begin(l, t), l->channels, (int64_t)l->outWidth * l->channels, outputs(&t->x), outputs(&t->y)};
}

// Up to GROUP vectors of channels of a sample.
typedef struct {
  int sample, channel, vectors;
} Group;
INLINE Group group_at(const Layer *l, int sample, int channel) {
  int left = (l->channels - channel) / LANES;
  return (Group){sample, channel, left < GROUP ? left : GROUP};
}
INLINE Group next_group(const Layer *l, Group g) {
  int channel = g.channel + g.vectors * LANES;
  return channel < l->channels ? group_at(l, g.sample, channel) : group_at(l, g.sample + 1, 0);
}
INLINE int64_t input_offset(const Layer *l, Group g) { return (int64_t)g.sample * l->height * l->rowStride + g.channel; }
INLINE int64_t output_offset(const Layer *l, Group g) { return (int64_t)g.sample * l->outHeight * l->outWidth * l->channels + g.channel; }
