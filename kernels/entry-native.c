// The native library's door: what the engine calls through its foreign-function interface. A pool of POSIX threads, and the heap:
// one large reserved range that the system fills with memory page by page as it is touched, so that it grows without moving.
#define _GNU_SOURCE
#include "pool.h"
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define BW_EXPORT __attribute__((visibility("default")))
#define BW_SPIN_NANOSECONDS 100000.0

typedef struct {
  bw_pool pool;
  pthread_t workers[BW_MAX_THREADS];
  int started;
} bw_native;

typedef struct {
  bw_native *native;
  int thread;
} bw_start;

double bw_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1e3 + now.tv_nsec * 1e-6;
}

static void *worker(void *argument) {
  bw_start start = *(bw_start *)argument;
  free(argument);
  bw_pool_work(&start.native->pool, start.thread);
  return 0;
}

// How many looks take about 100 us here: a pause lasts 1 to 140 cycles, depending on the processor.
static uint32_t measure_spins(void) {
  struct timespec begin, end;
  uint32_t word = 0, looks = 2000;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  for (uint32_t i = 0; i < looks && __atomic_load_n(&word, __ATOMIC_SEQ_CST) == 0; i++) bw_pause();
  clock_gettime(CLOCK_MONOTONIC, &end);
  double nanoseconds = (end.tv_sec - begin.tv_sec) * 1e9 + (end.tv_nsec - begin.tv_nsec);
  double spins = looks * BW_SPIN_NANOSECONDS / (nanoseconds < 1 ? 1 : nanoseconds);
  return spins > 1e6 ? 1000000 : spins < 100 ? 100 : (uint32_t)spins;
}

// Finishes the workers and frees the pool. The heap stays: the caller's views of it may outlive the pool.
BW_EXPORT void bw_close(bw_native *native) {
  bw_pool_close(&native->pool);
  for (int i = 0; i < native->started; i++) pthread_join(native->workers[i], 0);
  free(native);
}

// Starts threads - 1 workers; `cores` of this process decide whether waiting may spin. NULL when the system refuses a thread.
BW_EXPORT bw_native *bw_open(int threads, int cores) {
  bw_native *native;
  if (posix_memalign((void **)&native, 64, sizeof *native) != 0) return 0;
  memset(native, 0, sizeof *native);
  bw_pool_init(&native->pool, threads, threads > cores ? 0 : measure_spins());
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before); // signals belong to the threads that were here first
  int failed = 0;
  for (int thread = 1; thread < threads && !failed; thread++) {
    bw_start *start = malloc(sizeof *start);
    failed = start == 0;
    if (failed) break;
    *start = (bw_start){native, thread};
    failed = pthread_create(&native->workers[native->started], 0, worker, start) != 0;
    if (failed) free(start);
    else native->started++;
  }
  pthread_sigmask(SIG_SETMASK, &before, 0);
  if (!failed) return native;
  bw_close(native);
  return 0;
}

BW_EXPORT int bw_run(bw_native *native, float *heap, const int32_t *program, int length) {
  return bw_pool_run(&native->pool, heap, program, length);
}

// Reserves address space that reads as zeros; NULL when refused.
BW_EXPORT void *bw_reserve(int64_t bytes) {
  void *range = mmap(0, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (range == MAP_FAILED) return 0;
#ifdef MADV_HUGEPAGE
  madvise(range, (size_t)bytes, MADV_HUGEPAGE);
#endif
  return range;
}

// Gives the memory back and keeps the addresses: a view that somebody still holds reads zeros instead of crashing.
BW_EXPORT void bw_release(void *range, int64_t bytes) {
  mmap(range, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}
