/* The API on a board: replace microphone() (or camera()) and act() by your own. */
#include "../bitwright.h"

volatile uint32_t latest;
static void act(uint32_t index) { latest = index; }

#if BW_FRAMES

enum { COUNT = BW_SAMPLE_RATE / 100 + 1 }; /* about 10 ms */
static void microphone(int16_t *samples) { (void)samples; }

int main(void) {
  static int16_t samples[COUNT];
  if (bw_init() != 0) return 1;
  for (;;) {
    microphone(samples);
#if BW_DETECTS
    bw_detection detection;
    if (bw_push_audio(samples, COUNT) && bw_detected(&detection)) act(detection.index);
#else
    if (bw_push_audio(samples, COUNT) && bw_result().score > 0.9f) act(bw_result().index);
#endif
  }
}

#else

static void camera(uint8_t *pixels) { (void)pixels; }

int main(void) {
  static uint8_t pixels[BW_INPUT_VALUES];
  if (bw_init() != 0) return 1;
  for (;;) {
    camera(pixels);
    bw_classify(pixels);
    act(bw_result().index);
  }
}

#endif
