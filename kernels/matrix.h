// Register-tiled matrix products. The left matrix is given by row pointers into an image: row i starts at x + i * ldx and consists of
// `segments` runs of `run` floats, `jump` floats apart. A pointwise layer has one run (its channels), a k x k convolution k runs
// (its kernel rows inside a padded image): no im2col copy is ever made.
#pragma once
#include "kernels.h"

// Register tiles: rows MR (products) or WR (weight gradients) times at most NV vectors of columns.
#if defined(__wasm__)
#define NV 2
#define MR 4
#define WR 4
#elif defined(__AVX512VL__)
#define NV 3
#define MR 8
#define WR 8
#else
#define NV 2
#define MR 6
#define WR 6
#endif

// The right matrix is packed in panels of at most NV vectors: panel after panel, each [rows of the right matrix][its columns]. The next
// panel's width when `columns` are left: as wide as can be without leaving a single vector behind, which would starve the multipliers.
INLINE int panel_vectors(int columns) {
  int vectors = columns / LANES;
  return vectors <= NV ? vectors : vectors == NV + 1 && NV > 2 ? NV - 1 : NV;
}

// The kernel asks for constants, the program has variables: one instance per small number.
#define BY_ROWS(n, CALL) \
  switch (n) { case 1: CALL(1); break; case 2: CALL(2); break; case 3: CALL(3); break; case 4: CALL(4); break; \
    case 5: CALL(5); break; case 6: CALL(6); break; default: CALL(7); }
#if NV == 3
#define BY_VECTORS(n, CALL) switch (n) { case 1: CALL(1); break; case 2: CALL(2); break; default: CALL(3); }
#else
#define BY_VECTORS(n, CALL) switch (n) { case 1: CALL(1); break; default: CALL(2); }
#endif

INLINE void finish_tile(int mr, int nv, V acc[][NV], float *y, int64_t ldy, float *stats, int ldStats) {
  UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nv; j++) store(y + i * ldy + j * LANES, acc[i][j]);
  if (stats) UNROLL for (int j = 0; j < nv; j++) {
    V s = acc[0][j], q = acc[0][j] * acc[0][j];
    UNROLL for (int i = 1; i < mr; i++) s += acc[i][j], q = fma_(acc[i][j], acc[i][j], q);
    float *a = stats + j * LANES, *b = a + ldStats;
    store(a, load(a) + s), store(b, load(b) + q);
  }
}

#if defined(__wasm__)
// V8 keeps few vectors in registers: 4 x 2 vectors with the left operand packed [k][4], so that the four splats of one k come
// from one pointer with constant offsets.
INLINE void pack_left(const float *x, int64_t ldx, int rows, int segments, int run, int64_t jump, float *o) {
  const float *r0 = x, *r1 = rows > 1 ? x + ldx : x, *r2 = rows > 2 ? x + 2 * ldx : x, *r3 = rows > 3 ? x + 3 * ldx : x;
  for (int s = 0; s < segments; s++, r0 += jump, r1 += jump, r2 += jump, r3 += jump) {
    int k = 0;
    for (; k + 4 <= run; k += 4, o += 16) {
      V a = load(r0 + k), b = load(r1 + k), c = load(r2 + k), d = load(r3 + k);
      V t0 = __builtin_shufflevector(a, b, 0, 4, 1, 5), t1 = __builtin_shufflevector(a, b, 2, 6, 3, 7);
      V t2 = __builtin_shufflevector(c, d, 0, 4, 1, 5), t3 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
      store(o, __builtin_shufflevector(t0, t2, 0, 1, 4, 5)), store(o + 4, __builtin_shufflevector(t0, t2, 2, 3, 6, 7));
      store(o + 8, __builtin_shufflevector(t1, t3, 0, 1, 4, 5)), store(o + 12, __builtin_shufflevector(t1, t3, 2, 3, 6, 7));
    }
    for (; k < run; k++, o += 4) o[0] = r0[k], o[1] = r1[k], o[2] = r2[k], o[3] = r3[k];
  }
}
INLINE void packed_tile(int mr, int nv, const float *a, const float *w, int depth, float *y, int64_t ldy, float *stats, int ldStats) {
  V acc[MR][NV];
  UNROLL for (int i = 0; i < MR; i++) UNROLL for (int j = 0; j < nv; j++) acc[i][j] = zero();
  for (int k = 0; k < depth; k++, a += MR, w += nv * LANES) {
    V b[NV];
    UNROLL for (int j = 0; j < nv; j++) b[j] = load(w + j * LANES);
    UNROLL for (int i = 0; i < MR; i++) {
      V left = splat(a[i]);
      UNROLL for (int j = 0; j < nv; j++) acc[i][j] = fma_(left, b[j], acc[i][j]);
    }
  }
  finish_tile(mr, nv, acc, y, ldy, stats, ldStats);
}
// y[rows][columns] = left * w, `columns` a multiple of LANES; stats (optional) += column sums and sums of squares. `packed` holds
// segments * run * MR floats.
static NOINLINE void multiply(const float *x, int64_t ldx, int rows, int segments, int run, int64_t jump, const float *w, int columns, float *y, int64_t ldy, float *stats, float *packed) {
  int depth = segments * run;
  for (int p = 0; p < rows; p += MR) {
    int mr = rows - p < MR ? rows - p : MR, n = 0;
    const float *panel = w;
    pack_left(x + p * ldx, ldx, mr, segments, run, jump, packed);
#define TILE(m, v) packed_tile(m, v, packed, panel, depth, y + p * ldy + n, ldy, stats ? stats + n : 0, columns)
    if (mr == MR) {
      for (; n + NV * LANES <= columns; n += NV * LANES, panel += (int64_t)NV * LANES * depth) TILE(MR, NV);
      for (; n < columns; n += LANES, panel += (int64_t)LANES * depth) TILE(MR, 1);
    } else {
#define ROWS(m) do { for (; n + NV * LANES <= columns; n += NV * LANES, panel += (int64_t)NV * LANES * depth) TILE(m, NV); \
    for (; n < columns; n += LANES, panel += (int64_t)LANES * depth) TILE(m, 1); } while (0)
      switch (mr) { case 1: ROWS(1); break; case 2: ROWS(2); break; default: ROWS(3); }
#undef ROWS
    }
#undef TILE
  }
}
#else
INLINE void tile(int mr, int nv, const float *x, int64_t ldx, int segments, int run, int64_t jump, const float *w, float *y, int64_t ldy, float *stats, int ldStats) {
  V acc[MR][NV];
  UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nv; j++) acc[i][j] = zero();
  for (int s = 0; s < segments; s++, x += jump) {
    // every third row by pointer, the others by an index of one or two ldx: more pointers would not fit the registers
    const float *row[3] = {x, x + 3 * ldx, x + 6 * ldx};
    for (int k = 0; k < run; k++, w += nv * LANES) {
      V b[NV];
      UNROLL for (int j = 0; j < nv; j++) b[j] = load(w + j * LANES);
      UNROLL for (int i = 0; i < mr; i++) {
        V left = splat(row[i / 3][i % 3 * ldx]);
        UNROLL for (int j = 0; j < nv; j++) acc[i][j] = fma_(left, b[j], acc[i][j]);
      }
      row[0]++, row[1]++, row[2]++;
    }
  }
  finish_tile(mr, nv, acc, y, ldy, stats, ldStats);
}
INLINE void panel(int nv, const float *x, int64_t ldx, int rows, int segments, int run, int64_t jump, const float *w, float *y, int64_t ldy, float *stats, int ldStats) {
  int p = 0;
#define TILE(m) tile(m, nv, x + p * ldx, ldx, segments, run, jump, w, y + p * ldy, ldy, stats, ldStats)
  for (; rows - p == MR || rows - p >= 2 * MR; p += MR) TILE(MR);
  while (p < rows) { // less than two tiles: in halves, for a tile of few rows waits for its own sums
    int m = rows - p > MR ? (rows - p + 1) / 2 : rows - p;
    if (m == MR) TILE(MR);
    else BY_ROWS(m, TILE)
    p += m;
  }
#undef TILE
}
static NOINLINE void multiply(const float *x, int64_t ldx, int rows, int segments, int run, int64_t jump, const float *w, int columns, float *y, int64_t ldy, float *stats, float *packed) {
  (void)packed;
  for (int n = 0; n < columns;) {
    int nv = panel_vectors(columns - n);
#define PANEL(v) panel(v, x, ldx, rows, segments, run, jump, w, y + n, ldy, stats ? stats + n : 0, columns)
    BY_VECTORS(nv, PANEL)
#undef PANEL
    n += nv * LANES, w += (int64_t)nv * LANES * segments * run;
  }
}
#endif

INLINE void weight_tile(int mr, int nv, const float *x, int64_t ldx, int rows, int lines, int64_t next, const float *g, int64_t skip, float *dw, int columns) {
  V acc[WR][NV];
  UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nv; j++) acc[i][j] = load(dw + i * columns + j * LANES);
  for (int line = 0; line < lines; line++, x += next, g += skip) {
    const float *left = x;
    for (int p = 0; p < rows; p++, left += ldx, g += columns) {
      V b[NV];
      UNROLL for (int j = 0; j < nv; j++) b[j] = load(g + j * LANES);
      UNROLL for (int i = 0; i < mr; i++) {
        V v = splat(left[i]);
        UNROLL for (int j = 0; j < nv; j++) acc[i][j] = fma_(v, b[j], acc[i][j]);
      }
    }
  }
  UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nv; j++) store(dw + i * columns + j * LANES, acc[i][j]);
}
INLINE void weight_panel(int nv, const float *x, int64_t ldx, int rows, int lines, int64_t next, int run, const float *g, int64_t skip, int columns, float *dw) {
  int k = 0;
  for (; k + WR <= run; k += WR) weight_tile(WR, nv, x + k, ldx, rows, lines, next, g, skip, dw + (int64_t)k * columns, columns);
#define REST(m) weight_tile(m, nv, x + k, ldx, rows, lines, next, g, skip, dw + (int64_t)k * columns, columns)
  if (k < run) BY_ROWS(run - k, REST)
#undef REST
}

// dw[segments * run][columns] += leftᵀ * g[lines][rows][columns], `skip` floats between the lines of g. Lines of the left matrix, `rows`
// rows as above, begin `next` floats apart.
static NOINLINE void multiply_weights(const float *x, int64_t ldx, int rows, int lines, int64_t next, int segments, int run, int64_t jump, const float *g, int64_t skip, int columns, float *dw) {
  for (int s = 0; s < segments; s++, x += jump, dw += (int64_t)run * columns)
    for (int n = 0; n < columns;) {
      int nv = panel_vectors(columns - n);
#define PANEL(v) weight_panel(v, x, ldx, rows, lines, next, run, g + n, skip, columns, dw + n)
      BY_VECTORS(nv, PANEL)
#undef PANEL
      n += nv * LANES;
    }
}
