/* Convolutions where there is neither SMLAD nor a long product (Cortex-M0, M3): one pixel by four channels. Bytes are multiplied one by one;
 * weights of up to four bits lie in pairs of channels, 16 bits apart in a word (BW_PAIRED_OUTPUTS), so that one multiplication makes two
 * products, added up as long as neither sum can leave its half. Fields are unsigned: sum(w x) = sum(field x) - offset sum(x). */
#include "cortex.h"

#ifdef BW_CORTEX_SWAR
#include "epilogue.h"
#include "values.h"
#include "weights.h"
#include "window.h"

enum { GROUP = 4 };

#if defined(__ARM_ARCH_6M__) || defined(__ARM_ARCH_8M_BASE__)
#define BW_THUMB1 1 /* eight registers to compute in: GCC moves its values about more than it multiplies */
#else
#define BW_THUMB1 0
#endif

/* --- requantizing without a long product */

/* round(round(v m / 2^31) / 2^(right + 1)), first ties up, then away from zero, for m >= 0: of products of halves. */
#if BW_THUMB1
__attribute__((naked, noinline)) static int32_t short_requantize(int32_t v, int32_t m, uint32_t right) {
  (void)v, (void)m, (void)right;
  __asm__ volatile(".syntax unified\n push {r4, r5, lr}\n uxth r3, r0\n asrs r0, r0, #16\n uxth r4, r1\n asrs r1, r1, #16\n"
                   "movs r5, r3\n muls r5, r4, r5\n muls r3, r1, r3\n muls r4, r0, r4\n muls r1, r0, r1\n"
                   "lsrs r0, r5, #16\n adds r3, r3, r0\n asrs r0, r4, #16\n adds r1, r1, r0\n lsrs r0, r3, #16\n adds r1, r1, r0\n"
                   "uxth r4, r4\n uxth r3, r3\n adds r3, r3, r4\n lsrs r0, r3, #16\n adds r1, r1, r0\n"
                   "lsls r3, r3, #16\n uxth r5, r5\n orrs r3, r5\n movs r0, #1\n lsls r0, r0, #30\n adds r3, r3, r0\n"
                   "movs r0, #0\n adcs r1, r0\n lsls r1, r1, #1\n lsrs r3, r3, #31\n orrs r1, r3\n"
                   "asrs r0, r1, #31\n adds r0, r0, r1\n asrs r0, r2\n adds r0, #1\n asrs r0, r0, #1\n pop {r4, r5, pc}\n");
}
#else
ALWAYS int32_t short_requantize(int32_t v, int32_t m, uint32_t right) {
  const uint32_t vLow = (uint32_t)v & 0xffff, mLow = (uint32_t)m & 0xffff;
  const int32_t vHigh = v >> 16, mHigh = m >> 16;
  const uint32_t low = vLow * mLow, cross = vLow * (uint32_t)mHigh;
  const int32_t left = vHigh * (int32_t)mLow;
  const uint32_t middle = (low >> 16) + ((uint32_t)left & 0xffff) + (cross & 0xffff);
  const uint32_t high = (uint32_t)(vHigh * mHigh) + (uint32_t)(left >> 16) + (cross >> 16) + (middle >> 16);
  const uint32_t rest = (middle << 16 | (low & 0xffff)) + 0x40000000u;
  v = (int32_t)((high + (rest < 0x40000000u)) << 1 | rest >> 31);
  v += v >> 31;
  return ((v >> (right & 31)) + 1) >> 1;
}
#endif

static int swar_way(const bw_step *s, const bw_epilogue *e) {
  int all = !s->l.logMagnitude && s->y.containerBits == 8;
  uint32_t c;
  for (c = 0; c < s->y.channels; c++) all &= e->multiplier[c] >= 0 && e->shift[c] < 0;
  return all;
}

ALWAYS int8_t swar_value(const bw_epilogue *e, int32_t v, uint32_t c) {
  v = short_requantize(v, e->multiplier[c], (uint32_t)~e->shift[c]) + e->zeroPoint;
  return (int8_t)(v < e->low ? e->low : v > e->high ? e->high : v);
}

/* --- dense */

#if BW_THUMB1
/* sums of four channels; x in words, [input][channels 0, 2, 1, 3] in bytes. Returns where the weights after them begin. */
#define PRODUCT(sum, at) "ldrb r5, [r7, #" #at "]\n muls r5, r4, r5\n adds " sum ", " sum ", r5\n"
#define INPUT(n, a, b, c, d) "ldr r4, [r6, #" #n "]\n" PRODUCT("r0", a) PRODUCT("r2", b) PRODUCT("r1", c) PRODUCT("r3", d)
__attribute__((naked, noinline)) static const uint8_t *sums8(const int32_t *x, const int32_t *end, const uint8_t *w, int32_t sums[4]) {
  (void)x, (void)end, (void)w, (void)sums;
  __asm__ volatile(".syntax unified\n push {r4-r7, lr}\n mov r4, r8\n mov r5, r9\n mov r6, r10\n push {r3-r6}\n"
                   "mov r6, r0\n mov r7, r2\n mov r8, r1\n subs r1, r1, r0\n movs r2, #15\n bics r1, r2\n adds r1, r1, r0\n mov r9, r1\n"
                   "ldmia r3, {r0-r3}\n cmp r6, r9\n beq 2f\n 1:\n"
                   INPUT(0, 0, 1, 2, 3) INPUT(4, 4, 5, 6, 7) INPUT(8, 8, 9, 10, 11) INPUT(12, 12, 13, 14, 15)
                   "adds r6, #16\n adds r7, #16\n cmp r6, r9\n bne 1b\n 2: cmp r6, r8\n beq 4f\n 3:\n"
                   INPUT(0, 0, 1, 2, 3) "adds r6, #4\n adds r7, #4\n cmp r6, r8\n bne 3b\n"
                   "4: mov r12, r7\n pop {r4-r7}\n stmia r4!, {r0-r3}\n mov r8, r5\n mov r9, r6\n mov r10, r7\n mov r0, r12\n pop {r4-r7, pc}\n");
}
#else
static const uint8_t *sums8(const int32_t *x, const int32_t *end, const uint8_t *w, int32_t sums[4]) {
  uint32_t a = (uint32_t)sums[0], b = (uint32_t)sums[1], c = (uint32_t)sums[2], d = (uint32_t)sums[3];
  for (; x < end; x++, w += 4) {
    const uint32_t value = (uint32_t)*x;
    a += value * w[0], c += value * w[1], b += value * w[2], d += value * w[3];
  }
  sums[0] = (int32_t)a, sums[1] = (int32_t)b, sums[2] = (int32_t)c, sums[3] = (int32_t)d;
  return w;
}
#endif

typedef uint32_t __attribute__((may_alias)) word;

/* The fields of two channels in slot `slot` of a unit at w, in the halves of a word. */
ALWAYS uint32_t two_fields(const uint32_t bits, const word *w, const uint32_t slot) {
  const uint32_t slots = 16 / (bits & (0u - bits));
  uint32_t v = 0, low = 0;
  if (bits & 4) v = w[slot / 4] >> slot % 4 * 4 & 0x000f000fu, w += slots / 4, low = 4;
  if (bits & 2) v |= (w[slot / 8] >> slot % 8 * 2 & 0x00030003u) << low, w += slots / 8, low += 2;
  if (bits & 1) v |= (w[slot / 16] >> slot % 16 & 0x00010001u) << low;
  return v;
}

/* The same for fewer bits, `flush` inputs (whole units) at a time where two sums fit a word, 0 where they do not. */
ALWAYS const uint8_t *sums_of(const uint32_t bits, const int together, const int32_t *x, const int32_t *end, uint32_t flush, const uint8_t *from,
                              int32_t sums[4]) {
  const uint32_t unit = 8 / (bits & (0u - bits));
  const word *w = (const word *)(const void *)from;
  uint32_t *to = (uint32_t *)sums, k;
  while (x < end) {
    uint32_t first = 0, second = 0;
    if (together) {
      const int32_t *stop = (uint32_t)(end - x) > flush ? x + flush : end;
      for (; x < stop; x += unit, w += unit * bits / 8) {
#pragma GCC unroll 8
        for (k = 0; k < unit; k++) {
          first += (uint32_t)x[k] * two_fields(bits, w, 2 * k);
          second += (uint32_t)x[k] * two_fields(bits, w, 2 * k + 1);
        }
      }
      to[0] += (uint32_t)(int16_t)first, to[1] += (uint32_t)((int32_t)(first - (uint32_t)(int16_t)first) >> 16);
      to[2] += (uint32_t)(int16_t)second, to[3] += (uint32_t)((int32_t)(second - (uint32_t)(int16_t)second) >> 16);
    } else {
      for (k = 0; k < unit; k++) {
        const uint32_t value = (uint32_t)*x++, a = two_fields(bits, w, 2 * k), b = two_fields(bits, w, 2 * k + 1);
        to[0] += value * (a & 0xffff), to[1] += value * (a >> 16);
        to[2] += value * (b & 0xffff), to[3] += value * (b >> 16);
      }
      w += unit * bits / 8;
    }
  }
  return (const uint8_t *)w;
}

#if BW_THUMB1
/* The same for widths of one plane. r0, r1: two sums each; r2: input; r3: weights; r5: mask; r8..r11: the four sums. BLOCK: as many inputs as
 * are added up before r0 and r1 are emptied. */
#define PAIR(n, sum) "lsrs r4, r3, #" #n "\n ands r4, r5\n muls r4, r2, r4\n adds " sum ", " sum ", r4\n"
#define PAIR0 "movs r4, r3\n ands r4, r5\n muls r4, r2, r4\n adds r0, r0, r4\n"
#define WORD "ldmia r7!, {r3}\n"
#define NEXT "ldmia r6!, {r2}\n"
#define BOTH(a, b) NEXT PAIR(a, "r0") PAIR(b, "r1")
#define EMPTY                                                                                           \
  "sxth r4, r0\n subs r0, r0, r4\n add r8, r4\n asrs r0, r0, #16\n add r9, r0\n"                        \
  "sxth r4, r1\n subs r1, r1, r4\n add r10, r4\n asrs r1, r1, #16\n add r11, r1\n"
#define PAIRED_SUMS(name, field, blockBytes, UNIT, BLOCK)                                                                                    \
  __attribute__((naked, noinline)) static const uint8_t *name(const int32_t *x, const int32_t *end, const uint8_t *w, int32_t sums[4]) {      \
    (void)x, (void)end, (void)w, (void)sums;                                                                                                 \
    __asm__ volatile(".syntax unified\n push {r4-r7, lr}\n mov r4, r8\n mov r5, r9\n mov r6, r10\n mov r7, r11\n push {r3-r7}\n"            \
                     "mov r6, r0\n mov r7, r2\n mov r12, r1\n subs r1, r1, r0\n movs r2, #" #blockBytes " - 1\n bics r1, r2\n"              \
                     "adds r1, r1, r0\n mov lr, r1\n ldmia r3!, {r0-r2, r4}\n mov r8, r0\n mov r9, r1\n mov r10, r2\n mov r11, r4\n"          \
                     "movs r5, #" #field "\n lsls r4, r5, #16\n orrs r5, r4\n"                                                              \
                     "1: cmp r6, lr\n bne 5f\n b 2f\n 5: movs r0, #0\n movs r1, #0\n" BLOCK EMPTY "b 1b\n"                                            \
                     "2: cmp r6, r12\n bne 6f\n b 3f\n 6: movs r0, #0\n movs r1, #0\n" UNIT EMPTY "b 2b\n"                                            \
                     "3: pop {r0}\n mov r1, r8\n mov r2, r9\n mov r3, r10\n mov r4, r11\n stmia r0!, {r1-r4}\n mov r0, r7\n"                 \
                     "pop {r4-r7}\n mov r8, r4\n mov r9, r5\n mov r10, r6\n mov r11, r7\n pop {r4-r7, pc}\n");                               \
  }
#define NIBBLES WORD NEXT PAIR0 PAIR(4, "r1") BOTH(8, 12)
#define CRUMBS WORD NEXT PAIR0 PAIR(2, "r1") BOTH(4, 6) BOTH(8, 10) BOTH(12, 14)
#define BITS WORD NEXT PAIR0 PAIR(1, "r1") BOTH(2, 3) BOTH(4, 5) BOTH(6, 7) BOTH(8, 9) BOTH(10, 11) BOTH(12, 13) BOTH(14, 15)
PAIRED_SUMS(paired4, 15, 32, NIBBLES, NIBBLES NIBBLES NIBBLES NIBBLES)
PAIRED_SUMS(paired2, 3, 64, CRUMBS, CRUMBS CRUMBS CRUMBS CRUMBS)
PAIRED_SUMS(paired1, 1, 64, BITS, BITS BITS)
#endif

static const uint8_t *group_sums(uint32_t bits, const int32_t *x, const int32_t *end, uint32_t flush, const uint8_t *w, int32_t sums[4]) {
#if BW_THUMB1
  if (bits == 4 && flush >= 8) return paired4(x, end, w, sums);
  if (bits == 2 && flush >= 16) return paired2(x, end, w, sums);
  if (bits == 1 && flush >= 16) return paired1(x, end, w, sums);
#endif
  switch (bits) {
    case 1: return sums_of(1, 1, x, end, flush, w, sums);
    case 2: return sums_of(2, 1, x, end, flush, w, sums);
    case 3: return sums_of(3, 1, x, end, flush, w, sums);
    case 4: return sums_of(4, 1, x, end, flush, w, sums);
    case 5: return sums_of(5, 0, x, end, flush, w, sums);
    case 6: return sums_of(6, 0, x, end, flush, w, sums);
    case 7: return sums_of(7, 0, x, end, flush, w, sums);
    default: return sums8(x, end, w, sums);
  }
}

/* `count` neighbours from element `index` on; returns their sum. */
ALWAYS int32_t take_run(const bw_tensor *t, const uint8_t *base, uint32_t index, uint32_t count, int32_t *to) {
  int32_t sum = 0;
  const int32_t *end = to + count;
  if (t->containerBits == 8) {
    const int8_t *from = (const int8_t *)base + index;
    const int32_t zeroPoint = t->zeroPoint;
    while (to < end) {
      const int32_t value = *from++ - zeroPoint;
      *to++ = value, sum += value;
    }
    return sum;
  }
  while (to < end) {
    const int32_t value = fetch1(t, base, index++);
    *to++ = value, sum += value;
  }
  return sum;
}

/* The window of an output pixel; returns the sum of its values. */
static __attribute__((noinline)) int32_t take_window(const bw_step *s, uint32_t row, uint32_t column, uint32_t padded, int32_t *to) {
  bw_window w = bw_window_of(s, row, column);
  int32_t sum = 0, y;
  if (w.cut) memset(to, 0, 4 * (size_t)padded);
  for (y = w.begin; y < w.end && w.line > 0; y++, w.from += w.fromStep, w.to += w.toStep)
    sum += take_run(&s->x, s->in, w.from, w.line, to + w.to);
  return sum;
}

/* For how many inputs two sums fit a word; 0 where not even for a unit. */
static uint32_t flush_after(const bw_step *s, uint32_t bits) {
  const int32_t low = s->x.zeroPoint - s->x.min, high = s->x.max - s->x.zeroPoint;
  const uint32_t reach = (uint32_t)(low > high ? low : high), unit = bw_unit(BW_PAIRED_OUTPUTS, bits);
  return reach == 0 ? unit : 32767 / (reach * ((1u << bits) - 1)) / unit * unit;
}

int bw_run_dense(const bw_step *s) {
  if (bw_layout(&s->l) != BW_PAIRED_OUTPUTS) return 0;
  const uint32_t channels = s->y.channels, bits = bw_width(&s->l), offset = 1u << (bits - 1);
  const uint32_t depth = (uint32_t)s->l.kernel[0] * s->l.kernel[1] * s->x.channels, padded = bw_padded_depth(&s->l, depth);
  const uint32_t flush = flush_after(s, bits);
  const int odd = bw_odd(&s->l);
  const bw_epilogue e = bw_epilogue_of(s, s->l.accumulatorShift + (odd ? 1u : 0u));
  const int swarWay = swar_way(s, &e);
  int32_t *x = (int32_t *)(void *)s->scratch;
  uint32_t row, column, c, i;
  if (bits <= 4 && flush == 0) return 0;
  memset(x, 0, 4 * (size_t)padded);
  for (row = 0; row < s->y.height; row++) {
    for (column = 0; column < s->y.width; column++) {
      const int32_t total = take_window(s, row, column, padded, x), from = (int32_t)(0u - offset * (uint32_t)total);
      const int32_t rest = odd ? (int32_t)((uint32_t)total << s->l.accumulatorShift) : 0;
      const uint8_t *weights = s->weights;
      const uint32_t index = (row * s->y.width + column) * channels;
      for (c = 0; c < channels; c += GROUP) {
        const uint32_t count = channels - c < GROUP ? channels - c : GROUP;
        int32_t sums[GROUP] = {from, from, from, from};
        weights = group_sums(bits, x, x + padded, flush, weights, sums);
        for (i = 0; i < count; i++) {
          if (swarWay) {
            const uint32_t v = (uint32_t)sums[i] * e.unit + (uint32_t)rest + (uint32_t)e.bias[c + i];
            s->out[index + c + i] = (uint8_t)swar_value(&e, (int32_t)v, c + i);
          } else {
            bw_long_epilogue(s, &e, index + c + i, c + i, sums[i], rest);
          }
        }
      }
    }
  }
  return 1;
}

/* --- depthwise: a channel's plane as unsigned halves, since only those are loaded from a place at a fixed distance; what they are more
 * than without their zero point is taken off the bias */

ALWAYS uint32_t any_window(const uint16_t *p, const int16_t *weight, uint32_t line, uint32_t height, uint32_t width) {
  uint32_t sum = 0, x;
  for (; height > 0; height--, p += line) {
    for (x = 0; x < width; x++) sum += p[x] * (uint32_t)(int32_t)*weight++;
  }
  return sum;
}

/* The taps of a channel; returns their sum. Apart, so that the loops over outputs keep their registers. */
static __attribute__((noinline)) uint32_t load_taps(const bw_step *s, uint32_t taps, uint32_t channel, int16_t *to) {
  const uint8_t *from = s->weights + channel * taps;
  const int bytes = bw_width(&s->l) == 8;
  uint32_t sum = 0, k;
  for (k = 0; k < taps; k++) {
    const int32_t tap = bytes ? *from++ - 128 : bw_tap(&s->l, s->weights, taps, channel, k);
    *to++ = (int16_t)tap, sum += (uint32_t)tap;
  }
  return sum;
}

int bw_run_depthwise(const bw_step *s) {
  const uint32_t channels = s->y.channels, kernelHeight = s->l.kernel[0], kernelWidth = s->l.kernel[1], taps = kernelHeight * kernelWidth;
  const uint32_t line = (uint32_t)s->x.width + s->l.padding[2] + s->l.padding[3], height = s->x.height + s->l.padding[0] + s->l.padding[1];
  const int32_t least = s->x.min < s->x.zeroPoint ? s->x.min : s->x.zeroPoint;
  const int32_t zero = s->x.zeroPoint - least;
  const int three = kernelHeight == 3 && kernelWidth == 3;
  const bw_epilogue e = bw_epilogue_of(s, s->l.accumulatorShift);
  const int swarWay = swar_way(s, &e);
  int16_t *weights = (int16_t *)(void *)s->scratch;
  uint16_t *plane = (uint16_t *)(void *)(weights + taps);
  uint32_t c, k, row;
  if (bw_layout(&s->l) != BW_PAIRED_OUTPUTS || s->x.containerBits > 8) return 0;
  for (k = 0; k < height * line; k++) plane[k] = (uint16_t)zero;
  for (c = 0; c < channels; c++) {
    uint32_t wide[9] = {0, 0, 0, 0, 0, 0, 0, 0, 0};
    const uint32_t all = load_taps(s, taps, c, weights) * (0u - (uint32_t)zero);
    for (k = 0; three && k < 9; k++) wide[k] = (uint32_t)(int32_t)weights[k];
    for (row = 0; row < s->x.height; row++) {
      uint16_t *to = plane + (row + s->l.padding[0]) * line + s->l.padding[2], *end = to + s->x.width;
      uint32_t index = row * s->x.width * channels + c;
      if (s->x.containerBits == 8) {
        const int8_t *from = (const int8_t *)s->in + index;
        for (; to < end; from += channels) *to++ = (uint16_t)(*from - least);
      } else {
        for (; to < end; index += channels) *to++ = (uint16_t)(fetch1(&s->x, s->in, index) + zero);
      }
    }
    for (row = 0; row < s->y.height; row++) {
      const uint16_t *p = plane + row * s->l.stride[0] * line, *end = p + s->y.width * s->l.stride[1];
      uint32_t index = row * s->y.width * channels + c;
      for (; p < end; p += s->l.stride[1], index += channels) {
        uint32_t sum = all;
        if (three) {
          const uint16_t *q = p + line, *r = q + line;
          sum += p[0] * wide[0] + p[1] * wide[1] + p[2] * wide[2];
          sum += q[0] * wide[3] + q[1] * wide[4] + q[2] * wide[5];
          sum += r[0] * wide[6] + r[1] * wide[7] + r[2] * wide[8];
        } else {
          sum += any_window(p, weights, line, kernelHeight, kernelWidth);
        }
        if (swarWay) s->out[index] = (uint8_t)swar_value(&e, (int32_t)(sum * e.unit + (uint32_t)e.bias[c]), c);
        else bw_long_epilogue(s, &e, index, c, (int32_t)sum, 0);
      }
    }
  }
  return 1;
}

#endif
