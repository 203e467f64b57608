// The WebAssembly module's door. Every worker has its own instance over one shared memory; the pool lies in that memory, so each
// memory is one backend. JavaScript starts the workers, gives each its stack, and reports a trap, which C cannot catch.
#include "pool.h"

__attribute__((import_module("env"), import_name("now"))) double host_now(void);
double bw_now(void) { return host_now(); }

#define BW_EXPORT __attribute__((visibility("default")))

static bw_pool pool __attribute__((aligned(64)));

BW_EXPORT void bw_open(int threads, int spins) { bw_pool_init(&pool, threads, (uint32_t)spins); }

// A worker's life; returns after bw_close.
BW_EXPORT void bw_work(int thread) { bw_pool_work(&pool, thread); }

BW_EXPORT int bw_run(float *heap, const int32_t *program, int length) { return bw_pool_run(&pool, heap, program, length); }

// In place of the rest of the program, for the thread that trapped inside it; returns when the others have finished, too.
BW_EXPORT void bw_trapped(void) { bw_pool_done(&pool, BW_TRAPPED); }

BW_EXPORT void bw_close(void) { bw_pool_close(&pool); }
