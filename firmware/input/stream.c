/* Audio for a model that streams: every layer runs on what is new alone, and keeps the rows that it needs again (core/stream.c). */
#include "state.h"

#include "core/front_end.h"

#if BW_HOP_SAMPLES != BW_STREAM_HOP
#error "this model streams: it answers every BW_STREAM_HOP samples (model.h); make without HOP"
#endif

uint32_t bw_plan[BW_PLAN_BYTES / 4];
static bw_stream stream;

void bw_forget_audio(void) {
  if (stream.plan) bw_stream_open(&stream, BW_SPECTRAL, bw_memory);
#if BW_DETECTS
  bw_forget_scores();
#endif
}

int bw_open_input(void) {
  if (!bw_stream_plan(&stream, &bw_loaded, bw_plan) || stream.stateBytes > BW_MEMORY_BYTES) return BW_BAD_ARENA;
  bw_forget_audio();
  return BW_OK;
}

uint32_t bw_push_audio(const int16_t *samples, uint32_t count) {
  uint32_t answers = 0;
  if (bw_status != BW_OK) return 0;
  while (count > 0) {
    int ready;
    const uint32_t taken = bw_stream_push(&stream, samples, count, bw_logits, &ready);
    samples += taken;
    count -= taken;
    if (!ready) continue;
    bw_take_answer();
    answers++;
  }
  return answers;
}
