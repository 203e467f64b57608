/* The interface of bitwright.h over core/. How audio or images come in is in input.c. */
#include "state.h"

#include <string.h>

#include "core/marks.h"

uint8_t bw_memory[BW_MEMORY_BYTES] __attribute__((aligned(16)));
bw_model bw_loaded;
int bw_status = -1;
int16_t bw_logits[BW_CLASSES];
static uint16_t scores[BW_CLASSES]; /* 65535 stands for one */

void bw_run_layers(void) {
  uint32_t i;
  for (i = 0; i < bw_loaded.header.layerCount; i++) {
    BW_BEGIN_LAYER();
    bw_run_layer(&bw_loaded, bw_memory, i);
    BW_END();
  }
  bw_take_logits(&bw_loaded, bw_memory, bw_logits);
}

void bw_take_answer(void) {
  BW_ANSWER();
  bw_softmax16(bw_logits, BW_CLASSES, BW_LOGIT_SCALE, scores);
#if BW_DETECTS
  bw_judge(scores);
#endif
}

int bw_init(void) {
  memset(bw_logits, 0, sizeof bw_logits);
  bw_softmax16(bw_logits, BW_CLASSES, BW_LOGIT_SCALE, scores);
  bw_status = bw_open(&bw_loaded, bw_model_image, BW_MODEL_BYTES);
  if (bw_status == BW_OK) bw_status = bw_open_input();
  return bw_status;
}

bw_answer bw_result(void) {
  bw_answer answer = {bw_argmax(bw_logits, BW_CLASSES), 0, 0, bw_logits};
  answer.name = bw_class_names[answer.index];
  answer.score = (float)scores[answer.index] / 65535.0f;
  return answer;
}
