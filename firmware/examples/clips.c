/* Runs a batch of clips or images in the emulator: clips.bin in, the others out, all in the folder that the emulator was started in.
 *   clips.bin    for each: uint32 count, then so many int16 samples (or bytes of pixels), filled up to 4 bytes
 *   answers.bin  for each answer: uint32 class, int16 logits[BW_CLASSES], filled up to 4 bytes
 *   scores.bin   for each answer: float score
 *   detections.bin  for each answer, of a model with a detector: uint32 class + 1 and float score of what was detected then, or zeros
 * Prints the deepest stack of bw_init and of the rest of the API, in bytes. Exits with 0 where all went well. */
#include <string.h>

#include "../bitwright.h"
#include "../port/semihosting.h"

enum { INIT_FAILED = 2, NO_CLIPS = 3, NO_ANSWERS = 4, CUT_CLIP = 5 };

extern uint32_t bw_stack_limit[];
static const uint32_t paint = 0x5bad5bad;

/* Paints what of the stack is free below this call. */
static __attribute__((noinline)) uint32_t *paint_stack(void) {
  uint32_t *top = (uint32_t *)__builtin_frame_address(0) - 8, *p;
  for (p = bw_stack_limit; p < top; p++) *(volatile uint32_t *)p = paint;
  return top;
}

/* Bytes that were written over since, below the caller. */
static __attribute__((noinline)) uint32_t stack_used(const uint32_t *top) {
  const uint32_t *p = bw_stack_limit;
  while (p < top && *(const volatile uint32_t *)p == paint) p++;
  return (uint32_t)((uintptr_t)top - (uintptr_t)p) + 8 * sizeof *p;
}

static void print_number(const char *label, uint32_t value) {
  char digits[12];
  char *at = digits + sizeof digits - 1;
  *at = 0;
  *--at = '\n';
  do *--at = (char)('0' + value % 10);
  while (value /= 10);
  host_print(label);
  host_print(at);
}

static uint32_t clips, answers, scores, detections;

static void write_answer(void) {
  static const uint8_t fill[4];
  const bw_answer answer = bw_result();
  const uint32_t bytes = BW_CLASSES * sizeof *answer.logits;
  const int done = host_write(answers, &answer.index, 4) && host_write(answers, answer.logits, bytes) &&
                   host_write(answers, fill, (4 - bytes % 4) % 4) && host_write(scores, &answer.score, 4);
  if (!done) host_exit(NO_ANSWERS);
#if BW_DETECTS
  {
    bw_detection detection;
    uint32_t record[2] = {0, 0};
    if (bw_detected(&detection)) {
      record[0] = detection.index + 1;
      memcpy(&record[1], &detection.score, 4);
    }
    if (!host_write(detections, record, sizeof record)) host_exit(NO_ANSWERS);
  }
#endif
}

#if BW_FRAMES

enum { PIECE = 512 };

/* Pieces end where an answer is due, so that none is missed. */
static void run_clip(uint32_t count) {
  static int16_t samples[PIECE];
  const uint32_t fill = count % 2;
  uint32_t i;
  bw_forget_audio();
  while (count > 0) {
    const uint32_t piece = count < PIECE ? count : PIECE;
    if (!host_read(clips, samples, piece * sizeof *samples)) host_exit(CUT_CLIP);
    for (i = 0; i < piece; i += BW_HOP_SAMPLES) {
      const uint32_t rest = piece - i, pushed = rest < BW_HOP_SAMPLES ? rest : BW_HOP_SAMPLES;
      if (bw_push_audio(samples + i, pushed)) write_answer();
    }
    count -= piece;
  }
  if (!host_read(clips, samples, fill * sizeof *samples)) host_exit(CUT_CLIP);
}

#else

static void run_clip(uint32_t count) {
  static uint8_t pixels[(BW_INPUT_VALUES + 3) / 4 * 4];
  if (count != BW_INPUT_VALUES || !host_read(clips, pixels, sizeof pixels)) host_exit(CUT_CLIP);
  bw_classify(pixels);
  write_answer();
}

#endif

int main(void) {
  uint32_t *top = paint_stack();
  uint32_t count;
  int status;
  clips = host_open("clips.bin", 0);
  answers = host_open("answers.bin", 1);
  scores = host_open("scores.bin", 1);
  detections = host_open("detections.bin", 1);
  if (clips == ~0u) return NO_CLIPS;
  if (answers == ~0u || scores == ~0u || detections == ~0u) return NO_ANSWERS;
  status = bw_init();
  print_number("stack of bw_init ", stack_used(top));
  if (status != 0) {
    print_number("bw_init gives ", (uint32_t)status);
    return INIT_FAILED;
  }
  top = paint_stack();
  while (host_read(clips, &count, sizeof count)) run_clip(count);
  print_number("stack of a run ", stack_used(top));
  return 0;
}
