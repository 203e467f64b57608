/* Streams. In a step new rows of the input come, and each layer in order runs on what is new: a convolution once its window is full, on the
 * last rows of its input, which lie one after the other; an average over rows from running sums. */
#include <string.h>

#include "arithmetic.h"
#include "layer.h"
#include "marks.h"
#include "stream.h"
#include "values.h"

void bw_stream_open(bw_stream *s, const bw_spectral *spectral, void *state) {
  const bw_model *m = s->model;
  bw_layer l;
  uint32_t i;
  s->spectral = spectral;
  s->state = state;
  s->filled = s->waiting = 0;
  memset(state, 0, s->stateBytes);
  for (i = 0; i < m->header.layerCount; i++) {
    layer_plan *plan = &layers_of(s)[i];
    bw_get_layer(m, i, &l);
    plan->wait = maps_of(s)[trigger_of(maps_of(s), &l)].skipped + (has_window(&l) ? l.kernel[0] : 1);
    if (has_sums(&l)) plan->oldest = 0;
  }
  s->outputWait = maps_of(s)[l.output].skipped + 1;
}

/* Moves values down by `gap` bytes, so that `bytes` of them stay. */
static void move_down(uint8_t *at, uint64_t gap, uint64_t bytes) {
  uint64_t i;
  for (i = 0; i < bytes; i += gap) memcpy(at + i, at + i + gap, (size_t)(bytes - i < gap ? bytes - i : gap));
}

/* Makes room for new rows of a map that is a base; returns where the newest belongs. */
static uint8_t *advance(const bw_stream *s, uint32_t index, uint32_t rows) {
  map_plan *map = &maps_of(s)[index];
  const uint64_t bytes = row_bytes(s->model, index);
  uint8_t *at = s->state + map->offset;
  if (rows < map->rows) move_down(at, rows * bytes, (map->rows - rows) * bytes);
  map->fresh = (uint16_t)rows;
  return at + (map->rows - 1) * bytes;
}

/* The last rows of a map. */
static const uint8_t *last_rows(const bw_stream *s, uint32_t index, uint32_t rows) {
  const map_plan *base = &maps_of(s)[maps_of(s)[index].base];
  return s->state + base->offset + (base->rows - rows) * row_bytes(s->model, maps_of(s)[index].base);
}

static int32_t load_sum(const uint8_t *sums, uint32_t bytes, uint32_t i) {
  return bytes == 2 ? ((const int16_t *)(const void *)sums)[i] : ((const int32_t *)(const void *)sums)[i];
}

/* Takes the newest row into an average's sums and the oldest out of them. */
static void add_row(const bw_stream *s, const bw_layer *l, layer_plan *plan) {
  const uint32_t count = row_sums(s->model, l), bytes = sum_bytes(s->model, l);
  int32_t *totals = (int32_t *)(void *)(s->state + plan->sums);
  uint8_t *oldest = s->state + plan->sums + up16(4 * (uint64_t)count) + (uint64_t)plan->oldest * count * bytes;
  const uint8_t *row = last_rows(s, l->input[0], 1);
  bw_tensor x;
  uint32_t i, k;
  stream_tensor(s->model, l->input[0], &x);
  for (i = 0; i < count; i++) {
    const uint32_t column = i / x.channels * l->stride[1], channel = i % x.channels;
    int32_t sum = 0;
    for (k = 0; k < l->kernel[1]; k++) sum += fetch1(&x, row, (column + k) * x.channels + channel);
    totals[i] += sum - load_sum(oldest, bytes, i);
    if (bytes == 2) ((int16_t *)(void *)oldest)[i] = (int16_t)sum;
    else ((int32_t *)(void *)oldest)[i] = sum;
  }
  if (++plan->oldest == l->kernel[0]) plan->oldest = 0;
}

static void run_average(const bw_stream *s, const bw_step *step, const layer_plan *plan) {
  const int32_t *totals = (const int32_t *)(const void *)(s->state + plan->sums);
  const int32_t multiplier = (int32_t)bw_load32(step->parameters), shift = (int8_t)step->parameters[4];
  const uint32_t count = (uint32_t)step->y.width * step->y.channels;
  uint32_t i;
  for (i = 0; i < count; i++) store(&step->y, step->out, i, bw_requantize(totals[i], multiplier, shift));
}

static void run_row(const bw_stream *s, uint32_t index) {
  const bw_model *m = s->model;
  layer_plan *plan = &layers_of(s)[index];
  bw_step step;
  bw_load_step(m, index, s->state, &step);
  stream_tensor(m, step.l.input[0], &step.x);
  stream_tensor(m, step.l.output, &step.y);
  step.x.height = step.l.op == BW_CONVOLUTION ? step.l.kernel[0] : 1;
  step.y.height = 1;
  step.in = last_rows(s, step.l.input[0], step.x.height);
  if (step.l.op == BW_ADD) {
    stream_tensor(m, step.l.input[1], &step.z);
    step.z.height = 1;
    step.second = last_rows(s, step.l.input[1], 1);
  }
  step.out = advance(s, step.l.output, 1);
  step.scratch = s->state + plan->scratch;
  if (has_sums(&step.l)) run_average(s, &step, plan);
  else bw_run_step(m, index, &step);
}

/* A layer's part in a step: whether it has what it waits for, and then its row. */
static void step_layer(const bw_stream *s, uint32_t index) {
  layer_plan *plan = &layers_of(s)[index];
  map_plan *maps = maps_of(s);
  uint32_t fresh;
  bw_layer l;
  bw_get_layer(s->model, index, &l);
  if (l.op == BW_RESHAPE || l.op == BW_CROP) return;
  fresh = maps[maps[trigger_of(maps, &l)].base].fresh;
  maps[l.output].fresh = 0;
  if (fresh == 0) return;
  if (has_sums(&l)) add_row(s, &l, plan);
  if (plan->wait > fresh) {
    plan->wait -= fresh;
    return;
  }
  plan->wait = has_window(&l) ? l.stride[0] : 1;
  run_row(s, index);
}

/* New rows of the input through all layers. */
static int run_step(bw_stream *s, int16_t *logits) {
  const bw_model *m = s->model;
  const map_plan *maps = maps_of(s);
  uint32_t i, fresh;
  bw_layer l;
  for (i = 0; i < m->header.layerCount; i++) {
    BW_BEGIN_LAYER();
    step_layer(s, i);
    BW_END();
  }
  bw_get_layer(m, i - 1, &l);
  fresh = maps[maps[l.output].base].fresh;
  if (s->outputWait > fresh) {
    s->outputWait -= fresh;
    return 0;
  }
  s->outputWait = 1;
  memcpy(logits, last_rows(s, l.output, 1), m->header.classCount * sizeof *logits);
  return 1;
}

/* Rows of the input that may come before a layer has something to do. */
static uint32_t input_wait(const bw_stream *s) {
  uint32_t i, wait = UINT16_MAX;
  for (i = 0; i < s->model->header.layerCount; i++) {
    bw_layer l;
    bw_get_layer(s->model, i, &l);
    if (l.op == BW_RESHAPE || l.op == BW_CROP || maps_of(s)[l.input[0]].base != 0) continue;
    if (has_sums(&l)) return 1;
    if (layers_of(s)[i].wait < wait) wait = layers_of(s)[i].wait;
  }
  return wait;
}

static uint32_t push_samples(bw_stream *s, const int16_t *pcm, uint32_t count, int16_t *logits, int *ready) {
  uint32_t used = 0;
  while (used < count && !*ready) {
    const uint32_t wait = input_wait(s), rows = count - used < wait ? count - used : wait, kept = maps_of(s)[0].rows;
    const uint32_t stored = rows < kept ? rows : kept;
    advance(s, 0, rows);
    used += rows;
    bw_put_samples(s->model, s->state + maps_of(s)[0].offset, kept - stored, pcm + used - stored, stored);
    *ready = run_step(s, logits);
  }
  return used;
}

/* A frame's features into the newest row of the input. */
static void put_frame(const bw_stream *s, const float *features) {
  const uint32_t count = s->model->header.frontEnd.coefficients;
  uint8_t *row = advance(s, 0, 1), packed[2 * BW_MAX_BANDS] = {0};
  bw_tensor from, to;
  uint32_t i;
  bw_get_tensor(s->model, 0, &from);
  stream_tensor(s->model, 0, &to);
  if (from.containerBits == to.containerBits) {
    bw_put_features(s->model, row, 0, features, count);
    return;
  }
  bw_put_features(s->model, packed, 0, features, count);
  for (i = 0; i < count; i++) store(&to, row, i, fetch1(&from, packed, i));
}

static uint32_t push_frames(bw_stream *s, const int16_t *pcm, uint32_t count, int16_t *logits, int *ready) {
  const bw_front_end *f = &s->model->header.frontEnd;
  int16_t *window = (int16_t *)(void *)(s->state + s->windowOffset);
  uint32_t used = 0;
  while (used < count && !*ready) {
    uint32_t take = count - used;
    if (s->waiting > 0) { /* between windows that do not meet */
      if (take > s->waiting) take = s->waiting;
      s->waiting -= take, used += take;
      continue;
    }
    if (take > f->windowSamples - s->filled) take = f->windowSamples - s->filled;
    memcpy(window + s->filled, pcm + used, take * sizeof *pcm);
    s->filled += take, used += take;
    if (s->filled == f->windowSamples) {
      float features[BW_MAX_BANDS];
      BW_BEGIN_FRAME();
      bw_front_end_frame(s->spectral, window, features);
      put_frame(s, features);
      BW_END();
      *ready = run_step(s, logits);
      s->filled = f->windowSamples > f->hopSamples ? f->windowSamples - f->hopSamples : 0;
      s->waiting = f->hopSamples > f->windowSamples ? f->hopSamples - f->windowSamples : 0;
      if (s->filled > 0) move_down((uint8_t *)window, 2 * (uint64_t)f->hopSamples, 2 * (uint64_t)s->filled);
    }
  }
  return used;
}

uint32_t bw_stream_push(bw_stream *s, const int16_t *pcm, uint32_t count, int16_t *logits, int *ready) {
  *ready = 0;
  return s->model->header.frontEnd.kind == BW_RAW ? push_samples(s, pcm, count, logits, ready) : push_frames(s, pcm, count, logits, ready);
}
