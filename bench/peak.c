// How many float operations a second this processor can do at most: every thread multiplies and adds on the widest vectors the compiler
// was told of, on as many independent sums as it takes to hide the latency of one.
#include <pthread.h>
#include <stdint.h>
#include <time.h>

#if defined __AVX512F__
enum { WIDTH = 16 };
#elif defined __AVX__
enum { WIDTH = 8 };
#else
enum { WIDTH = 4 };
#endif
enum { SUMS = 12, MOST_THREADS = 64 };
typedef float Vector __attribute__((vector_size(4 * WIDTH)));

typedef struct {
  pthread_barrier_t *together;
  int64_t rounds;
  float factor, term, result;
  double begin, end;
} Share;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *work(void *argument) {
  Share *share = argument;
  Vector factor, term, sums[SUMS], total = {0};
  for (int i = 0; i < WIDTH; i++) factor[i] = share->factor, term[i] = share->term;
  for (int i = 0; i < SUMS; i++) sums[i] = term * (float)(i + 1);
  pthread_barrier_wait(share->together);
  share->begin = now();
  for (int64_t round = 0; round < share->rounds; round++) {
#pragma GCC unroll 12
    for (int i = 0; i < SUMS; i++) sums[i] = sums[i] * factor + term;
  }
  share->end = now();
  for (int i = 0; i < SUMS; i++) total += sums[i];
  for (int i = 0; i < WIDTH; i++) share->result += total[i];
  return 0;
}

// Floating-point operations a second of so many threads that each go so many rounds, from the first one's start to the last one's end; 0
// where they cannot be had. `factor` is below 1 and `term` small; the compiler must not know them.
__attribute__((visibility("default"))) double bench_peak(int threads, double rounds, float factor, float term) {
  pthread_t ids[MOST_THREADS];
  Share shares[MOST_THREADS];
  pthread_barrier_t together;
  double begin, end;
  float result = 0;
  if (threads < 1 || threads > MOST_THREADS || pthread_barrier_init(&together, 0, (unsigned)threads)) return 0;
  for (int t = 0; t < threads; t++) shares[t] = (Share){&together, (int64_t)rounds, factor, term, 0, 0, 0};
  for (int t = 1; t < threads; t++) {
    if (pthread_create(&ids[t], 0, work, &shares[t])) return 0;
  }
  work(&shares[0]);
  for (int t = 1; t < threads; t++) pthread_join(ids[t], 0);
  pthread_barrier_destroy(&together);
  begin = shares[0].begin, end = shares[0].end;
  for (int t = 0; t < threads; t++) {
    if (shares[t].begin < begin) begin = shares[t].begin;
    if (shares[t].end > end) end = shares[t].end;
    result += shares[t].result;
  }
  if (result != result) return 0;
  return 2.0 * SUMS * WIDTH * (double)threads * (double)(int64_t)rounds / (end - begin);
}
