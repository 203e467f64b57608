/* From scores to detections, in whole numbers: scores of BW_SMOOTHING_SAMPLES are averaged; a class whose average reaches its threshold is
 * detected, once until it has fallen below, and nothing else for BW_REFRACTORY_SAMPLES. The same detections as the runtime's detector.ts. */
#include "state.h"

#include <string.h>

/* answers that are averaged */
enum { SMOOTHED = BW_SMOOTHING_SAMPLES > 0 ? (BW_SMOOTHING_SAMPLES + BW_HOP_SAMPLES - 1) / BW_HOP_SAMPLES : 1 };

struct {
  uint32_t sums[BW_CLASSES];
  uint16_t recent[SMOOTHED][BW_CLASSES];
} bw_scores_heard;
static uint32_t heard, next; /* of recent: how many are there, where the next one goes */
static int32_t held;         /* detected last, while its score stays up; -1 */
static uint32_t since;       /* samples from the last detection on */
static int isNew;
static bw_detection latest;

void bw_forget_scores(void) {
  memset(&bw_scores_heard, 0, sizeof bw_scores_heard);
  heard = next = 0;
  held = -1;
  since = BW_REFRACTORY_SAMPLES;
  isNew = 0;
}

static int reaches(uint32_t index) {
  return (uint64_t)bw_scores_heard.sums[index] << 15 >= (uint64_t)bw_thresholds[index] * heard;
}

void bw_judge(const uint16_t *scores) {
  uint16_t *row = bw_scores_heard.recent[next];
  uint32_t *sums = bw_scores_heard.sums;
  int32_t best = -1;
  uint32_t i;
  for (i = 0; i < BW_CLASSES; i++) {
    sums[i] += (uint32_t)scores[i] - row[i];
    row[i] = scores[i];
  }
  if (++next == SMOOTHED) next = 0;
  if (heard < SMOOTHED) heard++;
  for (i = 0; i < BW_CLASSES; i++)
    if (reaches(i) && (best < 0 || sums[i] > sums[best])) best = (int32_t)i;
  since = since + BW_HOP_SAMPLES < BW_REFRACTORY_SAMPLES ? since + BW_HOP_SAMPLES : BW_REFRACTORY_SAMPLES;
  if (held >= 0 && !reaches((uint32_t)held)) held = -1;
  if (best < 0 || best == held || since < BW_REFRACTORY_SAMPLES) return;
  held = best;
  since = 0;
  isNew = 1;
  latest.index = (uint32_t)best;
  latest.name = bw_class_names[best];
  latest.score = (float)sums[best] / (65535.0f * (float)heard);
}

int bw_detected(bw_detection *detection) {
  const int any = isNew;
  if (any) *detection = latest;
  isNew = 0;
  return any;
}
