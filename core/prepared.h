/* Prepared models: where memory is plenty and vectors are wide, weights are laid out once for the fast paths (prepared.c). */
#ifndef BITWRIGHT_PREPARED_H
#define BITWRIGHT_PREPARED_H
#include "bw.h"

/* Runs one layer of a prepared model. Returns 0 where it has no fast path and has to run as it lies in the image. */
int bw_run_prepared(const bw_model *model, uint32_t layer, uint8_t *arena);

#endif
