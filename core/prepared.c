/* Fast paths for hosts. Each layer's input is widened once to int16 with the zero point taken off, inside its border of zeros; output
 * pixels are then dot products of runs of that image with weights that were laid out beforehand, four pixels and two vectors of
 * channels at a time; sums are requantized a vector at a time, in float32 where rounding.c has shown that this gives the same bits, else in
 * integers. Everything is exact, so the bits are those of layer.c: bw_open() has shown that no sum can leave int32 in whatever order it is
 * made, and where requantizing in 32 bits could, the layer is left to layer.c. */
#include "prepared.h"

#include "arithmetic.h"
#include "rounding.h"
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
  bw_vector low, high, zero; /* int16: limits less bw_centre(); what is stored for it */
  bw_vector centre;          /* int32: -bw_centre() */
} target;

#if defined(__clang__)
#define UNROLLED _Pragma("clang loop unroll(full)")
#define UNROLLED_LOOP /* costs more than it saves in WebAssembly */
#else
#define UNROLLED _Pragma("GCC unroll 8")
#define UNROLLED_LOOP _Pragma("GCC unroll 4")
#endif
#define ALWAYS static inline __attribute__((always_inline))

/* Values in containers of other than 8 bits, as they are stored. */
static void put_words(const target *t, uint32_t index, uint32_t count, const int16_t *v) {
  uint32_t i;
  if (t->y.containerBits == 16) {
    memcpy(t->out + 2 * (size_t)index, v, 2 * (size_t)count);
  } else if (t->y.containerBits == 4 && (count | index) % 2 == 0) {
    uint8_t *to = t->out + index / 2;
    for (i = 0; i < count / 2; i++) to[i] = (uint8_t)(v[2 * i] | v[2 * i + 1] << 4);
  } else if (t->y.containerBits == 2 && (count | index) % 4 == 0) {
    uint8_t *to = t->out + index / 4;
    for (i = 0; i < count / 4; i++) to[i] = (uint8_t)(v[4 * i] | v[4 * i + 1] << 2 | v[4 * i + 2] << 4 | v[4 * i + 3] << 6);
  } else {
    for (i = 0; i < count; i++) store(&t->y, t->out, index + i, v[i] + t->y.min - t->y.zeroPoint);
  }
}

/* bw_log2 of the magnitudes of sums. */
static void logarithms(const uint32_t *offsets, uint32_t vectors, bw_vector *sums) {
  int32_t v[L];
  uint32_t i, j;
  for (j = 0; j < vectors; j++) {
    bw_store(v, sums[j]);
    for (i = 0; i < L; i++) v[i] = bw_log2((uint32_t)(v[i] < 0 ? -v[i] : v[i]) + offsets[j * L + i]);
    sums[j] = bw_load(v);
  }
}

/* Sums of one vector of channels to values, less the zero point, in integers. */
static inline bw_vector requantized(const int32_t *epilogue, int shift, bw_vector sums) {
  const bw_vector v = bw_add(bw_shift_left(sums, shift), bw_load(epilogue));
  const bw_vector high = bw_multiply_high(v, bw_load(epilogue + L));
  const bw_vector rounded = bw_add(high, bw_add(bw_load(epilogue + 2 * L), bw_and(bw_sign(high), bw_load(epilogue + 3 * L))));
  return bw_shift_down(rounded, bw_load(epilogue + 4 * L));
}

/* Stores `count` neighbouring values. */
ALWAYS void put(const target *t, uint32_t index, uint32_t count, bw_vector packed) {
  const bw_vector v = bw_add16(bw_clamp16(packed, t->low, t->high), t->zero);
  if (t->y.containerBits == 8) {
    uint8_t *to = t->out + index, bytes[2 * L], *from = bytes;
    if (count == 2 * L) {
      bw_store_bytes(to, v);
      return;
    }
    bw_store_bytes(bytes, v);
    if (count & 8) memcpy(to, from, 8), to += 8, from += 8;
    if (count & 4) memcpy(to, from, 4), to += 4, from += 4;
    if (count & 2) memcpy(to, from, 2), to += 2, from += 2;
    if (count & 1) *to = *from;
  } else {
    int16_t values[2 * L];
    bw_store(values, v);
    put_words(t, index, count, values);
  }
}

/* A panel of channels of neighbouring pixels, whose sums lie side by side. */
ALWAYS void finish_panel(uint32_t vectors, const target *t, const prepared_layer *p, uint32_t pixel, uint32_t count, uint32_t channel, bw_vector *sums) {
  const uint32_t left = t->y.channels - channel, width = left < vectors * L ? left : vectors * L;
  const float *r = p->roundings + 2 * channel;
  uint32_t index = pixel * t->y.channels + channel, i;
  if (t->l.logMagnitude)
    for (i = 0; i < count; i++) logarithms(p->logOffsets + channel, vectors, sums + i * vectors);
  if (r[0] != 0) {
    const bw_vector scale = bw_load(r), offset = bw_load(r + L);
    if (vectors == 2) {
      const bw_vector scale2 = bw_load(r + 2 * L), offset2 = bw_load(r + 3 * L);
      for (i = 0; i < count; i++, index += t->y.channels)
        put(t, index, width, bw_pack(bw_round(sums[2 * i], scale, offset), bw_round(sums[2 * i + 1], scale2, offset2)));
    } else {
      for (i = 0; i < count; i++, index += t->y.channels) put(t, index, width, bw_pack_one(bw_round(sums[i], scale, offset)));
    }
    return;
  }
  for (i = 0; i < count; i++, index += t->y.channels) {
    const int32_t *e = p->epilogues + channel * FIELDS;
    const bw_vector a = bw_add(requantized(e, t->l.accumulatorShift, sums[vectors * i]), t->centre);
    if (vectors == 2) put(t, index, width, bw_pack(a, bw_add(requantized(e + L * FIELDS, t->l.accumulatorShift, sums[2 * i + 1]), t->centre)));
    else put(t, index, width, bw_pack_one(a));
  }
}

static __attribute__((noinline)) void finish_one(const target *t, const prepared_layer *p, uint32_t pixel, uint32_t count, uint32_t channel, bw_vector *sums) {
  finish_panel(1, t, p, pixel, count, channel, sums);
}

static __attribute__((noinline)) void finish_two(const target *t, const prepared_layer *p, uint32_t pixel, uint32_t count, uint32_t channel, bw_vector *sums) {
  finish_panel(2, t, p, pixel, count, channel, sums);
}

/* A row of so many pixels from element `index` on, `step` values from one to the next in the image; what lies between stays undefined. */
static void widen_row(const target *t, const uint8_t *in, uint32_t index, uint32_t pixels, uint32_t step, int16_t *to) {
  const uint32_t all = (uint32_t)t->x.height * t->x.width * t->x.channels;
  const uint32_t length = step == t->x.channels ? pixels * step : t->x.channels, count = step == t->x.channels ? 1 : pixels;
  const uint32_t room = step == t->x.channels ? length : step;
  const bw_vector zero = bw_splat16(t->x.zeroPoint);
  uint32_t i, c;
  for (i = 0; i < count; i++, index += length, to += step) {
    if (t->x.containerBits != 8) {
      fetch(&t->x, in, index, length, to);
      continue;
    }
    for (c = 0; c < length && c + 2 * L <= room && index + c + 2 * L <= all; c += 2 * L) bw_store(to + c, bw_widen_bytes(in + index + c, zero));
    for (; c < length; c++) to[c] = fetch1(&t->x, in, index + c);
  }
}

/* The input inside its border; channels filled up with anything, since their weights are zeros. */
static void widen(const target *t, const view *v, const uint8_t *in, int16_t *image) {
  const uint32_t line = t->x.width * t->x.channels;
  uint32_t row;
  if (v->height == t->x.height && v->width == t->x.width) {
    widen_row(t, in, 0, (uint32_t)t->x.height * t->x.width, v->channels, image);
    return;
  }
  memset(image, 0, 2 * (size_t)v->height * v->width * v->channels);
  image += ((size_t)t->l.padding[0] * v->width + t->l.padding[2]) * v->channels;
  for (row = 0; row < t->x.height; row++, image += (size_t)v->width * v->channels) widen_row(t, in, row * line, t->x.width, v->channels, image);
}

/* Where the windows of output pixels lie. */
typedef struct {
  const int16_t *image;
  uint32_t row, column;
} walk;

/* The windows of the next pixels; beyond the last the last again. */
ALWAYS void next_windows(walk *at, const view *v, const int16_t *windows[PIXELS]) {
  uint32_t i;
  for (i = 0; i < PIXELS; i++) {
    windows[i] = at->image + (size_t)at->row * v->rowStep + (size_t)at->column * v->pixelStep;
    if (at->column + 1 < v->columns) at->column++;
    else if (at->row + 1 < v->rows) at->column = 0, at->row++;
  }
}

ALWAYS void dense_tile(uint32_t pixels, uint32_t vectors, const target *t, const prepared_layer *p, const view *v, const int16_t *const windows[PIXELS],
                       const int16_t *w, uint32_t pixel, uint32_t count, uint32_t channel) {
  bw_vector sums[PIXELS][2], done[PIXELS * 2]; /* done: in memory, so that the sums themselves stay in registers */
  const int16_t *x[PIXELS];
  uint32_t r, k, i, j;
  UNROLLED for (i = 0; i < pixels; i++) {
    x[i] = windows[i];
    UNROLLED for (j = 0; j < vectors; j++) sums[i][j] = bw_zero();
  }
  for (r = 0; r < v->runs; r++) {
    UNROLLED_LOOP for (k = 0; k < v->pairs; k++, w += 2 * L * vectors) {
      bw_vector b[2];
      UNROLLED for (j = 0; j < vectors; j++) b[j] = bw_load(w + 2 * L * j);
      UNROLLED for (i = 0; i < pixels; i++) {
        const bw_vector a = bw_splat_pair(x[i] + 2 * k);
        UNROLLED for (j = 0; j < vectors; j++) sums[i][j] = bw_dot(sums[i][j], a, b[j]);
      }
    }
    UNROLLED for (i = 0; i < pixels; i++) x[i] += (size_t)v->width * v->channels;
  }
  UNROLLED for (i = 0; i < pixels; i++) {
    UNROLLED for (j = 0; j < vectors; j++) done[i * vectors + j] = sums[i][j];
  }
  if (vectors == 2) finish_two(t, p, pixel, count, channel, done);
  else finish_one(t, p, pixel, count, channel, done);
}

static void run_dense(const target *t, const prepared_layer *p, const view *v, const int16_t *image) {
  enum { TILES = 8 }; /* tiles of pixels for which a panel of weights stays in the first-level cache */
  const uint32_t depth = 2 * v->runs * v->pairs, pixels = v->rows * v->columns;
  walk at = {image, 0, 0};
  uint32_t from, channel, i;
  for (from = 0; from < pixels; from += TILES * PIXELS) {
    const uint32_t end = from + TILES * PIXELS < pixels ? from + TILES * PIXELS : pixels;
    const int16_t *windows[TILES][PIXELS], *w = p->weights;
    for (i = from; i < end; i += PIXELS) next_windows(&at, v, windows[(i - from) / PIXELS]);
    for (channel = 0; channel < t->y.channels;) {
      const uint32_t vectors = panel_vectors(t->y.channels - channel);
      for (i = from; i < end; i += PIXELS) {
        const int16_t *const *x = windows[(i - from) / PIXELS];
        if (end - i == 1) {
          if (vectors == 2) dense_tile(1, 2, t, p, v, x, w, i, 1, channel);
          else dense_tile(1, 1, t, p, v, x, w, i, 1, channel);
        } else {
          if (vectors == 2) dense_tile(PIXELS, 2, t, p, v, x, w, i, end - i < PIXELS ? end - i : PIXELS, channel);
          else dense_tile(PIXELS, 1, t, p, v, x, w, i, end - i < PIXELS ? end - i : PIXELS, channel);
        }
      }
      w += (size_t)depth * vectors * L;
      channel += vectors * L;
    }
  }
}

ALWAYS void depthwise_tile(uint32_t pixels, const target *t, const prepared_layer *p, const int16_t *const windows[PIXELS], uint32_t taps, uint32_t pixel,
                           uint32_t count, uint32_t channel) {
  const int16_t *w = p->weights + (size_t)2 * channel * ((taps + 1) / 2);
  bw_vector sums[PIXELS][2], done[PIXELS * 2]; /* done: in memory, so that the sums themselves stay in registers */
  uint32_t tap, i;
  UNROLLED for (i = 0; i < pixels; i++) sums[i][0] = sums[i][1] = bw_zero();
  for (tap = 0; tap < taps; tap += 2, w += 4 * L) {
    const bw_vector first = bw_load(w), second = bw_load(w + 2 * L);
    const size_t a = (size_t)p->taps[tap] + channel, b = (size_t)p->taps[tap + 1] + channel;
    UNROLLED for (i = 0; i < pixels; i++) {
      const bw_vector u = bw_load(windows[i] + a), z = bw_load(windows[i] + b);
      sums[i][0] = bw_dot(sums[i][0], bw_pair_low(u, z), first);
      sums[i][1] = bw_dot(sums[i][1], bw_pair_high(u, z), second);
    }
  }
  UNROLLED for (i = 0; i < pixels; i++) done[2 * i] = sums[i][0], done[2 * i + 1] = sums[i][1];
  finish_two(t, p, pixel, count, channel, done);
}

static void run_depthwise(const target *t, const prepared_layer *p, const view *v, const int16_t *image) {
  const uint32_t taps = (uint32_t)t->l.kernel[0] * t->l.kernel[1], pixels = v->rows * v->columns;
  walk at = {image, 0, 0};
  uint32_t i, channel;
  for (i = 0; i < pixels; i += PIXELS) {
    const int16_t *windows[PIXELS];
    next_windows(&at, v, windows);
    for (channel = 0; channel < t->y.channels; channel += 2 * L) {
      if (pixels - i == 1) depthwise_tile(1, t, p, windows, taps, i, 1, channel);
      else depthwise_tile(PIXELS, t, p, windows, taps, i, pixels - i < PIXELS ? pixels - i : PIXELS, channel);
    }
  }
}

/* One vector of neighbouring values of a layer with one epilogue for all. */
ALWAYS void finish_uniform(const target *t, const prepared_layer *p, uint32_t index, uint32_t count, bw_vector sums) {
  const float *r = p->roundings;
  const bw_vector v = r[0] != 0 ? bw_round(sums, bw_load(r), bw_load(r + L)) : bw_add(requantized(p->epilogues, 0, sums), t->centre);
  put(t, index, count < L ? count : L, bw_pack_one(v));
}

/* Values of the image one by one through the layer's own epilogue. */
static void run_requantize(const target *t, const prepared_layer *p, const int16_t *image) {
  const uint32_t count = t->y.height * t->y.width * t->y.channels;
  uint32_t i;
  for (i = 0; i < count; i += L) finish_uniform(t, p, i, count - i, bw_widen(image + i));
}

static void run_add(const target *t, const prepared_layer *p, const int16_t *a, const int16_t *b) {
  const uint32_t count = t->y.height * t->y.width * t->y.channels;
  uint32_t i;
  for (i = 0; i < count; i += L) {
    const bw_vector x = requantized(p->epilogues, 0, bw_shift_left(bw_widen(a + i), 20));
    const bw_vector z = requantized(p->epilogues + L * FIELDS, 0, bw_shift_left(bw_widen(b + i), 20));
    put(t, i, count - i < L ? count - i : L, bw_pack_one(bw_add(requantized(p->epilogues + 2 * L * FIELDS, 0, bw_add(x, z)), t->centre)));
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
        finish_uniform(t, p, (row * t->y.width + column) * channels + c, channels - c, sum);
      }
    }
  }
}

static void run_attend(const target *t, const prepared_layer *p, const bw_step *s, uint8_t *memory) {
  const bw_attention a = bw_attention_of(s);
  prepared_attention w;
  uint32_t i, q, c;
  bw_turn_attention(&a, memory, &w);
  for (i = 0; i < a.positions; i += BW_ATTENTION_ROWS) {
    const uint32_t count = a.positions - i < BW_ATTENTION_ROWS ? a.positions - i : BW_ATTENTION_ROWS;
    bw_attend_rows(&a, &w, i, count);
    for (q = 0; q < count; q++)
      for (c = 0; c < a.channels; c += L) finish_uniform(t, p, (i + q) * a.channels + c, a.channels - c, bw_load(w.sums + q * w.sumStride + c));
  }
}

int bw_run_prepared(const bw_model *m, uint32_t layer, const bw_step *s) {
  const prepared *all = m->prepared;
  const prepared_layer *p = &all->layers[layer];
  int32_t low, high, centre;
  target t;
  if (!p->runnable) return 0;
  t.l = s->l, t.x = s->x, t.y = s->y;
  t.out = s->out;
  low = t.y.min - t.y.zeroPoint, high = t.y.max - t.y.zeroPoint;
  centre = bw_centre(low, high);
  t.centre = bw_splat(-centre);
  t.low = bw_splat16(low - centre), t.high = bw_splat16(high - centre);
  t.zero = bw_splat16(centre + (t.y.containerBits < 8 ? t.y.zeroPoint - t.y.min : t.y.zeroPoint));
  if (t.l.op == BW_CONVOLUTION) {
    const view v = view_of(&t.l, &t.x, &t.y);
    widen(&t, &v, s->in, all->image);
    if (t.l.depthwise) run_depthwise(&t, p, &v, all->image);
    else run_dense(&t, p, &v, all->image);
    return 1;
  }
  if (t.l.op == BW_ATTEND) {
    run_attend(&t, p, s, all->attention);
    return 1;
  }
  widen_row(&t, s->in, 0, (uint32_t)t.x.height * t.x.width, t.x.channels, all->image);
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
