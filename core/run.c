/* One clip or image through an opened model: its input into the arena, one pass over the layers, the logits out. */
#include "front_end.h"
#include "layer.h"
#include "values.h"

void bw_run_layer(const bw_model *m, void *arena, uint32_t layer) {
  bw_step s;
  bw_load_step(m, layer, arena, &s);
  bw_run_step(m, layer, &s);
}

void bw_take_logits(const bw_model *m, const void *arena, int16_t *logits) {
  bw_layer l;
  bw_tensor t;
  bw_get_layer(m, m->header.layerCount - 1, &l);
  bw_get_tensor(m, l.output, &t);
  memcpy(logits, (const uint8_t *)arena + t.offset, m->header.classCount * sizeof *logits);
}

static void execute(const bw_model *m, void *arena, int16_t *logits) {
  uint32_t i;
  for (i = 0; i < m->header.layerCount; i++) bw_run_layer(m, arena, i);
  bw_take_logits(m, arena, logits);
}

void *bw_input(const bw_model *m, void *arena) {
  bw_tensor t;
  bw_get_tensor(m, 0, &t);
  return (uint8_t *)arena + t.offset;
}

void bw_put_samples(const bw_model *m, void *input, uint32_t first, const int16_t *pcm, uint32_t count) {
  bw_tensor t;
  uint32_t i;
  bw_get_tensor(m, 0, &t);
  if (t.containerBits == 16 && t.min == INT16_MIN && t.max == INT16_MAX) {
    memcpy((int16_t *)input + first, pcm, count * sizeof *pcm);
    return;
  }
  for (i = 0; i < count; i++) store(&t, input, first + i, pcm[i]);
}

/* clamp(round(features / scale) + zeroPoint) in float32, ties to even; anything that is no number becomes min. */
void bw_put_features(const bw_model *m, void *input, uint32_t first, const float *features, uint32_t count) {
  const float magic = 12582912.0f; /* 1.5 * 2^23 */
  float low, high;
  bw_tensor t;
  uint32_t i;
  bw_get_tensor(m, 0, &t);
  low = (float)(t.min - t.zeroPoint);
  high = (float)(t.max - t.zeroPoint);
  for (i = 0; i < count; i++) {
    float v = features[i] / t.scale;
    if (!(v > low)) v = low;
    if (v > high) v = high;
    v = (v + magic) - magic;
    store(&t, input, first + i, (int32_t)v);
  }
}

void bw_put_pixels(const bw_model *m, void *input, uint32_t first, const uint8_t *pixels, uint32_t count) {
  uint8_t *to = (uint8_t *)input + first;
  uint32_t i;
  (void)m;
  for (i = 0; i < count; i++) to[i] = pixels[i] ^ 0x80; /* p - 128 as int8 */
}

static uint32_t input_values(const bw_model *m) {
  bw_tensor t;
  bw_get_tensor(m, 0, &t);
  return t.height * t.width * t.channels;
}

void bw_run(const bw_model *m, void *arena, const bw_spectral *spectral, const int16_t *pcm, int16_t *logits) {
  const bw_front_end *f = &m->header.frontEnd;
  void *input = bw_input(m, arena);
  uint32_t i, frames;
  if (f->kind == BW_RAW) {
    bw_put_samples(m, input, 0, pcm, f->samples);
  } else {
    float features[BW_SIDE * BW_MAX_BANDS];
    frames = bw_front_end_frames(f);
    for (i = 0; i < frames; i += BW_SIDE) {
      const uint32_t count = frames - i < BW_SIDE ? frames - i : BW_SIDE;
      bw_front_end_clip(spectral, pcm + i * f->hopSamples, count, features);
      bw_put_features(m, input, i * f->coefficients, features, count * f->coefficients);
    }
  }
  execute(m, arena, logits);
}

void bw_run_pixels(const bw_model *m, void *arena, const uint8_t *pixels, int16_t *logits) {
  bw_put_pixels(m, bw_input(m, arena), 0, pixels, input_values(m));
  execute(m, arena, logits);
}

void bw_run_features(const bw_model *m, void *arena, const float *features, int16_t *logits) {
  bw_put_features(m, bw_input(m, arena), 0, features, input_values(m));
  execute(m, arena, logits);
}
