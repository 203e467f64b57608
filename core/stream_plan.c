/* Whether a model can stream, when each layer runs, and where everything lies. Maps of which only the newest row is read share memory as in
 * the arena, first fit in the order of layers; what is read later, the sums of averages and the front end's window stay where they are.
 * packages/runtime/src/stream-plan.ts plans the same. */
#include <string.h>

#include "stream.h"

#define LIMIT_STATE ((uint64_t)1 << 26)
#define LIMIT_ROWS ((uint64_t)1 << 28)

uint32_t bw_stream_plan_bytes(const bw_model *m) {
  return m->header.tensorCount * (uint32_t)sizeof(map_plan) + m->header.layerCount * (uint32_t)sizeof(layer_plan);
}

/* Layer `reader` reads the last `rows` rows of a map; `later`: also in a step in which none of them is new. */
static void needs(map_plan *maps, uint32_t index, uint32_t reader, uint32_t rows, int later) {
  map_plan *base = &maps[maps[index].base];
  if (base->rows < rows) base->rows = rows;
  base->kept |= (uint16_t)(later || rows > 1);
  base->last = (uint16_t)reader;
}

/* When a layer runs and what it needs; 0 where it cannot. */
static int plan_layer(const bw_model *m, uint32_t index, map_plan *maps) {
  bw_layer l;
  bw_tensor x, y;
  map_plan *from, *to;
  uint64_t step, first;
  bw_get_layer(m, index, &l);
  bw_get_tensor(m, l.input[0], &x);
  bw_get_tensor(m, l.output, &y);
  from = &maps[l.input[0]], to = &maps[l.output];
  step = from->step, first = from->first;
  if (has_window(&l)) {
    if (l.padding[0] | l.padding[1]) return 0;
    needs(maps, l.input[0], index, has_sums(&l) ? 1 : l.kernel[0], 0);
    first += (l.kernel[0] - 1u) * step;
    step *= l.stride[0];
  } else if (l.op == BW_RESHAPE || l.op == BW_CROP) {
    if (l.op == BW_RESHAPE && x.height != y.height) return 0;
    to->base = from->base;
    to->skipped = from->skipped + (x.height - y.height);
    first += (x.height - y.height) * step;
  } else if (l.op == BW_ATTEND) {
    return 0;
  } else if (l.op == BW_ADD) {
    map_plan *second = &maps[l.input[1]];
    if (second->step != step) return 0;
    if (second->first > first) first = second->first;
    /* of maps of one height and step neither is a whole step ahead: each has floor((rows of the input - 1 - first) / step) + 1 rows */
    needs(maps, l.input[0], index, 1, from->first < first);
    needs(maps, l.input[1], index, 1, second->first < first);
  } else {
    needs(maps, l.input[0], index, 1, 0);
  }
  to->step = (uint32_t)step, to->first = (uint32_t)first;
  return step < LIMIT_ROWS && first < LIMIT_ROWS;
}

/* The lowest place in `from`.. for so many bytes during layer `at`, beside the rows in use then. */
static uint64_t place(const bw_model *m, const map_plan *maps, uint32_t at, uint64_t from, uint64_t bytes) {
  uint32_t i = 0;
  while (i <= at) {
    bw_layer l;
    const map_plan *map;
    bw_get_layer(m, i++, &l);
    map = &maps[l.output];
    if (map->base != l.output || map->kept || map->last < at || map->rows == 0) continue;
    if (map->offset < from + bytes && from < map->offset + up16(row_bytes(m, l.output))) {
      from = map->offset + up16(row_bytes(m, l.output));
      i = 0;
    }
  }
  return from;
}

/* Offsets in the state: what stays, then what lives for a step. */
static uint64_t plan_state(bw_stream *s) {
  const bw_model *m = s->model;
  const bw_front_end *f = &m->header.frontEnd;
  map_plan *maps = maps_of(s);
  layer_plan *layers = layers_of(s);
  uint64_t bytes = 0, end;
  uint32_t i;
  for (i = 0; i < m->header.tensorCount; i++) {
    if (!maps[i].kept) continue;
    maps[i].offset = (uint32_t)bytes;
    bytes += up16(maps[i].rows * row_bytes(m, i));
    if (bytes > LIMIT_STATE) return 0;
  }
  s->windowOffset = (uint32_t)bytes;
  if (f->kind != BW_RAW) bytes += up16((uint64_t)2 * f->windowSamples);
  for (i = 0; i < m->header.layerCount; i++) {
    bw_layer l;
    bw_get_layer(m, i, &l);
    if (!has_sums(&l)) continue;
    layers[i].sums = (uint32_t)bytes;
    bytes += up16(4 * (uint64_t)row_sums(m, &l)) + up16((uint64_t)l.kernel[0] * row_sums(m, &l) * sum_bytes(m, &l));
    if (bytes > LIMIT_STATE) return 0;
  }
  end = bytes;
  for (i = 0; i < m->header.layerCount; i++) {
    bw_layer l;
    bw_tensor x, y;
    map_plan *to;
    uint64_t at, size;
    bw_get_layer(m, i, &l);
    to = &maps[l.output];
    if (to->base == l.output && !to->kept) {
      size = row_bytes(m, l.output);
      at = place(m, maps, i, bytes, up16(size));
      to->offset = (uint32_t)at, to->rows = 1;
      if (end < at + up16(size)) end = at + up16(size);
    }
    stream_tensor(m, l.input[0], &x);
    x.height = l.kernel[0];
    bw_get_tensor(m, l.output, &y);
    size = bw_scratch_bytes(&l, &x, &y);
    if (size == 0) continue;
    at = place(m, maps, i, bytes, up16(size));
    layers[i].scratch = (uint32_t)at;
    if (end < at + up16(size)) end = at + up16(size);
    if (end > LIMIT_STATE) return 0;
  }
  return end > LIMIT_STATE ? 0 : end;
}

/* The input's rows are what comes one by one: samples, or frames. */
static int rows_come(const bw_model *m) {
  const bw_front_end *f = &m->header.frontEnd;
  bw_tensor t;
  bw_get_tensor(m, 0, &t);
  if (f->kind == BW_IMAGE) return 0;
  return t.height == (f->kind == BW_RAW ? f->samples : bw_front_end_frames(f));
}

int bw_stream_plan(bw_stream *s, const bw_model *m, void *plan) {
  const bw_front_end *f = &m->header.frontEnd;
  const uint32_t hop = f->kind == BW_RAW ? 1 : f->hopSamples;
  map_plan *maps = plan, *output;
  uint64_t bytes;
  uint32_t i;
  bw_layer l;
  memset(s, 0, sizeof *s);
  memset(plan, 0, bw_stream_plan_bytes(m));
  s->model = m, s->plan = plan;
  if (!rows_come(m)) return 0;
  for (i = 0; i < m->header.tensorCount; i++) maps[i].base = (uint16_t)i;
  maps[0].rows = 1, maps[0].kept = 1, maps[0].step = 1;
  for (i = 0; i < m->header.layerCount; i++) {
    bw_get_layer(m, i, &l);
    maps[l.output].last = (uint16_t)i;
    if (!plan_layer(m, i, maps)) return 0;
  }
  output = &maps[l.output];
  maps[output->base].last = (uint16_t)m->header.layerCount;
  if ((uint64_t)output->step * hop >= LIMIT_ROWS || (uint64_t)output->first * hop >= LIMIT_ROWS) return 0;
  for (i = 0; i < m->header.tensorCount; i++)
    if (!maps[i].kept) maps[i].rows = 0; /* until it has a place */
  bytes = plan_state(s);
  s->stateBytes = (uint32_t)bytes;
  s->hopSamples = output->step * hop;
  s->firstSamples = output->first * hop + (f->kind == BW_RAW ? 1 : f->windowSamples);
  return bytes > 0;
}
