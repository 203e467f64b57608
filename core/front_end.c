/* MFCC and log-mel in float32 (Davis and Mermelstein 1980; mel scale and triangles as in HTK): periodic Hann window, zero-filled FFT of
 * the next power of two, power spectrum, triangular bands spaced evenly in mel and straight in Hz, log(x + 1e-6), orthonormal DCT-II.
 * No centring: frame i starts at sample i * hop. Training calls this very code (through WebAssembly), so it must give the same bits
 * everywhere: every sum has a fixed order, and no libm function is called. */
#include <string.h>

#include "front_end.h"

int bw_front_end_valid(const bw_front_end *c) {
  if (c->kind != BW_MFCC && c->kind != BW_LOGMEL) return 0;
  if (c->sampleRate < 1 || c->sampleRate > 384000 || c->windowSamples < 2 || c->windowSamples > 4096) return 0;
  if (c->samples < c->windowSamples || c->samples > (uint32_t)1 << 24 || c->hopSamples < 1 || c->hopSamples > c->samples) return 0;
  if (c->melBands < 1 || c->melBands > BW_MAX_BANDS || c->coefficients < 1 || c->coefficients > c->melBands) return 0;
  if (c->kind == BW_LOGMEL && c->coefficients != c->melBands) return 0;
  return c->lowHz >= 0 && c->lowHz < c->highHz && c->highHz * 2 <= (float)c->sampleRate;
}

uint32_t bw_front_end_frames(const bw_front_end *c) { return 1 + (c->samples - c->windowSamples) / c->hopSamples; }

/* Stockham's self-sorting FFT of n = size / 2 complex numbers, radix 4 with one radix-2 pass where needed; returns which of the two
 * buffers holds the result. The inner loops run over neighbours with one twiddle, so compilers vectorise them as they are. */
static int transform(const bw_spectral *s) {
  uint32_t n = s->size / 2, stride = 1, p, q;
  int from = 0;
  while (n >= 4) {
    const uint32_t m = n / 4, step = s->size / n;
    for (p = 0; p < m; p++) {
      const float c1 = s->cosine[p * step], s1 = s->sine[p * step], c2 = s->cosine[2 * p * step], s2 = s->sine[2 * p * step];
      const float c3 = c1 * c2 - s1 * s2, s3 = c1 * s2 + s1 * c2;
      const float *ar = s->re[from] + stride * p, *ai = s->im[from] + stride * p;
      const float *br = ar + stride * m, *bi = ai + stride * m, *cr = br + stride * m, *ci = bi + stride * m, *dr = cr + stride * m,
                  *di = ci + stride * m;
      float *restrict yr = s->re[1 - from] + stride * 4 * p, *restrict yi = s->im[1 - from] + stride * 4 * p;
      for (q = 0; q < stride; q++) {
        const float acr = ar[q] + cr[q], aci = ai[q] + ci[q], ar_c = ar[q] - cr[q], ai_c = ai[q] - ci[q];
        const float bdr = br[q] + dr[q], bdi = bi[q] + di[q], br_d = br[q] - dr[q], bi_d = bi[q] - di[q];
        /* times exp(-i angle): (x + i y)(c - i s) */
        const float ur = ar_c + bi_d, ui = ai_c - br_d, vr = acr - bdr, vi = aci - bdi, wr = ar_c - bi_d, wi = ai_c + br_d;
        yr[q] = acr + bdr;
        yi[q] = aci + bdi;
        yr[q + stride] = ur * c1 + ui * s1;
        yi[q + stride] = ui * c1 - ur * s1;
        yr[q + 2 * stride] = vr * c2 + vi * s2;
        yi[q + 2 * stride] = vi * c2 - vr * s2;
        yr[q + 3 * stride] = wr * c3 + wi * s3;
        yi[q + 3 * stride] = wi * c3 - wr * s3;
      }
    }
    n /= 4;
    stride *= 4;
    from = 1 - from;
  }
  if (n == 2) {
    const float *ar = s->re[from], *ai = s->im[from];
    float *restrict yr = s->re[1 - from], *restrict yi = s->im[1 - from];
    for (q = 0; q < stride; q++) {
      yr[q] = ar[q] + ar[q + stride];
      yi[q] = ai[q] + ai[q + stride];
      yr[q + stride] = ar[q] - ar[q + stride];
      yi[q + stride] = ai[q] - ai[q + stride];
    }
    from = 1 - from;
  }
  return from;
}

/* |X|^2 of the real signal whose even samples are the real and odd samples the imaginary parts of the half-length transform. */
static void power_spectrum(const bw_spectral *s, const float *re, const float *im) {
  const uint32_t half = s->size / 2;
  const float first = re[0] + im[0], last = re[0] - im[0];
  uint32_t k;
  s->power[0] = first * first;
  s->power[half] = last * last;
  for (k = 1; k < half; k++) {
    const float er = 0.5f * (re[k] + re[half - k]), ei = 0.5f * (im[k] - im[half - k]);
    const float or_ = 0.5f * (im[k] + im[half - k]), oi = -0.5f * (re[k] - re[half - k]);
    const float xr = er + (or_ * s->cosine[k] + oi * s->sine[k]), xi = ei + (oi * s->cosine[k] - or_ * s->sine[k]);
    s->power[k] = xr * xr + xi * xi;
  }
}

/* Natural logarithm of a positive normal number; the polynomial of Moshier's Cephes logf, error below 1 unit in the last place. */
static float natural_log(float x) {
  uint32_t bits;
  float e, m, z, y;
  memcpy(&bits, &x, 4);
  e = (float)((int32_t)(bits >> 23) - 126);
  bits = (bits & 0x007fffffu) | 0x3f000000u;
  memcpy(&m, &bits, 4); /* [0.5, 1) */
  if (m < 0.70710678f) {
    e = e - 1.0f;
    m = m + m - 1.0f;
  } else {
    m = m - 1.0f;
  }
  z = m * m;
  y = 7.0376836292e-2f;
  y = y * m - 1.1514610310e-1f;
  y = y * m + 1.1676998740e-1f;
  y = y * m - 1.2420140846e-1f;
  y = y * m + 1.4249322787e-1f;
  y = y * m - 1.6668057665e-1f;
  y = y * m + 2.0000714765e-1f;
  y = y * m - 2.4999993993e-1f;
  y = y * m + 3.3333331174e-1f;
  y = y * m * z;
  y = y + e * -2.12194440e-4f;
  y = y - 0.5f * z;
  return m + y + e * 0.693359375f;
}

void bw_front_end_frame(const bw_spectral *s, const int16_t *pcm, float *features) {
  const uint32_t window = s->config.windowSamples, bands = s->config.melBands, count = s->config.coefficients, half = s->size / 2;
  const float *weight = s->triangles, *row = s->dct;
  uint32_t i, k;
  int at;
  for (i = 0; i < window / 2; i++) {
    s->re[0][i] = (float)pcm[2 * i] * s->window[2 * i];
    s->im[0][i] = (float)pcm[2 * i + 1] * s->window[2 * i + 1];
  }
  memset(s->re[0] + i, 0, (half - i) * sizeof(float));
  memset(s->im[0] + i, 0, (half - i) * sizeof(float));
  if (window & 1) s->re[0][i] = (float)pcm[window - 1] * s->window[window - 1];
  at = transform(s);
  power_spectrum(s, s->re[at], s->im[at]);
  for (i = 0; i < bands; i++) {
    const float *power = s->power + s->bandStart[i];
    float sum = 0;
    for (k = 0; k < s->bandCount[i]; k++) sum += power[k] * *weight++;
    s->energy[i] = natural_log(sum + 1e-6f);
  }
  if (s->config.kind == BW_LOGMEL) {
    memcpy(features, s->energy, bands * sizeof(float));
    return;
  }
  memset(features, 0, count * sizeof(float));
  for (i = 0; i < bands; i++, row += count) {
    for (k = 0; k < count; k++) features[k] += s->energy[i] * row[k];
  }
}
