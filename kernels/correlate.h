// Correlations of one strip: rows of columns, LANES channels each, side by side. A kernel is cut into runs of up to five taps of one
// kernel row, so that a loaded column serves all taps of its run from a register.
#pragma once
#include "ahead.h"

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
INLINE int blocks_of(int count) { return (count + MAX_BLOCK - 1) / MAX_BLOCK; }

// y[j] (ldy apart) = the window at column j, j < count; sums (optional) += [sum, sum of squares]. Blocks are as equal as they can be:
// a block of one or two columns would take as long as one of eight, waiting for its own sums.
static void correlate_row(const Runs *runs, int count, const float *x, const float *w, float *y, int64_t ldy, V *sums, Ahead *ahead) {
  int blocks = blocks_of(count), size = blocks ? count / blocks : 0, larger = count - size * blocks;
  for (int b = 0; b < blocks; b++) {
    int n = size + (b < larger);
    ask(ahead);
#define CASE(k) case k: correlate(k, runs, x, w, y, ldy, sums); break
    switch (n) { CASE(1); CASE(2); CASE(3); CASE(4); CASE(5); CASE(6); CASE(7); default: correlate(8, runs, x, w, y, ldy, sums); }
#undef CASE
    x += n * LANES, y += n * ldy;
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
INLINE void weight_gradient(int rows, int length, const Runs *runs, int r, const float *strip, int64_t rowX, const float *g, int64_t rowG, int outputRows, int count, float *dw) {
  const int ways = rows * length < 8 ? 2 : 1;
  V acc[2][MAX_RUN][MAX_RUN];
  UNROLL for (int i = 0; i < rows; i++) UNROLL for (int t = 0; t < length; t++) acc[0][i][t] = acc[1][i][t] = zero();
  const float *x[MAX_RUN];
  UNROLL for (int i = 0; i < rows; i++) x[i] = strip + runs->source[r + i];
  int64_t end = (int64_t)count * LANES;
  for (int o = 0; o < outputRows; o++, g += rowG) {
    int64_t at = 0;
    for (; at + 4 * LANES <= end; at += 4 * LANES) {
      add_products(4, rows, length, ways, x, g, at, acc);
      __asm__ volatile("" : : : "memory"); // a compiler that kept columns for the next round would run out of registers
    }
    for (; at < end; at += LANES) {
      add_products(1, rows, length, ways, x, g, at, acc);
      __asm__ volatile("" : : : "memory");
    }
    UNROLL for (int i = 0; i < rows; i++) x[i] += rowX;
  }
  UNROLL for (int i = 0; i < rows; i++) UNROLL for (int t = 0; t < length; t++) {
    float *to = dw + runs->weight[r + i] + t * runs->weightStep;
    V sum = acc[0][i][t];
    if (ways == 2) sum += acc[1][i][t];
    store(to, load(to) + sum);
  }
}
static void weight_gradients(const Runs *runs, const float *strip, int64_t rowX, const float *g, int64_t rowG, int outputRows, int count, float *dw) {
  for (int r = 0; r < runs->count;) {
    int length = runs->length[r], same = 1, most = ACCUMULATORS / length;
    while (r + same < runs->count && runs->length[r + same] == length) same++;
    if (most > MAX_RUN) most = MAX_RUN;
    int groups = (same + most - 1) / most;
    for (int group = 0; group < groups; group++) {
      int rows = same / groups + (group < same % groups);
#define ROW_CASE(i, n) case i: weight_gradient(i, n, runs, r, strip, rowX, g, rowG, outputRows, count, dw); break;
#define CASE(n) switch (rows) { ROW_CASE(1, n) ROW_CASE(2, n) ROW_CASE(3, n) ROW_CASE(4, n) ROW_CASE(5, n) } break
      switch (length) { case 1: CASE(1); case 2: CASE(2); case 3: CASE(3); case 4: CASE(4); case 5: CASE(5); }
#undef CASE
#undef ROW_CASE
      r += rows;
    }
  }
}
