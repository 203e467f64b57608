// Runs a program: every thread walks the same commands and meets the others after each.
#include "kernels.h"
#include "pool.h"

// args: to. Floats per vector: the multiple that channel strides are padded to.
void k_lanes(Task *task) {
  if (!task->thread) task->heap[task->arg[0]] = LANES;
}

// args: to (eight bytes, aligned to eight). The time in milliseconds, as a double, when all threads have come so far.
void k_clock(Task *task) {
  if (!task->thread) *(double *)(void *)(task->heap + task->arg[0]) = bw_now();
}

typedef void (*Kernel)(Task *);

static const Kernel kernels[] = {
    [OP_PACK] = k_pack, [OP_PACK_DEPTHWISE] = k_pack_depthwise, [OP_CONVOLUTION] = k_convolution, [OP_CONVOLUTION_BACKWARD] = k_convolution_backward,
    [OP_DEPTHWISE] = k_depthwise, [OP_DEPTHWISE_BACKWARD] = k_depthwise_backward, [OP_REDUCE_WEIGHTS] = k_reduce_weights, [OP_REDUCE_DEPTHWISE] = k_reduce_depthwise,
    [OP_NORM_TRAIN] = k_norm_train, [OP_NORM_EVAL] = k_norm_eval, [OP_NORM_BACKWARD] = k_norm_backward, [OP_BIAS] = k_bias, [OP_BIAS_BACKWARD] = k_bias_backward,
    [OP_ADD] = k_add, [OP_ADD_BACKWARD] = k_add_backward, [OP_POOL] = k_pool, [OP_POOL_BACKWARD] = k_pool_backward,
    [OP_LOG_MAGNITUDE] = k_log_magnitude, [OP_LOG_MAGNITUDE_BACKWARD] = k_log_magnitude_backward, [OP_SINC] = k_sinc, [OP_SINC_BACKWARD] = k_sinc_backward,
    [OP_CROSS_ENTROPY] = k_cross_entropy, [OP_REDUCE_LANES] = k_reduce_lanes, [OP_DOT] = k_dot, [OP_OBSERVE] = k_observe,
    [OP_COPY_ROWS] = k_copy_rows, [OP_SGD] = k_sgd, [OP_ADAM] = k_adam, [OP_ATTEND] = k_attend, [OP_ATTEND_BACKWARD] = k_attend_backward,
    [OP_LANES] = k_lanes, [OP_CLOCK] = k_clock,
    [OP_AGGREGATE] = k_aggregate, [OP_AGGREGATE_BACKWARD] = k_aggregate_backward, [OP_EDGE_ATTENTION] = k_edge_attention,
    [OP_EDGE_ATTENTION_BACKWARD] = k_edge_attention_backward, [OP_EDGE_ATTENTION_GRADIENT] = k_edge_attention_gradient,
    [OP_REDUCE_CHUNKS] = k_reduce_chunks, [OP_DROPOUT] = k_dropout,
};

// Denormal numbers are flushed to zero where the processor can: they say nothing and cost a hundred cycles each. The caller's mode
// is put back, since thread 0 belongs to the host program.
#if defined(__SSE__)
#include <xmmintrin.h>
static unsigned flush_denormals(void) {
  unsigned before = _mm_getcsr();
  _mm_setcsr(before | 0x8040);
  return before;
}
static void restore_mode(unsigned mode) { _mm_setcsr(mode); }
#else
static unsigned flush_denormals(void) { return 0; }
static void restore_mode(unsigned mode) { (void)mode; }
#endif

// Returns 0, or 1 + the position of a command that is not one.
int bw_execute(float *heap, const int32_t *program, int length, int thread, int threads, bw_barrier *barrier) {
  Task task = {.heap = heap, .scratch = heap + program[0] + (int64_t)program[1] * thread, .thread = thread, .threads = threads};
  unsigned mode = flush_denormals();
  int status = 0;
  for (int at = 2; at < length; at += program[at + 1]) {
    int op = program[at] & 0xffff;
    if (op <= 0 || op >= (int)(sizeof kernels / sizeof *kernels) || program[at + 1] < 2) {
      status = at + 1;
      break;
    }
    task.arg = program + at + 2;
    kernels[op](&task);
    if (!(program[at] & NO_BARRIER)) bw_barrier_wait(barrier, threads);
  }
  restore_mode(mode);
  return status;
}
