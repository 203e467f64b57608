/* Filters that are made on the device from their cut-offs (sinc.h), on 16-bit sound, as a SincConv layer has them: four filters at a time,
 * made once for the whole map, and windows read where they lie. Cortex-M4, M7 and M33: SMLAD on pairs of samples, two windows at a time; M55:
 * VMLADAVA on eight; elsewhere the samples of both sides of a filter, which is the same from both ends, are added before the product.
 * 32 bits hold every sum: bw_open refuses a layer whose largest would not fit (check_ranges). */
#include "cortex.h"

#ifdef BW_CORTEX
#include "epilogue.h"
#include "sinc.h"
#include "values.h"

enum { FILTERS = 4 };

#if defined(BW_CORTEX_MVE)
#include <arm_mve.h>
enum { BLOCK = 8 };
typedef int16_t made_tap; /* [block][filter][BLOCK] */
ALWAYS uint32_t place_of(uint32_t k, uint32_t filter) { return (k / BLOCK * FILTERS + filter) * BLOCK + k % BLOCK; }

/* r0, r2, .. lr: sums of filters 0 to 3, of the first window and the second, since VMLADAVA takes even registers alone; r1, r3: samples;
 * r5: taps; r7: blocks. */
#define BOTH(first, second, at) "vldrh.16 q2, [r5, #" #at "]\n vmladava.s16 " first ", q0, q2\n vmladava.s16 " second ", q1, q2\n"
__attribute__((naked, noinline)) static void blocks(const int16_t *x, const int16_t *second, const made_tap *w, uint32_t count, int32_t *sums) {
  (void)x, (void)second, (void)w, (void)count, (void)sums;
  __asm__ volatile(".syntax unified\n push {r4-r11, lr}\n mov r5, r2\n mov r7, r3\n mov r3, r1\n mov r1, r0\n"
                   "movs r0, #0\n mov r2, r0\n mov r4, r0\n mov r6, r0\n mov r8, r0\n mov r10, r0\n mov r12, r0\n mov lr, r0\n"
                   "cbz r7, 2f\n 1: vldrh.16 q0, [r1], #16\n vldrh.16 q1, [r3], #16\n"
                   BOTH("r0", "r8", 0) BOTH("r2", "r10", 16) BOTH("r4", "r12", 32) BOTH("r6", "lr", 48)
                   "adds r5, #64\n subs r7, #1\n bne 1b\n"
                   "2: ldr r9, [sp, #36]\n stmia r9!, {r0, r2, r4, r6}\n stmia r9!, {r8, r10, r12, lr}\n pop {r4-r11, pc}\n");
}
#elif defined(BW_CORTEX_DSP)
#include "dsp.h"
enum { BLOCK = 2 };
typedef int16_t made_tap; /* [pair][filter][BLOCK] */
ALWAYS uint32_t place_of(uint32_t k, uint32_t filter) { return (k / BLOCK * FILTERS + filter) * BLOCK + k % BLOCK; }

#if defined(__ARM_FEATURE_DSP)
/* r0..r3, r4..r7: sums of the filters, of the first window and the second; r8: samples, r9: bytes from one window to the other; r10: taps */
#define FILTER(a, b) "ldr lr, [r10], #4\n smlad " a ", lr, r11, " a "\n smlad " b ", lr, r12, " b "\n"
#define PAIR "ldr r12, [r8, r9]\n ldr r11, [r8], #4\n" FILTER("r0", "r4") FILTER("r1", "r5") FILTER("r2", "r6") FILTER("r3", "r7")
__attribute__((naked, noinline)) static void blocks(const int16_t *x, const int16_t *second, const made_tap *w, uint32_t count, int32_t *sums) {
  (void)x, (void)second, (void)w, (void)count, (void)sums;
  __asm__ volatile(".syntax unified\n push {r4-r11, lr}\n mov r8, r0\n subs r9, r1, r0\n mov r10, r2\n and r11, r3, #3\n lsrs r12, r3, #2\n"
                   "push {r11, r12}\n movs r0, #0\n mov r1, r0\n mov r2, r0\n mov r3, r0\n mov r4, r0\n mov r5, r0\n mov r6, r0\n mov r7, r0\n"
                   "1: ldr lr, [sp, #4]\n subs lr, #1\n bmi 2f\n str lr, [sp, #4]\n" PAIR PAIR PAIR PAIR "b 1b\n"
                   "2: ldr lr, [sp]\n subs lr, #1\n bmi 3f\n str lr, [sp]\n" PAIR "b 2b\n"
                   "3: add sp, #8\n ldr r9, [sp, #36]\n stmia r9, {r0-r7}\n pop {r4-r11, pc}\n");
}
#else
static void blocks(const int16_t *x, const int16_t *second, const made_tap *w, uint32_t count, int32_t *sums) {
  uint32_t k, c;
  memset(sums, 0, 2 * FILTERS * sizeof *sums);
  for (k = 0; k < count * BLOCK; k++) {
    for (c = 0; c < FILTERS; c++) sums[c] += x[k] * w[place_of(k, c)], sums[FILTERS + c] += second[k] * w[place_of(k, c)];
  }
}
#endif
#else
enum { BLOCK = 1 };
typedef int32_t made_tap; /* [tap][filter], of the first half */
#endif

#if defined(BW_CORTEX_SWAR)

static void make(const bw_step *s, uint32_t first, uint32_t count, uint32_t taps, made_tap *to) {
  uint32_t c, k;
  for (c = 0; c < count; c++) {
    const bw_sinc filter = bw_sinc_load(s->weights, first + c, taps);
    for (k = 0; 2 * k < taps; k++) to[k * FILTERS + c] = bw_sinc_tap(&filter, bw_sinc_distance(k, taps));
  }
}

static void window_sums(const int16_t *x, const int16_t *second, const made_tap *w, uint32_t taps, int32_t *sums) {
  const int16_t *last = x + taps - 1;
  int32_t a = 0, b = 0, c = 0, d = 0;
  (void)second;
  for (; x < last; x++, last--, w += FILTERS) {
    const int32_t both = *x + *last;
    a += both * w[0], b += both * w[1], c += both * w[2], d += both * w[3];
  }
  if (x == last) a += *x * w[0], b += *x * w[1], c += *x * w[2], d += *x * w[3];
  sums[0] = a, sums[1] = b, sums[2] = c, sums[3] = d;
}
enum { TOGETHER = 1 };

#else

static void make(const bw_step *s, uint32_t first, uint32_t count, uint32_t taps, made_tap *to) {
  uint32_t c, k;
  for (c = 0; c < count; c++) {
    const bw_sinc filter = bw_sinc_load(s->weights, first + c, taps);
    for (k = 0; 2 * k < taps; k++) to[place_of(k, c)] = to[place_of(taps - 1 - k, c)] = (made_tap)bw_sinc_tap(&filter, bw_sinc_distance(k, taps));
  }
}

static void window_sums(const int16_t *x, const int16_t *second, const made_tap *w, uint32_t taps, int32_t *sums) {
  uint32_t k = taps / BLOCK * BLOCK, c;
  blocks(x, second, w, taps / BLOCK, sums);
  for (; k < taps; k++) {
    for (c = 0; c < FILTERS; c++) sums[c] += x[k] * w[place_of(k, c)], sums[FILTERS + c] += second[k] * w[place_of(k, c)];
  }
}
enum { TOGETHER = 2 };

#endif

int bw_run_made(const bw_step *s) {
  const uint32_t taps = (uint32_t)s->l.kernel[0] * s->l.kernel[1] * s->x.channels, rows = s->y.height, channels = s->y.channels;
  const uint32_t step = s->l.stride[0] * (uint32_t)s->x.width * s->x.channels;
  const bw_epilogue e = bw_epilogue_of(s, s->l.accumulatorShift);
  made_tap *w = (made_tap *)(void *)s->scratch;
  uint32_t c, i, j, row;
  if (s->l.weightKind != 0 || bw_by_pixels(&s->l)) return 0;
  if (s->x.containerBits != 16 || s->x.zeroPoint != 0 || s->l.kernel[1] != s->x.width) return 0;
  if (s->l.padding[0] | s->l.padding[1] | s->l.padding[2] | s->l.padding[3]) return 0;
  memset(w, 0, (taps + 7) / 8 * 64);
  for (c = 0; c < channels; c += FILTERS) {
    const uint32_t count = channels - c < FILTERS ? channels - c : FILTERS;
    const int16_t *x = (const int16_t *)(const void *)s->in;
    make(s, c, count, taps, w);
    for (row = 0; row < rows; row += TOGETHER, x += TOGETHER * step) {
      const uint32_t together = rows - row < TOGETHER ? 1 : TOGETHER;
      int32_t sums[2 * FILTERS];
      window_sums(x, together > 1 ? x + step : x, w, taps, sums);
      for (j = 0; j < together; j++) {
        for (i = 0; i < count; i++) bw_long_epilogue(s, &e, (row + j) * channels + c + i, c + i, sums[j * FILTERS + i], 0);
      }
    }
  }
  return 1;
}

#endif
