/* One layer made ready to run. Who runs only some rows of it (streaming) changes the heights, the vertical padding and the pointers of a
 * loaded step; weights, parameters, widths and channels stay as they are. */
#ifndef BITWRIGHT_LAYER_H
#define BITWRIGHT_LAYER_H
#include "bw.h"

typedef struct {
  bw_layer l;
  bw_tensor x, z, y; /* z: the second input of an addition */
  const uint8_t *in, *second, *weights, *parameters;
  uint8_t *out, *scratch; /* scratch: bw_scratch_bytes() */
} bw_step;

void bw_load_step(const bw_model *model, uint32_t layer, uint8_t *arena, bw_step *step);
/* Runs a step of this layer, prepared where the model is; compact parameters are made wide in its scratch before. A reshape needs no running. */
void bw_run_step(const bw_model *model, uint32_t layer, bw_step *step);
/* Inputs of a layer: query, key and value of attention, both of an addition, else one. */
static inline uint32_t bw_third_input(const bw_layer *l) { return l->kernel[0]; }
static inline uint32_t bw_inputs(const bw_layer *l) { return l->op == BW_ATTEND ? 3 : l->op == BW_ADD ? 2 : 1; }
static inline uint32_t bw_input_of(const bw_layer *l, uint32_t i) { return i < 2 ? l->input[i] : bw_third_input(l); }
/* The part of the scratch that the layer's kernel works in. */
uint32_t bw_work_bytes(const bw_layer *layer, const bw_tensor *input);

#endif
