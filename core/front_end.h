/* The state of a spectral front end: constant tables and the buffers of one frame. Hosts fill the tables when a model is loaded
 * (front_end_tables.c); firmware has them as constants. */
#ifndef BITWRIGHT_FRONT_END_H
#define BITWRIGHT_FRONT_END_H
#include "bw.h"

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
};

#endif
