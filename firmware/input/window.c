/* Audio for a model that hears a sliding window: features of frames that were heard before are kept, quantized as the model's input is, so
 * that an answer costs its new frames and the network. */
#include "state.h"

#include <string.h>

#include "core/front_end.h"
#include "core/marks.h"
#include "core/values.h"

/* An input of the model, oldest frame first: values of BW_FRAMES frames (raw audio: samples). */
uint8_t bw_heard[BW_INPUT_BYTES] __attribute__((aligned(16)));
static uint32_t frames; /* of it that are there */
static uint32_t unheard; /* samples to come that no frame needs */

enum { HOP_FRAMES = BW_HOP_SAMPLES / BW_FRAME_HOP };
#if BW_HOP_SAMPLES % BW_FRAME_HOP != 0 || BW_HOP_SAMPLES < 1
#error "HOP must be a multiple of BW_FRAME_HOP (model.h)"
#endif

#if BW_FRAME_SAMPLES > 1

int16_t bw_window[BW_FRAME_SAMPLES]; /* the samples of the next frame */
static uint32_t filled;

/* Moves the next frame's beginning on. */
static void pass(uint32_t samples) {
  if (samples < filled) {
    filled -= samples;
    memmove(bw_window, bw_window + samples, filled * sizeof *bw_window);
  } else {
    unheard += samples - filled;
    filled = 0;
  }
}

static uint32_t hear(const int16_t *samples, uint32_t count) {
  const uint32_t room = BW_FRAME_SAMPLES - filled, taken = count < room ? count : room;
  memcpy(bw_window + filled, samples, taken * sizeof *samples);
  filled += taken;
  if (filled == BW_FRAME_SAMPLES) {
    float features[BW_FRAME_VALUES];
    BW_BEGIN_FRAME();
    bw_front_end_frame(&bw_front_end_state, bw_window, features);
    bw_put_features(&bw_loaded, bw_heard, frames * BW_FRAME_VALUES, features, BW_FRAME_VALUES);
    BW_END();
    frames++;
    pass(BW_FRAME_HOP);
  }
  return taken;
}

#else

enum { filled = 0 };

static void pass(uint32_t samples) { unheard += samples; }

static uint32_t hear(const int16_t *samples, uint32_t count) {
  const uint32_t room = BW_FRAMES - frames, taken = count < room ? count : room;
  bw_put_samples(&bw_loaded, bw_heard, frames, samples, taken);
  frames += taken;
  return taken;
}

#endif

/* Drops the oldest frames of a whole input. */
static void drop(uint32_t count) {
  const uint32_t values = count * BW_FRAME_VALUES;
  bw_tensor t;
  uint32_t i;
  if (count >= BW_FRAMES) {
    frames = 0;
    pass((count - BW_FRAMES) * BW_FRAME_HOP);
    return;
  }
  bw_get_tensor(&bw_loaded, 0, &t);
  if (on_byte(&t, values)) {
    const uint32_t bytes = values * t.containerBits / 8;
    memmove(bw_heard, bw_heard + bytes, BW_INPUT_BYTES - bytes);
  } else {
    for (i = values; i < BW_INPUT_VALUES; i++) store(&t, bw_heard, i - values, fetch1(&t, bw_heard, i));
  }
  frames -= count;
}

void bw_forget_audio(void) {
  frames = unheard = 0;
#if BW_FRAME_SAMPLES > 1
  filled = 0;
#endif
#if BW_DETECTS
  bw_forget_scores();
#endif
}

int bw_open_input(void) {
  bw_forget_audio();
  return BW_OK;
}

uint32_t bw_push_audio(const int16_t *samples, uint32_t count) {
  uint32_t answers = 0;
  if (bw_status != BW_OK) return 0;
  while (count > 0) {
    uint32_t taken;
    if (unheard > 0) {
      taken = unheard < count ? unheard : count;
      unheard -= taken;
    } else {
      taken = hear(samples, count);
    }
    samples += taken;
    count -= taken;
    if (frames == BW_FRAMES) {
      memcpy(bw_input(&bw_loaded, bw_memory), bw_heard, BW_INPUT_BYTES);
      bw_run_layers();
      bw_take_answer();
      drop(HOP_FRAMES);
      answers++;
    }
  }
  return answers;
}
