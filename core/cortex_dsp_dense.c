/* Dense convolutions on Cortex-M4, M7 and M33: two pixels by two channels at a time with SMLAD, in the way of CMSIS-NN (Lai, Suda and Chandra
 * 2018, arXiv 1801.06601) and, for weights below a byte, of CMix-NN (Capotondi et al. 2020), but with weights packed for it beforehand
 * (BW_PAIRED_INPUTS), so that one AND unpacks two of them: fewer bits cost no more instructions than eight.
 *
 * Inputs are widened once for all channels, as (x0, x2) and (x1, x3) of every four, both pixels beside each other. Fields are unsigned,
 * so that sum(w x) = sum(field x) - offset sum(x). GCC cannot hold what the inner loops need in registers, hence the assembly. */
#include "cortex.h"

#ifdef BW_CORTEX_DSP
#include "dsp.h"
#include "epilogue.h"
#include "values.h"
#include "weights.h"
#include "window.h"

typedef int16_t __attribute__((may_alias)) half; /* of the words that pairs are kept in */

enum { CHANNELS = 32 }; /* whose sums wait together for their epilogue */

/* --- sums of a pair of pixels over pairs of channels: [channel][pixel] */

typedef struct {
  const uint32_t *x, *end, *main; /* main: the end of the part in whole sixteens */
  int32_t *sums, *sumsEnd;
  int32_t from[2]; /* what the sums of each pixel begin with */
} pair_work;

#if defined(__ARM_FEATURE_DSP)

/* r0, r1: first channel; r2, r3: second one; r4..r7: inputs; r8: weights; r9: two of them; r10, r11: where inputs and weights are read. */
#define FIRST "smlad r0, r9, r4, r0\n smlad r1, r9, r5, r1\n"
#define SECOND "smlad r2, r9, r4, r2\n smlad r3, r9, r5, r3\n"
#define FIRST_ODD "smlad r0, r9, r6, r0\n smlad r1, r9, r7, r1\n"
#define SECOND_ODD "smlad r2, r9, r6, r2\n smlad r3, r9, r7, r3\n"
#define NEXT_INPUTS "ldmia r10!, {r4-r7}\n"
#define NEXT_WEIGHTS "ldr r8, [r11], #4\n"

/* one plane: mask in r12 */
#define FIELD(n) "and r9, r12, r8, lsr #" #n "\n"
#define FIELD0 "and r9, r12, r8\n"
#define FOUR(a, b, c, d) NEXT_INPUTS a FIRST b SECOND c FIRST_ODD d SECOND_ODD
#define BYTES4 NEXT_INPUTS NEXT_WEIGHTS "uxtb16 r9, r8\n" FIRST "uxtb16 r9, r8, ror #8\n" SECOND \
               NEXT_WEIGHTS "uxtb16 r9, r8\n" FIRST_ODD "uxtb16 r9, r8, ror #8\n" SECOND_ODD
#define NIBBLES4 NEXT_WEIGHTS FOUR(FIELD0, FIELD(4), FIELD(8), FIELD(12))
#define CRUMBS8 NEXT_WEIGHTS FOUR(FIELD0, FIELD(2), FIELD(4), FIELD(6)) FOUR(FIELD(8), FIELD(10), FIELD(12), FIELD(14))
#define BITS16 NEXT_WEIGHTS FOUR(FIELD0, FIELD(1), FIELD(2), FIELD(3)) FOUR(FIELD(4), FIELD(5), FIELD(6), FIELD(7)) \
               FOUR(FIELD(8), FIELD(9), FIELD(10), FIELD(11)) FOUR(FIELD(12), FIELD(13), FIELD(14), FIELD(15))

/* two planes: the high one's word in r6, its mask in lr, r7 for its fields; inputs come two by two */
#define HALF_INPUTS "ldmia r10!, {r4, r5}\n"
#define LOW(n) "and r9, r12, r8, lsr #" #n "\n"
#define HIGH(n, up) "and r7, lr, r6, lsr #" #n "\n orr r9, r9, r7, lsl #" #up "\n"
#define HIGH0(up) "and r7, lr, r6\n orr r9, r9, r7, lsl #" #up "\n"
#define TWO(a, b) HALF_INPUTS a FIRST b SECOND
#define WORD(reg, at) "ldr " reg ", [r11, #" #at "]\n"
#define PAST(bytes) "adds r11, #" #bytes "\n"

/* third plane, of one bit, read anew for every field */
#define TOP(n) "ldr r7, [r11, #24]\n lsrs r7, #" #n "\n and r7, r7, #0x00010001\n orr r9, r9, r7, lsl #6\n"
#define TOP0 "ldr r7, [r11, #24]\n and r7, r7, #0x00010001\n orr r9, r9, r7, lsl #6\n"

#define PAIRS(name, MASK, HIGH_MASK, LOAD_LIMIT, AT_MAIN, MAIN, REST)                                                              \
  __attribute__((naked, noinline)) static const uint32_t *name(const pair_work *work, const uint32_t *weights) {                  \
    (void)work, (void)weights;                                                                                                     \
    __asm__ volatile(".syntax unified\n push {r4-r11, lr}\n sub sp, #28\n mov r11, r1\n ldmia r0, {r4-r10}\n stmia sp, {r4-r10}\n"   \
                     "mov r12, #" MASK "\n" HIGH_MASK "2: ldr r10, [sp]\n ldrd r0, r1, [sp, #20]\n mov r2, r0\n mov r3, r1\n"    \
                     LOAD_LIMIT AT_MAIN "beq 3f\n 1:\n" MAIN LOAD_LIMIT AT_MAIN "bne 1b\n 3:\n" REST                                   \
                     "ldrd r8, r9, [sp, #12]\n stmia r8!, {r0-r3}\n str r8, [sp, #12]\n cmp r8, r9\n bne 2b\n"                        \
                     "mov r0, r11\n add sp, #28\n pop {r4-r11, pc}\n");                                                               \
  }
#define ONE_PLANE(name, MASK, MAIN, REST) PAIRS(name, MASK, "ldr lr, [sp, #8]\n", "", "cmp r10, lr\n", MAIN, REST)
#define PLANES(name, MASK, HIGH_MASK, MAIN) PAIRS(name, MASK, "mov lr, #" HIGH_MASK "\n", "ldr r9, [sp, #4]\n", "cmp r10, r9\n", MAIN, "")
#define REST(part) "ldr r9, [sp, #4]\n cmp r10, r9\n beq 5f\n 4:\n" part "ldr r9, [sp, #4]\n cmp r10, r9\n bne 4b\n 5:\n"

ONE_PLANE(pairs8, "0", BYTES4 BYTES4 BYTES4 BYTES4, REST(BYTES4))
ONE_PLANE(pairs4, "0x000f000f", NIBBLES4 NIBBLES4 NIBBLES4 NIBBLES4, REST(NIBBLES4))
ONE_PLANE(pairs2, "0x00030003", CRUMBS8 CRUMBS8, REST(CRUMBS8))
ONE_PLANE(pairs1, "0x00010001", BITS16, "")

/* 3 = 2 + 1 */
PLANES(pairs3, "0x00030003", "0x00010001",
       WORD("r6", 8) WORD("r8", 0)
       TWO("and r9, r12, r8\n" HIGH0(2), LOW(2) HIGH(1, 2)) TWO(LOW(4) HIGH(2, 2), LOW(6) HIGH(3, 2))
       TWO(LOW(8) HIGH(4, 2), LOW(10) HIGH(5, 2)) TWO(LOW(12) HIGH(6, 2), LOW(14) HIGH(7, 2))
       WORD("r8", 4)
       TWO("and r9, r12, r8\n" HIGH(8, 2), LOW(2) HIGH(9, 2)) TWO(LOW(4) HIGH(10, 2), LOW(6) HIGH(11, 2))
       TWO(LOW(8) HIGH(12, 2), LOW(10) HIGH(13, 2)) TWO(LOW(12) HIGH(14, 2), LOW(14) HIGH(15, 2))
       PAST(12))

/* 5 = 4 + 1 */
#define NIBBLE_QUAD(at, first, b, c, d) \
  WORD("r8", at) TWO("and r9, r12, r8\n" first, LOW(4) HIGH(b, 4)) TWO(LOW(8) HIGH(c, 4), LOW(12) HIGH(d, 4))
PLANES(pairs5, "0x000f000f", "0x00010001",
       WORD("r6", 16) NIBBLE_QUAD(0, HIGH0(4), 1, 2, 3) NIBBLE_QUAD(4, HIGH(4, 4), 5, 6, 7)
       NIBBLE_QUAD(8, HIGH(8, 4), 9, 10, 11) NIBBLE_QUAD(12, HIGH(12, 4), 13, 14, 15) PAST(20))

/* 6 = 4 + 2 */
PLANES(pairs6, "0x000f000f", "0x00030003",
       WORD("r6", 8) NIBBLE_QUAD(0, HIGH0(4), 2, 4, 6) NIBBLE_QUAD(4, HIGH(8, 4), 10, 12, 14) PAST(12))

/* 7 = 4 + 2 + 1 */
#define TOP_QUAD(at, first, b, c, d, top, f, g, h) \
  WORD("r8", at) TWO("and r9, r12, r8\n" first top, LOW(4) HIGH(b, 4) TOP(f)) TWO(LOW(8) HIGH(c, 4) TOP(g), LOW(12) HIGH(d, 4) TOP(h))
PLANES(pairs7, "0x000f000f", "0x00030003",
       WORD("r6", 16) TOP_QUAD(0, HIGH0(4), 2, 4, 6, TOP0, 1, 2, 3) TOP_QUAD(4, HIGH(8, 4), 10, 12, 14, TOP(4), 5, 6, 7)
       WORD("r6", 20) TOP_QUAD(8, HIGH0(4), 2, 4, 6, TOP(8), 9, 10, 11) TOP_QUAD(12, HIGH(8, 4), 10, 12, 14, TOP(12), 13, 14, 15) PAST(28))

typedef const uint32_t *pair_kernel(const pair_work *, const uint32_t *);
static pair_kernel *const pair_kernels[8] = {pairs1, pairs2, pairs3, pairs4, pairs5, pairs6, pairs7, pairs8};

static const uint32_t *pair_sums(const bw_step *s, const pair_work *work, const uint32_t *weights) {
  return pair_kernels[bw_width(&s->l) - 1](work, weights);
}

#else

static const uint32_t *pair_sums(const bw_step *s, const pair_work *work, const uint32_t *weights) {
  const uint32_t padded = (uint32_t)(work->end - work->x);
  const half *x = (const half *)(const void *)work->x;
  int32_t *sums = work->sums;
  uint32_t c = 0, k, pixel;
  for (; sums < work->sumsEnd; sums += 2, c++) {
    for (pixel = 0; pixel < 2; pixel++) {
      uint32_t sum = (uint32_t)work->from[pixel];
      for (k = 0; k < padded; k++) {
        const uint32_t field = bw_packed_field(&s->l, (const uint8_t *)weights, padded, c, k);
        sum += field * (uint32_t)(int32_t)x[k / 4 * 8 + k % 2 * 4 + pixel * 2 + k / 2 % 2];
      }
      sums[pixel] = (int32_t)sum;
    }
  }
  return weights + c * padded * bw_width(&s->l) / 32;
}

#endif

/* --- inputs of a pixel, widened */

/* Four neighbours that are not bytes as (x0, x2) and (x1, x3), less the zero point; narrow ones begin on a byte. */
static inline void widen4(const bw_tensor *t, const uint8_t *base, uint32_t index, uint32_t offset, uint32_t *even, uint32_t *odd) {
  uint32_t v = 0, next;
  switch (t->containerBits) {
    case 16:
      v = bw_load32(base + 2 * index), next = bw_load32(base + 2 * index + 4);
      *even = bw_sadd16(offset, (v & 0xffff) | next << 16), *odd = bw_sadd16(offset, v >> 16 | (next & 0xffff0000u));
      break;
    case 4:
      memcpy(&v, base + (index >> 1), 2);
      *even = bw_sadd16(offset, (v | v << 8) & 0x000f000fu), *odd = bw_sadd16(offset, (v >> 4 | v << 4) & 0x000f000fu);
      break;
    default:
      v = base[index >> 2];
      *even = bw_sadd16(offset, (v | v << 12) & 0x00030003u), *odd = bw_sadd16(offset, (v >> 2 | v << 10) & 0x00030003u);
  }
}

/* `count` neighbours from element `index` on to place k of pixel 0 or 1; returns their sum. */
static inline int32_t widen_run(const bw_step *s, uint32_t index, uint32_t count, uint32_t k, uint32_t pixel, uint32_t *x) {
  const bw_tensor *t = &s->x;
  const uint32_t offset = (uint32_t)((t->containerBits < 8 ? t->min : 0) - t->zeroPoint) & 0xffff, both = offset * 0x10001u;
  half *halves = (half *)(void *)x;
  int32_t sum = 0;
  if (k % 4 == 0 && on_byte(t, index)) {
    uint32_t *to = x + k + pixel;
    if (t->containerBits == 8) {
      const uint8_t *from = s->in + index, *end = from + (count & ~3u);
      for (; from < end; from += 4, to += 4) {
        const uint32_t v = bw_load32(from), even = bw_sxtab16(both, v), odd = bw_sxtab16_odd(both, v);
        sum = bw_smlad(odd, 0x10001, bw_smlad(even, 0x10001, sum));
        to[0] = even, to[2] = odd;
      }
      index += count & ~3u, k += count & ~3u, count &= 3;
    }
    for (; count >= 4; count -= 4, index += 4, k += 4, to += 4) {
      uint32_t even, odd;
      widen4(t, s->in, index, both, &even, &odd);
      sum = bw_smlad(odd, 0x10001, bw_smlad(even, 0x10001, sum));
      to[0] = even, to[2] = odd;
    }
  }
  for (; count > 0; count--, index++, k++) {
    const int16_t value = fetch1(t, s->in, index);
    halves[k / 4 * 8 + k % 2 * 4 + pixel * 2 + k / 2 % 2] = value;
    sum += value;
  }
  return sum;
}

/* The window of an output pixel; returns the sum of its values. */
static int32_t widen_window(const bw_step *s, uint32_t row, uint32_t column, uint32_t pixel, uint32_t padded, uint32_t *x) {
  bw_window w = bw_window_of(s, row, column);
  int32_t sum = 0, y;
  if (w.cut) {
    uint32_t *to = x + pixel, *stop = x + padded;
    for (; to < stop; to += 2) *to = 0;
  }
  if (w.left == 0 && s->l.kernel[1] == s->x.width && w.begin < w.end) /* whole rows: one run */
    return widen_run(s, w.from, (uint32_t)(w.end - w.begin) * w.line, w.to, pixel, x);
  for (y = w.begin; y < w.end && w.line > 0; y++, w.from += w.fromStep, w.to += w.toStep)
    sum += widen_run(s, w.from, w.line, w.to, pixel, x);
  return sum;
}

/* --- dense */

/* `count` channels from c on of one or two pixels, whose sums lie side by side. usual: all of int8 is used, and there are no rests. */
ALWAYS void finish_pair(const bw_epilogue *e, const int32_t *sums, const int32_t rests[2], int8_t *first, int8_t *second, uint32_t c,
                        uint32_t count, int usual) {
  const bw_word *bias = e->bias + c, *multiplier = e->multiplier + c;
  const int8_t *shift = e->shift + c, *end = shift + count;
  const uint32_t unit = e->unit, rest0 = usual ? 0 : (uint32_t)rests[0], rest1 = usual ? 0 : (uint32_t)rests[1];
  while (shift < end) {
    const uint32_t m2 = (uint32_t)*multiplier++ << 1, right = (uint32_t)~*shift++, base = (uint32_t)*bias++;
    const int32_t v0 = bw_short_requantize(e, (int32_t)((uint32_t)sums[0] * unit + base + rest0), m2, right);
    const int32_t v1 = bw_short_requantize(e, (int32_t)((uint32_t)sums[1] * unit + base + rest1), m2, right);
    sums += 2;
    *second++ = bw_short_clamp(e, v1, usual); /* a lone pixel has no second one: its place is written again */
    *first++ = bw_short_clamp(e, v0, usual);
  }
}

int bw_run_dense(const bw_step *s) {
  const uint32_t channels = s->y.channels, pixels = s->y.height * s->y.width;
  const uint32_t depth = (uint32_t)s->l.kernel[0] * s->l.kernel[1] * s->x.channels, padded = bw_padded_depth(&s->l, depth);
  const uint32_t offset = 1u << bw_width(&s->l) >> 1;
  const int odd = bw_odd(&s->l), pointwise = bw_pointwise(&s->l);
  const bw_epilogue e = bw_epilogue_of(s, s->l.accumulatorShift + (odd ? 1u : 0u));
  const int shortWay = bw_short_way(s, &e), usual = !odd && e.low == -128 && e.high == 127;
  uint32_t *x = (uint32_t *)(void *)s->scratch;
  uint32_t pixel, c, i, row = 0, column = 0;
  if (bw_layout(&s->l) != BW_PAIRED_INPUTS) return 0;
  memset(x, 0, 4 * (size_t)padded);
  for (pixel = 0; pixel < pixels; pixel += 2) {
    const uint32_t together = pixels - pixel < 2 ? 1 : 2, *weights = (const uint32_t *)(const void *)s->weights;
    int8_t *first = (int8_t *)s->out + pixel * channels, *second = first + (together > 1 ? channels : 0);
    int32_t sums[2 * CHANNELS], rests[2] = {0, 0};
    pair_work work = {x, x + padded, x + (padded & ~15u), sums, sums, {0, 0}};
    for (i = 0; i < together; i++) {
      int32_t total;
      if (pointwise) {
        total = widen_run(s, (pixel + i) * depth, depth, 0, i, x);
      } else {
        total = widen_window(s, row, column, i, padded, x);
        if (++column == s->y.width) column = 0, row++;
      }
      /* weights are field - offset, or 2 (field - offset) + 1 */
      work.from[i] = (int32_t)(0u - offset * (uint32_t)total);
      if (odd) rests[i] = (int32_t)((uint32_t)total << s->l.accumulatorShift);
    }
    for (c = 0; c < channels; c += CHANNELS) {
      const uint32_t count = channels - c < CHANNELS ? channels - c : CHANNELS;
      work.sumsEnd = sums + (count + 1) / 2 * 4;
      weights = pair_sums(s, &work, weights);
      if (!shortWay) {
        for (i = 0; i < together * count; i++) {
          const uint32_t at = i / count, channel = i % count;
          bw_long_epilogue(s, &e, (pixel + at) * channels + c + channel, c + channel, sums[2 * channel + at], rests[at]);
        }
      } else if (s->y.containerBits < 8) {
        int8_t fields[2 * CHANNELS];
        finish_pair(&e, sums, rests, fields, fields + (together > 1 ? CHANNELS : 0), c, count, 0);
        for (i = 0; i < together; i++) bw_put_fields(&s->y, s->out, (pixel + i) * channels + c, fields + i * CHANNELS, count);
      } else if (usual) {
        finish_pair(&e, sums, rests, first + c, second + c, c, count, 1);
      } else {
        finish_pair(&e, sums, rests, first + c, second + c, c, count, 0);
      }
    }
  }
  return 1;
}

#endif
