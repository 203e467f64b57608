/* The API of bitwright.h over core/: audio in pieces, one answer a hop. Features of frames that were heard before are kept, quantized as
 * the model's input is, so a hop costs its new frames and the network. */
#include "bitwright.h"

#include <string.h>

#include "core/front_end.h"
#include "core/values.h"

/* Marks for the emulator, which counts the instructions between them (counted.elf); hints without a meaning to Cortex-M. */
#ifdef BW_COUNT
#define MARK(code) __asm__ volatile(".short " code ::: "memory")
#else
#define MARK(code) (void)0
#endif
#define BEGIN_FRAME() MARK("0xbf50")
#define BEGIN_LAYER() MARK("0xbf60")
#define END() MARK("0xbf70")

uint8_t bw_memory[BW_MEMORY_BYTES] __attribute__((aligned(16)));
static bw_model model;
static int status = -1;
static int16_t logits[BW_CLASSES];

static void run_layers(void) {
  uint32_t i;
  for (i = 0; i < model.header.layerCount; i++) {
    BEGIN_LAYER();
    bw_run_layer(&model, bw_memory, i);
    END();
  }
  bw_take_logits(&model, bw_memory, logits);
}

#if BW_FRAMES

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
    BEGIN_FRAME();
    bw_front_end_frame(&bw_front_end_state, bw_window, features);
    bw_put_features(&model, bw_heard, frames * BW_FRAME_VALUES, features, BW_FRAME_VALUES);
    END();
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
  bw_put_samples(&model, bw_heard, frames, samples, taken);
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
  bw_get_tensor(&model, 0, &t);
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
}

uint32_t bw_push_audio(const int16_t *samples, uint32_t count) {
  uint32_t answers = 0;
  if (status != BW_OK) return 0;
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
      memcpy(bw_input(&model, bw_memory), bw_heard, BW_INPUT_BYTES);
      run_layers();
      drop(HOP_FRAMES);
      answers++;
    }
  }
  return answers;
}

#else

void bw_classify(const uint8_t *pixels) {
  if (status != BW_OK) return;
  bw_put_pixels(&model, bw_input(&model, bw_memory), 0, pixels, BW_INPUT_VALUES);
  run_layers();
}

#endif

int bw_init(void) {
#if BW_FRAMES
  bw_forget_audio();
#endif
  memset(logits, 0, sizeof logits);
  status = bw_open(&model, bw_model_image, BW_MODEL_BYTES);
  return status;
}

/* 2^y for y <= 0, within 2e-4: the whole part into the exponent, Taylor's series for the rest. */
static float power_of_two(float y) {
  uint32_t bits;
  float whole, rest;
  int32_t exponent;
  if (y < -126.0f) return 0;
  exponent = (int32_t)y;
  rest = y - (float)exponent;
  bits = (uint32_t)(exponent + 127) << 23;
  memcpy(&whole, &bits, 4);
  return whole * (1 + rest * (0.693147f + rest * (0.240227f + rest * (0.055504f + rest * (0.009618f + rest * 0.001333f)))));
}

bw_answer bw_result(void) {
  bw_answer answer = {0, bw_class_names[0], 0, logits};
  float sum = 0;
  uint32_t i;
  for (i = 1; i < BW_CLASSES; i++) {
    if (logits[i] > logits[answer.index]) answer.index = i;
  }
  for (i = 0; i < BW_CLASSES; i++) sum += power_of_two((float)(logits[i] - logits[answer.index]) * (BW_LOGIT_SCALE * 1.442695f));
  answer.name = bw_class_names[answer.index];
  answer.score = 1 / sum;
  return answer;
}
