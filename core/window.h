/* Where an output's window lies on its input: for the kernels of cortex.h. */
#ifndef BITWRIGHT_WINDOW_H
#define BITWRIGHT_WINDOW_H
#include "layer.h"

/* The window begins at row `top` and column `left` of the map; its rows begin..end and columns first..last are inside. */
typedef struct {
  int32_t top, left, begin, end, first, last;
  uint32_t line;             /* values of a row that are inside */
  uint32_t from, to;         /* where those of row `begin` are, in the map and in the window */
  uint32_t fromStep, toStep; /* from one row to the next */
  int cut;                   /* whether some values are not inside */
} bw_window;

static inline __attribute__((always_inline)) bw_window bw_window_of(const bw_step *s, uint32_t row, uint32_t column) {
  const int32_t height = (int32_t)s->x.height, width = s->x.width, kernelHeight = s->l.kernel[0], kernelWidth = s->l.kernel[1];
  const uint32_t channels = s->x.channels;
  bw_window w;
  w.top = (int32_t)(row * s->l.stride[0]) - s->l.padding[0], w.left = (int32_t)(column * s->l.stride[1]) - s->l.padding[2];
  w.first = w.left < 0 ? -w.left : 0, w.last = width - w.left < kernelWidth ? width - w.left : kernelWidth;
  w.begin = w.top < 0 ? -w.top : 0, w.end = height - w.top < kernelHeight ? height - w.top : kernelHeight;
  w.line = (uint32_t)(w.last > w.first ? w.last - w.first : 0) * channels;
  w.fromStep = (uint32_t)width * channels, w.toStep = (uint32_t)kernelWidth * channels;
  w.from = (uint32_t)(w.top + w.begin) * w.fromStep + (uint32_t)(w.left + w.first) * channels;
  w.to = (uint32_t)w.begin * w.toStep + (uint32_t)w.first * channels;
  w.cut = w.begin > 0 || w.end < kernelHeight || w.first > 0 || w.last < kernelWidth;
  return w;
}

/* A depthwise layer seen along its longer side: what lies along and across, and how far apart neighbours are in kernel, input and output. */
typedef struct {
  uint32_t inputs[2], outputs[2], kernel[2], stride[2], before[2], tapStep[2], inputStep[2], outputStep[2];
  uint32_t line; /* inputs along, with their padding */
} bw_walk;

static inline bw_walk bw_walk_of(const bw_step *s) {
  const uint32_t inputs[2] = {s->x.height, s->x.width}, outputs[2] = {s->y.height, s->y.width}, channels = s->x.channels;
  const uint32_t along = s->y.height > s->y.width ? 0 : 1;
  bw_walk w;
  uint32_t i;
  for (i = 0; i < 2; i++) {
    const uint32_t axis = i == 0 ? along : 1 - along;
    w.inputs[i] = inputs[axis], w.outputs[i] = outputs[axis];
    w.kernel[i] = s->l.kernel[axis], w.stride[i] = s->l.stride[axis], w.before[i] = s->l.padding[2 * axis];
    w.tapStep[i] = axis == 0 ? s->l.kernel[1] : 1;
    w.inputStep[i] = axis == 0 ? inputs[1] * channels : channels;
    w.outputStep[i] = axis == 0 ? outputs[1] * channels : channels;
  }
  w.line = w.inputs[0] + s->l.padding[2 * along] + s->l.padding[2 * along + 1];
  return w;
}

#endif
