/* The numbers that the front end (front_end_frame.h) is written in, once for two purposes: of one frame they are a float and a word, of
 * BW_SIDE frames side by side vectors of GNU C with a frame in each lane. An operator does in a lane what it does alone, so a frame has the
 * same bits either way. Whoever includes this says which it is: BW_FRAMES is 1 or BW_SIDE. */
#ifndef BITWRIGHT_FRAMES_H
#define BITWRIGHT_FRAMES_H
#include <stdint.h>
#include <string.h>

#include "front_end.h"

/* Of a loop that would run out of registers where its function is inlined. */
#ifdef __GNUC__
#define BW_ALONE __attribute__((noinline))
#else
#define BW_ALONE
#endif

#if BW_FRAMES == 1

typedef float reals;
typedef int32_t words;

static inline reals to_reals(words w) { return (float)w; }
static inline words bits_of(reals x) {
  words bits;
  memcpy(&bits, &x, 4);
  return bits;
}
static inline reals from_bits(words bits) {
  reals x;
  memcpy(&x, &bits, 4);
  return x;
}
/* Where the comparison holds, yes. */
static inline reals choose(words comparison, reals yes, reals no) { return comparison ? yes : no; }
/* Samples i and i + 1 of each frame. */
static inline void load_pair(const int16_t *const *pcm, uint32_t i, reals *first, reals *second) {
  *first = (float)pcm[0][i];
  *second = (float)pcm[0][i + 1];
}
static inline reals load_one(const int16_t *const *pcm, uint32_t i) { return (float)pcm[0][i]; }
/* The complex numbers of a buffer: one is APART from the next. */
enum { APART = 1 };
static inline reals *real_parts(const bw_spectral *s, int buffer) { return s->re[buffer]; }
static inline reals *imaginary_parts(const bw_spectral *s, int buffer) { return s->im[buffer]; }
/* Zeros into the first buffer, from number `from` on. */
static inline void clear_from(const bw_spectral *s, uint32_t from) {
  memset(s->re[0] + from, 0, (s->size / 2 - from) * sizeof(reals));
  memset(s->im[0] + from, 0, (s->size / 2 - from) * sizeof(reals));
}

#else

typedef float reals __attribute__((vector_size(4 * BW_FRAMES)));
typedef int32_t words __attribute__((vector_size(4 * BW_FRAMES)));

static inline reals to_reals(words w) { return __builtin_convertvector(w, reals); }
static inline words bits_of(reals x) { return (words)x; }
static inline reals from_bits(words bits) { return (reals)bits; }
static inline reals choose(words comparison, reals yes, reals no) {
  return (reals)((comparison & (words)yes) | (~comparison & (words)no));
}
static inline void load_pair(const int16_t *const *pcm, uint32_t i, reals *first, reals *second) {
  words pairs;
  uint32_t lane;
  for (lane = 0; lane < BW_FRAMES; lane++) {
    int32_t pair;
    __builtin_memcpy(&pair, pcm[lane] + i, 4); /* not a call anywhere */
    pairs[lane] = pair;
  }
  *first = to_reals(pairs << 16 >> 16);
  *second = to_reals(pairs >> 16);
}
static inline reals load_one(const int16_t *const *pcm, uint32_t i) {
  words all;
  uint32_t lane;
  for (lane = 0; lane < BW_FRAMES; lane++) all[lane] = pcm[lane][i];
  return to_reals(all);
}
/* Vectors are as wide as loops want them: parts side by side are found with fewer addresses. */
enum { APART = 2 };
static inline reals *real_parts(const bw_spectral *s, int buffer) { return (reals *)s->re[buffer]; }
static inline reals *imaginary_parts(const bw_spectral *s, int buffer) { return real_parts(s, buffer) + 1; }
static inline void clear_from(const bw_spectral *s, uint32_t from) {
  memset(real_parts(s, 0) + APART * from, 0, (s->size / 2 - from) * APART * sizeof(reals));
}

#endif
#endif
