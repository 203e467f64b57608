/* What the WebAssembly build exports to packages/runtime: one model and one front end at a time, in memory the caller lays out. */
#include <stddef.h>

#include <string.h>

#include "../bw.h"

#define EXPORT(name) __attribute__((export_name(name)))

extern unsigned char __heap_base;
static bw_model model;
static bw_spectral *spectral;

/* Clang may emit calls to these even where nothing calls them by name. */
void *memcpy(void *to, const void *from, size_t n) { return __builtin_memcpy(to, from, n); }
void *memset(void *to, int value, size_t n) { return __builtin_memset(to, value, n); }

EXPORT("heap") uint32_t heap(void) { return ((uint32_t)(uintptr_t)&__heap_base + 15) & ~15u; }
EXPORT("open") int open_model(const void *image, uint32_t length) { return bw_open(&model, image, length); }
EXPORT("fault") uint32_t fault(void) { return model.fault; }
EXPORT("preparedBytes") uint32_t prepared_bytes(void) {
  const uint64_t bytes = bw_prepared_bytes(&model);
  return bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes;
}
EXPORT("prepare") void prepare(void *memory) { bw_prepare(&model, memory); }
EXPORT("frontEndValid") int front_end_valid(const bw_front_end *config) { return bw_front_end_valid(config); }
EXPORT("frontEndBytes") uint32_t front_end_bytes(const bw_front_end *config) { return bw_front_end_bytes(config); }
EXPORT("frontEndPrepare") void front_end_prepare(const bw_front_end *config, void *memory) {
  spectral = bw_front_end_prepare(config, memory);
}
EXPORT("frontEndSideBytes") uint32_t front_end_side_bytes(void) { return bw_front_end_side_bytes(spectral); }
EXPORT("frontEndWiden") void front_end_widen(void *memory) { bw_front_end_widen(spectral, memory); }
EXPORT("features") void features(const int16_t *pcm, uint32_t frames, float *to) { bw_front_end_clip(spectral, pcm, frames, to); }
EXPORT("run") void run(void *arena, const int16_t *pcm, int16_t *logits) { bw_run(&model, arena, spectral, pcm, logits); }
EXPORT("runPixels") void run_pixels(void *arena, const uint8_t *pixels, int16_t *logits) {
  bw_run_pixels(&model, arena, pixels, logits);
}
EXPORT("softmax16") void softmax16(const int16_t *logits, uint32_t count, float scale, uint16_t *to) {
  bw_softmax16(logits, count, scale, to);
}
static bw_stream stream;
static int ready;
EXPORT("streamPlanBytes") uint32_t stream_plan_bytes(void) { return bw_stream_plan_bytes(&model); }
EXPORT("streamPlan") int stream_plan(void *plan) { return bw_stream_plan(&stream, &model, plan); }
EXPORT("streamStateBytes") uint32_t stream_state_bytes(void) { return stream.stateBytes; }
EXPORT("streamHopSamples") uint32_t stream_hop_samples(void) { return stream.hopSamples; }
EXPORT("streamFirstSamples") uint32_t stream_first_samples(void) { return stream.firstSamples; }
EXPORT("streamOpen") void stream_open(void *state) { bw_stream_open(&stream, spectral, state); }
EXPORT("streamPush") uint32_t stream_push(const int16_t *pcm, uint32_t count, int16_t *logits) {
  return bw_stream_push(&stream, pcm, count, logits, &ready);
}
EXPORT("streamReady") int stream_ready(void) { return ready; }
EXPORT("runFeatures") void run_features(void *arena, const float *values, int16_t *logits) {
  bw_run_features(&model, arena, values, logits);
}
