// Dense convolution, forward, and the packing of its weights. Pointwise layers (linear ones too) run over blocks of rows; other kernels run over one
// padded image at a time and read their windows straight out of it. The epilogue gathers batch-norm sums; the prologue applies what
// is pending on the input. Two levels of sums (block, then chunk) keep float32 batch-norm statistics as good as PyTorch's.
#include "dense.h"

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

// args: weights [taps][channels][outChannels], taps, channels, channelStride, outChannels, outStride, to, form, index.
// To: column panels of the matrix [taps * channelStride][outStride] (form 0), of its transpose [outChannels][taps * channelStride] (1), or
// of the transpose of each tap, the last tap first: [taps * outStride][channelStride] (2).
void k_pack(Task *task) {
  const int32_t *a = task->arg;
  const float *w = task->heap + a[0];
  int taps = a[1], channels = a[2], channelStride = a[3], outChannels = a[4], outStride = a[5], form = a[7];
  if (a[8] % task->threads != task->thread) return;
  float *o = task->heap + a[6];
  int depth = taps * channelStride;
  int rows = form == 0 ? depth : form == 1 ? outChannels : taps * outStride;
  int wide = form == 0 ? outStride : form == 1 ? (depth + LANES - 1) / LANES * LANES : channelStride;
  for (int n = 0; n < wide;) {
    int panel = panel_vectors(wide - n) * LANES;
    for (int k = 0; k < rows; k++)
      for (int j = 0; j < panel; j++) {
        int tap, channel, column;
        if (form == 0) tap = k / channelStride, channel = k % channelStride, column = n + j;
        else if (form == 1) tap = (n + j) / channelStride, channel = (n + j) % channelStride, column = k;
        else tap = taps - 1 - k / outStride, channel = n + j, column = k % outStride;
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
