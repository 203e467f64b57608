/* Convolutions on Cortex-M55 with Helium. Dense: four channels by two pixels, sixteen inputs at a time with VMLADAVA, weights packed for it
 * beforehand (BW_VECTORS). Depthwise: four outputs of a channel at a time. Inputs are kept as bytes without their zero point, of either sign;
 * fields are unsigned, so that sum(w x) = sum(field x) - offset sum(x).
 *
 * GCC 12 compiles constant predicates wrongly; only what vctp gives is safe. */
#include "cortex.h"

#ifdef BW_CORTEX_MVE
#include <arm_mve.h>

#include "epilogue.h"
#include "values.h"
#include "weights.h"

#define ALWAYS static inline __attribute__((always_inline))

enum { CHANNELS = 32, OUTPUTS = 32 }; /* whose sums wait together for their epilogue */

/* 1: values less the zero point are bytes without a sign, -1: with one, 0: neither. */
static int byte_sign(const bw_tensor *t) {
  const int32_t low = t->min - t->zeroPoint, high = t->max - t->zeroPoint;
  if (t->containerBits > 8) return 0;
  return low >= 0 && high <= 255 ? 1 : low >= -128 && high <= 127 ? -1 : 0;
}

/* Up to sixteen fields of a container of 2 or 4 bits, side by side. */
ALWAYS uint8x16_t load_fields(const uint32_t containerBits, const uint8_t *from, uint32_t count) {
  if (containerBits == 4) {
    const uint16x8_t b = vldrbq_z_u16(from, vctp16q((count + 1) / 2));
    return vreinterpretq_u8_u16(vandq_u16(vorrq_u16(b, vshlq_n_u16(b, 4)), vdupq_n_u16(0x0f0f)));
  } else {
    const uint32x4_t b = vldrbq_z_u32(from, vctp32q((count + 3) / 4)), two = vorrq_u32(b, vshlq_n_u32(b, 6));
    return vreinterpretq_u8_u32(vandq_u32(vorrq_u32(two, vshlq_n_u32(two, 12)), vdupq_n_u32(0x03030303u)));
  }
}

/* `count` neighbours from element `index` on as bytes less the zero point; returns their sum. */
ALWAYS int32_t take_bytes(const bw_tensor *t, const uint8_t *base, uint32_t index, uint32_t count, int isSigned, uint8_t *to) {
  const uint8_t offset = (uint8_t)((t->containerBits < 8 ? t->min : 0) - t->zeroPoint);
  int32_t sum = 0;
  if (t->containerBits == 8) {
    const uint8_t *from = base + index;
    for (; count >= 16; count -= 16, from += 16, to += 16) {
      const uint8x16_t v = vaddq_n_u8(vldrbq_u8(from), offset);
      sum = isSigned ? vaddvaq_s8(sum, vreinterpretq_s8_u8(v)) : (int32_t)vaddvaq_u8((uint32_t)sum, v);
      vstrbq_u8(to, v);
    }
    if (count > 0) {
      const mve_pred16_t p = vctp8q(count);
      const uint8x16_t v = vaddq_n_u8(vldrbq_z_u8(from, p), offset);
      sum = isSigned ? vaddvaq_p_s8(sum, vreinterpretq_s8_u8(v), p) : (int32_t)vaddvaq_p_u8((uint32_t)sum, v, p);
      vstrbq_p_u8(to, v, p);
    }
    return sum;
  }
  if (on_byte(t, index)) {
    const uint8_t *from = base + index * t->containerBits / 8;
    while (count > 0) {
      const mve_pred16_t p = vctp8q(count);
      const uint32_t now = count < 16 ? count : 16;
      const uint8x16_t v = vaddq_n_u8(t->containerBits == 4 ? load_fields(4, from, now) : load_fields(2, from, now), offset);
      sum = isSigned ? vaddvaq_p_s8(sum, vreinterpretq_s8_u8(v), p) : (int32_t)vaddvaq_p_u8((uint32_t)sum, v, p);
      vstrbq_p_u8(to, v, p);
      to += now, count -= now, from += 2 * t->containerBits;
    }
    return sum;
  }
  for (; count > 0; count--, index++) {
    const int16_t value = fetch1(t, base, index);
    *to++ = (uint8_t)value, sum += value;
  }
  return sum;
}

/* The window of an output pixel; returns the sum of its values. */
ALWAYS int32_t take_window(const bw_step *s, uint32_t row, uint32_t column, uint32_t padded, int isSigned, uint8_t *to) {
  const int32_t height = (int32_t)s->x.height, width = s->x.width, kernelHeight = s->l.kernel[0], kernelWidth = s->l.kernel[1];
  const int32_t top = (int32_t)(row * s->l.stride[0]) - s->l.padding[0], left = (int32_t)(column * s->l.stride[1]) - s->l.padding[2];
  const int32_t first = left < 0 ? -left : 0, last = width - left < kernelWidth ? width - left : kernelWidth;
  const int32_t begin = top < 0 ? -top : 0, end = height - top < kernelHeight ? height - top : kernelHeight;
  const uint32_t channels = s->x.channels, line = (uint32_t)(last > first ? last - first : 0) * channels;
  int32_t sum = 0, y;
  if (begin > 0 || end < kernelHeight || first > 0 || last < kernelWidth) memset(to, 0, padded);
  if (left == 0 && kernelWidth == width && begin < end)
    return take_bytes(&s->x, s->in, (uint32_t)(top + begin) * line, (uint32_t)(end - begin) * line, isSigned, to + (uint32_t)begin * line);
  for (y = begin; y < end && line > 0; y++)
    sum += take_bytes(&s->x, s->in, (uint32_t)((top + y) * width + left + first) * channels, line, isSigned,
                      to + (uint32_t)(y * kernelWidth + first) * channels);
  return sum;
}

/* --- dense */

/* The fields of channel c of sixteen inputs, number `part` of their unit, from the planes of a unit at w. */
ALWAYS uint8x16_t fields(const uint32_t bits, const uint8_t *w, const uint32_t part, const uint32_t c) {
  const uint32_t parts = bits % 2 ? 2 : 1; /* of a unit */
  uint8x16_t v = vdupq_n_u8(0);
  if (bits & 4) {
    v = vldrbq_u8(w + 16 * (2 * part + c / 2));
    v = c % 2 ? vshrq_n_u8(v, 4) : vandq_u8(v, vdupq_n_u8(15));
    w += 32 * parts;
  }
  if (bits & 2) {
    uint8x16_t u = vldrbq_u8(w + 16 * part);
    if (c == 1) u = vshrq_n_u8(u, 2);
    if (c == 2) u = vshrq_n_u8(u, 4);
    u = c == 3 ? vshrq_n_u8(u, 6) : vandq_u8(u, vdupq_n_u8(3));
    v = bits & 4 ? vorrq_u8(v, vshlq_n_u8(u, 4)) : u;
    w += 16 * parts;
  }
  if (bits & 1) {
    uint8x16_t u = vldrbq_u8(w);
    switch (4 * part + c) {
      case 1: u = vshrq_n_u8(u, 1); break;
      case 2: u = vshrq_n_u8(u, 2); break;
      case 3: u = vshrq_n_u8(u, 3); break;
      case 4: u = vshrq_n_u8(u, 4); break;
      case 5: u = vshrq_n_u8(u, 5); break;
      case 6: u = vshrq_n_u8(u, 6); break;
      case 7: u = vshrq_n_u8(u, 7); break;
      default: break;
    }
    u = vandq_u8(u, vdupq_n_u8(1));
    if (bits == 3) v = vorrq_u8(v, vshlq_n_u8(u, 2));
    if (bits == 5) v = vorrq_u8(v, vshlq_n_u8(u, 4));
    if (bits == 7) v = vorrq_u8(v, vshlq_n_u8(u, 6));
  }
  return v;
}

typedef struct {
  const uint8_t *x, *end, *second; /* the first pixel's inputs and their end, the second one's */
  int32_t from[2];                 /* what the sums of each begin with */
  int32_t *sums, *sumsEnd;         /* [pixel][CHANNELS] */
} group_work;

/* The sums of groups of four channels over two pixels; returns where the weights after them begin. Sums of the first pixel are in r0, r2,
 * r4, r6, of the second in r8, r10, r12, lr: VMLADAVA takes even registers alone, and GCC moves them about. */
#define PIXELS(sign, a, b) "vmladava." sign "8 " a ", q0, q3\n vmladava." sign "8 " b ", q1, q3\n"
#define INPUTS "vldrb.8 q0, [r1], #16\n vldrb.8 q1, [r3], #16\n"
#define WEIGHTS(q) "vldrb.8 " q ", [r5], #16\n"
#define BYTE(sign, flip, a, b) WEIGHTS("q3") flip PIXELS(sign, a, b)
#define BYTES(sign, flip) INPUTS BYTE(sign, flip, "r0", "r8") BYTE(sign, flip, "r2", "r10") BYTE(sign, flip, "r4", "r12") BYTE(sign, flip, "r6", "lr")
#define NIBBLES(sign, a, b, c, d) WEIGHTS("q2") "vand q3, q2, q4\n" PIXELS(sign, a, b) "vshr.u8 q3, q2, #4\n" PIXELS(sign, c, d)
#define CRUMB(n) "vshr.u8 q3, q2, #" #n "\n vand q3, q3, q4\n"
#define FOUR(sign, a, b, c, d) a PIXELS(sign, "r0", "r8") b PIXELS(sign, "r2", "r10") c PIXELS(sign, "r4", "r12") d PIXELS(sign, "r6", "lr")

#define GROUPS(name, CONSTANT, BODY)                                                                                                      \
  __attribute__((naked, noinline)) static const uint8_t *name(const group_work *work, const uint8_t *w) {                                 \
    (void)work, (void)w;                                                                                                                  \
    __asm__ volatile(".syntax unified\n push {r4-r11, lr}\n vpush {d8-d9}\n sub sp, #28\n mov r12, r1\n ldmia r0, {r4-r10}\n"              \
                     "stmia sp, {r4-r10}\n mov r5, r12\n" CONSTANT                                                                        \
                     "2: ldr r1, [sp]\n ldr r3, [sp, #8]\n ldr r7, [sp, #4]\n ldr r0, [sp, #12]\n mov r2, r0\n mov r4, r0\n mov r6, r0\n"  \
                     "ldr r8, [sp, #16]\n mov r10, r8\n mov r12, r8\n mov lr, r8\n 1:\n" BODY "cmp r1, r7\n bne 1b\n"                     \
                     "ldrd r9, r11, [sp, #20]\n strd r0, r2, [r9]\n strd r4, r6, [r9, #8]\n strd r8, r10, [r9, #128]\n"                    \
                     "strd r12, lr, [r9, #136]\n adds r9, #16\n str r9, [sp, #20]\n cmp r9, r11\n bne 2b\n"                               \
                     "mov r0, r5\n add sp, #28\n vpop {d8-d9}\n pop {r4-r11, pc}\n");                                                   \
  }
#define BOTH(bits, CONSTANT, BODY) GROUPS(unsigned##bits, CONSTANT, BODY("u")) GROUPS(signed##bits, CONSTANT, BODY("s"))
#define BODY4(sign) INPUTS NIBBLES(sign, "r0", "r8", "r2", "r10") NIBBLES(sign, "r4", "r12", "r6", "lr")
#define BODY2(sign) INPUTS WEIGHTS("q2") FOUR(sign, "vand q3, q2, q4\n", CRUMB(2), CRUMB(4), "vshr.u8 q3, q2, #6\n")
#define BODY1(sign) INPUTS WEIGHTS("q2") FOUR(sign, "vand q3, q2, q4\n", CRUMB(1), CRUMB(2), CRUMB(3)) \
  INPUTS FOUR(sign, CRUMB(4), CRUMB(5), CRUMB(6), "vshr.u8 q3, q2, #7\n")
GROUPS(unsigned8, "", BYTES("u", ""))
GROUPS(signed8, "vmov.i8 q4, #128\n", BYTES("s", "veor q3, q3, q4\n"))
BOTH(4, "vmov.i8 q4, #15\n", BODY4)
BOTH(2, "vmov.i8 q4, #3\n", BODY2)
BOTH(1, "vmov.i8 q4, #1\n", BODY1)

ALWAYS int32_t accumulate(int isSigned, int32_t sum, uint8x16_t x, uint8x16_t w) {
  return isSigned ? vmladavaq_s8(sum, vreinterpretq_s8_u8(x), vreinterpretq_s8_u8(w)) : (int32_t)vmladavaq_u8((uint32_t)sum, x, w);
}

/* The other widths, of several planes. */
ALWAYS const uint8_t *group_sums(const uint32_t bits, const int isSigned, const group_work *work, const uint8_t *w) {
  const uint32_t parts = bits % 2 ? 2 : 1;
  int32_t *sums = work->sums;
  for (; sums < work->sumsEnd; sums += 4) {
    int32_t a0 = work->from[0], a1 = a0, a2 = a0, a3 = a0, b0 = work->from[1], b1 = b0, b2 = b0, b3 = b0;
    const uint8_t *x0 = work->x, *x1 = work->second;
    for (; x0 < work->end; w += 8 * parts * bits) {
      uint32_t part;
      for (part = 0; part < parts; part++, x0 += 16, x1 += 16) {
        const uint8x16_t p = vldrbq_u8(x0), q = vldrbq_u8(x1);
        uint8x16_t f;
#define CHANNEL(c)                                          \
  f = part ? fields(bits, w, 1, c) : fields(bits, w, 0, c); \
  a##c = accumulate(isSigned, a##c, p, f), b##c = accumulate(isSigned, b##c, q, f);
        CHANNEL(0) CHANNEL(1) CHANNEL(2) CHANNEL(3)
#undef CHANNEL
      }
    }
    sums[0] = a0, sums[1] = a1, sums[2] = a2, sums[3] = a3;
    sums[CHANNELS] = b0, sums[CHANNELS + 1] = b1, sums[CHANNELS + 2] = b2, sums[CHANNELS + 3] = b3;
  }
  return w;
}

typedef const uint8_t *group_kernel(const group_work *, const uint8_t *);
#define PLANES(bits)                                                                                                                             \
  static __attribute__((noinline)) const uint8_t *unsigned##bits(const group_work *work, const uint8_t *w) { return group_sums(bits, 0, work, w); } \
  static __attribute__((noinline)) const uint8_t *signed##bits(const group_work *work, const uint8_t *w) { return group_sums(bits, 1, work, w); }
PLANES(3) PLANES(5) PLANES(6) PLANES(7)
static group_kernel *const kernels[2][8] = {{unsigned1, unsigned2, unsigned3, unsigned4, unsigned5, unsigned6, unsigned7, unsigned8},
                                            {signed1, signed2, signed3, signed4, signed5, signed6, signed7, signed8}};

/* Whether vectors requantize right: no shift to the left. */
static int vector_way(const bw_step *s, const bw_epilogue *e) {
  int all = !s->l.logMagnitude && s->y.containerBits <= 8;
  uint32_t c;
  for (c = 0; c < s->y.channels; c++) all &= e->shift[c] <= 0;
  return all;
}

/* gemmlowp's two roundings; VRSHL takes ties up, so that one is taken off below zero where it shifts. */
ALWAYS int32x4_t round_shift(int32x4_t high, int32x4_t shift) {
  return vrshlq_s32(vqaddq_s32(high, vshrq_n_s32(vandq_s32(high, shift), 31)), shift);
}

/* `count` channels from c on of a pixel. */
ALWAYS void finish_channels(const bw_epilogue *e, const int32_t *sums, int32_t rest, uint32_t c, uint32_t count, int32_t sumShift,
                            int8_t *to) {
  const int32x4_t low = vdupq_n_s32(e->low), high = vdupq_n_s32(e->high);
  const int32_t zeroPoint = e->zeroPoint;
  const int32_t *bias = (const int32_t *)e->bias + c, *multiplier = (const int32_t *)e->multiplier + c;
  const int8_t *shift = e->shift + c;
  for (; count >= 4; count -= 4, bias += 4, multiplier += 4, shift += 4, sums += 4, to += 4) {
    int32x4_t v = vaddq_s32(vshlq_r_s32(vldrwq_s32(sums), sumShift), vldrwq_s32(bias));
    v = round_shift(vqrdmulhq_s32(vaddq_n_s32(v, rest), vldrwq_s32(multiplier)), vldrbq_s32(shift));
    vstrbq_s32(to, vminq_s32(vmaxq_s32(vaddq_n_s32(v, zeroPoint), low), high));
  }
  if (count > 0) {
    const mve_pred16_t p = vctp32q(count);
    int32x4_t v = vaddq_s32(vshlq_r_s32(vldrwq_s32(sums), sumShift), vldrwq_z_s32(bias, p));
    v = round_shift(vqrdmulhq_s32(vaddq_n_s32(v, rest), vldrwq_z_s32(multiplier, p)), vldrbq_z_s32(shift, p));
    vstrbq_p_s32(to, vminq_s32(vmaxq_s32(vaddq_n_s32(v, zeroPoint), low), high), p);
  }
}

ALWAYS void dense(const bw_step *s, const int isSigned) {
  const uint32_t channels = s->y.channels, pixels = s->y.height * s->y.width, bits = bw_width(&s->l);
  const uint32_t depth = (uint32_t)s->l.kernel[0] * s->l.kernel[1] * s->x.channels, padded = bw_padded_depth(&s->l, depth);
  const uint32_t offset = bits == 8 && isSigned ? 0 : 1u << (bits - 1);
  const int odd = bw_odd(&s->l), pointwise = bw_pointwise(&s->l);
  const int32_t sumShift = s->l.accumulatorShift + odd;
  const bw_epilogue e = bw_epilogue_of(s, (uint32_t)sumShift);
  const int vectorWay = vector_way(s, &e);
  group_kernel *const kernel = kernels[isSigned][bits - 1];
  uint8_t *x = s->scratch;
  uint32_t pixel, c, i, row = 0, column = 0;
  memset(x, 0, 2 * (size_t)padded);
  for (pixel = 0; pixel < pixels; pixel += 2) {
    const uint32_t together = pixels - pixel < 2 ? 1 : 2;
    const uint8_t *weights = s->weights;
    int32_t sums[2 * CHANNELS], rests[2] = {0, 0};
    group_work work = {x, x + padded, x + padded, {0, 0}, sums, sums};
    for (i = 0; i < together; i++) {
      int32_t total;
      if (pointwise) {
        total = take_bytes(&s->x, s->in, (pixel + i) * depth, depth, isSigned, x + i * padded);
      } else {
        total = take_window(s, row, column, padded, isSigned, x + i * padded);
        if (++column == s->y.width) column = 0, row++;
      }
      work.from[i] = (int32_t)(0u - offset * (uint32_t)total);
      if (odd) rests[i] = (int32_t)((uint32_t)total << s->l.accumulatorShift);
    }
    for (c = 0; c < channels; c += CHANNELS) {
      const uint32_t count = channels - c < CHANNELS ? channels - c : CHANNELS;
      work.sumsEnd = sums + (count + 3) / 4 * 4;
      weights = kernel(&work, weights);
      for (i = 0; i < together; i++) {
        const uint32_t index = (pixel + i) * channels + c;
        uint32_t k;
        if (vectorWay) {
          int8_t fields[CHANNELS], *to = s->y.containerBits == 8 ? (int8_t *)s->out + index : fields;
          finish_channels(&e, sums + i * CHANNELS, rests[i], c, count, sumShift, to);
          if (to == fields) bw_put_fields(&s->y, s->out, index, fields, count);
        } else {
          for (k = 0; k < count; k++) bw_long_epilogue(s, &e, index + k, c + k, sums[i * CHANNELS + k], rests[i]);
        }
      }
    }
  }
}

/* --- depthwise: a channel's plane as bytes inside its border, walked along its longer side */

typedef struct {
  uint32_t inputs[2], outputs[2], kernel[2], stride[2], before[2], tapStep[2], inputStep[2], outputStep[2], line;
} walk;

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

ALWAYS void fill_plane(const bw_step *s, const walk *w, uint32_t channel, uint8_t *plane) {
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
ALWAYS int32x4_t any_kernel(const walk *w, const uint8_t *from, const int16_t *weight, uint32x4_t strides, uint32_t count, int isSigned) {
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
  const uint32_t inputs[2] = {s->x.height, s->x.width}, outputs[2] = {s->y.height, s->y.width};
  const uint32_t along = s->y.height > s->y.width ? 0 : 1;
  const bw_epilogue e = bw_epilogue_of(s, s->l.accumulatorShift);
  const int vectorWay = vector_way(s, &e);
  int16_t *weights = (int16_t *)(void *)s->scratch;
  uint8_t *plane = s->scratch + 2 * taps;
  const int small = s->l.kernel[0] == 3 && s->l.kernel[1] == 3 && s->l.stride[along] == 1;
  uint32_t c, i, j, k, m;
  uint32x4_t strides;
  int32_t wide[9];
  walk w;
  for (i = 0; i < 2; i++) {
    const uint32_t axis = i == 0 ? along : 1 - along;
    w.inputs[i] = inputs[axis], w.outputs[i] = outputs[axis];
    w.kernel[i] = s->l.kernel[axis], w.stride[i] = s->l.stride[axis], w.before[i] = s->l.padding[2 * axis];
    w.tapStep[i] = axis == 0 ? s->l.kernel[1] : 1;
    w.inputStep[i] = axis == 0 ? inputs[1] * channels : channels;
    w.outputStep[i] = axis == 0 ? outputs[1] * channels : channels;
  }
  w.line = w.inputs[0] + s->l.padding[2 * along] + s->l.padding[2 * along + 1];
  strides = steps(w.stride[0]);
  memset(s->scratch, 0, bw_scratch_bytes(&s->l, &s->x));
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

static __attribute__((noinline)) void dense_unsigned(const bw_step *s) { dense(s, 0); }
static __attribute__((noinline)) void dense_signed(const bw_step *s) { dense(s, 1); }
static __attribute__((noinline)) void depthwise_unsigned(const bw_step *s) { depthwise(s, 0); }
static __attribute__((noinline)) void depthwise_signed(const bw_step *s) { depthwise(s, 1); }

int bw_run_cortex(const bw_step *s) {
  const int sign = byte_sign(&s->x);
  if (s->l.op != BW_CONVOLUTION || bw_layout(&s->l) != BW_VECTORS || sign == 0) return 0;
  if (s->l.depthwise) (sign > 0 ? depthwise_unsigned : depthwise_signed)(s);
  else (sign > 0 ? dense_unsigned : dense_signed)(s);
  return 1;
}

#endif
