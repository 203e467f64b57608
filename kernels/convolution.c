// Dense convolution, forward and backward. Pointwise layers (linear ones too) run over blocks of rows; other kernels run over one
// padded image at a time and read their windows straight out of it. The epilogue gathers batch-norm sums; the prologue applies what
// is pending on the input. Two levels of sums (block, then chunk) keep float32 batch-norm statistics as good as PyTorch's.
#include "layer.h"
#include "matrix.h"

// Rows of a pointwise block: input, output and packed operands stay in the first-level caches.
#define ROWS 48

// The transformed sample inside its zero border.
static void padded_image(const Layer *l, const float *x, float *image) {
  int64_t row = (int64_t)l->paddedWidth * l->channels;
  if (l->top | l->bottom | l->left | l->right) clear(image, row * l->paddedHeight);
  image += l->top * row + (int64_t)l->left * l->channels;
  for (int h = 0; h < l->height; h++, image += row, x += l->rowStride) {
    if (l->channels == 1) transform_flat(&l->transform, x, image, l->width);
    else transform_rows(&l->transform, x, l->channels, image, l->channels, l->width, l->channels);
  }
}

void k_convolution(Task *task) {
  Layer l = read_layer(task);
  int stats = task->arg[25], n = l.outChannels, first, last;
  int64_t sampleIn = (int64_t)l.height * l.rowStride, sampleOut = (int64_t)l.outHeight * l.outWidth * n;
  my_chunks(task, l.chunks, &first, &last);
  for (int chunk = first; chunk < last; chunk++) {
    int begin = chunk_begin(l.batch, chunk, l.chunks), end = chunk_begin(l.batch, chunk + 1, l.chunks);
    float *total = stats == NONE ? 0 : task->heap + stats + (int64_t)chunk * 2 * n, *part = total ? task->scratch : 0;
    float *block = task->scratch + 2 * n;
    if (total) clear(total, 2 * n);
    const float *x = l.x + begin * sampleIn;
    float *y = l.y + begin * sampleOut;
    if (is_pointwise(&l)) {
      int64_t rows = (int64_t)(end - begin) * l.height * l.width;
      int direct = is_identity(&l.transform);
      float *packed = block + ROWS * l.channels;
      for (int64_t p = 0; p < rows; p += ROWS) {
        int count = rows - p < ROWS ? (int)(rows - p) : ROWS;
        const float *left = x + p * l.channels;
        if (!direct) transform_rows(&l.transform, left, l.channels, block, l.channels, count, l.channels), left = block;
        if (part) clear(part, 2 * n);
        multiply(left, l.channels, count, 1, l.channels, 0, l.weights, n, y + p * n, n, part, packed);
        if (part) add_to(total, part, 2 * n);
      }
      continue;
    }
    int64_t row = (int64_t)l.paddedWidth * l.channels;
    float *packed = block + row * l.paddedHeight;
    for (int sample = begin; sample < end; sample++, x += sampleIn) {
      padded_image(&l, x, block);
      if (part) clear(part, 2 * n);
      for (int oh = 0; oh < l.outHeight; oh++, y += (int64_t)l.outWidth * n)
        multiply(block + oh * l.strideY * row, (int64_t)l.strideX * l.channels, l.outWidth, l.kernelHeight, l.kernelWidth * l.channels, row, l.weights, n, y, n, part, packed);
      if (part) add_to(total, part, 2 * n);
    }
  }
}

void k_convolution_backward(Task *task) {
  Layer l = read_layer(task);
  const int32_t *a = task->arg;
  float *heap = task->heap;
  const float *g = heap + a[25], *coefficients = a[26] == NONE ? 0 : heap + a[26];
  int n = l.outChannels, used = a[32], first, last;
  int64_t sampleIn = (int64_t)l.height * l.rowStride, sampleOut = (int64_t)l.outHeight * l.outWidth * n;
  int columns = (l.depth + LANES - 1) / LANES * LANES;
  my_chunks(task, l.chunks, &first, &last);
  for (int chunk = first; chunk < last; chunk++) {
    int begin = chunk_begin(l.batch, chunk, l.chunks), end = chunk_begin(l.batch, chunk + 1, l.chunks);
    float *dw = a[27] == NONE ? 0 : heap + a[27] + (int64_t)chunk * l.depth * n;
    float *dx = a[28] == NONE ? 0 : heap + a[28] + begin * sampleIn;
    BackwardSums sums = {.stats = a[30] == NONE ? 0 : heap + a[30] + (int64_t)chunk * 2 * l.channels, .ldStats = l.channels,
                         .quantizerSums = a[31] == NONE ? 0 : heap + a[31] + (int64_t)chunk * 3 * LANES, .accumulate = a[29]};
    if (dw) clear(dw, (int64_t)l.depth * n);
    if (sums.stats && !sums.accumulate) clear(sums.stats, 2 * l.channels);
    if (sums.quantizerSums) clear(sums.quantizerSums, 3 * LANES);
    const float *x = l.x + begin * sampleIn, *y = l.y + begin * sampleOut, *gy = g + begin * sampleOut;
    if (is_pointwise(&l)) {
      float *xs = task->scratch, *ys = xs + ROWS * l.channels, *ds = ys + ROWS * n, *packed = ds + ROWS * l.channels;
      float *part = packed + ROWS * n;
      BackwardSums block = sums;
      if (sums.stats) block.stats = part;
      int64_t rows = (int64_t)(end - begin) * l.height * l.width;
      int direct = is_identity(&l.transform);
      for (int64_t p = 0; p < rows; p += ROWS) {
        int count = rows - p < ROWS ? (int)(rows - p) : ROWS;
        const float *left = x + p * l.channels, *dy = gy + p * n;
        if (coefficients) gradient_rows(coefficients, dy, y + p * n, ys, count, n), dy = ys;
        if (dw) {
          if (!direct) transform_rows(&l.transform, left, l.channels, xs, l.channels, count, l.channels), left = xs;
          multiply_weights(left, l.channels, count, 1, l.channels, 0, dy, n, dw);
        }
        if (dx) {
          multiply(dy, n, count, 1, used, 0, l.weights, l.channels, ds, l.channels, 0, packed);
          if (sums.stats) clear(part, 2 * l.channels);
          transform_backward(&l.transform, ds, l.channels, x + p * l.channels, l.channels, dx + p * l.channels, l.channels, count, l.channels, &block);
          if (sums.stats) add_to(sums.stats, part, 2 * l.channels);
        }
      }
      continue;
    }
    int64_t row = (int64_t)l.paddedWidth * l.channels, imageSize = row * l.paddedHeight + 2 * LANES;
    float *image = task->scratch, *dImage = image + imageSize, *ys = dImage + (dx ? imageSize : 0), *ds = ys + (int64_t)l.outWidth * n;
    float *packed = ds + (int64_t)l.outWidth * columns, *part = packed + MR * n;
    int run = l.kernelWidth * l.channels;
    BackwardSums block = sums;
    if (sums.stats) block.stats = part;
    for (int sample = begin; sample < end; sample++, x += sampleIn) {
      if (dw) padded_image(&l, x, image);
      if (dx) clear(dImage, row * l.paddedHeight);
      for (int oh = 0; oh < l.outHeight; oh++, gy += (int64_t)l.outWidth * n, y += (int64_t)l.outWidth * n) {
        const float *dy = gy;
        if (coefficients) gradient_rows(coefficients, gy, y, ys, l.outWidth, n), dy = ys;
        if (dw) multiply_weights(image + oh * l.strideY * row, (int64_t)l.strideX * l.channels, l.outWidth, l.kernelHeight, run, row, dy, n, dw);
        if (!dx) continue;
        multiply(dy, n, l.outWidth, 1, used, 0, l.weights, columns, ds, columns, 0, packed);
        for (int ow = 0; ow < l.outWidth; ow++)
          for (int i = 0; i < l.kernelHeight; i++) {
            float *to = dImage + (oh * l.strideY + i) * row + (int64_t)ow * l.strideX * l.channels;
            const float *from = ds + (int64_t)ow * columns + i * run;
            for (int j = 0; j < run; j++) to[j] += from[j];
          }
      }
      if (!dx) continue;
      if (sums.stats) clear(part, 2 * l.channels);
      const float *d = dImage + l.top * row + (int64_t)l.left * l.channels;
      float *out = dx + (sample - begin) * sampleIn;
      for (int h = 0; h < l.height; h++, d += row) {
        int64_t at = (int64_t)h * l.rowStride;
        if (l.channels > 1) {
          transform_backward(&l.transform, d, l.channels, x + at, l.channels, out + at, l.channels, l.width, l.channels, &block);
        } else { // one channel: the row is the vector
          transform_backward_flat(&l.transform, d, x + at, out + at, l.width, &block);
          for (int i = l.width; i < l.rowStride; i++) out[at + i] = 0;
        }
      }
      if (sums.stats) add_to(sums.stats, part, 2 * l.channels);
    }
  }
}

// args: weights [taps][channels][outChannels], taps, channels, channelStride, outChannels, outStride, to, transposed, index.
// To: column panels of the matrix [taps * channelStride][outStride], or of its transpose [outChannels][taps * channelStride].
void k_pack(Task *task) {
  const int32_t *a = task->arg;
  const float *w = task->heap + a[0];
  int taps = a[1], channels = a[2], channelStride = a[3], outChannels = a[4], outStride = a[5], transposed = a[7];
  if (a[8] % task->threads != task->thread) return;
  float *o = task->heap + a[6];
  int depth = taps * channelStride, wide = transposed ? (depth + LANES - 1) / LANES * LANES : outStride;
  for (int n = 0; n < wide;) {
    int panel = panel_vectors(wide - n) * LANES;
    for (int k = 0; k < (transposed ? outChannels : depth); k++)
      for (int j = 0; j < panel; j++) {
        int row = transposed ? n + j : k, column = transposed ? k : n + j, tap = row / channelStride, channel = row % channelStride;
        *o++ = tap < taps && channel < channels && column < outChannels ? w[((int64_t)tap * channels + channel) * outChannels + column] : 0;
      }
    n += panel;
  }
}

// args: partial, chunks, taps, channels, channelStride, outChannels, outStride, gradient, accumulate. Adds the chunks' weight gradients
// [taps * channelStride][outStride] in chunk order into [taps][channels][outChannels].
void k_reduce_weights(Task *task) {
  const int32_t *a = task->arg;
  int chunks = a[1], taps = a[2], channels = a[3], channelStride = a[4], outChannels = a[5], outStride = a[6], first, last;
  const float *partial = task->heap + a[0];
  float *gradient = task->heap + a[7];
  int64_t size = (int64_t)taps * channelStride * outStride;
  my_share(task, taps * channels, &first, &last);
  for (int r = first; r < last; r++) {
    const float *from = partial + ((int64_t)(r / channels) * channelStride + r % channels) * outStride;
    float *to = gradient + (int64_t)r * outChannels;
    for (int n = 0; n < outChannels; n++) {
      float s = a[8] ? to[n] : 0;
      for (int c = 0; c < chunks; c++) s += from[n + c * size];
      to[n] = s;
    }
  }
}
