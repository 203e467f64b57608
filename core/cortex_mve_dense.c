/* Dense convolutions on Cortex-M55 with Helium: four channels by two pixels, sixteen inputs at a time with VMLADAVA, weights packed for it
 * beforehand (BW_VECTORS). Inputs are kept as bytes without their zero point, of either sign; fields are unsigned, so that
 * sum(w x) = sum(field x) - offset sum(x). */
#include "cortex.h"

#ifdef BW_CORTEX_MVE
#include "mve.h"
#include "values.h"
#include "weights.h"
#include "window.h"

/* --- inputs of a pixel */

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
  bw_window w = bw_window_of(s, row, column);
  int32_t sum = 0, y;
  if (w.cut) memset(to, 0, padded);
  if (w.left == 0 && s->l.kernel[1] == s->x.width && w.begin < w.end)
    return take_bytes(&s->x, s->in, w.from, (uint32_t)(w.end - w.begin) * w.line, isSigned, to + w.to);
  for (y = w.begin; y < w.end && w.line > 0; y++, w.from += w.fromStep, w.to += w.toStep)
    sum += take_bytes(&s->x, s->in, w.from, w.line, isSigned, to + w.to);
  return sum;
}

/* --- sums */

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

/* --- layers */

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
      for (i = 0; i < together; i++)
        finish_pixel(s, &e, vectorWay, sums + i * CHANNELS, rests[i], (pixel + i) * channels + c, c, count, sumShift);
    }
  }
}

static __attribute__((noinline)) void dense_unsigned(const bw_step *s) { dense(s, 0); }
static __attribute__((noinline)) void dense_signed(const bw_step *s) { dense(s, 1); }

int bw_run_dense(const bw_step *s) {
  const int sign = byte_sign(&s->x);
  if (bw_layout(&s->l) != BW_VECTORS) return 0;
  if (sign == 0) return bw_run_dense_halves(s);
  (sign > 0 ? dense_unsigned : dense_signed)(s);
  return 1;
}

#endif
