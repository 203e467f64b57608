// What the forward and the backward pass of dense convolutions share.
#pragma once
#include "layer.h"
#include "matrix.h"

// Rows of a pointwise block: input, output and packed operands stay in the first-level caches.
#define ROWS 48

// The transformed sample inside its zero border.
INLINE void padded_image(const Layer *l, const float *x, float *image) {
  int64_t row = (int64_t)l->paddedWidth * l->channels;
  if (l->top | l->bottom | l->left | l->right) clear(image, row * l->paddedHeight);
  image += l->top * row + (int64_t)l->left * l->channels;
  for (int h = 0; h < l->height; h++, image += row, x += l->rowStride) {
    if (l->channels == 1) transform_flat(&l->transform, x, image, l->width);
    else transform_rows(&l->transform, x, l->channels, image, l->channels, l->width, l->channels);
  }
}
