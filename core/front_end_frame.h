/* The arithmetic of the front end, of one frame or of several side by side (frames.h). Every sum has a fixed order, and no libm function is
 * called, so the bits are the same everywhere. */
#include "frames.h"

/* Stockham's self-sorting FFT of n = size / 2 complex numbers, radix 4 with one radix-2 pass where needed; returns which of the two
 * buffers holds the result. The inner loops run over neighbours with one twiddle, so compilers vectorise them as they are. */
static BW_ALONE int transform(const bw_spectral *s) {
  uint32_t n = s->size / 2, stride = 1, p, q;
  int from = 0;
  while (n >= 4) {
    const uint32_t m = n / 4, step = s->size / n, next = APART * stride, far = next * m;
    for (p = 0; p < m; p++) {
      const float c1 = s->cosine[p * step], s1 = s->sine[p * step], c2 = s->cosine[2 * p * step], s2 = s->sine[2 * p * step];
      const float c3 = c1 * c2 - s1 * s2, s3 = c1 * s2 + s1 * c2;
      const reals *ar = real_parts(s, from) + next * p, *ai = imaginary_parts(s, from) + next * p;
      const reals *br = ar + far, *bi = ai + far, *cr = br + far, *ci = bi + far, *dr = cr + far, *di = ci + far;
      reals *restrict yr = real_parts(s, 1 - from) + next * 4 * p, *restrict yi = imaginary_parts(s, 1 - from) + next * 4 * p;
      for (q = 0; q < next; q += APART) {
        const reals acr = ar[q] + cr[q], aci = ai[q] + ci[q], ar_c = ar[q] - cr[q], ai_c = ai[q] - ci[q];
        const reals bdr = br[q] + dr[q], bdi = bi[q] + di[q], br_d = br[q] - dr[q], bi_d = bi[q] - di[q];
        /* times exp(-i angle): (x + i y)(c - i s) */
        const reals ur = ar_c + bi_d, ui = ai_c - br_d, vr = acr - bdr, vi = aci - bdi, wr = ar_c - bi_d, wi = ai_c + br_d;
        yr[q] = acr + bdr;
        yi[q] = aci + bdi;
        yr[q + next] = ur * c1 + ui * s1;
        yi[q + next] = ui * c1 - ur * s1;
        yr[q + 2 * next] = vr * c2 + vi * s2;
        yi[q + 2 * next] = vi * c2 - vr * s2;
        yr[q + 3 * next] = wr * c3 + wi * s3;
        yi[q + 3 * next] = wi * c3 - wr * s3;
      }
    }
    n /= 4;
    stride *= 4;
    from = 1 - from;
  }
  if (n == 2) {
    const uint32_t next = APART * stride;
    const reals *ar = real_parts(s, from), *ai = imaginary_parts(s, from);
    reals *restrict yr = real_parts(s, 1 - from), *restrict yi = imaginary_parts(s, 1 - from);
    for (q = 0; q < next; q += APART) {
      yr[q] = ar[q] + ar[q + next];
      yi[q] = ai[q] + ai[q + next];
      yr[q + next] = ar[q] - ar[q + next];
      yi[q + next] = ai[q] - ai[q + next];
    }
    from = 1 - from;
  }
  return from;
}

/* |X|^2 of the real signal whose even samples are the real and odd samples the imaginary parts of the half-length transform; of the bins
 * from `begin` on, and below `end`. */
static void power_spectrum(const bw_spectral *s, int at, uint32_t begin, uint32_t end) {
  const uint32_t half = s->size / 2;
  const reals *re = real_parts(s, at), *im = imaginary_parts(s, at);
  const reals first = re[0] + im[0], last = re[0] - im[0];
  reals *power = (reals *)s->power;
  uint32_t k;
  power[0] = first * first;
  power[half] = last * last;
  for (k = begin; k < end; k++) {
    const int32_t i = APART * (int32_t)k, j = APART * (int32_t)half - i;
    const reals er = 0.5f * (re[i] + re[j]), ei = 0.5f * (im[i] - im[j]);
    const reals or_ = 0.5f * (im[i] + im[j]), oi = -0.5f * (re[i] - re[j]);
    const reals xr = er + (or_ * s->cosine[k] + oi * s->sine[k]), xi = ei + (oi * s->cosine[k] - or_ * s->sine[k]);
    power[k] = xr * xr + xi * xi;
  }
}

/* Natural logarithm of a positive normal number; the polynomial of Moshier's Cephes logf, error below 1 unit in the last place. */
static reals natural_log(reals x) {
  const words bits = bits_of(x);
  reals e = to_reals((bits >> 23) - 126), m = from_bits((bits & 0x007fffff) | 0x3f000000), z, y; /* m in [0.5, 1) */
  const words low = m < 0.70710678f;
  e = choose(low, e - 1.0f, e);
  m = choose(low, m + m - 1.0f, m - 1.0f);
  z = m * m;
  y = 7.0376836292e-2f * m - 1.1514610310e-1f;
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

/* The samples, windowed and filled with zeros: even ones as real, odd ones as imaginary parts. */
static void apply_window(const bw_spectral *s, const int16_t *const *pcm) {
  const uint32_t window = s->config.windowSamples;
  reals *re = real_parts(s, 0), *im = imaginary_parts(s, 0);
  uint32_t i;
  for (i = 0; i < window / 2; i++) {
    reals even, odd;
    load_pair(pcm, 2 * i, &even, &odd);
    re[APART * i] = even * s->window[2 * i];
    im[APART * i] = odd * s->window[2 * i + 1];
  }
  clear_from(s, i);
  if (window & 1) re[APART * i] = load_one(pcm, window - 1) * s->window[window - 1];
}

/* pcm: where each of the frames begins; of the power spectrum, bins from `begin` on and below `end` are used. */
static void compute_frames(const bw_spectral *s, const int16_t *const *pcm, uint32_t begin, uint32_t end, reals *features) {
  const uint32_t bands = s->config.melBands, count = s->config.coefficients;
  const float *weight = s->triangles, *row = s->dct;
  reals *energy = (reals *)s->energy;
  uint32_t i, k;
  int at;
  apply_window(s, pcm);
  at = transform(s);
  power_spectrum(s, at, begin, end);
  for (i = 0; i < bands; i++) {
    const reals *power = (const reals *)s->power + s->bandStart[i];
    reals sum = {0};
    for (k = 0; k < s->bandCount[i]; k++) sum += power[k] * *weight++;
    energy[i] = natural_log(sum + 1e-6f);
  }
  if (s->config.kind == BW_LOGMEL) {
    memcpy(features, energy, bands * sizeof *features);
    return;
  }
  memset(features, 0, count * sizeof *features);
  for (i = 0; i < bands; i++, row += count) {
    for (k = 0; k < count; k++) features[k] += energy[i] * row[k];
  }
}
