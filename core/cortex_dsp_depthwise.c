/* Depthwise convolutions on Cortex-M4, M7 and M33: a channel's plane as int16 inside its border, walked along its longer side, two taps at a
 * time with SMLAD. */
#include "cortex.h"

#ifdef BW_CORTEX_DSP
#include "dsp.h"
#include "epilogue.h"
#include "values.h"
#include "weights.h"
#include "window.h"

enum { OUTPUTS = 32 }; /* whose sums wait together */

static void fill_plane(const bw_step *s, const bw_walk *w, uint32_t channel, int16_t *plane) {
  const int32_t zeroPoint = s->x.zeroPoint;
  uint32_t j;
  plane += w->before[1] * w->line + w->before[0];
  for (j = 0; j < w->inputs[1]; j++, plane += w->line) {
    const uint32_t index = j * w->inputStep[1] + channel;
    if (s->x.containerBits == 8) {
      const int8_t *from = (const int8_t *)s->in + index;
      const uint32_t step = w->inputStep[0];
      int16_t *to = plane, *end = plane + w->inputs[0];
      for (; end - to >= 4; to += 4) {
        to[0] = (int16_t)(*from - zeroPoint), from += step;
        to[1] = (int16_t)(*from - zeroPoint), from += step;
        to[2] = (int16_t)(*from - zeroPoint), from += step;
        to[3] = (int16_t)(*from - zeroPoint), from += step;
      }
      for (; to < end; from += step) *to++ = (int16_t)(*from - zeroPoint);
    } else {
      bw_fetch_apart(&s->x, s->in, index, w->inputStep[0], plane, w->inputs[0]);
    }
  }
}

/* The taps of a channel, [across][along, to even] in the order of the walk. */
static void load_taps(const bw_step *s, const bw_walk *w, uint32_t channel, int16_t *taps) {
  const uint32_t count = w->kernel[0] * w->kernel[1], even = bw_round_up(w->kernel[0], 2);
  uint32_t i, j;
  for (j = 0; j < w->kernel[1]; j++, taps += even) {
    for (i = 0; i < w->kernel[0]; i++) {
      const uint32_t k = i * w->tapStep[0] + j * w->tapStep[1];
      taps[i] = (int16_t)bw_tap(&s->l, s->weights, count, channel, k);
    }
    if (even > w->kernel[0]) taps[i] = 0;
  }
}

static inline uint32_t load_pair(const int16_t *p) {
  uint32_t v;
  memcpy(&v, p, 4);
  return v;
}

/* Sums of outputs side by side, any kernel: two taps at a time, the last one perhaps beside a zero. */
static void row_sums(const int16_t *from, const int16_t *taps, const bw_walk *w, uint32_t count, int32_t *sums) {
  const uint32_t pairs = (w->kernel[0] + 1) / 2;
  for (; count > 0; count--, from += w->stride[0]) {
    const int16_t *line = from, *tap = taps;
    int32_t sum = 0;
    uint32_t i, j;
    for (j = 0; j < w->kernel[1]; j++, line += w->line) {
      for (i = 0; i < pairs; i++, tap += 2) sum = bw_smlad(load_pair(line + 2 * i), load_pair(tap), sum);
    }
    *sums++ = sum;
  }
}

#if defined(__ARM_FEATURE_DSP)
/* Three taps for two outputs, x0..x3 in r12 and lr: x0 w0 + x1 w1 + x2 w2 and x1 w0 + x2 w1 + x3 w2, of words (w0, w1) and (w1, w2). */
#define THREE_TAPS(line, w01, w12)                                                         \
  "ldrd r12, lr, [" line "], #4\n smlad r10, r12, " w01 ", r10\n smlabt r10, lr, " w12 ", r10\n" \
  "smlatb r11, r12, " w01 ", r11\n smlad r11, lr, " w12 ", r11\n"

/* lines: three neighbouring lines of the plane; weights: (w0, w1), (w1, w2) of each */
__attribute__((naked, noinline)) static void three_by_three(const int16_t *const lines[3], const uint32_t weights[6], int32_t *sums, int32_t *end) {
  (void)lines, (void)weights, (void)sums, (void)end;
  __asm__ volatile(".syntax unified\n push {r3, r4-r11, lr}\n sub sp, #4\n mov r3, r2\n ldmia r1, {r4-r9}\n ldmia r0, {r0-r2}\n"
                   "1: mov r10, #0\n mov r11, #0\n" THREE_TAPS("r0", "r4", "r5") THREE_TAPS("r1", "r6", "r7") THREE_TAPS("r2", "r8", "r9")
                   "strd r10, r11, [r3], #8\n ldr r12, [sp, #4]\n cmp r3, r12\n blo 1b\n"
                   "add sp, #4\n pop {r3, r4-r11, pc}\n");
}
#else
static void three_by_three(const int16_t *const lines[3], const uint32_t weights[6], int32_t *sums, int32_t *end) {
  uint32_t i, x = 0;
  for (; sums < end; sums++, x++) {
    *sums = 0;
    for (i = 0; i < 3; i++) {
      const int16_t *line = lines[i] + x;
      *sums += line[0] * (int16_t)weights[2 * i] + line[1] * (int16_t)weights[2 * i + 1] + line[2] * (int16_t)(weights[2 * i + 1] >> 16);
    }
  }
}
#endif

ALWAYS void finish_row(const bw_epilogue *e, uint32_t c, const int32_t *sums, uint32_t count, int8_t *to, uint32_t step, int whole) {
  const uint32_t m2 = (uint32_t)e->multiplier[c] << 1, right = (uint32_t)~e->shift[c], bias = (uint32_t)e->bias[c], unit = e->unit;
  const int32_t *end = sums + count;
  for (; end - sums >= 2; sums += 2, to += 2 * step) {
    const int32_t v0 = bw_short_requantize(e, (int32_t)((uint32_t)sums[0] * unit + bias), m2, right);
    const int32_t v1 = bw_short_requantize(e, (int32_t)((uint32_t)sums[1] * unit + bias), m2, right);
    to[0] = bw_short_clamp(e, v0, whole), to[step] = bw_short_clamp(e, v1, whole);
  }
  if (sums < end) *to = bw_short_clamp(e, bw_short_requantize(e, (int32_t)((uint32_t)*sums * unit + bias), m2, right), whole);
}

int bw_run_depthwise(const bw_step *s) {
  bw_walk w = bw_walk_of(s);
  const bw_epilogue e = bw_epilogue_of(s, s->l.accumulatorShift);
  const int small = w.kernel[0] == 3 && w.kernel[1] == 3 && w.stride[0] == 1, shortWay = bw_short_way(s, &e);
  const int whole = e.low == -128 && e.high == 127;
  int16_t *taps = (int16_t *)(void *)s->scratch, *plane = taps + bw_round_up(w.kernel[0], 2) * bw_round_up(w.kernel[1], 2);
  uint32_t c, i, j, k;
  if (bw_layout(&s->l) != BW_PAIRED_INPUTS) return 0;
  w.line = bw_round_up(w.line, 2);
  memset(plane, 0, bw_work_bytes(&s->l, &s->x) - (size_t)((uint8_t *)plane - s->scratch));
  for (c = 0; c < s->y.channels; c++) {
    uint32_t weights[6];
    fill_plane(s, &w, c, plane);
    load_taps(s, &w, c, taps);
    for (k = 0; small && k < 3; k++) weights[2 * k] = load_pair(taps + 4 * k), weights[2 * k + 1] = load_pair(taps + 4 * k + 1);
    for (j = 0; j < w.outputs[1]; j++) {
      const int16_t *line = plane + (size_t)j * w.stride[1] * w.line;
      for (i = 0; i < w.outputs[0]; i += OUTPUTS) {
        const uint32_t count = w.outputs[0] - i < OUTPUTS ? w.outputs[0] - i : OUTPUTS, index = j * w.outputStep[1] + i * w.outputStep[0] + c;
        int32_t sums[OUTPUTS];
        if (small) {
          const int16_t *const lines[3] = {line + i, line + w.line + i, line + 2 * w.line + i};
          three_by_three(lines, weights, sums, sums + count);
        } else {
          row_sums(line + (size_t)i * w.stride[0], taps, &w, count, sums);
        }
        if (!shortWay) {
          for (k = 0; k < count; k++) bw_long_epilogue(s, &e, index + k * w.outputStep[0], c, sums[k], 0);
        } else if (s->y.containerBits < 8) {
          int8_t fields[OUTPUTS];
          finish_row(&e, c, sums, count, fields, 1, 0);
          bw_put_fields_apart(&s->y, s->out, index, w.outputStep[0], fields, count);
        } else if (whole) {
          finish_row(&e, c, sums, count, (int8_t *)s->out + index, w.outputStep[0], 1);
        } else {
          finish_row(&e, c, sums, count, (int8_t *)s->out + index, w.outputStep[0], 0);
        }
      }
    }
  }
  return 1;
}

#endif
