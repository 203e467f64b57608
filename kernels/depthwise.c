// Depthwise convolution, forward and backward, one strip of LANES channels of one sample at a time: the strip is gathered into
// contiguous zero-bordered scratch (with what is pending on it applied), where every tap is one aligned load.
//
// The input gradient of a strided convolution splits into strideY x strideX phases; within a phase it is again a plain correlation
// of the output gradient with every stride-th tap, so one inner loop serves forward and backward.
#include "layer.h"

#define MAX_TAPS 128

// LANES channels of the sample, transformed, into [paddedHeight][paddedWidth][LANES]. The border is zero already.
static void gather(const Layer *l, const float *x, int channel, float *strip) {
  Transform t = l->transform;
  if (t.scale) t.scale += channel, t.offset += channel;
  strip += ((int64_t)l->top * l->paddedWidth + l->left) * LANES;
  for (int h = 0; h < l->height; h++) transform_rows(&t, x + h * l->rowStride + channel, l->channels, strip + (int64_t)h * l->paddedWidth * LANES, LANES, l->width, LANES);
}

// acc[j] = sum over taps of source[tap offset + j * step] * weight[tap]
INLINE void correlate(int n, const float *source, int64_t step, int taps, const int32_t *offsets, const int32_t *order, const float *weights, V *acc) {
  UNROLL for (int j = 0; j < n; j++) acc[j] = zero();
  for (int t = 0; t < taps; t++) {
    V w = load(weights + order[t] * LANES);
    const float *s = source + offsets[t];
    UNROLL for (int j = 0; j < n; j++) acc[j] = fma_(load(s + j * step), w, acc[j]);
  }
}
#define WALK(count, BODY) do { int j = 0; for (; j + 8 <= (count); j += 8) BODY(8); if (j + 4 <= (count)) { BODY(4); j += 4; } for (; j < (count); j++) BODY(1); } while (0)

void k_depthwise(Task *task) {
  Layer l = read_layer(task);
  int stats = task->arg[25], c = l.channels, first, last;
  int64_t sampleIn = (int64_t)l.height * l.rowStride, sampleOut = (int64_t)l.outHeight * l.outWidth * c;
  int32_t offsets[MAX_TAPS], order[MAX_TAPS];
  for (int t = 0; t < l.taps; t++) order[t] = t, offsets[t] = (t / l.kernelWidth * l.paddedWidth + t % l.kernelWidth) * LANES;
  float *strip = task->scratch;
  clear(strip, (int64_t)l.paddedHeight * l.paddedWidth * LANES);
  my_chunks(task, l.chunks, &first, &last);
  for (int chunk = first; chunk < last; chunk++) {
    int begin = chunk_begin(l.batch, chunk, l.chunks), end = chunk_begin(l.batch, chunk + 1, l.chunks);
    float *total = stats == NONE ? 0 : task->heap + stats + (int64_t)chunk * 2 * c;
    if (total) clear(total, 2 * c);
    for (int sample = begin; sample < end; sample++)
      for (int channel = 0; channel < c; channel += LANES) {
        const float *w = l.weights + (int64_t)channel * l.taps;
        V s = zero(), q = zero();
        gather(&l, l.x + sample * sampleIn, channel, strip);
        for (int oh = 0; oh < l.outHeight; oh++) {
          const float *row = strip + (int64_t)oh * l.strideY * l.paddedWidth * LANES;
          float *y = l.y + sample * sampleOut + (int64_t)oh * l.outWidth * c + channel;
#define STEP(n) { V acc[n]; correlate(n, row + (int64_t)j * l.strideX * LANES, (int64_t)l.strideX * LANES, l.taps, offsets, order, w, acc); \
    UNROLL for (int i = 0; i < n; i++) { store(y + (int64_t)(j + i) * c, acc[i]); s += acc[i]; q = fma_(acc[i], acc[i], q); } }
          WALK(l.outWidth, STEP);
#undef STEP
        }
        if (total) store(total + channel, load(total + channel) + s), store(total + c + channel, load(total + c + channel) + q);
      }
  }
}

// dw[tap] += sum over outputs of strip[window + tap] * gradient, for n taps at once
INLINE void weight_gradient(int n, const Layer *l, const float *strip, const float *g, int64_t rowG, const int32_t *offsets, float *dw) {
  V acc[n];
  UNROLL for (int t = 0; t < n; t++) acc[t] = load(dw + t * LANES);
  for (int oh = 0; oh < l->outHeight; oh++) {
    const float *x = strip + (int64_t)oh * l->strideY * l->paddedWidth * LANES, *gr = g + oh * rowG;
    for (int ow = 0; ow < l->outWidth; ow++, x += l->strideX * LANES, gr += LANES) {
      V d = load(gr);
      UNROLL for (int t = 0; t < n; t++) acc[t] = fma_(load(x + offsets[t]), d, acc[t]);
    }
  }
  UNROLL for (int t = 0; t < n; t++) store(dw + t * LANES, acc[t]);
}
static void weight_gradients(int n, const Layer *l, const float *strip, const float *g, int64_t rowG, const int32_t *offsets, float *dw) {
#define CASE(k) case k: weight_gradient(k, l, strip, g, rowG, offsets, dw); break
  switch (n) { CASE(1); CASE(2); CASE(3); CASE(4); CASE(5); CASE(6); CASE(7); CASE(8); CASE(9); default: weight_gradient(10, l, strip, g, rowG, offsets, dw); }
#undef CASE
}

void k_depthwise_backward(Task *task) {
  Layer l = read_layer(task);
  const int32_t *a = task->arg;
  float *heap = task->heap;
  const float *coefficients = a[26] == NONE ? 0 : heap + a[26];
  int c = l.channels, first, last;
  int64_t sampleIn = (int64_t)l.height * l.rowStride, sampleOut = (int64_t)l.outHeight * l.outWidth * c;
  // the output gradient with enough zero rows and columns around it for every phase
  int marginY = (l.kernelHeight - 1) / l.strideY, marginX = (l.kernelWidth - 1) / l.strideX;
  int rowsG = (l.paddedHeight - 1) / l.strideY + 1 + marginY, columnsG = (l.paddedWidth - 1) / l.strideX + 1 + marginX;
  if (rowsG < l.outHeight + marginY) rowsG = l.outHeight + marginY;
  if (columnsG < l.outWidth + marginX) columnsG = l.outWidth + marginX;
  int64_t rowG = (int64_t)columnsG * LANES, stripSize = (int64_t)l.paddedHeight * l.paddedWidth * LANES, gradientSize = rowG * rowsG;
  float *strip = task->scratch, *border = strip + stripSize, *g = border + marginY * rowG + marginX * LANES, *line = border + gradientSize;
  clear(strip, stripSize), clear(border, gradientSize);
  int32_t offsets[MAX_TAPS];
  for (int t = 0; t < l.taps; t++) offsets[t] = (t / l.kernelWidth * l.paddedWidth + t % l.kernelWidth) * LANES;
  int groups = (l.taps + 9) / 10;
  my_chunks(task, l.chunks, &first, &last);
  for (int chunk = first; chunk < last; chunk++) {
    int begin = chunk_begin(l.batch, chunk, l.chunks), end = chunk_begin(l.batch, chunk + 1, l.chunks);
    float *dw = a[27] == NONE ? 0 : heap + a[27] + (int64_t)chunk * l.taps * c; // [groups of LANES channels][taps][LANES]
    float *dx = a[28] == NONE ? 0 : heap + a[28];
    BackwardSums sums = {.stats = a[30] == NONE ? 0 : heap + a[30] + (int64_t)chunk * 2 * c, .ldStats = c, .quantizerSums = a[31] == NONE ? 0 : heap + a[31] + (int64_t)chunk * 3 * LANES, .accumulate = a[29]};
    if (dw) clear(dw, (int64_t)l.taps * c);
    if (sums.stats && !sums.accumulate) clear(sums.stats, 2 * c);
    if (sums.quantizerSums) clear(sums.quantizerSums, 3 * LANES);
    for (int sample = begin; sample < end; sample++)
      for (int channel = 0; channel < c; channel += LANES) {
        const float *y = l.y + sample * sampleOut + channel, *gy = heap + a[25] + sample * sampleOut + channel;
        V c1 = splat(1), c2 = zero(), c3 = zero();
        if (coefficients) c1 = load(coefficients + channel), c2 = load(coefficients + c + channel), c3 = load(coefficients + 2 * c + channel);
        for (int oh = 0; oh < l.outHeight; oh++)
          for (int ow = 0; ow < l.outWidth; ow++, y += c, gy += c) {
            V d = load(gy);
            if (coefficients) d = fma_(d, c1, fma_(load(y), c2, c3));
            store(g + oh * rowG + ow * LANES, d);
          }
        const float *x = l.x + sample * sampleIn;
        if (dw) {
          gather(&l, x, channel, strip);
          for (int group = 0, t = 0; group < groups; group++) {
            int n = (l.taps - t + groups - group - 1) / (groups - group);
            weight_gradients(n, &l, strip, g, rowG, offsets + t, dw + (int64_t)channel * l.taps + t * LANES);
            t += n;
          }
        }
        if (!dx) continue;
        Transform t = l.transform;
        if (t.scale) t.scale += channel, t.offset += channel;
        const float *w = l.weights + (int64_t)channel * l.taps;
        float part[2 * LANES];
        BackwardSums block = sums;
        if (sums.stats) store(part, zero()), store(part + LANES, zero()), block.stats = part, block.ldStats = LANES;
        for (int phaseX = 0; phaseX < l.strideX; phaseX++) {
          // columns of the image whose padded position is congruent to phaseX
          int start = ((phaseX - l.left) % l.strideX + l.strideX) % l.strideX;
          int count = start < l.width ? (l.width - 1 - start) / l.strideX + 1 : 0;
          if (!count) continue;
          int firstX = (start + l.left - phaseX) / l.strideX;
          for (int h = 0; h < l.height; h++) {
            int phaseY = (h + l.top) % l.strideY, firstY = (h + l.top) / l.strideY, taps = 0;
            int32_t at[MAX_TAPS], order[MAX_TAPS];
            for (int i = phaseY, m = 0; i < l.kernelHeight; i += l.strideY, m++)
              for (int k = phaseX, o = 0; k < l.kernelWidth; k += l.strideX, o++) at[taps] = -(int32_t)(m * rowG + o * LANES), order[taps++] = i * l.kernelWidth + k;
            const float *source = g + firstY * rowG + (int64_t)firstX * LANES;
            int64_t offset = (int64_t)h * l.rowStride + (int64_t)start * c + channel;
#define STEP(n) { V acc[n]; correlate(n, source + (int64_t)j * LANES, LANES, taps, at, order, w, acc); UNROLL for (int i = 0; i < n; i++) store(line + (j + i) * LANES, acc[i]); }
            WALK(count, STEP);
#undef STEP
            transform_backward(&t, line, LANES, x + offset, (int64_t)l.strideX * c, dx + sample * sampleIn + offset, (int64_t)l.strideX * c, count, LANES, &block);
          }
        }
        if (sums.stats) store(sums.stats + channel, load(sums.stats + channel) + load(part)), store(sums.stats + c + channel, load(sums.stats + c + channel) + load(part + LANES));
      }
  }
}

// args: weights [taps][channels], taps, channels, to, index. To: [groups of LANES channels][taps][LANES].
void k_pack_depthwise(Task *task) {
  const int32_t *a = task->arg;
  int taps = a[1], channels = a[2];
  if (a[4] % task->threads != task->thread) return;
  float *o = task->heap + a[3];
  for (int c = 0; c < channels; c += LANES)
    for (int t = 0; t < taps; t++)
      for (int j = 0; j < LANES; j++) *o++ = c + j < channels ? task->heap[a[0] + t * channels + c + j] : 0;
}

// args: partial, chunks, taps, channels, channelStride, gradient, accumulate. Adds the chunks' partial gradients in chunk order.
void k_reduce_depthwise(Task *task) {
  const int32_t *a = task->arg;
  int chunks = a[1], taps = a[2], channels = a[3], first, last;
  int64_t size = (int64_t)taps * a[4];
  my_share(task, taps * channels, &first, &last);
  for (int i = first; i < last; i++) {
    int t = i / channels, c = i % channels;
    const float *from = task->heap + a[0] + ((int64_t)(c / LANES) * taps + t) * LANES + c % LANES;
    float s = a[6] ? task->heap[a[5] + i] : 0;
    for (int k = 0; k < chunks; k++) s += from[k * size];
    task->heap[a[5] + i] = s;
  }
}
