/* Fast paths for hosts. Each layer's input is widened once to int16 with the zero point taken off, inside its border of zeros; output
 * pixels are then dot products of runs of that image with weights that were laid out beforehand, several pixels and two vectors of
 * channels at a time; sums are requantized a vector at a time. Everything is exact, so the bits are those of run.c: bw_open() has shown that
 * no sum can leave int32 in whatever order it is made, and where requantizing in 32 bits could, the layer is left to run.c. */
#include "prepared.h"

#include "arithmetic.h"
#include "simd.h"
#include "sinc.h"
#include "values.h"

#ifndef BW_LANES

uint64_t bw_prepared_bytes(const bw_model *model) {
  (void)model;
  return 0;
}
void bw_prepare(bw_model *model, void *memory) { (void)memory, model->prepared = 0; }
int bw_run_prepared(const bw_model *model, uint32_t layer, uint8_t *arena) {
  (void)model, (void)layer, (void)arena;
  return 0;
}

#else

enum { L = BW_LANES, PIXELS = 4, FIELDS = 5 };

typedef struct {
  const int16_t *weights;   /* dense: [panel][pair of inputs][lanes][2]; depthwise: [2 L channels][pair of taps][2][lanes][2] */
  const int32_t *epilogues; /* [L channels][FIELDS][lanes]: bias, multiplier, half, mask, shift count; one for all where uniform */
  const int32_t *taps;      /* depthwise: places of the taps of a window in the image */
  const uint32_t *logOffsets;
  uint32_t runnable;
} prepared_layer;

typedef struct {
  prepared_layer *layers;
  int16_t *image, *second;
} prepared;

/* Hands out pieces of the memory, or only counts them. */
typedef struct {
  uint8_t *memory;
  uint64_t used;
} supply;

static void *take(supply *s, uint64_t bytes) {
  void *at = s->memory ? s->memory + s->used : 0;
  s->used += (bytes + 63) & ~(uint64_t)63;
  return at;
}

static uint32_t up(uint32_t value, uint32_t unit) { return (value + unit - 1) / unit * unit; }

/* How a convolution sees its input in the image. */
typedef struct {
  uint32_t channels;      /* of a pixel in the image: depthwise ones are filled up to whole vectors */
  uint32_t height, width; /* with the border */
  uint32_t runs, run;     /* a window: so many runs of so many values ... */
  uint32_t pairs;         /* ... read as so many pairs each */
  uint32_t rows, columns; /* output pixels; a pointwise map counts as one row */
  uint32_t pixelStep, rowStep;
} view;

static view view_of(const bw_layer *l, const bw_tensor *x, const bw_tensor *y) {
  view v;
  const int pointwise = !l->depthwise && l->kernel[0] == 1 && l->kernel[1] == 1 && l->stride[0] == 1 && l->stride[1] == 1 &&
                        !(l->padding[0] | l->padding[1] | l->padding[2] | l->padding[3]);
  v.channels = l->depthwise ? up(x->channels, 2 * L) : x->channels;
  v.height = x->height + l->padding[0] + l->padding[1];
  v.width = (uint32_t)x->width + l->padding[2] + l->padding[3];
  v.runs = l->kernel[0];
  v.run = l->kernel[1] * v.channels;
  if (l->kernel[1] == v.width) v.run *= v.runs, v.runs = 1; /* whole rows lie one after the other */
  v.pairs = (v.run + 1) / 2;
  v.rows = pointwise ? 1 : y->height;
  v.columns = pointwise ? y->height * y->width : y->width;
  v.pixelStep = l->stride[1] * v.channels;
  v.rowStep = l->stride[0] * v.width * v.channels;
  return v;
}

static uint64_t image_values(const view *v) { return (uint64_t)v->height * v->width * v->channels + 4 * L; }

/* --- preparing */

static int32_t weight_of(const bw_model *m, const bw_layer *l, const bw_sinc *filter, uint32_t channel, uint32_t depth, uint32_t k) {
  if (l->weightKind == 0) return bw_sinc_tap(filter, bw_sinc_distance(k, depth));
  return bw_weight(m->image + l->weights, l->weightKind, (uint64_t)channel * depth + k);
}

/* Panels of two vectors of output channels, the last one of one where that is enough. */
static uint32_t panel_vectors(uint32_t channelsLeft) { return channelsLeft > L ? 2 : 1; }

/* Weights of a dense layer; sums[channel] = sum of |w|. */
static void lay_dense(const bw_model *m, const bw_layer *l, const view *v, uint32_t channels, uint32_t depth, int16_t *to, int64_t *sums) {
  uint32_t first, c, r, k;
  for (first = 0; first < channels;) {
    const uint32_t width = panel_vectors(channels - first) * L;
    for (c = 0; c < width; c++) {
      bw_sinc filter = {0, 0, 0, 0};
      const uint32_t channel = first + c;
      if (channel >= channels) {
        for (r = 0; r < v->runs * v->pairs; r++) to[2 * (r * width + c)] = to[2 * (r * width + c) + 1] = 0;
        continue;
      }
      if (l->weightKind == 0) filter = bw_sinc_load(m->image + l->weights, channel, depth);
      sums[channel] = 0;
      for (r = 0; r < v->runs; r++) {
        for (k = 0; k < 2 * v->pairs; k++) {
          const int32_t w = k < v->run ? weight_of(m, l, &filter, channel, depth, r * v->run + k) : 0;
          to[2 * ((r * v->pairs + k / 2) * width + c) + k % 2] = (int16_t)w;
          sums[channel] += w < 0 ? -w : w;
        }
      }
    }
    to += 2 * (uint64_t)v->runs * v->pairs * width;
    first += width;
  }
}

static uint64_t dense_values(const view *v, uint32_t channels) {
  uint64_t values = 0;
  uint32_t first;
  for (first = 0; first < channels; first += panel_vectors(channels - first) * L)
    values += 2 * (uint64_t)v->runs * v->pairs * panel_vectors(channels - first) * L;
  return values;
}

/* The channel of lane i of the first or second half, as bw_pair_low and bw_pair_high leave them (bw_ordered). */
static uint32_t paired_channel(uint32_t half, uint32_t lane) {
#if BW_LANES == 8
  return (lane / 4) * 8 + half * 4 + lane % 4;
#else
  return half * 4 + lane;
#endif
}

static void lay_depthwise(const bw_model *m, const bw_layer *l, uint32_t channels, uint32_t taps, int16_t *to, int64_t *sums) {
  uint32_t first, t, half, lane, k;
  for (k = 0; k < channels; k++) sums[k] = 0;
  for (first = 0; first < channels; first += 2 * L) {
    for (t = 0; t < taps; t += 2) {
      for (half = 0; half < 2; half++) {
        for (lane = 0; lane < L; lane++) {
          const uint32_t channel = first + paired_channel(half, lane);
          for (k = 0; k < 2; k++) {
            const int32_t w = channel < channels && t + k < taps ? weight_of(m, l, 0, channel, taps, t + k) : 0;
            *to++ = (int16_t)w;
            if (channel < channels) sums[channel] += w < 0 ? -w : w;
          }
        }
      }
    }
  }
}

/* Fills one lane of an epilogue; returns whether 32 bits are enough for sums of at most `most`. */
static int lay_epilogue(int32_t *to, uint32_t lane, int32_t bias, int32_t multiplier, int32_t shift, int64_t most) {
  int64_t high, half;
  to[lane] = bias;
  to[L + lane] = multiplier;
  if (shift > 0 || shift < -30 || multiplier == INT32_MIN) return 0;
  half = shift < 0 ? (int64_t)1 << (-shift - 1) : 0;
  high = (int64_t)((uint64_t)most * (uint64_t)(multiplier < 0 ? -(int64_t)multiplier : multiplier) >> 31) + 1;
  to[2 * L + lane] = (int32_t)half;
  to[3 * L + lane] = shift < 0 ? -1 : 0;
  to[4 * L + lane] = bw_shift_count(-shift);
  return high + half < INT32_MAX;
}

static int64_t reach(const bw_tensor *t) {
  const int64_t low = t->zeroPoint - t->min, high = t->max - t->zeroPoint;
  return low > high ? low : high;
}

/* One epilogue for all channels, of number `index` of the layer's multipliers; `shifts` is where its shifts begin. */
static int lay_uniform(const bw_model *m, const bw_layer *l, uint32_t index, uint32_t shifts, int64_t most, int32_t *to) {
  const uint8_t *p = m->image + l->parameters;
  uint32_t lane;
  int fits = 1;
  for (lane = 0; lane < L; lane++)
    fits &= lay_epilogue(to, lane, 0, (int32_t)bw_load32(p + 4 * index), (int8_t)p[shifts + index], most);
  return fits;
}

static void prepare_convolution(const bw_model *m, const bw_layer *l, const bw_tensor *x, const bw_tensor *y, supply *s, prepared_layer *to) {
  const uint32_t channels = y->channels, padded = up(channels, 2 * L), taps = (uint32_t)l->kernel[0] * l->kernel[1];
  const uint32_t depth = taps * (l->depthwise ? 1 : x->channels);
  const view v = view_of(l, x, y);
  int16_t *weights = take(s, 2 * (l->depthwise ? (uint64_t)padded * 2 * ((taps + 1) / 2) : dense_values(&v, channels)));
  int32_t *epilogues = take(s, 4 * (uint64_t)padded * FIELDS);
  int32_t *places = take(s, l->depthwise ? 4 * (uint64_t)(taps + 1) : 0);
  uint32_t *offsets = take(s, l->logMagnitude ? 4 * (uint64_t)padded : 0);
  int64_t *sums = take(s, 8 * (uint64_t)channels);
  const uint8_t *p = m->image + l->parameters, *shifts = p + 4 * (l->logMagnitude ? 3 : 2) * channels;
  uint32_t c;
  if (!s->memory) return;
  to->weights = weights, to->epilogues = epilogues, to->taps = places, to->logOffsets = offsets;
  to->runnable = 1;
  if (l->depthwise) {
    lay_depthwise(m, l, channels, taps, weights, sums);
    for (c = 0; c <= taps; c++) { /* an odd last tap is read twice, the second time for a weight of zero */
      const uint32_t tap = c < taps ? c : taps - 1;
      places[c] = (int32_t)((tap / l->kernel[1] * v.width + tap % l->kernel[1]) * v.channels);
    }
  } else {
    lay_dense(m, l, &v, channels, depth, weights, sums);
  }
  for (c = 0; c < padded; c++) {
    int32_t *block = epilogues + c / L * L * FIELDS;
    const uint32_t from = c < channels ? c : channels - 1;
    const int32_t bias = (int32_t)bw_load32(p + 4 * from);
    const int64_t magnitude = bias < 0 ? -(int64_t)bias : bias;
    const int64_t most = l->logMagnitude ? magnitude + ((int64_t)32 << 16) : magnitude + (sums[from] * reach(x) << l->accumulatorShift);
    to->runnable &= (uint32_t)lay_epilogue(block, c % L, bias, (int32_t)bw_load32(p + 4 * (channels + from)), (int8_t)shifts[from], most);
    if (l->logMagnitude) offsets[c] = bw_load32(p + 4 * (2 * channels + from));
  }
}

static void prepare_layer(const bw_model *m, const bw_layer *l, supply *s, prepared_layer *to, uint64_t *image, uint64_t *second) {
  bw_tensor x, y;
  uint64_t values;
  int32_t *epilogues;
  bw_get_tensor(m, l->input[0], &x);
  bw_get_tensor(m, l->output, &y);
  values = (uint64_t)x.height * x.width * x.channels + 4 * L;
  if (l->op == BW_CONVOLUTION) {
    const view v = view_of(l, &x, &y);
    values = image_values(&v);
    prepare_convolution(m, l, &x, &y, s, to);
  } else if (l->op != BW_RESHAPE) {
    epilogues = take(s, 4 * 3 * L * FIELDS);
    if (s->memory) {
      to->epilogues = epilogues;
      if (l->op == BW_ADD) {
        bw_tensor z;
        bw_get_tensor(m, l->input[1], &z);
        /* terms of at most 2^30, so that their sum needs no saturation */
        to->runnable = lay_uniform(m, l, 0, 12, reach(&x) << 20, epilogues) && lay_uniform(m, l, 1, 12, reach(&z) << 20, epilogues + L * FIELDS) &&
                       (int8_t)(m->image + l->parameters)[12] <= 0 && (int8_t)(m->image + l->parameters)[13] <= 0 &&
                       lay_uniform(m, l, 2, 12, INT32_MAX, epilogues + 2 * L * FIELDS) && reach(&x) <= 1023 && reach(&z) <= 1023;
      } else {
        const int64_t window = l->op == BW_AVERAGE_POOL ? (int64_t)l->kernel[0] * l->kernel[1] : 1;
        to->runnable = (uint32_t)lay_uniform(m, l, 0, 4, window * reach(&x), epilogues);
      }
    }
  }
  if (values > *image) *image = values;
  if (l->op == BW_ADD && values > *second) *second = values;
}

static prepared *lay_out(const bw_model *m, supply *s) {
  prepared *p = take(s, sizeof *p);
  prepared_layer *layers = take(s, m->header.layerCount * sizeof *layers);
  uint64_t image = 0, second = 0;
  uint32_t i;
  void *images[2];
  for (i = 0; i < m->header.layerCount; i++) {
    bw_layer l;
    if (s->memory) memset(&layers[i], 0, sizeof *layers);
    bw_get_layer(m, i, &l);
    prepare_layer(m, &l, s, s->memory ? &layers[i] : 0, &image, &second);
  }
  images[0] = take(s, 2 * image), images[1] = take(s, 2 * second);
  if (p) p->layers = layers, p->image = images[0], p->second = images[1];
  return p;
}

uint64_t bw_prepared_bytes(const bw_model *model) {
  supply s = {0, 0};
  lay_out(model, &s);
  return s.used;
}

void bw_prepare(bw_model *model, void *memory) {
  supply s;
  s.memory = memory, s.used = 0;
  model->prepared = lay_out(model, &s);
}

/* --- running */

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

int bw_run_prepared(const bw_model *m, uint32_t layer, uint8_t *arena) {
  const prepared *all = m->prepared;
  const prepared_layer *p = &all->layers[layer];
  target t;
  if (!p->runnable) return 0;
  bw_get_layer(m, layer, &t.l);
  bw_get_tensor(m, t.l.input[0], &t.x);
  bw_get_tensor(m, t.l.output, &t.y);
  t.out = arena + t.y.offset;
  t.low = bw_splat(t.y.min - t.y.zeroPoint), t.high = bw_splat(t.y.max - t.y.zeroPoint);
  if (t.l.op == BW_CONVOLUTION) {
    const view v = view_of(&t.l, &t.x, &t.y);
    widen(&t, &v, arena + t.x.offset, all->image);
    if (t.l.depthwise) run_depthwise(&t, p, &v, all->image);
    else run_dense(&t, p, &v, all->image);
    return 1;
  }
  fetch(&t.x, arena + t.x.offset, 0, t.x.height * t.x.width * t.x.channels, all->image);
  if (t.l.op == BW_ADD) {
    bw_tensor z;
    bw_get_tensor(m, t.l.input[1], &z);
    fetch(&z, arena + z.offset, 0, z.height * z.width * z.channels, all->second);
    run_add(&t, p, all->image, all->second);
  } else if (t.l.op == BW_AVERAGE_POOL) {
    run_pool(&t, p, all->image);
  } else {
    run_requantize(&t, p, all->image);
  }
  return 1;
}

#endif
