/* Execution of an opened model: one pass over the layers, all places known beforehand.
 *
 * A dense convolution unpacks four output channels of weights to int8 once, then walks the map two pixels at a time: their input
 * windows are copied to int16 columns with the zero point taken off, so that padding is zero and odd containers cost nothing in the
 * inner loop. A depthwise one takes eight channels at a time. The SIMD loops give the same bits as the plain ones because bw_open()
 * has shown that no partial sum can overflow. */
#include "arithmetic.h"
#include "bw.h"

#ifdef __wasm_simd128__
#include <wasm_simd128.h>
#endif

typedef struct {
  bw_layer l;
  bw_tensor x, y;
  const uint8_t *in, *weights, *parameters;
  uint8_t *out, *scratch;
} step;

/* count values from element `index` on, each less its zero point. */
static void fetch(const bw_tensor *t, const uint8_t *base, uint32_t index, uint32_t count, int16_t *to) {
  uint32_t i;
  if (t->containerBits == 8) {
    const int8_t *p = (const int8_t *)base + index;
    int16_t zero = t->zeroPoint;
    for (i = 0; i < count; i++) to[i] = (int16_t)(p[i] - zero);
  } else if (t->containerBits == 16) {
    const int16_t *p = (const int16_t *)(const void *)base + index;
    int16_t zero = t->zeroPoint;
    for (i = 0; i < count; i++) to[i] = (int16_t)(p[i] - zero);
  } else if (t->containerBits == 4) {
    int offset = t->min - t->zeroPoint;
    for (i = index; i < index + count; i++) *to++ = (int16_t)((base[i >> 1] >> ((i & 1) * 4) & 15) + offset);
  } else {
    int offset = t->min - t->zeroPoint;
    for (i = index; i < index + count; i++) *to++ = (int16_t)((base[i >> 2] >> ((i & 3) * 2) & 3) + offset);
  }
}

/* Clamps value (without the zero point) and puts it into element `index`. */
static void store(const bw_tensor *t, uint8_t *base, uint32_t index, int32_t value) {
  int32_t low = t->min - t->zeroPoint, high = t->max - t->zeroPoint, q;
  uint32_t bits = t->containerBits, at, field;
  q = (value < low ? low : value > high ? high : value) + t->zeroPoint;
  if (bits == 8) {
    base[index] = (uint8_t)q;
  } else if (bits == 16) {
    ((int16_t *)(void *)base)[index] = (int16_t)q;
  } else {
    at = (index * bits) & 7;
    field = (1u << bits) - 1;
    base += bits == 4 ? index >> 1 : index >> 2;
    *base = (uint8_t)((*base & ~(field << at)) | (uint32_t)(q - t->min) << at);
  }
}

/* The window of output pixel (row, column) as int16, kernel order, zero where it is padding; length kernel * channels. */
static void gather(const step *s, uint32_t row, uint32_t column, int16_t *to) {
  const int32_t height = (int32_t)s->x.height, width = s->x.width, channels = s->x.channels;
  const int32_t kernelHeight = s->l.kernel[0], kernelWidth = s->l.kernel[1];
  const int32_t top = (int32_t)(row * s->l.stride[0]) - s->l.padding[0], left = (int32_t)(column * s->l.stride[1]) - s->l.padding[2];
  int32_t first = left < 0 ? -left : 0, last = width - left, y;
  if (last > kernelWidth) last = kernelWidth;
  if (first > kernelWidth || last < first) first = last = kernelWidth;
  if (left == 0 && kernelWidth == width) { /* whole rows (any 1-D map): one run */
    int32_t begin = top < 0 ? -top : 0, end = height - top, line = width * channels;
    if (end > kernelHeight) end = kernelHeight;
    if (begin > kernelHeight || end < begin) begin = end = kernelHeight;
    memset(to, 0, (size_t)(begin * line) * sizeof *to);
    if (begin < end) fetch(&s->x, s->in, (uint32_t)((top + begin) * line), (uint32_t)((end - begin) * line), to + begin * line);
    memset(to + end * line, 0, (size_t)((kernelHeight - end) * line) * sizeof *to);
    return;
  }
  for (y = 0; y < kernelHeight; y++, to += kernelWidth * channels) {
    if (top + y < 0 || top + y >= height || first == last) {
      memset(to, 0, (size_t)(kernelWidth * channels) * sizeof *to);
      continue;
    }
    memset(to, 0, (size_t)(first * channels) * sizeof *to);
    fetch(&s->x, s->in, (uint32_t)(((top + y) * width + left + first) * channels), (uint32_t)((last - first) * channels),
          to + first * channels);
    memset(to + last * channels, 0, (size_t)((kernelWidth - last) * channels) * sizeof *to);
  }
}

/* sums[4 * pixel + channel] = columns[pixel] . weights[channel], both padded with zeros to `length`, a multiple of 8. */
static void dot(const int16_t *columns, const int8_t *weights, uint32_t length, int32_t sums[8]) {
#ifdef __wasm_simd128__
  const int16_t *x0 = columns, *x1 = columns + length;
  const int8_t *w0 = weights, *w1 = w0 + length, *w2 = w1 + length, *w3 = w2 + length;
  v128_t a0 = wasm_i32x4_splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
  uint32_t k;
  int pixel;
  for (k = 0; k < length; k += 8) {
    v128_t p = wasm_v128_load(x0 + k), q = wasm_v128_load(x1 + k), w;
    w = wasm_i16x8_load8x8(w0 + k);
    a0 = wasm_i32x4_add(a0, wasm_i32x4_dot_i16x8(p, w));
    b0 = wasm_i32x4_add(b0, wasm_i32x4_dot_i16x8(q, w));
    w = wasm_i16x8_load8x8(w1 + k);
    a1 = wasm_i32x4_add(a1, wasm_i32x4_dot_i16x8(p, w));
    b1 = wasm_i32x4_add(b1, wasm_i32x4_dot_i16x8(q, w));
    w = wasm_i16x8_load8x8(w2 + k);
    a2 = wasm_i32x4_add(a2, wasm_i32x4_dot_i16x8(p, w));
    b2 = wasm_i32x4_add(b2, wasm_i32x4_dot_i16x8(q, w));
    w = wasm_i16x8_load8x8(w3 + k);
    a3 = wasm_i32x4_add(a3, wasm_i32x4_dot_i16x8(p, w));
    b3 = wasm_i32x4_add(b3, wasm_i32x4_dot_i16x8(q, w));
  }
  for (pixel = 0; pixel < 2; pixel++) { /* transpose and add: one vector of the four channels' sums */
    v128_t t0 = wasm_i32x4_add(wasm_i32x4_shuffle(a0, a1, 0, 4, 1, 5), wasm_i32x4_shuffle(a0, a1, 2, 6, 3, 7));
    v128_t t1 = wasm_i32x4_add(wasm_i32x4_shuffle(a2, a3, 0, 4, 1, 5), wasm_i32x4_shuffle(a2, a3, 2, 6, 3, 7));
    wasm_v128_store(sums + 4 * pixel, wasm_i32x4_add(wasm_i32x4_shuffle(t0, t1, 0, 1, 4, 5), wasm_i32x4_shuffle(t0, t1, 2, 3, 6, 7)));
    a0 = b0, a1 = b1, a2 = b2, a3 = b3;
  }
#else
  uint32_t pixel, c, k;
  for (pixel = 0; pixel < 2; pixel++) {
    for (c = 0; c < 4; c++) {
      const int16_t *x = columns + pixel * length;
      const int8_t *w = weights + c * length;
      int32_t sum = 0;
      for (k = 0; k < length; k++) sum += x[k] * w[k];
      sums[4 * pixel + c] = sum;
    }
  }
#endif
}

/* The epilogue of channel c: bias or logarithm, requantization, clamp. */
static void finish(const step *s, uint32_t index, uint32_t c, int32_t sum) {
  const uint32_t channels = s->y.channels;
  const uint8_t *p = s->parameters;
  const int32_t bias = (int32_t)bw_load32(p + 4 * c), multiplier = (int32_t)bw_load32(p + 4 * (channels + c));
  const int32_t shift = (int8_t)p[4 * (s->l.logMagnitude ? 3 : 2) * channels + c];
  if (s->l.logMagnitude) sum = bw_log2((uint32_t)(sum < 0 ? -sum : sum) + bw_load32(p + 4 * (2 * channels + c)));
  store(&s->y, s->out, index, bw_requantize(sum + bias, multiplier, shift));
}

static void convolve(const step *s) {
  const uint32_t channels = s->y.channels, pixels = s->y.height * s->y.width;
  const uint32_t depth = (uint32_t)s->l.kernel[0] * s->l.kernel[1] * s->x.channels, length = (depth + 7) & ~7u;
  int16_t *columns = (int16_t *)(void *)s->scratch;
  int8_t *weights = (int8_t *)(s->scratch + 4 * length);
  uint32_t c0, c, k, pixel, i;
  memset(s->scratch, 0, 8 * length);
  for (c0 = 0; c0 < channels; c0 += 4) {
    const uint32_t count = channels - c0 < 4 ? channels - c0 : 4;
    for (c = 0; c < count; c++) {
      for (k = 0; k < depth; k++) weights[c * length + k] = (int8_t)bw_weight(s->weights, s->l.weightBits, (uint64_t)(c0 + c) * depth + k);
    }
    for (pixel = 0; pixel < pixels; pixel += 2) {
      const uint32_t together = pixels - pixel < 2 ? 1 : 2;
      int32_t sums[8];
      for (i = 0; i < together; i++) gather(s, (pixel + i) / s->y.width, (pixel + i) % s->y.width, columns + i * length);
      dot(columns, weights, length, sums);
      for (i = 0; i < together; i++) {
        for (c = 0; c < count; c++) finish(s, (pixel + i) * channels + c0 + c, c0 + c, sums[4 * i + c]);
      }
    }
  }
}

static void convolve_depthwise(const step *s) {
  const uint32_t channels = s->y.channels, taps = (uint32_t)s->l.kernel[0] * s->l.kernel[1];
  const uint32_t kernelWidth = s->l.kernel[1], width = s->x.width;
  int16_t *column = (int16_t *)(void *)s->scratch, *weights = column + 8 * taps;
  uint32_t c0, c, k, row, at;
  memset(s->scratch, 0, 32 * taps);
  for (c0 = 0; c0 < channels; c0 += 8) {
    const uint32_t count = channels - c0 < 8 ? channels - c0 : 8;
    for (k = 0; k < taps; k++) {
      for (c = 0; c < count; c++) weights[8 * k + c] = (int16_t)bw_weight(s->weights, s->l.weightBits, (uint64_t)(c0 + c) * taps + k);
    }
    for (row = 0; row < s->y.height; row++) {
      for (at = 0; at < s->y.width; at++) {
        const int32_t top = (int32_t)(row * s->l.stride[0]) - s->l.padding[0], left = (int32_t)(at * s->l.stride[1]) - s->l.padding[2];
        int32_t sums[8] = {0, 0, 0, 0, 0, 0, 0, 0};
        for (k = 0; k < taps; k++) {
          const int32_t y = top + (int32_t)(k / kernelWidth), x = left + (int32_t)(k % kernelWidth);
          const int16_t *w = weights + 8 * k;
          if (y < 0 || x < 0 || y >= (int32_t)s->x.height || x >= (int32_t)width) continue;
          fetch(&s->x, s->in, ((uint32_t)y * width + (uint32_t)x) * channels + c0, count, column);
          for (c = 0; c < 8; c++) sums[c] += column[c] * w[c];
        }
        for (c = 0; c < count; c++) finish(s, (row * s->y.width + at) * channels + c0 + c, c0 + c, sums[c]);
      }
    }
  }
}

static void average_pool(const step *s) {
  const uint32_t channels = s->y.channels;
  const int32_t multiplier = (int32_t)bw_load32(s->parameters), shift = (int8_t)s->parameters[4];
  uint32_t row, column, c, y, x;
  for (row = 0; row < s->y.height; row++) {
    for (column = 0; column < s->y.width; column++) {
      for (c = 0; c < channels; c++) {
        int32_t sum = 0;
        for (y = row * s->l.stride[0]; y < row * s->l.stride[0] + s->l.kernel[0]; y++) {
          for (x = column * s->l.stride[1]; x < column * s->l.stride[1] + s->l.kernel[1]; x++) {
            int16_t value;
            fetch(&s->x, s->in, (y * s->x.width + x) * channels + c, 1, &value);
            sum += value;
          }
        }
        store(&s->y, s->out, (row * s->y.width + column) * channels + c, bw_requantize(sum, multiplier, shift));
      }
    }
  }
}

static void add(const step *s, const bw_tensor *z, const uint8_t *other) {
  const uint32_t count = s->y.height * s->y.width * s->y.channels;
  int32_t multiplier[3], shift[3];
  uint32_t i;
  for (i = 0; i < 3; i++) {
    multiplier[i] = (int32_t)bw_load32(s->parameters + 4 * i);
    shift[i] = (int8_t)s->parameters[12 + i];
  }
  for (i = 0; i < count; i++) {
    int16_t a, b;
    int64_t sum;
    fetch(&s->x, s->in, i, 1, &a);
    fetch(z, other, i, 1, &b);
    sum = (int64_t)bw_requantize(a * (1 << 20), multiplier[0], shift[0]) + bw_requantize(b * (1 << 20), multiplier[1], shift[1]);
    store(&s->y, s->out, i, bw_requantize(bw_saturate(sum), multiplier[2], shift[2]));
  }
}

static void requantize(const step *s) {
  const uint32_t count = s->y.height * s->y.width * s->y.channels;
  const int32_t multiplier = (int32_t)bw_load32(s->parameters), shift = (int8_t)s->parameters[4];
  uint32_t i;
  for (i = 0; i < count; i++) {
    int16_t value;
    fetch(&s->x, s->in, i, 1, &value);
    store(&s->y, s->out, i, bw_requantize(value, multiplier, shift));
  }
}

static void execute(const bw_model *m, uint8_t *arena, int16_t *logits) {
  step s;
  uint32_t i;
  for (i = 0; i < m->header.layerCount; i++) {
    bw_get_layer(m, i, &s.l);
    bw_get_tensor(m, s.l.input[0], &s.x);
    bw_get_tensor(m, s.l.output, &s.y);
    s.in = arena + s.x.offset;
    s.out = arena + s.y.offset;
    s.scratch = arena + s.l.scratch;
    s.weights = m->image + s.l.weights;
    s.parameters = m->image + s.l.parameters;
    if (s.l.op == BW_CONVOLUTION) {
      if (s.l.depthwise) convolve_depthwise(&s);
      else convolve(&s);
    } else if (s.l.op == BW_ADD) {
      bw_tensor z;
      bw_get_tensor(m, s.l.input[1], &z);
      add(&s, &z, arena + z.offset);
    } else if (s.l.op == BW_AVERAGE_POOL) {
      average_pool(&s);
    } else if (s.l.op == BW_REQUANTIZE) {
      requantize(&s);
    }
  }
  memcpy(logits, arena + s.y.offset, m->header.classCount * sizeof *logits);
}

/* clamp(round(features / scale) + zeroPoint) in float32, ties to even; anything that is no number becomes min. */
static void quantize(const bw_tensor *t, uint8_t *arena, uint32_t index, const float *features, uint32_t count) {
  const float low = (float)(t->min - t->zeroPoint), high = (float)(t->max - t->zeroPoint), magic = 12582912.0f; /* 1.5 * 2^23 */
  uint32_t i;
  for (i = 0; i < count; i++) {
    float v = features[i] / t->scale;
    if (!(v > low)) v = low;
    if (v > high) v = high;
    v = (v + magic) - magic;
    store(t, arena + t->offset, index + i, (int32_t)v);
  }
}

void bw_run(const bw_model *m, void *arena, bw_spectral *spectral, const int16_t *pcm, int16_t *logits) {
  const bw_front_end *f = &m->header.frontEnd;
  bw_tensor t;
  uint32_t i, frames;
  bw_get_tensor(m, 0, &t);
  if (f->kind == BW_RAW) {
    for (i = 0; i < f->samples; i++) store(&t, (uint8_t *)arena + t.offset, i, pcm[i]);
  } else {
    float features[BW_MAX_BANDS];
    frames = bw_front_end_frames(f);
    for (i = 0; i < frames; i++) {
      bw_front_end_frame(spectral, pcm + i * f->hopSamples, features);
      quantize(&t, arena, i * f->coefficients, features, f->coefficients);
    }
  }
  execute(m, arena, logits);
}

void bw_run_features(const bw_model *m, void *arena, const float *features, int16_t *logits) {
  bw_tensor t;
  bw_get_tensor(m, 0, &t);
  quantize(&t, arena, 0, features, t.height * t.width * t.channels);
  execute(m, arena, logits);
}
