// The program of the backends' conformance suite: a tiny stand-in for the kernels' interpreter, with commands that only a correct
// backend executes correctly. Words of a command: opcode and three operands. Element offsets are in floats.
#include "pool.h"

enum { WRITE_THREADS = 1, SUM = 2, BARRIERS = 3, REFUSE_ONE = 4, TRAP_ONE = 5 };

// WRITE_THREADS at: heap[at + thread] = thread + 1, heap[at + 64] = threads.
// SUM from, count, to: heap[to] = the sum of count floats from `from`, each thread its share, shares added in order by thread 0.
// BARRIERS count, at: count times, thread (round % threads) adds one to heap[at], which all check after the barrier.
// REFUSE_ONE thread: only this thread refuses; the others wait for it at a barrier.
// TRAP_ONE thread: only this thread traps (WebAssembly).
static float shares[BW_MAX_THREADS];

int bw_execute(float *heap, const int32_t *program, int length, int thread, int threads, bw_barrier *barrier) {
  for (int word = 0; word < length; word += 4) {
    const int32_t *command = program + word;
    switch (command[0]) {
    case WRITE_THREADS:
      heap[command[1] + thread] = (float)(thread + 1);
      if (thread == 0) heap[command[1] + BW_MAX_THREADS] = (float)threads;
      break;
    case SUM: {
      int64_t begin = (int64_t)command[2] * thread / threads, end = (int64_t)command[2] * (thread + 1) / threads;
      float sum = 0;
      for (int64_t i = begin; i < end; i++) sum += heap[command[1] + i];
      shares[thread] = sum;
      bw_barrier_wait(barrier, threads);
      if (thread == 0) {
        sum = 0;
        for (int i = 0; i < threads; i++) sum += shares[i];
        heap[command[3]] = sum;
      }
      break;
    }
    case BARRIERS:
      for (int round = 0; round < command[1]; round++) {
        if (round % threads == thread) heap[command[2]] += 1.0f;
        bw_barrier_wait(barrier, threads);
        if (heap[command[2]] != (float)(round + 1)) return 1 + word;
        bw_barrier_wait(barrier, threads);
      }
      break;
    case REFUSE_ONE:
      if (thread == command[1]) return 1 + word;
      break;
    case TRAP_ONE:
      if (thread == command[1]) __builtin_trap();
      break;
    default:
      return 1 + word;
    }
    bw_barrier_wait(barrier, threads);
  }
  return 0;
}
