/* The front end on clips: BW_SIDE frames at a time where there are vectors and the caller gave memory for it, else one by one. */
#include <stddef.h>

#include "front_end.h"
#define BW_FRAMES BW_SIDE

#if BW_SIDE > 1
#include "front_end_frame.h"

struct bw_side {
  bw_spectral frames;  /* with buffers BW_SIDE times as wide */
  uint32_t begin, end; /* the bins that bands use */
};

static uint32_t round64(uint32_t bytes) { return (bytes + 63) & ~63u; }

static uint32_t row_bytes(uint32_t values) { return round64(values * (uint32_t)sizeof(reals)); }

uint32_t bw_front_end_side_bytes(const bw_spectral *s) {
  return round64(sizeof(struct bw_side)) + 2 * row_bytes(APART * (s->size / 2)) + row_bytes(s->size / 2 + 1) + row_bytes(s->config.melBands);
}

static float *take(uint8_t **at, uint32_t values) {
  float *p = (float *)(void *)*at;
  *at += row_bytes(values);
  return p;
}

void bw_front_end_widen(bw_spectral *s, void *memory) {
  struct bw_side *side = memory;
  uint8_t *at = (uint8_t *)memory + round64(sizeof *side);
  const uint32_t half = s->size / 2;
  uint32_t i;
  side->frames = *s;
  for (i = 0; i < 2; i++) {
    side->frames.re[i] = take(&at, APART * half);
    side->frames.im[i] = NULL;
  }
  side->frames.power = take(&at, half + 1);
  side->frames.energy = take(&at, s->config.melBands);
  side->begin = half;
  side->end = 1;
  for (i = 0; i < s->config.melBands; i++) {
    const uint32_t begin = s->bandStart[i] > 0 ? s->bandStart[i] : 1, end = s->bandStart[i] + s->bandCount[i];
    if (s->bandCount[i] == 0) continue;
    if (begin < side->begin) side->begin = begin;
    if (end > side->end) side->end = end < half ? end : half;
  }
  s->side = side;
}

static void compute_side(const struct bw_side *side, const int16_t *pcm, uint32_t frames, float *features) {
  const uint32_t count = side->frames.config.coefficients;
  const int16_t *starts[BW_SIDE];
  reals wide[BW_MAX_BANDS];
  uint32_t lane, k;
  for (lane = 0; lane < BW_SIDE; lane++) starts[lane] = pcm + (lane < frames ? lane : frames - 1) * side->frames.config.hopSamples;
  compute_frames(&side->frames, starts, side->begin, side->end, wide);
  for (lane = 0; lane < BW_SIDE && lane < frames; lane++)
    for (k = 0; k < count; k++) *features++ = wide[k][lane];
}

#else

uint32_t bw_front_end_side_bytes(const bw_spectral *s) {
  (void)s;
  return 0;
}

void bw_front_end_widen(bw_spectral *s, void *memory) { (void)s, (void)memory; }

#endif

void bw_front_end_clip(const bw_spectral *s, const int16_t *pcm, uint32_t frames, float *features) {
  const uint32_t hop = s->config.hopSamples, count = s->config.coefficients;
  uint32_t i = 0;
#if BW_SIDE > 1
  if (s->side)
    for (; i < frames; i += BW_SIDE) compute_side(s->side, pcm + (size_t)i * hop, frames - i, features + (size_t)i * count);
#endif
  for (; i < frames; i++) bw_front_end_frame(s, pcm + (size_t)i * hop, features + (size_t)i * count);
}
