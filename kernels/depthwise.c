// Depthwise convolution, forward and backward, one strip of LANES channels of one sample at a time: the strip is gathered into
// contiguous zero-bordered scratch (with what is pending on it applied), where every tap is one aligned load.
//
// Strides disappear in the gathering: columns of equal remainder modulo strideX (a phase) lie side by side, so that neighbouring
// outputs always read neighbouring columns. The input gradient splits the same way. What is left everywhere is a plain correlation,
// cut into runs of up to five taps of one kernel row, so that a loaded column serves all taps of its run from a register.
#include "layer.h"

#define MAX_TAPS 128
#define MAX_RUN 5
#define MAX_BLOCK 8
// Accumulators of the weight gradient that fit the registers.
#if defined(__AVX512VL__)
#define ACCUMULATORS 25
#else
#define ACCUMULATORS 12
#endif

// For each run the offset of the column its first tap reads, the offset of that tap's weight, and the number of taps. Runs of equal
// length follow each other.
typedef struct {
  int count, weightStep;
  int32_t source[MAX_TAPS], weight[MAX_TAPS], length[MAX_TAPS];
} Runs;

// Adds `rows` kernel rows of `taps` taps each on neighbouring columns. Offsets of the first tap and steps from row to row in floats.
// Pieces of equal length are preferred: 9 taps are 3 + 3 + 3.
static void add_runs(Runs *runs, int taps, int rows, int source, int sourceStep, int weight, int weightStep) {
  int pieces = (taps + MAX_RUN - 1) / MAX_RUN;
  for (int p = pieces; p <= (taps + 2) / 3; p++)
    if (taps % p == 0) {
      pieces = p;
      break;
    }
  for (int p = 0, t = 0; p < pieces; p++) {
    int length = (taps - t + pieces - p - 1) / (pieces - p);
    for (int r = 0; r < rows; r++, runs->count++) {
      runs->source[runs->count] = source + r * sourceStep + t * LANES;
      runs->weight[runs->count] = weight + r * weightStep + t * runs->weightStep;
      runs->length[runs->count] = length;
    }
    t += length;
  }
}

// Columns of the image whose padded position is congruent to `phase`: the first, how many, and where they begin among their phase.
typedef struct {
  int first, count, position;
} Phase;
static Phase phase_of(const Layer *l, int phase) {
  int first = ((phase - l->left) % l->strideX + l->strideX) % l->strideX;
  return (Phase){first, first < l->width ? (l->width - 1 - first) / l->strideX + 1 : 0, (first + l->left) / l->strideX};
}

// Strip: [paddedHeight][phase][columns of a phase][LANES]
INLINE int phase_columns(const Layer *l) { return (l->paddedWidth + l->strideX - 1) / l->strideX; }
INLINE int64_t strip_row(const Layer *l) { return (int64_t)phase_columns(l) * l->strideX * LANES; }

// The runs that a window of the strip consists of.
static void window_runs(const Layer *l, Runs *runs) {
  runs->count = 0, runs->weightStep = l->strideX * LANES;
  for (int phase = 0; phase < l->strideX && phase < l->kernelWidth; phase++)
    add_runs(runs, (l->kernelWidth - phase - 1) / l->strideX + 1, l->kernelHeight, phase * phase_columns(l) * LANES, (int)strip_row(l), phase * LANES, l->kernelWidth * LANES);
}

// LANES channels of the sample, transformed. The border is zero already.
static void gather(const Layer *l, const float *x, int channel, float *strip) {
  Transform t = l->transform;
  if (t.scale) t.scale += channel, t.offset += channel;
  for (int phase = 0; phase < l->strideX; phase++) {
    Phase p = phase_of(l, phase);
    float *to = strip + l->top * strip_row(l) + ((int64_t)phase * phase_columns(l) + p.position) * LANES;
    transform_strip(&t, x + (int64_t)p.first * l->channels + channel, (int64_t)l->strideX * l->channels, l->rowStride, to, strip_row(l), l->height, p.count);
  }
}

// acc[j] += sum over the run's taps of x[column j + tap] * w[tap]
INLINE void add_run(int n, int length, const float *x, const float *w, int weightStep, V *acc) {
  V taps[MAX_RUN];
  UNROLL for (int t = 0; t < length; t++) taps[t] = load(w + t * weightStep);
  UNROLL for (int m = 0; m < n + length - 1; m++) {
    V v = load(x + m * LANES);
    UNROLL for (int t = 0; t < length; t++)
      if (m - t >= 0 && m - t < n) acc[m - t] = fma_(v, taps[t], acc[m - t]);
  }
}
INLINE void correlate(int n, const Runs *runs, const float *x, const float *w, float *y, int64_t ldy, V *sums) {
  V acc[MAX_BLOCK];
  UNROLL for (int j = 0; j < n; j++) acc[j] = zero();
  for (int r = 0; r < runs->count; r++) {
    const float *source = x + runs->source[r], *taps = w + runs->weight[r];
    switch (runs->length[r]) {
      case 1: add_run(n, 1, source, taps, runs->weightStep, acc); break;
      case 2: add_run(n, 2, source, taps, runs->weightStep, acc); break;
      case 3: add_run(n, 3, source, taps, runs->weightStep, acc); break;
      case 4: add_run(n, 4, source, taps, runs->weightStep, acc); break;
      default: add_run(n, 5, source, taps, runs->weightStep, acc);
    }
  }
  UNROLL for (int j = 0; j < n; j++) store(y + j * ldy, acc[j]);
  if (sums) UNROLL for (int j = 0; j < n; j++) sums[0] += acc[j], sums[1] = fma_(acc[j], acc[j], sums[1]);
}
// y[j] (ldy apart) = the window at column j, j < count; sums (optional) += [sum, sum of squares]. Blocks are as equal as they can be:
// a block of one or two columns would take as long as one of eight, waiting for its own sums.
static void correlate_row(const Runs *runs, int count, const float *x, const float *w, float *y, int64_t ldy, V *sums) {
  int blocks = (count + MAX_BLOCK - 1) / MAX_BLOCK, size = blocks ? count / blocks : 0, larger = count - size * blocks;
  for (int b = 0; b < blocks; b++) {
    int n = size + (b < larger);
#define CASE(k) case k: correlate(k, runs, x, w, y, ldy, sums); break
    switch (n) { CASE(1); CASE(2); CASE(3); CASE(4); CASE(5); CASE(6); CASE(7); default: correlate(8, runs, x, w, y, ldy, sums); }
#undef CASE
    x += n * LANES, y += n * ldy;
  }
}

// args: the layer's (layer.h), batch-norm sums
void k_depthwise(Task *task) {
  Layer l = read_layer(task);
  int stats = task->arg[25], c = l.channels, first, last;
  int64_t sampleIn = (int64_t)l.height * l.rowStride, sampleOut = (int64_t)l.outHeight * l.outWidth * c;
  Runs runs;
  window_runs(&l, &runs);
  float *strip = task->scratch;
  clear(strip, l.paddedHeight * strip_row(&l));
  my_chunks(task, l.chunks, &first, &last);
  for (int chunk = first; chunk < last; chunk++) {
    int begin = chunk_begin(l.batch, chunk, l.chunks), end = chunk_begin(l.batch, chunk + 1, l.chunks);
    float *total = stats == NONE ? 0 : task->heap + stats + (int64_t)chunk * 2 * c;
    if (total) clear(total, 2 * c);
    for (int sample = begin; sample < end; sample++)
      for (int channel = 0; channel < c; channel += LANES) {
        V sums[2] = {zero(), zero()};
        gather(&l, l.x + sample * sampleIn, channel, strip);
        float *y = l.y + sample * sampleOut + channel;
        for (int oh = 0; oh < l.outHeight; oh++, y += (int64_t)l.outWidth * c)
          correlate_row(&runs, l.outWidth, strip + oh * l.strideY * strip_row(&l), l.weights + (int64_t)channel * l.taps, y, c, total ? sums : 0);
        if (total) store(total + channel, load(total + channel) + sums[0]), store(total + c + channel, load(total + c + channel) + sums[1]);
      }
  }
}

// acc[way][row][tap] += column + tap of row x[row] * gradient, for `columns` outputs side by side
INLINE void add_products(int columns, int rows, int length, int ways, const float *const *x, const float *g, int64_t at, V acc[2][MAX_RUN][MAX_RUN]) {
  V d[4];
  UNROLL for (int u = 0; u < columns; u++) d[u] = load(g + at + u * LANES);
  UNROLL for (int i = 0; i < rows; i++)
    UNROLL for (int m = 0; m < columns + length - 1; m++) {
      V v = load(x[i] + at + m * LANES);
      UNROLL for (int t = 0; t < length; t++)
        if (m - t >= 0 && m - t < columns) acc[(m - t) % ways][i][t] = fma_(v, d[m - t], acc[(m - t) % ways][i][t]);
    }
}
// dw[tap] += sum over outputs of strip[window + tap] * gradient, for `rows` runs of `length` taps. Few taps are summed in two ways
// (even and odd columns), so that additions do not wait for each other.
INLINE void weight_gradient(int rows, int length, const Layer *l, const Runs *runs, int r, const float *strip, const float *g, int64_t rowG, float *dw) {
  const int ways = rows * length < 8 ? 2 : 1;
  V acc[2][MAX_RUN][MAX_RUN];
  UNROLL for (int i = 0; i < rows; i++) UNROLL for (int t = 0; t < length; t++) acc[0][i][t] = acc[1][i][t] = zero();
  const float *x[MAX_RUN];
  UNROLL for (int i = 0; i < rows; i++) x[i] = strip + runs->source[r + i];
  int64_t end = (int64_t)l->outWidth * LANES, step = l->strideY * strip_row(l);
  for (int oh = 0; oh < l->outHeight; oh++, g += rowG) {
    int64_t at = 0;
    for (; at + 4 * LANES <= end; at += 4 * LANES) {
      add_products(4, rows, length, ways, x, g, at, acc);
      __asm__ volatile("" : : : "memory"); // a compiler that kept columns for the next round would run out of registers
    }
    for (; at < end; at += LANES) {
      add_products(1, rows, length, ways, x, g, at, acc);
      __asm__ volatile("" : : : "memory");
    }
    UNROLL for (int i = 0; i < rows; i++) x[i] += step;
  }
  UNROLL for (int i = 0; i < rows; i++) UNROLL for (int t = 0; t < length; t++) {
    float *to = dw + runs->weight[r + i] + t * runs->weightStep;
    V sum = acc[0][i][t];
    if (ways == 2) sum += acc[1][i][t];
    store(to, load(to) + sum);
  }
}
static void weight_gradients(const Layer *l, const Runs *runs, const float *strip, const float *g, int64_t rowG, float *dw) {
  for (int r = 0; r < runs->count;) {
    int length = runs->length[r], same = 1, most = ACCUMULATORS / length;
    while (r + same < runs->count && runs->length[r + same] == length) same++;
    if (most > MAX_RUN) most = MAX_RUN;
    int groups = (same + most - 1) / most;
    for (int group = 0; group < groups; group++) {
      int rows = same / groups + (group < same % groups);
#define ROW_CASE(i, n) case i: weight_gradient(i, n, l, runs, r, strip, g, rowG, dw); break;
#define CASE(n) switch (rows) { ROW_CASE(1, n) ROW_CASE(2, n) ROW_CASE(3, n) ROW_CASE(4, n) ROW_CASE(5, n) } break
      switch (length) { case 1: CASE(1); case 2: CASE(2); case 3: CASE(3); case 4: CASE(4); case 5: CASE(5); }
#undef CASE
#undef ROW_CASE
      r += rows;
    }
  }
}

// The output gradient of a strip, dy = c1 g + c2 y + c3, into rows rowG apart. Coefficients: three arrays of l->channels, or 0.
static void gather_gradient(const Layer *l, const float *coefficients, const float *g, const float *y, float *to, int64_t rowG) {
  int c = l->channels;
  V c1 = splat(1), c2 = zero(), c3 = zero();
  if (coefficients) c1 = load(coefficients), c2 = load(coefficients + c), c3 = load(coefficients + 2 * c);
  for (int oh = 0; oh < l->outHeight; oh++, to += rowG)
    for (int ow = 0; ow < l->outWidth; ow++, y += c, g += c) {
      V d = load(g);
      store(to + ow * LANES, coefficients ? fma_(d, c1, fma_(load(y), c2, c3)) : d);
    }
}

// ds = the gradient of a strip: [height][width][LANES]
static void strip_gradient(const Layer *l, const float *g, int64_t rowG, const float *w, float *ds) {
  Runs runs = {.weightStep = -l->strideX * LANES};
  for (int phase = 0; phase < l->strideX; phase++)
    for (int tap = 0; tap < l->strideY; tap++) {
      // the taps that meet these columns and rows; columns ascend, so a kernel row's last tap comes first
      Phase p = phase_of(l, phase);
      int taps = phase < l->kernelWidth ? (l->kernelWidth - phase - 1) / l->strideX + 1 : 0;
      int rows = tap < l->kernelHeight ? (l->kernelHeight - tap - 1) / l->strideY + 1 : 0;
      runs.count = 0;
      if (taps) add_runs(&runs, taps, rows, -(taps - 1) * LANES, (int)-rowG, (tap * l->kernelWidth + phase) * LANES - (taps - 1) * runs.weightStep, l->strideY * l->kernelWidth * LANES);
      for (int h = ((tap - l->top) % l->strideY + l->strideY) % l->strideY; h < l->height; h += l->strideY) {
        const float *source = g + (h + l->top) / l->strideY * rowG + (int64_t)p.position * LANES;
        correlate_row(&runs, p.count, source, w, ds + ((int64_t)h * l->width + p.first) * LANES, l->strideX * LANES, 0);
      }
    }
}

// args: the layer's (layer.h), gradient of the output, coefficients, partial weight gradients, d x, accumulate, stats, quantizer sums
void k_depthwise_backward(Task *task) {
  Layer l = read_layer(task);
  const int32_t *a = task->arg;
  float *heap = task->heap;
  int c = l.channels, first, last;
  int64_t sampleIn = (int64_t)l.height * l.rowStride, sampleOut = (int64_t)l.outHeight * l.outWidth * c;
  // the output gradient with enough zero rows and columns around it for every phase
  int marginY = (l.kernelHeight - 1) / l.strideY, marginX = (l.kernelWidth - 1) / l.strideX;
  int rowsG = (l.paddedHeight - 1) / l.strideY + 1 + marginY, columnsG = (l.paddedWidth - 1) / l.strideX + 1 + marginX;
  if (rowsG < l.outHeight + marginY) rowsG = l.outHeight + marginY;
  if (columnsG < l.outWidth + marginX) columnsG = l.outWidth + marginX;
  int64_t rowG = (int64_t)columnsG * LANES, stripSize = l.paddedHeight * strip_row(&l), gradientSize = rowG * rowsG;
  float *strip = task->scratch, *border = strip + stripSize, *g = border + marginY * rowG + marginX * LANES, *ds = border + gradientSize;
  clear(strip, stripSize), clear(border, gradientSize);
  Runs runs;
  window_runs(&l, &runs);
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
        const float *x = l.x + sample * sampleIn;
        int64_t at = sample * sampleOut + channel;
        gather_gradient(&l, a[26] == NONE ? 0 : heap + a[26] + channel, heap + a[25] + at, l.y + at, g, rowG);
        if (dw) {
          gather(&l, x, channel, strip);
          weight_gradients(&l, &runs, strip, g, rowG, dw + (int64_t)channel * l.taps);
        }
        if (!dx) continue;
        strip_gradient(&l, g, rowG, l.weights + (int64_t)channel * l.taps, ds);
        Transform t = l.transform;
        if (t.scale) t.scale += channel, t.offset += channel;
        float part[2 * LANES] = {0};
        BackwardSums block = sums;
        if (sums.stats) block.stats = part, block.ldStats = LANES;
        transform_backward(&t, ds, LANES, x + channel, c, dx + sample * sampleIn + channel, c, l.height * l.width, LANES, &block);
        if (sums.stats) add_to(sums.stats + channel, part, LANES), add_to(sums.stats + c + channel, part + LANES, LANES);
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
