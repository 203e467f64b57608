/* The core as bench/native-core.ts calls it: a model with all the memory it wants, weights laid out for this processor's vectors. */
#include <stdlib.h>
#include <string.h>

#include "bw.h"

#define EXPORT __attribute__((visibility("default")))

typedef struct {
  bw_model model;
  void *image, *arena, *prepared;
} bench_core;

static void *allocate(uint64_t bytes) { return aligned_alloc(64, (bytes / 64 + 1) * 64); }

EXPORT void bench_core_close(bench_core *core) {
  free(core->image);
  free(core->arena);
  free(core->prepared);
  free(core);
}

/* NULL where the core refuses the image. */
EXPORT bench_core *bench_core_open(const uint8_t *image, uint32_t length) {
  bench_core *core = calloc(1, sizeof *core);
  core->image = allocate(length);
  memcpy(core->image, image, length);
  if (bw_open(&core->model, core->image, length) != BW_OK) {
    bench_core_close(core);
    return NULL;
  }
  core->arena = allocate(core->model.header.arenaBytes);
  core->prepared = allocate(bw_prepared_bytes(&core->model));
  bw_prepare(&core->model, core->prepared);
  return core;
}

EXPORT void bench_core_run(bench_core *core, const int16_t *pcm, int16_t *logits) {
  bw_run(&core->model, core->arena, NULL, pcm, logits);
}

EXPORT void bench_core_run_features(bench_core *core, const float *features, int16_t *logits) {
  bw_run_features(&core->model, core->arena, features, logits);
}
