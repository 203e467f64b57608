/* Dense convolutions on Cortex-M55 with Helium whose inputs, less their zero point, fit no bytes, as 16-bit sound: four channels of a pixel,
 * sixteen inputs at a time, the even ones and then the odd ones, with VMLADAVA on halves. */
#include "cortex.h"

#ifdef BW_CORTEX_MVE
#include "mve.h"
#include "values.h"
#include "weights.h"
#include "window.h"

/* `count` neighbours from element `index` on as halves less the zero point; returns their sum. */
static int32_t take_halves(const bw_tensor *t, const uint8_t *base, uint32_t index, uint32_t count, int16_t *to) {
  int32_t sum = 0;
  if (t->containerBits >= 8) {
    uint32_t now;
    for (; count > 0; count -= now, index += now, to += now) {
      const mve_pred16_t p = vctp16q(count);
      int16x8_t v = t->containerBits == 8 ? vldrbq_z_s16((const int8_t *)base + index, p) : vldrhq_z_s16((const int16_t *)(const void *)base + index, p);
      v = vsubq_n_s16(v, t->zeroPoint);
      sum = vaddvaq_p_s16(sum, v, p);
      vstrhq_p_s16(to, v, p);
      now = count < 8 ? count : 8;
    }
  }
  for (; count > 0; count--, index++) {
    const int16_t value = fetch1(t, base, index);
    *to++ = value, sum += value;
  }
  return sum;
}

/* The window of an output pixel; returns the sum of its values. */
static int32_t take_window(const bw_step *s, uint32_t row, uint32_t column, uint32_t padded, int16_t *to) {
  bw_window w = bw_window_of(s, row, column);
  int32_t sum = 0, y;
  if (w.cut) memset(to, 0, 2 * (size_t)padded);
  if (w.left == 0 && s->l.kernel[1] == s->x.width && w.begin < w.end)
    return take_halves(&s->x, s->in, w.from, (uint32_t)(w.end - w.begin) * w.line, to + w.to);
  for (y = w.begin; y < w.end && w.line > 0; y++, w.from += w.fromStep, w.to += w.toStep) sum += take_halves(&s->x, s->in, w.from, w.line, to + w.to);
  return sum;
}

/* The sums of a group of four channels; returns where the weights after them begin. */
ALWAYS const uint8_t *group_sums(const uint32_t bits, const int16_t *x, const int16_t *end, const uint8_t *w, int32_t from, int32_t *sums) {
  const uint32_t parts = bits % 2 ? 2 : 1;
  int32_t a0 = from, a1 = from, a2 = from, a3 = from;
  for (; x < end; w += 8 * parts * bits) {
    uint32_t part;
    for (part = 0; part < parts; part++, x += 16) {
      const int16x8x2_t v = vld2q_s16(x);
      uint8x16_t f;
#define CHANNEL(c)                                                                                            \
  f = bits == 8 ? vldrbq_u8(w + 16 * c) : part ? fields(bits, w, 1, c) : fields(bits, w, 0, c);               \
  a##c = vmladavaq_s16(a##c, v.val[0], vreinterpretq_s16_u16(vmovlbq_u8(f)));                                 \
  a##c = vmladavaq_s16(a##c, v.val[1], vreinterpretq_s16_u16(vmovltq_u8(f)));
      CHANNEL(0) CHANNEL(1) CHANNEL(2) CHANNEL(3)
#undef CHANNEL
    }
  }
  sums[0] = a0, sums[1] = a1, sums[2] = a2, sums[3] = a3;
  return w;
}

typedef const uint8_t *group_kernel(const int16_t *, const int16_t *, const uint8_t *, int32_t, int32_t *);
#define GROUPS(bits)                                                                                                                             \
  static __attribute__((noinline)) const uint8_t *sums##bits(const int16_t *x, const int16_t *end, const uint8_t *w, int32_t from, int32_t *sums) { \
    return group_sums(bits, x, end, w, from, sums);                                                                                              \
  }
GROUPS(1) GROUPS(2) GROUPS(3) GROUPS(4) GROUPS(5) GROUPS(6) GROUPS(7) GROUPS(8)
static group_kernel *const kernels[8] = {sums1, sums2, sums3, sums4, sums5, sums6, sums7, sums8};

int bw_run_dense_halves(const bw_step *s) {
  const uint32_t channels = s->y.channels, bits = bw_width(&s->l), offset = 1u << (bits - 1);
  const uint32_t depth = (uint32_t)s->l.kernel[0] * s->l.kernel[1] * s->x.channels, padded = bw_padded_depth(&s->l, depth);
  const int odd = bw_odd(&s->l);
  const int32_t sumShift = s->l.accumulatorShift + odd;
  const bw_epilogue e = bw_epilogue_of(s, (uint32_t)sumShift);
  const int vectorWay = vector_way(s, &e);
  int16_t *x = (int16_t *)(void *)s->scratch;
  uint32_t row, column, c, i;
  memset(x, 0, 2 * (size_t)padded);
  for (row = 0; row < s->y.height; row++) {
    for (column = 0; column < s->y.width; column++) {
      const int32_t total = take_window(s, row, column, padded, x), from = (int32_t)(0u - offset * (uint32_t)total);
      const int32_t rest = odd ? (int32_t)((uint32_t)total << s->l.accumulatorShift) : 0;
      const uint8_t *weights = s->weights;
      for (c = 0; c < channels; c += CHANNELS) {
        const uint32_t count = channels - c < CHANNELS ? channels - c : CHANNELS;
        int32_t sums[CHANNELS];
        for (i = 0; i < count; i += 4) weights = kernels[bits - 1](x, x + padded, weights, from, sums + i);
        finish_pixel(s, &e, vectorWay, sums, rest, (row * s->y.width + column) * channels + c, c, count, sumShift);
      }
    }
  }
  return 1;
}

#endif
