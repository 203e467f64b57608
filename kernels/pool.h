// The persistent pool that runs one program on all threads, the same for native threads and WebAssembly workers: the caller is
// thread 0, the others live in bw_pool_work. Between programs they spin for about 100 us (training calls again at once) and then
// sleep, so that an idle process uses no processor time.
#pragma once
#include "threads.h"

#define BW_MAX_THREADS 64
#define BW_TRAPPED (-1)

// Runs every command of the program, as one of `threads`; the interpreter's. 0, or 1 + the word where the refused command begins.
int bw_execute(float *heap, const int32_t *program, int length, int thread, int threads, bw_barrier *barrier);

// Milliseconds since some moment; the host's.
double bw_now(void);

typedef struct {
  bw_barrier between; // between commands
  bw_barrier finish;  // after the program
  uint32_t job;       // steps on with each program
  uint32_t sleepers;
  uint32_t closing;
  uint32_t spins;
  int32_t status; // of the first thread to fail: what follows in the others is only its consequence
  int32_t threads;
  int32_t length;
  float *heap;
  const int32_t *program;
  uint32_t taken[BW_MAX_THREADS]; // the last job each worker took
} bw_pool;

static inline void bw_pool_init(bw_pool *pool, int threads, uint32_t spins) {
  pool->threads = threads;
  pool->spins = pool->between.spins = pool->finish.spins = spins;
}

// One thread is through with the program. A refusal frees those who still wait between commands.
static inline void bw_pool_done(bw_pool *pool, int status) {
  int32_t none = 0;
  if (status != 0) {
    __atomic_compare_exchange_n(&pool->status, &none, status, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    bw_barrier_break(&pool->between);
  }
  bw_barrier_wait(&pool->finish, pool->threads);
}

static inline void bw_pool_take(bw_pool *pool, int thread) {
  bw_pool_done(pool, bw_execute(pool->heap, pool->program, pool->length, thread, pool->threads, &pool->between));
}

// A worker's life: returns when the pool closes.
static inline void bw_pool_work(bw_pool *pool, int thread) {
  for (;;) {
    bw_wait_while(&pool->job, pool->taken[thread], &pool->sleepers, pool->spins);
    pool->taken[thread] = __atomic_load_n(&pool->job, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&pool->closing, __ATOMIC_SEQ_CST)) return;
    bw_pool_take(pool, thread);
  }
}

// Runs a program on all threads and returns when the last has finished: 0, or the status of the first thread to
// fail.
static inline int bw_pool_run(bw_pool *pool, float *heap, const int32_t *program, int length) {
  bw_barrier_mend(&pool->between);
  pool->status = 0;
  pool->heap = heap;
  pool->program = program;
  pool->length = length;
  bw_advance(&pool->job, &pool->sleepers);
  bw_pool_take(pool, 0);
  return __atomic_load_n(&pool->status, __ATOMIC_SEQ_CST);
}

static inline void bw_pool_close(bw_pool *pool) {
  __atomic_store_n(&pool->closing, 1, __ATOMIC_SEQ_CST);
  bw_advance(&pool->job, &pool->sleepers);
}
