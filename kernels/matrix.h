// Register-tiled matrix products. The left matrix is given by row pointers into an image: row i starts at x + i * ldx and consists of
// `segments` runs of `run` floats, `jump` floats apart. A pointwise layer has one run (its channels), a k x k convolution k runs
// (its kernel rows inside a padded image): no im2col copy is ever made.
#pragma once
#include "kernels.h"

// Columns are packed in panels of NB, the rest in panels of LANES: panel p holds [rows of the right matrix][panel width].
#define NV 2
#define NB (NV * LANES)
#if defined(__wasm__)
#define MR 4
#define WR 4
#elif defined(__AVX512VL__)
#define MR 6
#define WR 8
#else
#define MR 6
#define WR 6
#endif

// The kernel asks for constants, the program has variables: one instance per small number.
#define BY_ROWS(n, CALL) \
  switch (n) { case 1: CALL(1); break; case 2: CALL(2); break; case 3: CALL(3); break; case 4: CALL(4); break; \
    case 5: CALL(5); break; case 6: CALL(6); break; case 7: CALL(7); break; default: CALL(8); }

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
INLINE void multiply(const float *x, int64_t ldx, int rows, int segments, int run, int64_t jump, const float *w, int columns, float *y, int64_t ldy, float *stats, float *packed) {
  int depth = segments * run;
  for (int p = 0; p < rows; p += MR) {
    int mr = rows - p < MR ? rows - p : MR, n = 0;
    const float *panel = w;
    pack_left(x + p * ldx, ldx, mr, segments, run, jump, packed);
#define TILE(m, v) packed_tile(m, v, packed, panel, depth, y + p * ldy + n, ldy, stats ? stats + n : 0, columns)
    if (mr == MR) {
      for (; n + NB <= columns; n += NB, panel += (int64_t)NB * depth) TILE(MR, NV);
      for (; n < columns; n += LANES, panel += (int64_t)LANES * depth) TILE(MR, 1);
    } else {
#define ROWS(m) do { for (; n + NB <= columns; n += NB, panel += (int64_t)NB * depth) TILE(m, NV); \
    for (; n < columns; n += LANES, panel += (int64_t)LANES * depth) TILE(m, 1); } while (0)
      switch (mr) { case 1: ROWS(1); break; case 2: ROWS(2); break; default: ROWS(3); }
#undef ROWS
    }
#undef TILE
  }
}
#else
INLINE void tile(int mr, int nv, const float *x, int64_t ldx, int segments, int run, int64_t jump, const float *w, float *y, int64_t ldy, float *stats, int ldStats) {
  V acc[8][NV];
  UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nv; j++) acc[i][j] = zero();
  for (int s = 0; s < segments; s++, x += jump)
    for (int k = 0; k < run; k++, w += nv * LANES) {
      V b[NV];
      UNROLL for (int j = 0; j < nv; j++) b[j] = load(w + j * LANES);
      UNROLL for (int i = 0; i < mr; i++) {
        V left = splat(x[i * ldx + k]);
        UNROLL for (int j = 0; j < nv; j++) acc[i][j] = fma_(left, b[j], acc[i][j]);
      }
    }
  finish_tile(mr, nv, acc, y, ldy, stats, ldStats);
}
INLINE void multiply(const float *x, int64_t ldx, int rows, int segments, int run, int64_t jump, const float *w, int columns, float *y, int64_t ldy, float *stats, float *packed) {
  (void)packed;
  int depth = segments * run, n = 0, whole = rows - rows % MR;
#define TILE(m, v, p) tile(m, v, x + (p) * ldx, ldx, segments, run, jump, w, y + (p) * ldy + n, ldy, stats ? stats + n : 0, columns)
  for (; n + NB <= columns; n += NB, w += (int64_t)NB * depth) {
    for (int p = 0; p < whole; p += MR) TILE(MR, NV, p);
#define REST(m) TILE(m, NV, whole)
    if (whole < rows) BY_ROWS(rows - whole, REST)
#undef REST
  }
  for (; n < columns; n += LANES, w += (int64_t)LANES * depth) {
    for (int p = 0; p < whole; p += MR) TILE(MR, 1, p);
#define REST(m) TILE(m, 1, whole)
    if (whole < rows) BY_ROWS(rows - whole, REST)
#undef REST
  }
#undef TILE
}
#endif

INLINE void weight_tile(int mr, int nv, const float *x, int64_t ldx, const float *g, int64_t ldg, int rows, float *dw, int columns) {
  V acc[8][NV];
  UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nv; j++) acc[i][j] = load(dw + i * columns + j * LANES);
  for (int p = 0; p < rows; p++, x += ldx, g += ldg) {
    V b[NV];
    UNROLL for (int j = 0; j < nv; j++) b[j] = load(g + j * LANES);
    UNROLL for (int i = 0; i < mr; i++) {
      V left = splat(x[i]);
      UNROLL for (int j = 0; j < nv; j++) acc[i][j] = fma_(left, b[j], acc[i][j]);
    }
  }
  UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nv; j++) store(dw + i * columns + j * LANES, acc[i][j]);
}

// dw[segments * run][columns] += leftᵀ * g[rows][columns]
INLINE void multiply_weights(const float *x, int64_t ldx, int rows, int segments, int run, int64_t jump, const float *g, int columns, float *dw) {
  for (int s = 0; s < segments; s++, x += jump, dw += (int64_t)run * columns) {
    int n = 0, whole = run - run % WR;
#define TILE(m, v, k) weight_tile(m, v, x + (k), ldx, g + n, columns, rows, dw + (int64_t)(k) * columns + n, columns)
    for (; n + NB <= columns; n += NB) {
      for (int k = 0; k < whole; k += WR) TILE(WR, NV, k);
#define REST(m) TILE(m, NV, whole)
      if (whole < run) BY_ROWS(run - whole, REST)
#undef REST
    }
    for (; n < columns; n += LANES) {
      for (int k = 0; k < whole; k += WR) TILE(WR, 1, k);
#define REST(m) TILE(m, 1, whole)
      if (whole < run) BY_ROWS(run - whole, REST)
#undef REST
    }
#undef TILE
  }
}
