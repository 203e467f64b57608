/* The core as a host program for the tests: runs a whole batch of jobs in one process, each with buffers of exactly the promised size,
 * so that a sanitizer sees every byte out of bounds. Each model runs as it lies in the image and prepared, each front end frame by frame and
 * with frames side by side; other logits or features are a failure.
 *   host JOBS RESULTS
 * JOBS holds records of three words and two blobs: kind, firstBytes, secondBytes, first, second (each blob padded to 4 bytes).
 *   kind 0: .bw image, PCM or pixels  -> status, logits (2 bytes each)
 *   kind 1: .bw image, float features -> status, logits
 *   kind 2: bw_front_end, int16 PCM   -> status, float features
 *   kind 3: .bw image, PCM            -> status, then if it streams: bytes of plan and state, samples of hop and first, all logits
 *   kind 4: float32 scale, int16 logits -> status, best class (4 bytes), 16-bit probabilities, 8-bit ones
 * An input shorter than the model wants is filled with zeros. RESULTS holds a word with the blob's size before each blob. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bw.h"

static FILE *results;

static void *allocate(size_t bytes) {
  void *p = malloc(bytes ? bytes : 1);
  if (!p) exit(3);
  memset(p, 0xa5, bytes);
  return p;
}

/* So many bytes, 64-byte aligned; *room is what is to be freed. */
static void *allocate_aligned(size_t bytes, void **room) {
  *room = allocate(bytes + 64);
  return (uint8_t *)*room + (64 - (uintptr_t)*room % 64);
}

static void *resized(const void *data, size_t have, size_t want) {
  void *p = allocate(want);
  memset(p, 0, want);
  memcpy(p, data, have < want ? have : want);
  return p;
}

static void *read_blob(FILE *jobs, uint32_t bytes) {
  void *p = allocate(bytes);
  if (fread(p, 1, bytes, jobs) != bytes) exit(4);
  fseek(jobs, (4 - bytes % 4) % 4, SEEK_CUR);
  return p;
}

static void write_result(uint32_t status, const void *data, uint32_t bytes) {
  uint32_t size = 4 + bytes;
  fwrite(&size, 4, 1, results);
  fwrite(&status, 4, 1, results);
  if (bytes) fwrite(data, 1, bytes, results);
}

static void run_job(int features, const uint8_t *image, uint32_t imageBytes, const void *data, uint32_t bytes) {
  bw_model model;
  bw_spectral *spectral = NULL;
  void *arena, *memory = NULL, *input, *room, *prepared, *sideRoom = NULL;
  int16_t *logits, *again;
  int status = bw_open(&model, image, imageBytes);
  if (status != BW_OK) {
    write_result((uint32_t)status, NULL, 0);
    return;
  }
  arena = allocate(model.header.arenaBytes);
  logits = allocate(2 * model.header.classCount);
  again = allocate(2 * model.header.classCount);
  prepared = allocate_aligned(bw_prepared_bytes(&model), &room);
  if (features) {
    bw_tensor t;
    bw_get_tensor(&model, 0, &t);
    input = resized(data, bytes, (size_t)4 * t.height * t.width * t.channels);
    bw_run_features(&model, arena, input, logits);
    bw_prepare(&model, prepared);
    bw_run_features(&model, arena, input, again);
  } else if (model.header.frontEnd.kind == BW_IMAGE) {
    bw_tensor t;
    bw_get_tensor(&model, 0, &t);
    input = resized(data, bytes, (size_t)t.height * t.width * t.channels);
    bw_run_pixels(&model, arena, input, logits);
    bw_prepare(&model, prepared);
    bw_run_pixels(&model, arena, input, again);
  } else {
    if (model.header.frontEnd.kind != BW_RAW) {
      memory = allocate(bw_front_end_bytes(&model.header.frontEnd));
      spectral = bw_front_end_prepare(&model.header.frontEnd, memory);
    }
    input = resized(data, bytes, (size_t)2 * model.header.frontEnd.samples);
    bw_run(&model, arena, spectral, input, logits);
    bw_prepare(&model, prepared);
    if (spectral) bw_front_end_widen(spectral, allocate_aligned(bw_front_end_side_bytes(spectral), &sideRoom));
    bw_run(&model, arena, spectral, input, again);
  }
  if (memcmp(logits, again, 2 * model.header.classCount) != 0) {
    fputs("a prepared model gives other logits\n", stderr);
    exit(5);
  }
  write_result(BW_OK, logits, 2 * model.header.classCount);
  free(sideRoom);
  free(room);
  free(again);
  free(input);
  free(memory);
  free(logits);
  free(arena);
}

static void features_job(const bw_front_end *config, const void *data, uint32_t bytes) {
  uint32_t frames, values, i;
  void *memory, *room;
  bw_spectral *spectral;
  int16_t *pcm;
  float *features, *again;
  if (!bw_front_end_valid(config)) {
    write_result(BW_BAD_FRONT_END, NULL, 0);
    return;
  }
  frames = bw_front_end_frames(config);
  memory = allocate(bw_front_end_bytes(config));
  spectral = bw_front_end_prepare(config, memory);
  pcm = resized(data, bytes, (size_t)2 * config->samples);
  values = frames * config->coefficients;
  features = allocate((size_t)4 * values);
  again = allocate((size_t)4 * values);
  for (i = 0; i < frames; i++) bw_front_end_frame(spectral, pcm + i * config->hopSamples, features + i * config->coefficients);
  bw_front_end_widen(spectral, allocate_aligned(bw_front_end_side_bytes(spectral), &room));
  bw_front_end_clip(spectral, pcm, frames, again);
  if (memcmp(features, again, (size_t)4 * values) != 0) {
    fputs("frames side by side give other features\n", stderr);
    exit(5);
  }
  write_result(BW_OK, features, 4 * values);
  free(room);
  free(again);
  free(features);
  free(pcm);
  free(memory);
}

/* The whole recording in pieces of all lengths, through the model prepared or not. */
static uint32_t stream_through(bw_model *model, bw_spectral *spectral, const int16_t *pcm, uint32_t count, bw_stream *stream, int16_t *to) {
  void *plan = allocate(bw_stream_plan_bytes(model)), *state;
  uint32_t at = 0, piece = 0, results = 0;
  if (!bw_stream_plan(stream, model, plan)) {
    free(plan);
    return 0;
  }
  state = allocate(stream->stateBytes);
  bw_stream_open(stream, spectral, state);
  while (at < count) {
    uint32_t size = 1 + piece++ * 37 % 211, used;
    int16_t *part, *logits = allocate(2 * model->header.classCount);
    int ready;
    if (size > count - at) size = count - at;
    part = allocate(2 * size);
    memcpy(part, pcm + at, 2 * size);
    used = bw_stream_push(stream, part, size, logits, &ready);
    if (used == 0 || used > size) exit(6);
    at += used;
    if (ready) memcpy(to + results++ * model->header.classCount, logits, 2 * model->header.classCount);
    free(part);
    free(logits);
  }
  free(state);
  free(plan);
  return results;
}

static void stream_job(const uint8_t *image, uint32_t imageBytes, const int16_t *pcm, uint32_t count) {
  bw_model model;
  bw_stream stream;
  bw_spectral *spectral = NULL;
  void *memory = NULL;
  void *room;
  uint32_t results, again, size, *answer;
  int16_t *first, *second;
  int status = bw_open(&model, image, imageBytes);
  if (status != BW_OK) {
    write_result((uint32_t)status, NULL, 0);
    return;
  }
  if (model.header.frontEnd.kind == BW_MFCC || model.header.frontEnd.kind == BW_LOGMEL) {
    memory = allocate(bw_front_end_bytes(&model.header.frontEnd));
    spectral = bw_front_end_prepare(&model.header.frontEnd, memory);
  }
  size = 2 * model.header.classCount * count;
  first = allocate(size), second = allocate(size);
  results = stream_through(&model, spectral, pcm, count, &stream, first);
  bw_prepare(&model, allocate_aligned(bw_prepared_bytes(&model), &room));
  again = stream_through(&model, spectral, pcm, count, &stream, second);
  if (results != again || memcmp(first, second, 2 * model.header.classCount * results) != 0) {
    fputs("a prepared model streams other logits\n", stderr);
    exit(5);
  }
  size = 2 * model.header.classCount * results;
  answer = allocate(16 + size);
  answer[0] = bw_stream_plan_bytes(&model), answer[1] = stream.stateBytes;
  answer[2] = stream.hopSamples, answer[3] = stream.firstSamples;
  memcpy(answer + 4, first, size);
  write_result(BW_OK, answer, stream.stateBytes ? 16 + size : 0);
  free(answer);
  free(room);
  free(second);
  free(first);
  free(memory);
}

static void scores_job(const float *scale, const int16_t *logits, uint32_t count) {
  uint8_t *all = allocate(4 + 3 * (size_t)count);
  uint16_t *words = allocate(2 * (size_t)count);
  const uint32_t best = bw_argmax(logits, count);
  memcpy(all, &best, 4);
  bw_softmax16(logits, count, *scale, words);
  memcpy(all + 4, words, 2 * (size_t)count);
  bw_softmax8(logits, count, *scale, all + 4 + 2 * (size_t)count);
  write_result(BW_OK, all, 4 + 3 * count);
  free(words);
  free(all);
}

int main(int count, char **arguments) {
  FILE *jobs;
  uint32_t head[3];
  if (count != 3) return 2;
  jobs = fopen(arguments[1], "rb");
  results = fopen(arguments[2], "wb");
  if (!jobs || !results) return 2;
  while (fread(head, 4, 3, jobs) == 3) {
    void *first = read_blob(jobs, head[1]), *second = read_blob(jobs, head[2]);
    if (head[0] == 2) features_job(first, second, head[2]);
    else if (head[0] == 4) scores_job(first, second, head[2] / 2);
    else if (head[0] == 3) stream_job(first, head[1], second, head[2] / 2);
    else run_job(head[0] == 1, first, head[1], second, head[2]);
    free(first);
    free(second);
  }
  return fclose(results) != 0;
}
