// Loading a value through its pending normalisation, activation and fake-quantization, and the way back. These few loops are why
// quantization-aware training costs nothing extra: they run on blocks that a matrix product is about to read anyway.
#include "kernels.h"

INLINE V apply(V x, V scale, V offset, V low, V high) { return clamp(fma_(x, scale, offset), low, high); }
INLINE V quantize(V v, V step, V inverse, V lowest, V highest) { return clamp(round_(v * inverse), lowest, highest) * step; }

INLINE void rows_(const Transform *t, const float *x, int64_t ldx, float *y, int64_t ldy, int rows, int channels, int affine, int quantized) {
  V low = splat(t->low), high = splat(t->high), one = splat(1), none = zero();
  V step = none, inverse = none, lowest = none, highest = none;
  if (quantized) step = splat(t->quantizer[0]), inverse = splat(t->quantizer[1]), lowest = splat(t->quantizer[2]), highest = splat(t->quantizer[3]);
  for (int r = 0; r < rows; r++, x += ldx, y += ldy)
    for (int c = 0; c < channels; c += LANES) {
      V v = affine ? apply(load(x + c), load(t->scale + c), load(t->offset + c), low, high) : apply(load(x + c), one, none, low, high);
      store(y + c, quantized ? quantize(v, step, inverse, lowest, highest) : v);
    }
}

void transform_rows(const Transform *t, const float *x, int64_t ldx, float *y, int64_t ldy, int rows, int channels) {
  if (t->scale) {
    if (t->quantizer) rows_(t, x, ldx, y, ldy, rows, channels, 1, 1);
    else rows_(t, x, ldx, y, ldy, rows, channels, 1, 0);
  } else {
    if (t->quantizer) rows_(t, x, ldx, y, ldy, rows, channels, 0, 1);
    else rows_(t, x, ldx, y, ldy, rows, channels, 0, 0);
  }
}

INLINE void strips_(int nv, const Transform *t, const float *x, int64_t ldx, int64_t rowX, const Strips *s, float *y, int position, int rows, int columns, int affine, int quantized) {
  V low = splat(t->low), high = splat(t->high), step = zero(), inverse = zero(), lowest = zero(), highest = zero(), scale[4], offset[4];
  if (quantized) step = splat(t->quantizer[0]), inverse = splat(t->quantizer[1]), lowest = splat(t->quantizer[2]), highest = splat(t->quantizer[3]);
  UNROLL for (int j = 0; j < nv; j++) scale[j] = affine ? load(t->scale + j * LANES) : splat(1), offset[j] = affine ? load(t->offset + j * LANES) : zero();
  const Strips d = *s; // a copy: for all the compiler knows, storing a vector could change the original
  const ptrdiff_t strip = d.strip, next = d.phase, around = LANES - d.phases * d.phase;
  for (int r = 0; r < rows; r++, x += rowX, y += d.row) {
    const float *from = x;
    int phase = position % d.phases;
    float *to = y + phase * next + position / d.phases * LANES;
    for (int c = 0; c < columns; c++, from += ldx) {
      UNROLL for (int j = 0; j < nv; j++) {
        V v = apply(load(from + j * LANES), scale[j], offset[j], low, high);
        store(to + j * strip, quantized ? quantize(v, step, inverse, lowest, highest) : v);
      }
      to += next;
      if (++phase == d.phases) phase = 0, to += around;
    }
  }
}

void transform_strips(const Transform *transform, const float *x, int64_t ldx, int64_t rowX, const Strips *s, float *y, int position, int rows, int columns, int strips) {
  Transform t = *transform;
  for (int done = 0, n; done < strips; done += n) {
    n = strips - done >= 4 ? 4 : strips - done >= 2 ? 2 : 1;
#define CASE(nv, affine, quantized) strips_(nv, &t, x, ldx, rowX, s, y, position, rows, columns, affine, quantized)
#define CASES(nv) do { \
    if (t.scale) { if (t.quantizer) CASE(nv, 1, 1); else CASE(nv, 1, 0); } \
    else { if (t.quantizer) CASE(nv, 0, 1); else CASE(nv, 0, 0); } } while (0)
    switch (n) { case 4: CASES(4); break; case 2: CASES(2); break; default: CASES(1); }
#undef CASES
#undef CASE
    x += n * LANES, y += n * s->strip;
    if (t.scale) t.scale += n * LANES, t.offset += n * LANES;
  }
}

void transform_flat(const Transform *t, const float *x, float *y, int count) {
  int whole = count & ~(LANES - 1);
  if (whole) transform_rows(t, x, whole, y, whole, 1, whole);
  if (whole < count) {
    float last[LANES] = {0};
    for (int i = whole; i < count; i++) last[i - whole] = x[i];
    transform_rows(t, last, LANES, last, LANES, 1, LANES);
    for (int i = whole; i < count; i++) y[i] = last[i - whole];
  }
}

// nv vectors of channels, `ways` rows at a time: each has sums of its own, because one sum could take a number only every four cycles.
INLINE void backward_columns(int nv, int ways, const Transform *t, int c, const float *g, int64_t ldg, const float *x, int64_t ldx, float *out, int64_t ldo, int rows,
                             const BackwardSums *sums, int affine, int quantized, int stats) {
  V low = splat(t->low), high = splat(t->high), inverse = zero(), lowest = zero(), highest = zero();
  V scale[2], offset[2], s[4], q[4], inside[4], below[4], above[4];
  if (quantized) inverse = splat(t->quantizer[1]), lowest = splat(t->quantizer[2]), highest = splat(t->quantizer[3]);
  UNROLL for (int i = 0; i < nv * ways; i++) s[i] = q[i] = inside[i] = below[i] = above[i] = zero();
  UNROLL for (int j = 0; j < nv; j++) scale[j] = affine ? load(t->scale + c + j * LANES) : splat(1), offset[j] = affine ? load(t->offset + c + j * LANES) : zero();
  int accumulate = sums->accumulate;
  g += c, x += c, out += c;
#define ROW(way) UNROLL for (int j = 0; j < nv; j++) { \
    const int k = (way) * nv + j; \
    V value = load(x + (way) * ldx + j * LANES), gradient = load(g + (way) * ldg + j * LANES), v = fma_(value, scale[j], offset[j]); \
    VI pass = (VI)(v > low) & (VI)(v < high); \
    if (quantized) { \
      V u = clamp(v, low, high) * inverse; \
      VI isBelow = (VI)(u < lowest), isAbove = (VI)(u > highest), isInside = ~(isBelow | isAbove); \
      inside[k] = fma_(keep(isInside, gradient), round_(u) - u, inside[k]); \
      below[k] += keep(isBelow, gradient), above[k] += keep(isAbove, gradient); \
      pass &= isInside; \
    } \
    V masked = keep(pass, gradient); \
    if (stats) s[k] += masked, q[k] = fma_(masked, value, q[k]); \
    if (accumulate) masked += load(out + (way) * ldo + j * LANES); \
    store(out + (way) * ldo + j * LANES, masked); \
  }
  int r = 0;
  for (; r + ways <= rows; r += ways, g += ways * ldg, x += ways * ldx, out += ways * ldo) UNROLL for (int way = 0; way < ways; way++) ROW(way)
  for (; r < rows; r++, g += ldg, x += ldx, out += ldo) ROW(0)
#undef ROW
  UNROLL for (int i = 1; i < ways; i++) UNROLL for (int j = 0; j < nv; j++) s[j] += s[i * nv + j], q[j] += q[i * nv + j];
  if (stats) UNROLL for (int j = 0; j < nv; j++) {
    float *a = sums->stats + c + j * LANES, *b = a + sums->ldStats;
    store(a, load(a) + s[j]), store(b, load(b) + q[j]);
  }
  if (quantized && sums->quantizerSums) {
    float *o = sums->quantizerSums;
    UNROLL for (int i = 1; i < nv * ways; i++) inside[0] += inside[i], below[0] += below[i], above[0] += above[i];
    store(o, load(o) + inside[0]), store(o + LANES, load(o + LANES) + below[0]), store(o + 2 * LANES, load(o + 2 * LANES) + above[0]);
  }
}
INLINE void backward_(const Transform *t, const float *g, int64_t ldg, const float *x, int64_t ldx, float *out, int64_t ldo, int rows, int channels,
                      const BackwardSums *sums, int affine, int quantized, int stats) {
  int c = 0;
  for (; c + 2 * LANES <= channels; c += 2 * LANES) backward_columns(2, 2, t, c, g, ldg, x, ldx, out, ldo, rows, sums, affine, quantized, stats);
  if (c < channels) backward_columns(1, 4, t, c, g, ldg, x, ldx, out, ldo, rows, sums, affine, quantized, stats);
}

void transform_backward(const Transform *t, const float *g, int64_t ldg, const float *x, int64_t ldx, float *out, int64_t ldo, int rows, int channels, const BackwardSums *sums) {
#define CASE(affine, quantized, stats) backward_(t, g, ldg, x, ldx, out, ldo, rows, channels, sums, affine, quantized, stats)
  if (sums->stats) {
    if (t->scale) { if (t->quantizer) CASE(1, 1, 1); else CASE(1, 0, 1); }
    else { if (t->quantizer) CASE(0, 1, 1); else CASE(0, 0, 1); }
  } else {
    if (t->scale) { if (t->quantizer) CASE(1, 1, 0); else CASE(1, 0, 0); }
    else { if (t->quantizer) CASE(0, 1, 0); else CASE(0, 0, 0); }
  }
#undef CASE
}

void transform_backward_flat(const Transform *t, const float *g, const float *x, float *out, int count, const BackwardSums *sums) {
  int whole = count & ~(LANES - 1), rest = count - whole;
  if (whole) transform_backward(t, g, LANES, x, LANES, out, LANES, whole / LANES, LANES, sums);
  if (!rest) return;
  float gs[LANES] = {0}, xs[LANES] = {0}, os[LANES] = {0};
  for (int i = 0; i < rest; i++) gs[i] = g[whole + i], xs[i] = x[whole + i], os[i] = sums->accumulate ? out[whole + i] : 0;
  transform_backward(t, gs, LANES, xs, LANES, os, LANES, 1, LANES, sums);
  for (int i = 0; i < rest; i++) out[whole + i] = os[i];
}

void gradient_rows(const float *k, const float *g, const float *y, float *out, int rows, int channels) {
  if (!k) {
    for (int64_t i = 0, n = (int64_t)rows * channels; i < n; i += LANES) store(out + i, load(g + i));
    return;
  }
  for (int r = 0; r < rows; r++, g += channels, y += channels, out += channels)
    for (int c = 0; c < channels; c += LANES)
      store(out + c, fma_(load(g + c), load(k + c), fma_(load(y + c), load(k + channels + c), load(k + 2 * channels + c))));
}
