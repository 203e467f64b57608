/* Fast paths for hosts. Each layer's input is widened once to int16 with the zero point taken off, inside its border of zeros; output
 * pixels are then dot products of runs of that image with weights that were laid out beforehand, several pixels and two vectors of
 * channels at a time; sums are requantized a vector at a time. Everything is exact, so the bits are those of layer.c: bw_open() has shown that
 * no sum can leave int32 in whatever order it is made, and where requantizing in 32 bits could, the layer is left to layer.c. */
#include "prepared.h"

#include "arithmetic.h"
#include "values.h"

#ifndef BW_LANES

int bw_run_prepared(const bw_model *model, uint32_t layer, const bw_step *step) {
  (void)model, (void)layer, (void)step;
  return 0;
}

#else

enum { PIXELS = 4 };

typedef struct {
  bw_layer l;
  bw_tensor x, y;
  uint8_t *out;
  bw_vector low, high; /* limits without the zero point */
} target;

/* Sums of one vector of channels to values: requantized, clamped, less the zero point still. */
static inline bw_vector requantized(const int32_t *epilogue, int shift, bw_vector sums) {
  const bw_vector v = bw_add(bw_shift_left(sums, shift), bw_load(epilogue));
  const bw_vector high = bw_multiply_high(v, bw_load(epilogue + L));
  const bw_vector rounded = bw_add(high, bw_add(bw_load(epilogue + 2 * L), bw_and(bw_sign(high), bw_load(epilogue + 3 * L))));
  return bw_shift_down(rounded, bw_load(epilogue + 4 * L));
}

/* Stores `count` neighbouring values. */
static inline void put(const target *t, uint32_t index, uint32_t count, bw_vector values) {
  int32_t v[L];
  uint32_t i;
  const int32_t zeroPoint = t->y.zeroPoint, min = t->y.min;
  bw_store(v, bw_add(bw_clamp(values, t->low, t->high), bw_splat(t->y.containerBits < 8 ? zeroPoint - min : zeroPoint)));
  if (t->y.containerBits == 8) {
    uint8_t *to = t->out + index;
    if (count == L) {
      for (i = 0; i < L; i++) to[i] = (uint8_t)v[i];
    } else {
      for (i = 0; i < count; i++) to[i] = (uint8_t)v[i];
    }
  } else if (t->y.containerBits == 16) {
    for (i = 0; i < count; i++) ((int16_t *)(void *)t->out)[index + i] = (int16_t)v[i];
  } else if (t->y.containerBits == 4 && count == L && index % 2 == 0) {
    uint8_t *to = t->out + index / 2;
    for (i = 0; i < L / 2; i++) to[i] = (uint8_t)(v[2 * i] | v[2 * i + 1] << 4);
  } else if (t->y.containerBits == 2 && count == L && index % 4 == 0) {
    uint8_t *to = t->out + index / 4;
    for (i = 0; i < L / 4; i++) to[i] = (uint8_t)(v[4 * i] | v[4 * i + 1] << 2 | v[4 * i + 2] << 4 | v[4 * i + 3] << 6);
  } else {
    for (i = 0; i < count; i++) store(&t->y, t->out, index + i, v[i] + min - zeroPoint);
  }
}

/* One vector of channels of one pixel. */
static inline void finish(const target *t, const prepared_layer *p, uint32_t pixel, uint32_t channel, bw_vector sums) {
  const uint32_t left = t->y.channels - channel;
  if (t->l.logMagnitude) {
    int32_t v[L];
    uint32_t i;
    bw_store(v, sums);
    for (i = 0; i < L; i++) v[i] = bw_log2((uint32_t)(v[i] < 0 ? -v[i] : v[i]) + p->logOffsets[channel + i]);
    sums = bw_load(v);
  }
  put(t, pixel * t->y.channels + channel, left < L ? left : L, requantized(p->epilogues + channel * FIELDS, t->l.accumulatorShift, sums));
}

/* The input inside its border; channels filled up with zeros. */
static void widen(const target *t, const view *v, const uint8_t *in, int16_t *image) {
  const uint32_t channels = t->x.channels, line = t->x.width * channels;
  uint32_t row, column;
  const int bordered = v->height != t->x.height || v->width != t->x.width || v->channels != channels;
  if (!bordered) {
    fetch(&t->x, in, 0, t->x.height * line, image);
    return;
  }
  memset(image, 0, 2 * (size_t)v->height * v->width * v->channels);
  image += ((size_t)t->l.padding[0] * v->width + t->l.padding[2]) * v->channels;
  for (row = 0; row < t->x.height; row++, image += (size_t)v->width * v->channels) {
    if (v->channels == channels) fetch(&t->x, in, row * line, line, image);
    else
      for (column = 0; column < t->x.width; column++) fetch(&t->x, in, row * line + column * channels, channels, image + (size_t)column * v->channels);
  }
}

#define ALWAYS static inline __attribute__((always_inline))

ALWAYS void dense_tile(uint32_t pixels, uint32_t vectors, const target *t, const prepared_layer *p, const view *v, const int16_t *x, const int16_t *w,
                       uint32_t pixel, uint32_t channel) {
  bw_vector sums[PIXELS][2];
  uint32_t r, k, i, j;
  for (i = 0; i < pixels; i++)
    for (j = 0; j < vectors; j++) sums[i][j] = bw_zero();
  for (r = 0; r < v->runs; r++, x += (size_t)v->width * v->channels) {
    const int16_t *from = x;
    for (k = 0; k < v->pairs; k++, from += 2, w += 2 * L * vectors) {
      bw_vector b[2];
      for (j = 0; j < vectors; j++) b[j] = bw_load(w + 2 * L * j);
      for (i = 0; i < pixels; i++) {
        const bw_vector a = bw_splat_pair(from + i * v->pixelStep);
        for (j = 0; j < vectors; j++) sums[i][j] = bw_dot(sums[i][j], a, b[j]);
      }
    }
  }
  for (i = 0; i < pixels; i++)
    for (j = 0; j < vectors; j++)
      if (channel + j * L < t->y.channels) finish(t, p, pixel + i, channel + j * L, sums[i][j]);
}

static void run_dense(const target *t, const prepared_layer *p, const view *v, const int16_t *image) {
  enum { BLOCK = 32 }; /* pixels for which a panel of weights stays in the first-level cache */
  const uint32_t depth = 2 * v->runs * v->pairs;
  uint32_t row, from, channel, i;
  for (row = 0; row < v->rows; row++, image += v->rowStep) {
    for (from = 0; from < v->columns; from += BLOCK) {
      const uint32_t end = from + BLOCK < v->columns ? from + BLOCK : v->columns;
      const int16_t *w = p->weights;
      for (channel = 0; channel < t->y.channels;) {
        const uint32_t vectors = panel_vectors(t->y.channels - channel);
        for (i = from; i < end;) {
          const int16_t *x = image + (size_t)i * v->pixelStep;
          const uint32_t pixel = row * v->columns + i;
          if (i + PIXELS <= end) {
            if (vectors == 2) dense_tile(PIXELS, 2, t, p, v, x, w, pixel, channel);
            else dense_tile(PIXELS, 1, t, p, v, x, w, pixel, channel);
            i += PIXELS;
          } else {
            if (vectors == 2) dense_tile(1, 2, t, p, v, x, w, pixel, channel);
            else dense_tile(1, 1, t, p, v, x, w, pixel, channel);
            i++;
          }
        }
        w += (size_t)depth * vectors * L;
        channel += vectors * L;
      }
    }
  }
}

ALWAYS void depthwise_tile(uint32_t pixels, const target *t, const prepared_layer *p, const view *v, const int16_t *x, const int16_t *w, uint32_t taps,
                           uint32_t pixel, uint32_t channel) {
  bw_vector low[PIXELS], high[PIXELS];
  uint32_t tap, i;
  for (i = 0; i < pixels; i++) low[i] = high[i] = bw_zero();
  for (tap = 0; tap < taps; tap += 2, w += 4 * L) {
    const bw_vector first = bw_load(w), second = bw_load(w + 2 * L);
    const int16_t *a = x + p->taps[tap], *b = x + p->taps[tap + 1];
    for (i = 0; i < pixels; i++) {
      const bw_vector u = bw_load(a + i * v->pixelStep), z = bw_load(b + i * v->pixelStep);
      low[i] = bw_dot(low[i], bw_pair_low(u, z), first);
      high[i] = bw_dot(high[i], bw_pair_high(u, z), second);
    }
  }
  for (i = 0; i < pixels; i++) {
    bw_ordered(&low[i], &high[i]);
    finish(t, p, pixel + i, channel, low[i]);
    if (channel + L < t->y.channels) finish(t, p, pixel + i, channel + L, high[i]);
  }
}

static void run_depthwise(const target *t, const prepared_layer *p, const view *v, const int16_t *image) {
  const uint32_t taps = (uint32_t)t->l.kernel[0] * t->l.kernel[1];
  uint32_t row, i, channel;
  for (row = 0; row < v->rows; row++, image += v->rowStep) {
    const int16_t *w = p->weights;
    for (channel = 0; channel < t->y.channels; channel += 2 * L, w += (size_t)4 * L * ((taps + 1) / 2)) {
      for (i = 0; i < v->columns;) {
        const int16_t *x = image + (size_t)i * v->pixelStep + channel;
        if (i + PIXELS <= v->columns) depthwise_tile(PIXELS, t, p, v, x, w, taps, row * v->columns + i, channel), i += PIXELS;
        else depthwise_tile(1, t, p, v, x, w, taps, row * v->columns + i, channel), i++;
      }
    }
  }
}

/* Values of the image one by one through the layer's own epilogue. */
static void run_requantize(const target *t, const prepared_layer *p, const int16_t *image) {
  const uint32_t count = t->y.height * t->y.width * t->y.channels;
  uint32_t i;
  for (i = 0; i < count; i += L) put(t, i, count - i < L ? count - i : L, requantized(p->epilogues, 0, bw_widen(image + i)));
}

static void run_add(const target *t, const prepared_layer *p, const int16_t *a, const int16_t *b) {
  const uint32_t count = t->y.height * t->y.width * t->y.channels;
  uint32_t i;
  for (i = 0; i < count; i += L) {
    const bw_vector x = requantized(p->epilogues, 0, bw_shift_left(bw_widen(a + i), 20));
    const bw_vector z = requantized(p->epilogues + L * FIELDS, 0, bw_shift_left(bw_widen(b + i), 20));
    put(t, i, count - i < L ? count - i : L, requantized(p->epilogues + 2 * L * FIELDS, 0, bw_add(x, z)));
  }
}

static void run_pool(const target *t, const prepared_layer *p, const int16_t *image) {
  const uint32_t channels = t->y.channels;
  uint32_t row, column, c, y, x;
  for (row = 0; row < t->y.height; row++) {
    for (column = 0; column < t->y.width; column++) {
      for (c = 0; c < channels; c += L) {
        bw_vector sum = bw_zero();
        const int16_t *from = image + ((size_t)row * t->l.stride[0] * t->x.width + column * t->l.stride[1]) * channels + c;
        for (y = 0; y < t->l.kernel[0]; y++)
          for (x = 0; x < t->l.kernel[1]; x++) sum = bw_add(sum, bw_widen(from + ((size_t)y * t->x.width + x) * channels));
        put(t, (row * t->y.width + column) * channels + c, channels - c < L ? channels - c : L, requantized(p->epilogues, 0, sum));
      }
    }
  }
}

int bw_run_prepared(const bw_model *m, uint32_t layer, const bw_step *s) {
  const prepared *all = m->prepared;
  const prepared_layer *p = &all->layers[layer];
  target t;
  if (!p->runnable) return 0;
  t.l = s->l, t.x = s->x, t.y = s->y;
  t.out = s->out;
  t.low = bw_splat(t.y.min - t.y.zeroPoint), t.high = bw_splat(t.y.max - t.y.zeroPoint);
  if (t.l.op == BW_CONVOLUTION) {
    const view v = view_of(&t.l, &t.x, &t.y);
    widen(&t, &v, s->in, all->image);
    if (t.l.depthwise) run_depthwise(&t, p, &v, all->image);
    else run_dense(&t, p, &v, all->image);
    return 1;
  }
  fetch(&t.x, s->in, 0, t.x.height * t.x.width * t.x.channels, all->image);
  if (t.l.op == BW_ADD) {
    fetch(&s->z, s->second, 0, s->z.height * s->z.width * s->z.channels, all->second);
    run_add(&t, p, all->image, all->second);
  } else if (t.l.op == BW_AVERAGE_POOL) {
    run_pool(&t, p, all->image);
  } else {
    run_requantize(&t, p, all->image);
  }
  return 1;
}

#endif
