/* Lays weights and epilogues out for the fast paths of prepared.c, and says for which layers requantizing in 32 bits is exact. */
#include "prepared.h"

#include "arithmetic.h"
#include "parameters.h"
#include "rounding.h"
#include "sinc.h"
#include "weights.h"

#ifndef BW_LANES

uint64_t bw_prepared_bytes(const bw_model *model) {
  (void)model;
  return 0;
}
void bw_prepare(bw_model *model, void *memory) { (void)memory, model->prepared = 0; }

#else

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

static uint64_t image_values(const view *v) { return (uint64_t)v->height * v->width * v->channels + 4 * L; }

static int32_t weight_of(const bw_model *m, const bw_layer *l, const bw_sinc *filter, uint32_t channel, uint32_t depth, uint32_t k) {
  if (l->weightKind == 0) return bw_sinc_tap(filter, bw_sinc_distance(k, depth));
  return bw_layer_weight(l, m->image + l->weights, depth, channel, k);
}

/* The channel of a lane of a panel, counted from its first: of two vectors as bw_pack expects them. */
static uint32_t panel_channel(uint32_t vectors, uint32_t vector, uint32_t lane) {
  if (vectors == 1) return lane;
#if BW_LANES == 8
  return lane / 4 * 8 + vector * 4 + lane % 4;
#else
  return vector * 4 + lane;
#endif
}

/* Weights of a dense layer; sums[channel] = sum of |w|. */
static void lay_dense(const bw_model *m, const bw_layer *l, const view *v, uint32_t channels, uint32_t depth, int16_t *to, int64_t *sums) {
  uint32_t first, c, r, k;
  for (first = 0; first < channels;) {
    const uint32_t vectors = panel_vectors(channels - first), width = vectors * L;
    for (c = 0; c < width; c++) {
      bw_sinc filter = {0, 0, 0, 0};
      const uint32_t channel = first + panel_channel(vectors, c / L, c % L);
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

static void lay_depthwise(const bw_model *m, const bw_layer *l, uint32_t channels, uint32_t taps, int16_t *to, int64_t *sums) {
  uint32_t first, t, half, lane, k;
  for (k = 0; k < channels; k++) sums[k] = 0;
  for (first = 0; first < channels; first += 2 * L) {
    for (t = 0; t < taps; t += 2) {
      for (half = 0; half < 2; half++) {
        for (lane = 0; lane < L; lane++) {
          const uint32_t channel = first + panel_channel(2, half, lane);
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
  return high + half + INT16_MAX < INT32_MAX; /* less bw_centre(), too */
}

static int64_t reach(const bw_tensor *t) {
  const int64_t low = t->zeroPoint - t->min, high = t->max - t->zeroPoint;
  return low > high ? low : high;
}

/* Of what one epilogue for all values gets: an average, attention's probabilities times values, or a value itself. */
static int64_t largest_sum(const bw_model *m, const bw_layer *l, const bw_tensor *x) {
  bw_tensor value;
  if (l->op == BW_AVERAGE_POOL) return (int64_t)l->kernel[0] * l->kernel[1] * reach(x);
  if (l->op != BW_ATTEND) return reach(x);
  bw_get_tensor(m, bw_third_input(l), &value);
  return (BW_WHOLE + (int64_t)x->height * x->width / 2) * reach(&value);
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

/* The same in float32 where that is possible, for sums of at most `most` in magnitude. */
static int lay_uniform_rounding(const bw_model *m, const bw_layer *l, const bw_tensor *y, int64_t most, float *to) {
  const uint8_t *p = m->image + l->parameters;
  const bw_rounding r = {-most, most, 0, 0, (int32_t)bw_load32(p), (int8_t)p[4], y->min - y->zeroPoint, y->max - y->zeroPoint};
  const int rounds = bw_find_rounding(&r, to, to + L);
  uint32_t lane;
  if (!rounds) to[0] = 0;
  for (lane = 1; lane < L; lane++) to[lane] = to[0], to[L + lane] = to[L];
  return rounds;
}

static void prepare_convolution(const bw_model *m, const bw_layer *l, const bw_tensor *x, const bw_tensor *y, supply *s, prepared_layer *to) {
  const uint32_t channels = y->channels, padded = up(channels, 2 * L), taps = (uint32_t)l->kernel[0] * l->kernel[1];
  const uint32_t depth = taps * (l->depthwise ? 1 : x->channels);
  const view v = view_of(l, x, y);
  int16_t *weights = take(s, 2 * (l->depthwise ? (uint64_t)padded * 2 * ((taps + 1) / 2) : dense_values(&v, channels)));
  int32_t *epilogues = take(s, 4 * (uint64_t)padded * FIELDS);
  float *roundings = take(s, 4 * (uint64_t)padded * 2);
  int32_t *places = take(s, l->depthwise ? 4 * (uint64_t)(taps + 1) : 0);
  uint32_t *offsets = take(s, l->logMagnitude ? 4 * (uint64_t)padded : 0);
  int64_t *sums = take(s, 8 * (uint64_t)channels);
  const uint8_t *p = m->image + l->parameters;
  uint32_t c, first;
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
  to->roundings = roundings;
  for (first = 0; first < channels; first += 2 * L) {
    const uint32_t vectors = l->depthwise ? 2 : panel_vectors(channels - first);
    int fits = 1, rounds = 1;
    for (c = first; c < first + vectors * L; c++) {
      const uint32_t channel = first + panel_channel(vectors, (c - first) / L, c % L), from = channel < channels ? channel : channels - 1;
      const bw_channel e = bw_load_channel(l, p, channels, from);
      const int64_t sum = l->logMagnitude ? (int64_t)32 << 16 : sums[from] * reach(x);
      const bw_rounding r = {l->logMagnitude ? 0 : -sum, sum, l->accumulatorShift, e.bias, e.multiplier, e.shift, y->min - y->zeroPoint, y->max - y->zeroPoint};
      float *const at = roundings + 2 * L * (c / L) + c % L;
      fits &= lay_epilogue(epilogues + L * FIELDS * (c / L), c % L, e.bias, e.multiplier, e.shift, (sum << l->accumulatorShift) + (e.bias < 0 ? -(int64_t)e.bias : e.bias));
      if (l->logMagnitude) offsets[c] = bw_load32(p + 4 * (2 * channels + from));
      at[0] = at[L] = 0;
      if (rounds && channel < channels) rounds = bw_find_rounding(&r, at, at + L);
    }
    if (!rounds) roundings[2 * first] = 0;
    to->runnable &= (uint32_t)(fits | rounds);
  }
}

/* What layers of one kind work in, one after the other. */
typedef struct {
  uint64_t image, second, attention;
} rooms;

static void prepare_layer(const bw_model *m, const bw_layer *l, supply *s, prepared_layer *to, rooms *room) {
  bw_tensor x, y;
  uint64_t values;
  int32_t *epilogues;
  float *rounding;
  bw_get_tensor(m, l->input[0], &x);
  bw_get_tensor(m, l->output, &y);
  values = (uint64_t)x.height * x.width * x.channels + 4 * L;
  if (l->op == BW_CONVOLUTION) {
    const view v = view_of(l, &x, &y);
    values = image_values(&v);
    prepare_convolution(m, l, &x, &y, s, to);
  } else if (l->op != BW_RESHAPE && l->op != BW_CROP) {
    epilogues = take(s, 4 * 3 * L * FIELDS);
    rounding = take(s, 4 * 2 * L);
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
        const int64_t most = largest_sum(m, l, &x);
        to->roundings = rounding;
        to->runnable = (uint32_t)(lay_uniform(m, l, 0, 4, most, epilogues) | lay_uniform_rounding(m, l, &y, most, rounding));
      }
    }
  }
  if (values > room->image) room->image = values;
  if (l->op == BW_ADD && values > room->second) room->second = values;
  if (l->op == BW_ATTEND && bw_attention_room(&x, &y) > room->attention) room->attention = bw_attention_room(&x, &y);
}

static prepared *lay_out(const bw_model *m, supply *s) {
  prepared *p = take(s, sizeof *p);
  prepared_layer *layers = take(s, m->header.layerCount * sizeof *layers);
  rooms room = {0, 0, 0};
  uint32_t i;
  void *images[3];
  for (i = 0; i < m->header.layerCount; i++) {
    bw_layer l;
    if (s->memory) memset(&layers[i], 0, sizeof *layers);
    bw_get_layer(m, i, &l);
    prepare_layer(m, &l, s, s->memory ? &layers[i] : 0, &room);
  }
  images[0] = take(s, 2 * room.image), images[1] = take(s, 2 * room.second), images[2] = take(s, room.attention);
  if (p) p->layers = layers, p->image = images[0], p->second = images[1], p->attention = images[2];
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

#endif
