/* One clip or image through an opened model: its input into the arena, one pass over the layers, the logits out. */
#include "layer.h"
#include "values.h"

static void execute(const bw_model *m, uint8_t *arena, int16_t *logits) {
  bw_step s;
  uint32_t i;
  for (i = 0; i < m->header.layerCount; i++) {
    bw_load_step(m, i, arena, &s);
    bw_run_step(m, i, &s);
  }
  memcpy(logits, s.out, m->header.classCount * sizeof *logits);
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

void bw_run_pixels(const bw_model *m, void *arena, const uint8_t *pixels, int16_t *logits) {
  bw_tensor t;
  uint8_t *to;
  uint32_t i, count;
  bw_get_tensor(m, 0, &t);
  to = (uint8_t *)arena + t.offset;
  count = t.height * t.width * t.channels;
  for (i = 0; i < count; i++) to[i] = pixels[i] ^ 0x80; /* p - 128 as int8 */
  execute(m, arena, logits);
}

void bw_run_features(const bw_model *m, void *arena, const float *features, int16_t *logits) {
  bw_tensor t;
  bw_get_tensor(m, 0, &t);
  quantize(&t, arena, 0, features, t.height * t.width * t.channels);
  execute(m, arena, logits);
}
