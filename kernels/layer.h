// The first arguments of every convolution command: input image, what is pending on it, weights, output, geometry.
#pragma once
#include "kernels.h"

typedef struct {
  int batch, chunks;
  const float *x;
  int height, width, channels, rowStride;
  Transform transform;
  const float *weights;
  float *y;
  int outHeight, outWidth, outChannels;
  int kernelHeight, kernelWidth, strideY, strideX, top, bottom, left, right;
  int paddedWidth, paddedHeight;
  int taps;   // kernelHeight * kernelWidth
  int depth;  // taps * channels: rows of a dense weight matrix
} Layer;

INLINE Layer read_layer(const Task *task) {
  const int32_t *a = task->arg;
  float *heap = task->heap;
  Layer l = {.batch = a[0], .chunks = a[1], .x = heap + a[2], .height = a[3], .width = a[4], .channels = a[5], .rowStride = a[6],
             .transform = read_transform(heap, a + 7), .weights = heap + a[12], .y = heap + a[13], .outHeight = a[14], .outWidth = a[15], .outChannels = a[16],
             .kernelHeight = a[17], .kernelWidth = a[18], .strideY = a[19], .strideX = a[20], .top = a[21], .bottom = a[22], .left = a[23], .right = a[24]};
  l.paddedHeight = l.height + l.top + l.bottom;
  l.paddedWidth = l.width + l.left + l.right;
  l.taps = l.kernelHeight * l.kernelWidth;
  l.depth = l.taps * l.channels;
  return l;
}

INLINE int is_pointwise(const Layer *l) {
  return l->taps == 1 && l->strideX == 1 && l->strideY == 1 && l->paddedHeight == l->height && l->paddedWidth == l->width && l->rowStride == l->width * l->channels && l->channels > 1;
}
