// Dense convolution, backward: the gradients of its input and of its weights in one pass over a sample or a block of rows. With stride 1 the
// input's gradient is a convolution again, of the output's gradient inside a zero border with each tap's weights transposed and the last
// tap first; with other strides each output pixel adds its part to the image that it came from.
#include "dense.h"

// Output rows are taken together until there are so many pixels, so that sums of weight gradients stay in registers for a while.
#define PIXELS 24

// One chunk of the batch.
typedef struct {
  Layer l;
  int samples, used; // used: output channels without the filling
  const float *x, *y, *g, *coefficients;
  float *dw, *dx; // NULL where not wanted
  BackwardSums sums;
  float *scratch;
} Chunk;

// d: gradient of one row of the input, through what is pending on it, into dx and the sums.
INLINE void finish_row(const Layer *l, const float *d, const float *x, float *dx, const BackwardSums *sums) {
  if (l->channels > 1) {
    transform_backward(&l->transform, d, l->channels, x, l->channels, dx, l->channels, l->width, l->channels, sums);
  } else { // one channel: the row is the vector
    transform_backward_flat(&l->transform, d, x, dx, l->width, sums);
    for (int i = l->width; i < l->rowStride; i++) dx[i] = 0;
  }
}

static void pointwise(const Chunk *c) {
  const Layer *l = &c->l;
  int n = l->outChannels, direct = is_identity(&l->transform);
  float *xs = c->scratch, *ys = xs + ROWS * l->channels, *ds = ys + ROWS * n, *packed = ds + ROWS * l->channels, *part = packed + ROWS * n;
  BackwardSums block = c->sums;
  if (block.stats) block.stats = part;
  int64_t rows = (int64_t)c->samples * l->height * l->width;
  for (int64_t p = 0; p < rows; p += ROWS) {
    int count = rows - p < ROWS ? (int)(rows - p) : ROWS;
    const float *left = c->x + p * l->channels, *dy = c->g + p * n;
    if (c->coefficients) gradient_rows(c->coefficients, dy, c->y + p * n, ys, count, n), dy = ys;
    if (c->dw) {
      if (!direct) transform_rows(&l->transform, left, l->channels, xs, l->channels, count, l->channels), left = xs;
      multiply_weights(left, l->channels, count, 1, 0, 1, l->channels, 0, dy, 0, n, c->dw);
    }
    if (!c->dx) continue;
    multiply(dy, n, count, 1, c->used, 0, l->weights, l->channels, ds, l->channels, 0, packed);
    if (block.stats) clear(part, 2 * l->channels);
    transform_backward(&l->transform, ds, l->channels, c->x + p * l->channels, l->channels, c->dx + p * l->channels, l->channels, count, l->channels, &block);
    if (block.stats) add_to(c->sums.stats, part, 2 * l->channels);
  }
}

// The output's gradient of a sample within the border that the input's gradient reads beyond it.
static void gradient_image(const Chunk *c, const float *g, const float *y, float *image, int64_t row, int top, int left) {
  const Layer *l = &c->l;
  int64_t line = (int64_t)l->outWidth * l->outChannels;
  image += top * row + (int64_t)left * l->outChannels;
  for (int oh = 0; oh < l->outHeight; oh++, image += row, g += line, y += line) gradient_rows(c->coefficients, g, y, image, l->outWidth, l->outChannels);
}

static void correlated(const Chunk *c) {
  const Layer *l = &c->l;
  int n = l->outChannels, run = l->kernelWidth * n, top = l->kernelHeight - 1 - l->top, left = l->kernelWidth - 1 - l->left;
  int64_t row = (int64_t)l->paddedWidth * l->channels, rowG = (int64_t)(l->width + l->kernelWidth - 1) * n, sizeG = rowG * (l->height + l->kernelHeight - 1);
  float *image = c->scratch, *gradient = image + row * l->paddedHeight + 2 * LANES, *ds = gradient + sizeG, *packed = ds + (int64_t)l->width * l->channels;
  float *part = packed + (int64_t)MR * run * l->kernelHeight;
  BackwardSums sample = c->sums;
  if (sample.stats) sample.stats = part;
  clear(gradient, sizeG); // its border stays
  const float *x = c->x, *y = c->y, *g = c->g, *inner = gradient + top * rowG + (int64_t)left * n;
  float *dx = c->dx;
  for (int i = 0; i < c->samples; i++, y += (int64_t)l->outHeight * l->outWidth * n, g += (int64_t)l->outHeight * l->outWidth * n) {
    gradient_image(c, g, y, gradient, rowG, top, left);
    if (c->dw) {
      padded_image(l, x, image);
      multiply_weights(image, l->channels, l->outWidth, l->outHeight, row, l->kernelHeight, l->kernelWidth * l->channels, row, inner, rowG - (int64_t)l->outWidth * n, n, c->dw);
    }
    if (sample.stats) clear(part, 2 * l->channels);
    for (int h = 0; h < l->height; h++, x += l->rowStride, dx += l->rowStride) {
      multiply(gradient + h * rowG, n, l->width, l->kernelHeight, run, rowG, l->weights, l->channels, ds, l->channels, 0, packed);
      finish_row(l, ds, x, dx, &sample);
    }
    if (sample.stats) add_to(c->sums.stats, part, 2 * l->channels);
  }
}

static void scattered(const Chunk *c) {
  const Layer *l = &c->l;
  int n = l->outChannels, columns = (l->depth + LANES - 1) / LANES * LANES, together = (PIXELS + l->outWidth - 1) / l->outWidth;
  if (together > l->outHeight) together = l->outHeight;
  int run = l->kernelWidth * l->channels;
  int64_t row = (int64_t)l->paddedWidth * l->channels, imageSize = row * l->paddedHeight + 2 * LANES;
  float *image = c->scratch, *dImage = image + imageSize, *ys = dImage + (c->dx ? imageSize : 0), *ds = ys + (int64_t)together * l->outWidth * n;
  float *packed = ds + (int64_t)together * l->outWidth * columns, *part = packed + MR * n;
  BackwardSums sample = c->sums;
  if (sample.stats) sample.stats = part;
  const float *x = c->x, *y = c->y, *g = c->g;
  float *dx = c->dx;
  for (int s = 0; s < c->samples; s++) {
    if (c->dw) padded_image(l, x, image);
    if (dx) clear(dImage, row * l->paddedHeight);
    for (int oh = 0, count; oh < l->outHeight; oh += count) {
      count = l->outHeight - oh < together ? l->outHeight - oh : together;
      int pixels = count * l->outWidth;
      const float *dy = g;
      if (c->coefficients) gradient_rows(c->coefficients, g, y, ys, pixels, n), dy = ys;
      g += (int64_t)pixels * n, y += (int64_t)pixels * n;
      if (c->dw)
        multiply_weights(image + oh * l->strideY * row, (int64_t)l->strideX * l->channels, l->outWidth, count, l->strideY * row, l->kernelHeight, run, row, dy, 0, n, c->dw);
      if (!dx) continue;
      multiply(dy, n, pixels, 1, c->used, 0, l->weights, columns, ds, columns, 0, packed);
      for (int p = 0; p < pixels; p++)
        for (int i = 0; i < l->kernelHeight; i++) {
          float *to = dImage + ((oh + p / l->outWidth) * l->strideY + i) * row + (int64_t)(p % l->outWidth) * l->strideX * l->channels;
          const float *from = ds + (int64_t)p * columns + i * run;
          for (int j = 0; j < run; j++) to[j] += from[j];
        }
    }
    if (!dx) {
      x += (int64_t)l->height * l->rowStride;
      continue;
    }
    if (sample.stats) clear(part, 2 * l->channels);
    const float *d = dImage + l->top * row + (int64_t)l->left * l->channels;
    for (int h = 0; h < l->height; h++, d += row, x += l->rowStride, dx += l->rowStride) finish_row(l, d, x, dx, &sample);
    if (sample.stats) add_to(c->sums.stats, part, 2 * l->channels);
  }
}

// args: the layer's (layer.h), gradient of the output, coefficients, partial weight gradients, d x, accumulate, stats, quantizer sums,
// output channels without the filling, form of the weights (k_pack)
void k_convolution_backward(Task *task) {
  Layer l = read_layer(task);
  const int32_t *a = task->arg;
  float *heap = task->heap;
  int first, last;
  int64_t sampleIn = (int64_t)l.height * l.rowStride, sampleOut = (int64_t)l.outHeight * l.outWidth * l.outChannels, weights = (int64_t)l.depth * l.outChannels;
  my_chunks(task, l.chunks, &first, &last);
  for (int chunk = first; chunk < last; chunk++) {
    int begin = chunk_begin(l.batch, chunk, l.chunks), end = chunk_begin(l.batch, chunk + 1, l.chunks);
    Chunk c = {.l = l, .samples = end - begin, .used = a[32], .scratch = task->scratch,
               .x = l.x + begin * sampleIn, .y = l.y + begin * sampleOut, .g = heap + a[25] + begin * sampleOut, .coefficients = a[26] == NONE ? 0 : heap + a[26],
               .dw = a[27] == NONE ? 0 : heap + a[27] + chunk * weights, .dx = a[28] == NONE ? 0 : heap + a[28] + begin * sampleIn,
               .sums = {.stats = a[30] == NONE ? 0 : heap + a[30] + (int64_t)chunk * 2 * l.channels, .ldStats = l.channels,
                        .quantizerSums = a[31] == NONE ? 0 : heap + a[31] + (int64_t)chunk * 3 * LANES, .accumulate = a[29]}};
    if (c.dw) clear(c.dw, weights);
    if (c.sums.stats && !c.sums.accumulate) clear(c.sums.stats, 2 * l.channels);
    if (c.sums.quantizerSums) clear(c.sums.quantizerSums, 3 * LANES);
    if (is_pointwise(&l)) pointwise(&c);
    else if (c.dx && a[33] == 2) correlated(&c);
    else scattered(&c);
  }
}
