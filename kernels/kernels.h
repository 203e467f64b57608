// What every kernel file sees: the commands of a program, the pieces their arguments are made of, and the kernels themselves.
//
// A program is a flat int32 array: [scratchOffset, scratchStride] and then commands [opcode, length, arguments...]. Offsets are
// float indices into the heap; NONE (-1) means absent; float arguments are stored as their bits. Every thread runs every command
// and takes its share of the chunks; a barrier follows each command unless NO_BARRIER is set in the opcode.
//
// Chunks: a batch is cut into a fixed number of chunks whatever the number of threads. Each chunk reduces into its own partial
// sums, which are added in chunk order: the same bits with any number of threads.
#pragma once
#include "vector.h"
#include <stddef.h>

#define NONE (-1)
#define NO_BARRIER 0x10000

// Keep in step with packages/engine/src/commands.ts.
enum {
  OP_PACK = 1,
  OP_PACK_DEPTHWISE,
  OP_CONVOLUTION,
  OP_CONVOLUTION_BACKWARD,
  OP_DEPTHWISE,
  OP_DEPTHWISE_BACKWARD,
  OP_REDUCE_WEIGHTS,
  OP_REDUCE_DEPTHWISE,
  OP_NORM_TRAIN,
  OP_NORM_EVAL,
  OP_NORM_BACKWARD,
  OP_BIAS,
  OP_BIAS_BACKWARD,
  OP_ADD,
  OP_ADD_BACKWARD,
  OP_POOL,
  OP_POOL_BACKWARD,
  OP_LOG_MAGNITUDE,
  OP_LOG_MAGNITUDE_BACKWARD,
  OP_SINC,
  OP_SINC_BACKWARD,
  OP_CROSS_ENTROPY,
  OP_REDUCE_LANES,
  OP_DOT,
  OP_OBSERVE,
  OP_COPY_ROWS,
  OP_SGD,
  OP_ADAM,
  OP_ATTEND,
  OP_ATTEND_BACKWARD,
  OP_LANES,
  OP_CLOCK,
  OP_AGGREGATE,
  OP_AGGREGATE_BACKWARD,
  OP_EDGE_ATTENTION,
  OP_EDGE_ATTENTION_BACKWARD,
  OP_EDGE_ATTENTION_GRADIENT,
  OP_REDUCE_CHUNKS,
  OP_DROPOUT,
};

// One thread's view of a running program.
typedef struct {
  float *heap;
  const int32_t *arg;
  float *scratch;
  int thread, threads;
} Task;

INLINE float as_float(int32_t bits) {
  union { int32_t i; float f; } u = {bits};
  return u.f;
}

// The chunks of `task` out of `chunks`: [*first, *last).
INLINE void my_chunks(const Task *task, int chunks, int *first, int *last) {
  *first = (int)((int64_t)chunks * task->thread / task->threads);
  *last = (int)((int64_t)chunks * (task->thread + 1) / task->threads);
}
INLINE int chunk_begin(int batch, int chunk, int chunks) { return (int)((int64_t)batch * chunk / chunks); }
// An even share of `count` items, for work whose result does not depend on the split.
INLINE void my_share(const Task *task, int count, int *first, int *last) {
  *first = (int)((int64_t)count * task->thread / task->threads);
  *last = (int)((int64_t)count * (task->thread + 1) / task->threads);
}

// What a consumer does to a stored value while loading it: value = quantize(limit(scale * x + offset)).
// `scale` and `offset` are per channel; the quantizer slot is [step, 1 / step, lowest level, highest level].
typedef struct {
  const float *scale, *offset, *quantizer;
  float low, high;
} Transform;

INLINE Transform read_transform(const float *heap, const int32_t *arg) {
  Transform t = {arg[0] == NONE ? 0 : heap + arg[0], arg[1] == NONE ? 0 : heap + arg[1], arg[4] == NONE ? 0 : heap + arg[4], as_float(arg[2]), as_float(arg[3])};
  return t;
}
#define TRANSFORM_ARGUMENTS 5
INLINE int is_identity(const Transform *t) { return !t->scale && !t->quantizer && t->low < -1e38f && t->high > 1e38f; }

// rows x channels values (channels a multiple of LANES) from x (row stride ldx) to y (row stride ldy).
void transform_rows(const Transform *t, const float *x, int64_t ldx, float *y, int64_t ldy, int rows, int channels);
// The same for `strips` vectors of channels of a map whose columns lie ldx and rows rowX apart, each vector into a strip of its own:
// columns of equal remainder modulo `phases` side by side, beginning at column `position`.
typedef struct {
  int phases;
  int64_t phase, row, strip; // distances of phases, rows and strips
} Strips;
void transform_strips(const Transform *t, const float *x, int64_t ldx, int64_t rowX, const Strips *s, float *y, int position, int rows, int columns, int strips);
// The same for rows without per-channel scale whose length is not a multiple of LANES.
void transform_flat(const Transform *t, const float *x, float *y, int count);

// Gradient through a transform: g holds d loss / d value; out (= or +=) d loss / d (scale * x + offset), and the sums that batch
// norm and the quantizer need: stats[c] += sum g', stats[ldStats + c] += sum g' * x; quantizerSums[lane-wise, 3 x LANES] +=
// [inside: (round(u) - u) * g, below: g, above: g] with u = value / step.
typedef struct {
  float *stats;
  int ldStats;
  float *quantizerSums;
  int accumulate;
} BackwardSums;
void transform_backward(const Transform *t, const float *g, int64_t ldg, const float *x, int64_t ldx, float *out, int64_t ldo, int rows, int channels, const BackwardSums *sums);
// The same without per-channel scale and sums, for `count` numbers of any count.
void transform_backward_flat(const Transform *t, const float *g, const float *x, float *out, int count, const BackwardSums *sums);

// dy = c1 * g + c2 * y + c3 per channel (coefficients: three arrays of `channels`); a plain copy without coefficients.
void gradient_rows(const float *coefficients, const float *g, const float *y, float *out, int rows, int channels);

// kernels, one per opcode
void k_pack(Task *), k_pack_depthwise(Task *), k_convolution(Task *), k_convolution_backward(Task *), k_depthwise(Task *),
    k_depthwise_backward(Task *), k_reduce_weights(Task *), k_reduce_depthwise(Task *), k_norm_train(Task *), k_norm_eval(Task *), k_norm_backward(Task *),
    k_bias(Task *), k_bias_backward(Task *), k_add(Task *), k_add_backward(Task *), k_pool(Task *), k_pool_backward(Task *),
    k_log_magnitude(Task *), k_log_magnitude_backward(Task *), k_sinc(Task *), k_sinc_backward(Task *), k_cross_entropy(Task *),
    k_reduce_lanes(Task *), k_dot(Task *), k_observe(Task *), k_copy_rows(Task *), k_sgd(Task *), k_adam(Task *), k_attend(Task *),
    k_attend_backward(Task *), k_lanes(Task *),
    k_aggregate(Task *), k_aggregate_backward(Task *), k_edge_attention(Task *), k_edge_attention_backward(Task *), k_edge_attention_gradient(Task *),
    k_reduce_chunks(Task *), k_dropout(Task *);

INLINE void clear(float *p, int64_t count) {
  for (int64_t i = 0; i < count; i++) p[i] = 0;
}
INLINE void add_to(float *to, const float *from, int count) {
  for (int i = 0; i < count; i++) to[i] += from[i];
}

// scalar mathematics without libm (WebAssembly has none); double accuracy
double exp_d(double x), log_d(double x), sqrt_d(double x), tanh_d(double x);
void sincos_d(double x, double *sine, double *cosine);
