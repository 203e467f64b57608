/* Runs a batch of models in the emulator, each from memory as a host would load it: for the conformance of the core on a processor.
 *   jobs.bin     for each: uint32 imageBytes, inputBytes, streams (1: the input is a stream); the image, the input (samples or pixels); blobs
 *                filled up to 4 bytes
 *   results.bin  for each: uint32 status, then where that is 0 uint32 count, and so many times its int16 logits, filled up to 4 bytes */
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

/* All the logits of a stream that comes in pieces. */
static void run_stream(const bw_model *model, bw_spectral *spectral, const int16_t *pcm, uint32_t count, uint32_t used, uint32_t results) {
  const uint32_t bytes = (model->header.classCount * 2 + 3) & ~3u;
  void *plan = take(&used, bw_stream_plan_bytes(model));
  int16_t *logits = take(&used, bytes);
  uint32_t at = 0, answers;
  bw_stream stream;
  if (!bw_stream_plan(&stream, model, plan)) host_exit(CUT_JOB);
  answers = count < stream.firstSamples ? 0 : 1 + (count - stream.firstSamples) / stream.hopSamples;
  if (!host_write(results, &answers, 4)) host_exit(NO_FILES);
  bw_stream_open(&stream, spectral, take(&used, stream.stateBytes));
  while (at < count) {
    const uint32_t piece = 1 + at * 37 % 211;
    int ready;
    at += bw_stream_push(&stream, pcm + at, piece < count - at ? piece : count - at, logits, &ready);
    if (ready && !host_write(results, logits, bytes)) host_exit(NO_FILES);
  }
}

static void run_job(uint32_t jobs, const uint32_t sizes[3], uint32_t results) {
  bw_model model;
  uint32_t used = 0, bytes, status;
  uint8_t *image = take(&used, sizes[0]), *input = take(&used, sizes[1]);
  bw_spectral *spectral = NULL;
  const uint32_t one = 1;
  void *arena;
  int16_t *logits;
  if (!host_read(jobs, image, (sizes[0] + 3) & ~3u) || !host_read(jobs, input, (sizes[1] + 3) & ~3u)) host_exit(CUT_JOB);
  status = (uint32_t)bw_open(&model, image, sizes[0]);
  if (!host_write(results, &status, 4)) host_exit(NO_FILES);
  if (status != BW_OK) return;
  if (model.header.frontEnd.kind == BW_MFCC || model.header.frontEnd.kind == BW_LOGMEL)
    spectral = bw_front_end_prepare(&model.header.frontEnd, take(&used, bw_front_end_bytes(&model.header.frontEnd)));
  if (sizes[2]) {
    run_stream(&model, spectral, (const int16_t *)(void *)input, sizes[1] / 2, used, results);
    return;
  }
  bytes = (model.header.classCount * 2 + 3) & ~3u;
  arena = take(&used, model.header.arenaBytes);
  logits = take(&used, bytes);
  if (model.header.frontEnd.kind == BW_IMAGE) bw_run_pixels(&model, arena, input, logits);
  else bw_run(&model, arena, spectral, (const int16_t *)(void *)input, logits);
  if (!host_write(results, &one, 4)) host_exit(NO_FILES);
  if (!host_write(results, logits, bytes)) host_exit(NO_FILES);
}

int main(void) {
  const uint32_t jobs = host_open("jobs.bin", 0), results = host_open("results.bin", 1);
  uint32_t sizes[3];
  if (jobs == ~0u || results == ~0u) return NO_FILES;
  while (host_read(jobs, sizes, sizeof sizes)) {
    memset(memory, 0xa5, sizeof memory);
    run_job(jobs, sizes, results);
  }
  return 0;
}
