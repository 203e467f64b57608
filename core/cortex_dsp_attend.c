/* Attention on Cortex-M4, M7, M33 and M55 with SMLAD: two queries at a time against four channels of a key, and their probabilities of two
 * positions against two channels of both values. Keys and values in containers of 8 and 4 bits, of whole fours of channels, are unpacked in
 * registers. A word of scores for either query becomes a half of a pair of probabilities where it lies. */
#include "attend.h"
#include "cortex.h"

#if defined(BW_CORTEX_DSP) || defined(BW_CORTEX_MVE)
#include "dsp.h"
#include "values.h"

typedef int16_t __attribute__((may_alias)) half;
typedef uint32_t __attribute__((may_alias)) word;

/* What is to be added to both halves of a word that load4 leaves. */
static uint32_t offset_of(const bw_tensor *t) { return ((uint32_t)((t->containerBits < 8 ? t->min : 0) - t->zeroPoint) & 0xffff) * 0x10001u; }

/* Four neighbours as (x0, x2) and (x1, x3). */
ALWAYS void load4(const uint8_t *from, int narrow, uint32_t offset, uint32_t *even, uint32_t *odd) {
  if (narrow) {
    uint16_t v;
    memcpy(&v, from, 2);
    *even = bw_sadd16(offset, (v | (uint32_t)v << 8) & 0x000f000fu), *odd = bw_sadd16(offset, (v >> 4 | (uint32_t)v << 4) & 0x000f000fu);
  } else {
    const uint32_t v = bw_load32(from);
    *even = bw_sxtab16(offset, v), *odd = bw_sxtab16_odd(offset, v);
  }
}

/* Scores of both queries side by side. queries: of every four channels the first's (x0, x2) and (x1, x3), then the second's. */
ALWAYS void score(const bw_attention *a, int narrow, const word *queries, int32_t *to) {
  const word *const end = queries + a->depth;
  const int32_t *const last = to + 2 * a->positions;
  const uint32_t offset = offset_of(&a->key);
  const uint8_t *from = a->keys;
  while (to < last) {
    const word *q = queries;
    int32_t first = 0, second = 0;
    for (; q < end; q += 4, from += narrow ? 2 : 4) {
      uint32_t even, odd;
      load4(from, narrow, offset, &even, &odd);
      first = bw_smlad(odd, q[1], bw_smlad(even, q[0], first));
      second = bw_smlad(odd, q[3], bw_smlad(even, q[2], second));
    }
    *to++ = first, *to++ = second;
  }
}

ALWAYS uint32_t low_halves(uint32_t a, uint32_t b) { return (a & 0xffff) | b << 16; }

/* Two channels of two positions as pairs of positions. */
ALWAYS void load_pairs(const uint8_t *first, const uint8_t *second, int narrow, uint32_t offset, uint32_t *even, uint32_t *odd) {
  uint16_t v, w;
  uint32_t both;
  if (narrow) {
    both = *first | (uint32_t)*second << 16;
    *even = bw_sadd16(offset, both & 0x000f000fu), *odd = bw_sadd16(offset, both >> 4 & 0x000f000fu);
    return;
  }
  memcpy(&v, first, 2);
  memcpy(&w, second, 2);
  both = v | (uint32_t)w << 16;
  *even = bw_sxtab16(offset, both), *odd = bw_sxtab16_odd(offset, both);
}

/* Sums of two channels for both queries: [query][channel]. shares: of every two positions the first query's, then the second's. */
ALWAYS void weigh(const bw_attention *a, int narrow, uint32_t channel, const word *shares, int32_t sums[4]) {
  const uint32_t line = narrow ? a->channels / 2 : a->channels, offset = offset_of(&a->value);
  const uint8_t *from = a->values + (narrow ? channel / 2 : channel);
  const word *const end = shares + (a->positions & ~1u);
  int32_t f0 = 0, f1 = 0, s0 = 0, s1 = 0;
  uint32_t even, odd;
  for (; shares < end; shares += 2, from += 2 * line) {
    load_pairs(from, from + line, narrow, offset, &even, &odd);
    f0 = bw_smlad(even, shares[0], f0), s0 = bw_smlad(even, shares[1], s0);
    f1 = bw_smlad(odd, shares[0], f1), s1 = bw_smlad(odd, shares[1], s1);
  }
  if (a->positions % 2) { /* the last position twice, the second time for nothing */
    load_pairs(from, from, narrow, offset, &even, &odd);
    f0 = bw_smlad(even, shares[0], f0), s0 = bw_smlad(even, shares[1], s0);
    f1 = bw_smlad(odd, shares[0], f1), s1 = bw_smlad(odd, shares[1], s1);
  }
  sums[0] = f0, sums[1] = f1, sums[2] = s0, sums[3] = s1;
}

static __attribute__((noinline)) void score_bytes(const bw_attention *a, const word *q, int32_t *to) { score(a, 0, q, to); }
static __attribute__((noinline)) void score_fields(const bw_attention *a, const word *q, int32_t *to) { score(a, 1, q, to); }
static __attribute__((noinline)) void weigh_bytes(const bw_attention *a, uint32_t c, const word *p, int32_t *to) { weigh(a, 0, c, p, to); }
static __attribute__((noinline)) void weigh_fields(const bw_attention *a, uint32_t c, const word *p, int32_t *to) { weigh(a, 1, c, p, to); }

static int has_fours(const bw_tensor *t) { return t->channels % 4 == 0 && (t->containerBits == 8 || t->containerBits == 4); }

int bw_attend_in_fours(const bw_step *s, const bw_attention *a) {
  const uint32_t padded = (a->positions + 1) & ~1u;
  int32_t *const scores = (int32_t *)(void *)s->scratch;
  word *const shares = (word *)(void *)scores, *const queries = (word *)(void *)(scores + 2 * padded);
  half *const halves = (half *)(void *)queries;
  uint32_t i, j, c, q;
  if (!has_fours(&a->key) || !has_fours(&a->value)) return 0;
  for (i = 0; i < a->positions; i += 2) {
    const uint32_t together = a->positions - i < 2 ? 1 : 2;
    for (q = 0; q < 2; q++)
      for (c = 0; c < a->depth; c++)
        halves[(c / 4 * 4 + q * 2 + c % 2) * 2 + c / 2 % 2] = fetch1(&a->query, a->queries, (i + (together > 1 ? q : 0)) * a->depth + c);
    if (a->key.containerBits == 8) score_bytes(a, queries, scores);
    else score_fields(a, queries, scores);
    bw_soften(a, scores, 2);
    bw_soften(a, scores + 1, 2);
    if (padded > a->positions) scores[2 * a->positions] = scores[2 * a->positions + 1] = 0;
    for (j = 0; j < padded; j += 2) {
      const uint32_t first = low_halves((uint32_t)scores[2 * j], (uint32_t)scores[2 * j + 2]);
      const uint32_t second = low_halves((uint32_t)scores[2 * j + 1], (uint32_t)scores[2 * j + 3]);
      shares[j] = first, shares[j + 1] = second;
    }
    for (c = 0; c < a->channels; c += 2) {
      int32_t sums[4];
      if (a->value.containerBits == 8) weigh_bytes(a, c, shares, sums);
      else weigh_fields(a, c, shares, sums);
      for (j = 0; j < 2 * together; j++)
        store(&s->y, s->out, (i + j / 2) * a->channels + c + j % 2, bw_requantize(sums[j], a->multiplier, a->shift));
    }
  }
  return 1;
}

#endif
