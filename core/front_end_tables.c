/* The tables of a spectral front end, made where they are needed. They must come out the same everywhere too: from our own cosine and
 * roots in float64, without libm. */
#include <stddef.h>

#include "front_end.h"

static uint32_t fft_size(uint32_t window) {
  uint32_t n = 8;
  while (n < window) n *= 2;
  return n;
}

static uint32_t round16(uint32_t bytes) { return (bytes + 15) & ~15u; }

uint32_t bw_front_end_bytes(const bw_front_end *c) {
  const uint32_t n = fft_size(c->windowSamples), f = sizeof(float);
  return round16(sizeof(bw_spectral)) + round16(c->windowSamples * f) + 6 * round16(n / 2 * f) + round16((n / 2 + 1) * f) +
         round16(2 * (n / 2 + 1) * f) + 2 * round16(c->melBands * 2) + round16(c->melBands * c->coefficients * f) + round16(c->melBands * f);
}

/* cos(2 pi numerator / denominator): folded into the first eighth of the turn, then Taylor's series; error below 1e-15. */
static double cosine_of_turn(uint64_t numerator, uint64_t denominator) {
  const double tau = 6.283185307179586476925;
  uint64_t n = numerator % denominator * 8, eighth = n / denominator, rest = n % denominator;
  double x, x2, sum, term;
  int negative = eighth >= 2 && eighth < 6, i, sine;
  if (eighth & 1) rest = denominator - rest; /* mirrored octants */
  sine = eighth == 1 || eighth == 2 || eighth == 5 || eighth == 6;
  x = tau * (double)rest / (8.0 * (double)denominator);
  x2 = x * x;
  sum = term = sine ? x : 1.0;
  for (i = sine ? 2 : 1; i < 22; i += 2) {
    term = -term * x2 / (double)(i * (i + 1));
    sum = sum + term;
  }
  return negative ? -sum : sum;
}

/* The positive solution of r^n = value, value >= 1, n >= 1, by bisection. */
static double root(double value, uint32_t n) {
  double low = 1, high = value;
  int i;
  for (i = 0; i < 200; i++) {
    double middle = low + (high - low) * 0.5, power = 1;
    uint32_t k;
    for (k = 0; k < n && power <= value; k++) power = power * middle;
    if (power > value) high = middle;
    else low = middle;
  }
  return low;
}

static double square_root(double value) {
  return value >= 1 ? root(value, 2) : 1.0 / root(1.0 / value, 2);
}

/* Mel is 2595 log10(1 + f / 700), so edges even in mel are 700 + f in geometric progression: a root, and no logarithm. */
static void prepare_bands(bw_spectral *s, float *weight, uint16_t *bandStart, uint16_t *bandCount) {
  const bw_front_end *c = &s->config;
  const double low = 700.0 + (double)c->lowHz, ratio = root((700.0 + (double)c->highHz) / low, c->melBands + 1);
  const double hertz = (double)c->sampleRate / (double)s->size;
  double left = low, centre = low * ratio, right;
  uint32_t band, bin;
  for (band = 0; band < c->melBands; band++, left = centre, centre = right) {
    uint32_t start = 0, count = 0;
    right = centre * ratio;
    for (bin = 0; bin <= s->size / 2; bin++) {
      const double f = 700.0 + hertz * (double)bin;
      if (f <= left || f >= right) continue;
      if (count++ == 0) start = bin;
      *weight++ = (float)(f <= centre ? (f - left) / (centre - left) : (right - f) / (right - centre));
    }
    bandStart[band] = (uint16_t)start;
    bandCount[band] = (uint16_t)count;
  }
}

static void *take(uint8_t **at, uint32_t bytes) {
  void *p = *at;
  *at += round16(bytes);
  return p;
}

bw_spectral *bw_front_end_prepare(const bw_front_end *config, void *memory) {
  uint8_t *at = memory;
  bw_spectral *s = take(&at, sizeof *s);
  const uint32_t f = sizeof(float);
  float *window, *cosine, *sine, *triangles, *dct;
  uint16_t *bandStart, *bandCount;
  uint32_t i, k, half;
  if (!bw_front_end_valid(config)) return NULL;
  s->config = *config;
  s->size = fft_size(config->windowSamples);
  half = s->size / 2;
  s->window = window = take(&at, config->windowSamples * f);
  s->cosine = cosine = take(&at, half * f);
  s->sine = sine = take(&at, half * f);
  for (i = 0; i < 2; i++) {
    s->re[i] = take(&at, half * f);
    s->im[i] = take(&at, half * f);
  }
  s->power = take(&at, (half + 1) * f);
  s->triangles = triangles = take(&at, 2 * (half + 1) * f);
  s->bandStart = bandStart = take(&at, config->melBands * 2);
  s->bandCount = bandCount = take(&at, config->melBands * 2);
  s->dct = dct = take(&at, config->melBands * config->coefficients * f);
  s->energy = take(&at, config->melBands * f);
  for (i = 0; i < config->windowSamples; i++) {
    window[i] = (float)((0.5 - 0.5 * cosine_of_turn(i, config->windowSamples)) / 32768.0);
  }
  for (k = 0; k < half; k++) {
    cosine[k] = (float)cosine_of_turn(k, s->size);
    sine[k] = (float)cosine_of_turn(k + 3 * (uint64_t)s->size / 4, s->size);
  }
  for (i = 0; i < config->melBands; i++) {
    for (k = 0; k < config->coefficients; k++) {
      const double norm = square_root((k == 0 ? 1.0 : 2.0) / (double)config->melBands);
      dct[i * config->coefficients + k] = (float)(norm * cosine_of_turn((uint64_t)(2 * i + 1) * k, 4 * (uint64_t)config->melBands));
    }
  }
  prepare_bands(s, triangles, bandStart, bandCount);
#if BW_SIDE > 1
  s->side = NULL;
#endif
  return s;
}
