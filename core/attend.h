/* Attention over a map: softmax over rows of query x key, times value (CENet's graph module, arXiv 1912.05124). One file per implementation. */
#ifndef BITWRIGHT_ATTEND_H
#define BITWRIGHT_ATTEND_H
#include "layer.h"
#include "softmax.h"

/* 0: a build for models without attention, whose code it then takes no room in. */
#ifndef BW_ATTENTION
#define BW_ATTENTION 1
#endif

enum { BW_MOST_POSITIONS = 1024, BW_WHOLE = 32767 /* stands for a probability of one */ };

/* Every position's key is compared with a query, and its value weighed by what comes of it. */
typedef struct {
  bw_tensor query, key, value;
  const uint8_t *queries, *keys, *values;
  uint32_t positions, depth, channels; /* depth: of a query and a key; channels: of a value and the output */
  bw_octaves octaves;
  int32_t multiplier, shift;
} bw_attention;

/* Two rows of scores for an even number of positions and of sums; two queries and a key or value as int16 (open.c). */
static inline uint64_t bw_attention_bytes(const bw_tensor *x, const bw_tensor *y) {
  const uint64_t positions = (uint64_t)x->height * x->width, depth = (x->channels + 3u) & ~3u, channels = (y->channels + 3u) & ~3u;
  return 8 * ((positions + 1) & ~(uint64_t)1) + 8 * channels + 4 * depth + 2 * (depth > channels ? depth : channels);
}

/* round(part * BW_WHOLE / sum) with one division for all parts of a sum: part * BW_WHOLE + sum / 2 is below 2^32, and so its product with
 * `inverse`, floor((2^32 - 1) / sum), is the quotient or one less. */
static inline int32_t bw_share(uint32_t part, uint32_t sum, uint32_t inverse) {
  const uint32_t product = part * BW_WHOLE + (sum >> 1), quotient = (uint32_t)((uint64_t)product * inverse >> 32);
  return (int32_t)(quotient + (product - quotient * sum >= sum));
}

bw_attention bw_attention_of(const bw_step *step);
void bw_attend(const bw_step *step);
/* A row of scores, so many words from one to the next, to probabilities. */
void bw_soften(const bw_attention *attention, int32_t *row, uint32_t step);
/* With the instructions of cortex_dsp_attend.c; returns 0 where they do not fit the maps. */
int bw_attend_in_fours(const bw_step *step, const bw_attention *attention);

#endif
