/* Runs the layers of a batch of models in the emulator, each between marks, and frames of their features: for tables of what layers cost.
 *   jobs.bin     for each: uint32 imageBytes, frames; the image, filled up to 4 bytes
 *   done.bin     uint32 status of each, as it ends
 * What the layers read does not matter, so the arena begins as noise. */
#include <stddef.h>
#include <string.h>

#define BW_COUNT
#include "../core/bw.h"
#include "../core/front_end.h"
#include "../core/marks.h"
#include "../port/semihosting.h"

enum { MEMORY = 440 * 1024, NO_FILES = 3, CUT_JOB = 4, TOO_LARGE = 5, MOST_VALUES = 256 };

static uint8_t memory[MEMORY] __attribute__((aligned(16)));
static uint32_t state = 1;

static void *take(uint32_t *used, uint32_t bytes) {
  void *at = memory + *used;
  *used += (bytes + 15) & ~15u;
  if (*used > MEMORY) host_exit(TOO_LARGE);
  return at;
}

static void noise(uint8_t *to, uint32_t bytes) {
  for (; bytes > 0; bytes--) {
    state = state * 1664525u + 1013904223u;
    *to++ = (uint8_t)(state >> 24);
  }
}

static void run_frames(const bw_model *model, uint32_t frames, uint32_t used) {
  const bw_front_end *f = &model->header.frontEnd;
  bw_spectral *spectral = bw_front_end_prepare(f, take(&used, bw_front_end_bytes(f)));
  int16_t *pcm = take(&used, 2 * f->windowSamples);
  uint8_t *input = take(&used, 4 * MOST_VALUES);
  float features[MOST_VALUES];
  for (; frames > 0; frames--) {
    noise((uint8_t *)pcm, 2 * f->windowSamples);
    BW_BEGIN_FRAME();
    bw_front_end_frame(spectral, pcm, features);
    bw_put_features(model, input, 0, features, f->coefficients);
    BW_END();
  }
}

static uint32_t run_job(uint32_t jobs, const uint32_t sizes[2]) {
  bw_model model;
  uint32_t used = 0, status, i;
  uint8_t *image = take(&used, sizes[0]), *arena;
  if (!host_read(jobs, image, (sizes[0] + 3) & ~3u)) host_exit(CUT_JOB);
  status = (uint32_t)bw_open(&model, image, sizes[0]);
  if (status != BW_OK) return status;
  if (sizes[1]) {
    run_frames(&model, sizes[1], used);
    return status;
  }
  arena = take(&used, model.header.arenaBytes);
  noise(arena, model.header.arenaBytes);
  for (i = 0; i < model.header.layerCount; i++) {
    BW_BEGIN_LAYER();
    bw_run_layer(&model, arena, i);
    BW_END();
  }
  return status;
}

int main(void) {
  const uint32_t jobs = host_open("jobs.bin", 0), done = host_open("done.bin", 1);
  uint32_t sizes[2];
  if (jobs == ~0u || done == ~0u) return NO_FILES;
  while (host_read(jobs, sizes, sizeof sizes)) {
    const uint32_t status = run_job(jobs, sizes);
    if (!host_write(done, &status, 4)) return NO_FILES;
  }
  return 0;
}
