/* Kernels for microcontrollers, chosen when the core is compiled: 16-bit pairs on Cortex-M4, M7 and M33 (cortex_dsp_*.c), vectors on M55
 * (cortex_mve_*.c), two products in a word elsewhere (cortex_swar.c). They read weights packed for them (weights.h) and give layer.c's bits.
 * Filters that are made on the device have cortex_made.c. */
#ifndef BITWRIGHT_CORTEX_H
#define BITWRIGHT_CORTEX_H
#include "layer.h"

#if defined(__ARM_ARCH_PROFILE) && __ARM_ARCH_PROFILE == 'M'
#if defined(__ARM_FEATURE_MVE)
#define BW_CORTEX_MVE
#elif defined(__ARM_FEATURE_DSP)
#define BW_CORTEX_DSP
#else
#define BW_CORTEX_SWAR
#endif
#endif

#define ALWAYS static inline __attribute__((always_inline))

#if defined(BW_CORTEX_DSP) || defined(BW_CORTEX_MVE) || defined(BW_CORTEX_SWAR)
#define BW_CORTEX
/* Convolutions by kind; each returns 0 where a step has no fast path in it. */
int bw_run_dense(const bw_step *step);
int bw_run_depthwise(const bw_step *step);
int bw_run_made(const bw_step *step);

static inline int bw_run_cortex(const bw_step *step) {
  if (step->l.op != BW_CONVOLUTION) return 0;
  return step->l.depthwise ? bw_run_depthwise(step) : bw_run_dense(step) || bw_run_made(step);
}
#else
static inline int bw_run_cortex(const bw_step *step) {
  (void)step;
  return 0;
}
#endif

#endif
