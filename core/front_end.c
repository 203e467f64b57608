/* MFCC and log-mel in float32 (Davis and Mermelstein 1980; mel scale and triangles as in HTK): periodic Hann window, zero-filled FFT of
 * the next power of two, power spectrum, triangular bands spaced evenly in mel and straight in Hz, log(x + 1e-6), orthonormal DCT-II.
 * No centring: frame i starts at sample i * hop. Training calls this very code (through WebAssembly). Here is what configurations can be,
 * and a frame alone; frames side by side are in front_end_clip.c. */
#define BW_FRAMES 1
#include "front_end_frame.h"

int bw_front_end_valid(const bw_front_end *c) {
  if (c->kind != BW_MFCC && c->kind != BW_LOGMEL) return 0;
  if (c->sampleRate < 1 || c->sampleRate > 384000 || c->windowSamples < 2 || c->windowSamples > 4096) return 0;
  if (c->samples < c->windowSamples || c->samples > (uint32_t)1 << 24 || c->hopSamples < 1 || c->hopSamples > c->samples) return 0;
  if (c->melBands < 1 || c->melBands > BW_MAX_BANDS || c->coefficients < 1 || c->coefficients > c->melBands) return 0;
  if (c->kind == BW_LOGMEL && c->coefficients != c->melBands) return 0;
  return c->lowHz >= 0 && c->lowHz < c->highHz && c->highHz * 2 <= (float)c->sampleRate;
}

uint32_t bw_front_end_frames(const bw_front_end *c) { return 1 + (c->samples - c->windowSamples) / c->hopSamples; }

void bw_front_end_frame(const bw_spectral *s, const int16_t *pcm, float *features) {
  compute_frames(s, &pcm, 1, s->size / 2, features);
}
