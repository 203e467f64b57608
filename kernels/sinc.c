// SincConv filters (Ravanelli & Bengio, "Speaker recognition from raw waveform with SincNet", 2018; used by arXiv 2104.06666,
// Table 1): band-pass impulse responses g[n] = (sin(2 pi f2 n) - sin(2 pi f1 n)) / (pi n) under a Hamming window, divided by twice
// the band, with f1 = 50 + |low| and f2 = min(f1 + 50 + |band|, rate / 2) in Hz, n centred on the kernel. Sines come from rotating one
// complex number in double precision.
#include "kernels.h"

#define PI 3.14159265358979323846

typedef struct {
  double low, high;      // cut-offs as a fraction of the sample rate
  int clipped;           // high is at half the rate: its gradient stops
} Band;

static Band band_of(float low, float band, float rate) {
  double f1 = 50 + (low < 0 ? -(double)low : low), f2 = f1 + 50 + (band < 0 ? -(double)band : band);
  Band b = {f1 / rate, f2 / rate, 0};
  if (b.high > 0.5) b.high = 0.5, b.clipped = 1;
  return b;
}

// args: low, band, channels, taps, rate (float), filters [taps][channels]
void k_sinc(Task *task) {
  const int32_t *a = task->arg;
  int channels = a[2], taps = a[3], first, last;
  my_share(task, channels, &first, &last);
  for (int c = first; c < last; c++) {
    Band b = band_of(task->heap[a[0] + c], task->heap[a[1] + c], as_float(a[4]));
    double n = -(taps - 1) * 0.5, s1, c1, s2, c2, r1s, r1c, r2s, r2c, ws, wc, rws, rwc;
    sincos_d(2 * PI * b.low * n, &s1, &c1), sincos_d(2 * PI * b.low, &r1s, &r1c);
    sincos_d(2 * PI * b.high * n, &s2, &c2), sincos_d(2 * PI * b.high, &r2s, &r2c);
    ws = 0, wc = 1, sincos_d(taps > 1 ? 2 * PI / (taps - 1) : 0, &rws, &rwc);
    for (int i = 0; i < taps; i++, n += 1) {
      double window = 0.54 - 0.46 * wc, width = 2 * (b.high - b.low);
      double value = n > -0.25 && n < 0.25 ? width : (s2 - s1) / (PI * n);
      task->heap[a[5] + i * channels + c] = width > 0 ? (float)(value * window / width) : 0;
      double t = s1 * r1c + c1 * r1s;
      c1 = c1 * r1c - s1 * r1s, s1 = t;
      t = s2 * r2c + c2 * r2s, c2 = c2 * r2c - s2 * r2s, s2 = t;
      t = ws * rwc + wc * rws, wc = wc * rwc - ws * rws, ws = t;
    }
  }
}

// args: low, band, channels, taps, rate (float), d filters [taps][channels], d low, d band (written)
void k_sinc_backward(Task *task) {
  const int32_t *a = task->arg;
  int channels = a[2], taps = a[3], first, last;
  float rate = as_float(a[4]);
  my_share(task, channels, &first, &last);
  for (int c = first; c < last; c++) {
    float low = task->heap[a[0] + c], bandHz = task->heap[a[1] + c];
    Band b = band_of(low, bandHz, rate);
    double n = -(taps - 1) * 0.5, s1, c1, s2, c2, r1s, r1c, r2s, r2c, ws, wc, rws, rwc, d1 = 0, d2 = 0, width = 2 * (b.high - b.low);
    sincos_d(2 * PI * b.low * n, &s1, &c1), sincos_d(2 * PI * b.low, &r1s, &r1c);
    sincos_d(2 * PI * b.high * n, &s2, &c2), sincos_d(2 * PI * b.high, &r2s, &r2c);
    ws = 0, wc = 1, sincos_d(taps > 1 ? 2 * PI / (taps - 1) : 0, &rws, &rwc);
    for (int i = 0; i < taps && width > 0; i++, n += 1) {
      double window = 0.54 - 0.46 * wc, g = task->heap[a[5] + i * channels + c] * window / width;
      double value = n > -0.25 && n < 0.25 ? width : (s2 - s1) / (PI * n);
      d1 += g * (-2 * c1 + 2 * value / width);
      d2 += g * (2 * c2 - 2 * value / width);
      double t = s1 * r1c + c1 * r1s;
      c1 = c1 * r1c - s1 * r1s, s1 = t;
      t = s2 * r2c + c2 * r2s, c2 = c2 * r2c - s2 * r2s, s2 = t;
      t = ws * rwc + wc * rws, wc = wc * rwc - ws * rws, ws = t;
    }
    if (b.clipped) d2 = 0;
    double sideLow = low < 0 ? -1 : 1, sideBand = bandHz < 0 ? -1 : 1;
    task->heap[a[6] + c] = (float)((d1 + d2) * sideLow / rate);
    task->heap[a[7] + c] = (float)(d2 * sideBand / rate);
  }
}
