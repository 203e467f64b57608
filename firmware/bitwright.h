/* The model of this folder on a microcontroller. Call everything from one thread; all memory is static, sizes are in model.h.
 *
 *   if (bw_init() != 0) stop();
 *   for (;;) {
 *     microphone(samples, COUNT);
 *     if (bw_push_audio(samples, COUNT) && bw_result().score > 0.9f) act(bw_result().name);
 *   } */
#ifndef BITWRIGHT_H
#define BITWRIGHT_H
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "model.h"

typedef struct {
  uint32_t index; /* of the most likely class */
  const char *name;
  float score;           /* its probability (softmax), 0 to 1 */
  const int16_t *logits; /* [BW_CLASSES], of all classes */
} bw_answer;

/* Checks the model. 0, or what is wrong with it (a BW_ status of core/bw.h); nothing runs then. */
int bw_init(void);
#if BW_FRAMES
/* Takes any number of samples at BW_SAMPLE_RATE, as they come. Each time BW_HOP_SAMPLES more are there the model has an answer about the
 * latest BW_CLIP_SAMPLES. Returns how often that happened, mostly 0; bw_result() has the last answer. */
uint32_t bw_push_audio(const int16_t *samples, uint32_t count);
/* Forgets what was heard, so that the next answer comes after a whole clip. */
void bw_forget_audio(void);
#else
/* Looks at pixels [height][width][channels], 0 to 255 each: BW_INPUT_VALUES bytes. */
void bw_classify(const uint8_t *pixels);
#endif
bw_answer bw_result(void);
#if BW_DETECTS
typedef struct {
  uint32_t index; /* of the class */
  const char *name;
  float score; /* averaged over BW_SMOOTHING_SAMPLES */
} bw_detection;

/* Whether something was detected since this was last asked; what it was is then in *detection. A class is detected when its averaged score
 * reaches its threshold, once until it has fallen below, and nothing else for BW_REFRACTORY_SAMPLES. */
int bw_detected(bw_detection *detection);
#endif

#ifdef __cplusplus
}
#endif

#endif
