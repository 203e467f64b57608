/* Depthwise convolutions on Cortex-M55 with Helium: a channel's plane as bytes inside its border, without their zero point, walked along its
 * longer side, four outputs at a time. */
#include "cortex.h"

#ifdef BW_CORTEX_MVE
#include "mve.h"
#include "values.h"
#include "weights.h"
#include "window.h"

enum { OUTPUTS = 32 }; /* whose sums wait together */

ALWAYS uint32x4_t steps(uint32_t step) { return vmulq_n_u32(vidupq_n_u32(0, 1), step); }

static __attribute__((noinline)) void fill_narrow_line(const bw_step *s, uint32_t index, uint32_t step, uint8_t *to, uint32_t inputs) {
  for (; inputs > 0;) {
    const uint32_t count = inputs < OUTPUTS ? inputs : OUTPUTS;
    int16_t values[OUTPUTS];
    uint32_t k;
    bw_fetch_apart(&s->x, s->in, index, step, values, count);
    for (k = 0; k < count; k++) *to++ = (uint8_t)values[k];
    inputs -= count, index += count * step;
  }
}

ALWAYS void fill_plane(const bw_step *s, const bw_walk *w, uint32_t channel, uint8_t *plane) {
  const uint32x4_t offsets = steps(w->inputStep[0]);
  uint32_t i, j;
  plane += w->before[1] * w->line + w->before[0];
  for (j = 0; j < w->inputs[1]; j++, plane += w->line) {
    const uint32_t index = j * w->inputStep[1] + channel;
    if (s->x.containerBits == 8) {
      const uint8_t *from = s->in + index;
      for (i = 0; i + 4 <= w->inputs[0]; i += 4, from += 4 * w->inputStep[0])
        vstrbq_u32(plane + i, vsubq_n_u32(vldrbq_gather_offset_u32(from, offsets), (uint32_t)(int32_t)s->x.zeroPoint));
      if (i < w->inputs[0]) {
        const mve_pred16_t p = vctp32q(w->inputs[0] - i);
        vstrbq_p_u32(plane + i, vsubq_n_u32(vldrbq_gather_offset_z_u32(from, offsets, p), (uint32_t)(int32_t)s->x.zeroPoint), p);
      }
    } else {
      fill_narrow_line(s, index, w->inputStep[0], plane, w->inputs[0]);
    }
  }
}

/* Three lines of the plane, weights in r4..r12: four outputs at a time, `fours` times. */
#define TAP(reg, offset, sign) "vldrb." sign "32 q1, [" reg ", #" offset "]\n"
#define LINE(reg, sign, first, a, b, c)                                                                                  \
  "vldrb." sign "32 q1, [" reg "], #4\n " first " q0, q1, " a "\n" TAP(reg, "-3", sign) "vmla." sign "32 q0, q1, " b "\n" \
  TAP(reg, "-2", sign) "vmla." sign "32 q0, q1, " c "\n"
#define THREE_BY_THREE(name, sign)                                                                                                          \
  __attribute__((naked, noinline)) static void name(const uint8_t *const lines[3], const int32_t weights[9], int32_t *sums, uint32_t fours) { \
    (void)lines, (void)weights, (void)sums, (void)fours;                                                                                    \
    __asm__ volatile(".syntax unified\n push {r4-r11, lr}\n mov lr, r3\n mov r3, r2\n ldmia r1, {r4-r12}\n ldmia r0, {r0-r2}\n 1:\n"         \
                     LINE("r0", sign, "vmul.i32", "r4", "r5", "r6") LINE("r1", sign, "vmla." sign "32", "r7", "r8", "r9")                   \
                     LINE("r2", sign, "vmla." sign "32", "r10", "r11", "r12") "vstrw.32 q0, [r3], #16\n subs lr, #1\n bne 1b\n"             \
                     "pop {r4-r11, pc}\n");                                                                                                 \
  }
THREE_BY_THREE(three_by_three_unsigned, "u")
THREE_BY_THREE(three_by_three_signed, "s")

ALWAYS int32x4_t gather4(const uint8_t *p, uint32x4_t offsets, mve_pred16_t lanes, int isSigned) {
  if (isSigned) return vldrbq_gather_offset_z_s32((const int8_t *)p, offsets, lanes);
  return vreinterpretq_s32_u32(vldrbq_gather_offset_z_u32(p, offsets, lanes));
}

/* Four sums of any kernel and stride. */
ALWAYS int32x4_t any_kernel(const bw_walk *w, const uint8_t *from, const int16_t *weight, uint32x4_t strides, uint32_t count, int isSigned) {
  const mve_pred16_t lanes = vctp32q(count);
  int32x4_t sums = vdupq_n_s32(0);
  uint32_t i, j;
  for (j = 0; j < w->kernel[1]; j++, from += w->line)
    for (i = 0; i < w->kernel[0]; i++) sums = vmlaq_n_s32(sums, gather4(from + i, strides, lanes, isSigned), *weight++);
  return sums;
}

/* Outputs of a channel side by side. */
ALWAYS void finish_outputs(const bw_step *s, const bw_epilogue *e, uint32_t c, const int32_t *sums, uint32_t count, int8_t *to, uint32_t step) {
  const int32x4_t low = vdupq_n_s32(e->low), high = vdupq_n_s32(e->high), shift = vdupq_n_s32(e->shift[c]);
  const int32_t zeroPoint = e->zeroPoint, bias = e->bias[c], multiplier = e->multiplier[c], sumShift = s->l.accumulatorShift;
  const uint32x4_t offsets = steps(step);
  for (; count > 0; sums += 4, to += 4 * step) {
    int32x4_t v = vqrdmulhq_n_s32(vaddq_n_s32(vshlq_r_s32(vldrwq_s32(sums), sumShift), bias), multiplier);
    v = vminq_s32(vmaxq_s32(vaddq_n_s32(round_shift(v, shift), zeroPoint), low), high);
    if (count < 4) {
      vstrbq_scatter_offset_p_s32(to, offsets, v, vctp32q(count));
      return;
    }
    vstrbq_scatter_offset_s32(to, offsets, v);
    count -= 4;
  }
}

static __attribute__((noinline)) void finish_narrow_outputs(const bw_step *s, const bw_epilogue *e, uint32_t c, const int32_t *sums, uint32_t count,
                                                            uint32_t index, uint32_t step) {
  int8_t fields[OUTPUTS];
  finish_outputs(s, e, c, sums, count, fields, 1);
  bw_put_fields_apart(&s->y, s->out, index, step, fields, count);
}

ALWAYS void depthwise(const bw_step *s, const int isSigned) {
  const uint32_t channels = s->x.channels, taps = (uint32_t)s->l.kernel[0] * s->l.kernel[1];
  const bw_walk w = bw_walk_of(s);
  const bw_epilogue e = bw_epilogue_of(s, s->l.accumulatorShift);
  const int vectorWay = vector_way(s, &e);
  const uint32x4_t strides = steps(w.stride[0]);
  int16_t *weights = (int16_t *)(void *)s->scratch;
  uint8_t *plane = s->scratch + 2 * taps;
  const int small = s->l.kernel[0] == 3 && s->l.kernel[1] == 3 && w.stride[0] == 1;
  uint32_t c, i, j, k, m;
  int32_t wide[9];
  memset(s->scratch, 0, bw_work_bytes(&s->l, &s->x));
  for (c = 0; c < channels; c++) {
    fill_plane(s, &w, c, plane);
    for (j = 0, k = 0; j < w.kernel[1]; j++)
      for (i = 0; i < w.kernel[0]; i++)
        weights[k++] = (int16_t)bw_tap(&s->l, s->weights, taps, c, i * w.tapStep[0] + j * w.tapStep[1]);
    for (k = 0; small && k < 9; k++) wide[k] = weights[k];
    for (j = 0; j < w.outputs[1]; j++) {
      const uint8_t *line = plane + j * w.stride[1] * w.line;
      for (i = 0; i < w.outputs[0]; i += OUTPUTS) {
        const uint32_t count = w.outputs[0] - i < OUTPUTS ? w.outputs[0] - i : OUTPUTS, index = j * w.outputStep[1] + i * w.outputStep[0] + c;
        const uint8_t *from = line + i * w.stride[0];
        int32_t sums[OUTPUTS];
        if (small) {
          const uint8_t *const lines[3] = {from, from + w.line, from + 2 * w.line};
          (isSigned ? three_by_three_signed : three_by_three_unsigned)(lines, wide, sums, (count + 3) / 4);
        } else {
          for (m = 0; m < count; m += 4) vstrwq_s32(sums + m, any_kernel(&w, from + m * w.stride[0], weights, strides, count - m, isSigned));
        }
        if (vectorWay && s->y.containerBits == 8) {
          finish_outputs(s, &e, c, sums, count, (int8_t *)s->out + index, w.outputStep[0]);
        } else if (vectorWay) {
          finish_narrow_outputs(s, &e, c, sums, count, index, w.outputStep[0]);
        } else {
          for (m = 0; m < count; m++) bw_long_epilogue(s, &e, index + m * w.outputStep[0], c, sums[m], 0);
        }
      }
    }
  }
}

static __attribute__((noinline)) void depthwise_unsigned(const bw_step *s) { depthwise(s, 0); }
static __attribute__((noinline)) void depthwise_signed(const bw_step *s) { depthwise(s, 1); }

int bw_run_depthwise(const bw_step *s) {
  const int sign = byte_sign(&s->x);
  if (bw_layout(&s->l) != BW_VECTORS || sign == 0) return 0;
  (sign > 0 ? depthwise_unsigned : depthwise_signed)(s);
  return 1;
}

#endif
