/* Attention in plain C, two queries at a time, so that keys and values, in whatever container, are unpacked half as often as there are
 * positions and never kept. A row of scores becomes probabilities where it lies. */
#include "attend.h"

#include <stddef.h>

#include "cortex.h"
#include "values.h"

/* A step has two inputs at most: the others of attention are found from the places that it has in the image and the arena. */
static void load_tensor(const bw_step *s, uint32_t index, bw_tensor *t) {
  const uint8_t *image = s->parameters - s->l.parameters;
  memcpy(t, image + bw_load32(image + offsetof(bw_header, tensors)) + index * (uint32_t)sizeof *t, sizeof *t);
}

bw_attention bw_attention_of(const bw_step *s) {
  const uint8_t *const arena = s->scratch - s->l.scratch;
  bw_attention a;
  a.query = s->x;
  load_tensor(s, s->l.input[1], &a.key);
  load_tensor(s, bw_third_input(&s->l), &a.value);
  a.queries = s->in, a.keys = arena + a.key.offset, a.values = arena + a.value.offset;
  a.positions = s->x.height * s->x.width, a.depth = s->x.channels, a.channels = s->y.channels;
  a.octaves = bw_octaves_of(a.query.scale * a.key.scale);
  a.multiplier = (int32_t)bw_load32(s->parameters), a.shift = (int8_t)s->parameters[4];
  return a;
}

void bw_soften(const bw_attention *a, int32_t *row, uint32_t step) {
  const bw_octaves octaves = a->octaves;
  int32_t *const end = row + (size_t)step * a->positions, *at, largest = *row;
  uint32_t sum = 0, inverse;
  for (at = row; at < end; at += step)
    if (*at > largest) largest = *at;
  for (at = row; at < end; at += step) sum += (uint32_t)(*at = (int32_t)bw_power(&octaves, (uint32_t)(largest - *at)));
  inverse = UINT32_MAX / sum;
  for (at = row; at < end; at += step) *at = bw_share((uint32_t)*at, sum, inverse);
}

/* Rows of a map, out of line: unpacking has many ways. */
static __attribute__((noinline)) void unpack(const bw_tensor *t, const uint8_t *from, uint32_t index, uint32_t count, int16_t *to) {
  fetch(t, from, index, count, to);
}

void bw_attend(const bw_step *s) {
  const bw_attention a = bw_attention_of(s);
  int32_t *const rows[2] = {(int32_t *)(void *)s->scratch, (int32_t *)(void *)s->scratch + a.positions};
  int32_t *const sums[2] = {rows[1] + a.positions, rows[1] + a.positions + a.channels};
  int16_t *const queries[2] = {(int16_t *)(void *)(sums[1] + a.channels), (int16_t *)(void *)(sums[1] + a.channels) + a.depth};
  int16_t *const unpacked = queries[1] + a.depth;
  uint32_t i, j, c, q;
#if defined(BW_CORTEX_DSP) || defined(BW_CORTEX_MVE)
  if (bw_attend_in_fours(s, &a)) return;
#endif
  for (i = 0; i < a.positions; i += 2) {
    const uint32_t together = a.positions - i < 2 ? 1 : 2;
    unpack(&a.query, a.queries, i * a.depth, together * a.depth, queries[0]);
    for (j = 0; j < a.positions; j++) {
      unpack(&a.key, a.keys, j * a.depth, a.depth, unpacked);
      for (q = 0; q < together; q++) {
        int32_t score = 0;
        for (c = 0; c < a.depth; c++) score += queries[q][c] * unpacked[c];
        rows[q][j] = score;
      }
    }
    for (q = 0; q < together; q++) bw_soften(&a, rows[q], 1);
    memset(sums[0], 0, 8 * (size_t)a.channels);
    for (j = 0; j < a.positions; j++) {
      unpack(&a.value, a.values, j * a.channels, a.channels, unpacked);
      for (q = 0; q < together; q++) {
        const int32_t share = rows[q][j];
        for (c = 0; c < a.channels; c++) sums[q][c] += share * unpacked[c];
      }
    }
    for (q = 0; q < together; q++)
      for (c = 0; c < a.channels; c++)
        store(&s->y, s->out, (i + q) * a.channels + c, bw_requantize(sums[q][c], a.multiplier, a.shift));
  }
}
