/* Images: each is a run of the whole model. */
#include "state.h"

int bw_open_input(void) { return BW_OK; }

void bw_classify(const uint8_t *pixels) {
  if (bw_status != BW_OK) return;
  bw_put_pixels(&bw_loaded, bw_input(&bw_loaded, bw_memory), 0, pixels, BW_INPUT_VALUES);
  bw_run_layers();
  bw_take_answer();
}
