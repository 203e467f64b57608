/* The state of a spectral front end: constant tables and the buffers of one frame. Hosts fill the tables when a model is loaded
 * (front_end_tables.c); firmware has them as constants. */
#ifndef BITWRIGHT_FRONT_END_H
#define BITWRIGHT_FRONT_END_H
#include "bw.h"

/* Frames that a clip's run through side by side, in the lanes of a vector of GNU C; 1 where there are no vectors. */
#if defined(__GNUC__) && defined(__AVX2__)
#define BW_SIDE 8
#elif defined(__GNUC__) && (defined(__wasm_simd128__) || defined(__SSE2__) || defined(__aarch64__))
#define BW_SIDE 4
#else
#define BW_SIDE 1
#endif

struct bw_spectral {
  bw_front_end config;
  uint32_t size; /* FFT length */
  const float *window; /* [windowSamples], with the 1 / 32768 of the samples */
  const float *cosine, *sine; /* [size / 2]: of 2 pi k / size */
  const float *triangles;     /* the bands' weights, one after the other */
  const uint16_t *bandStart, *bandCount; /* [melBands]: FFT bins */
  const float *dct; /* [melBands][coefficients] */
  float *re[2], *im[2]; /* [size / 2] each: ping and pong of the Stockham FFT */
  float *power;         /* [size / 2 + 1] */
  float *energy; /* [melBands] */
#if BW_SIDE > 1
  const struct bw_side *side; /* NULL until bw_front_end_widen() */
#endif
};

#endif
