/* Runs a batch of models in the emulator, each from memory as a host would load it: for the conformance of the core on a processor.
 *   jobs.bin     for each: uint32 imageBytes, uint32 inputBytes, the image, the input (samples or pixels); blobs filled up to 4 bytes
 *   results.bin  for each: uint32 status, then its int16 logits where that is 0, filled up to 4 bytes */
#include <stddef.h>
#include <string.h>

#include "../core/bw.h"
#include "../port/semihosting.h"

enum { MEMORY = 448 * 1024, NO_FILES = 3, CUT_JOB = 4, TOO_LARGE = 5 };

static uint8_t memory[MEMORY] __attribute__((aligned(16)));

static void *take(uint32_t *used, uint32_t bytes) {
  void *at = memory + *used;
  *used += (bytes + 15) & ~15u;
  if (*used > MEMORY) host_exit(TOO_LARGE);
  return at;
}

static void run_job(uint32_t jobs, const uint32_t sizes[2], uint32_t results) {
  bw_model model;
  uint32_t used = 0, bytes, status;
  uint8_t *image = take(&used, sizes[0]), *input = take(&used, sizes[1]);
  void *arena, *front_end;
  int16_t *logits;
  if (!host_read(jobs, image, (sizes[0] + 3) & ~3u) || !host_read(jobs, input, (sizes[1] + 3) & ~3u)) host_exit(CUT_JOB);
  status = (uint32_t)bw_open(&model, image, sizes[0]);
  if (!host_write(results, &status, 4)) host_exit(NO_FILES);
  if (status != BW_OK) return;
  bytes = (model.header.classCount * 2 + 3) & ~3u;
  arena = take(&used, model.header.arenaBytes);
  logits = take(&used, bytes);
  if (model.header.frontEnd.kind == BW_IMAGE) {
    bw_run_pixels(&model, arena, input, logits);
  } else if (model.header.frontEnd.kind == BW_RAW) {
    bw_run(&model, arena, NULL, (const int16_t *)(void *)input, logits);
  } else {
    front_end = take(&used, bw_front_end_bytes(&model.header.frontEnd));
    bw_run(&model, arena, bw_front_end_prepare(&model.header.frontEnd, front_end), (const int16_t *)(void *)input, logits);
  }
  if (!host_write(results, logits, bytes)) host_exit(NO_FILES);
}

int main(void) {
  const uint32_t jobs = host_open("jobs.bin", 0), results = host_open("results.bin", 1);
  uint32_t sizes[2];
  if (jobs == ~0u || results == ~0u) return NO_FILES;
  while (host_read(jobs, sizes, sizeof sizes)) {
    memset(memory, 0xa5, sizeof memory);
    run_job(jobs, sizes, results);
  }
  return 0;
}
