// Attention of a map's positions to each other: softmax over the rows of query * transposed key, times value, per sample; forward and backward.
// A block of rows at a time, so that its scores stay in the near caches. Of the softmax each row's largest score and one over its sum are kept,
// and the backward pass makes the rest anew, to the same bits, which takes no longer than reading it back would (Dao et al., FlashAttention,
// arXiv 2205.14135). A row's factor goes into the narrow products' operands, not over the wide rows. The gradient through a softmax needs each
// row's sum of share times share's gradient, which is the product of output and output's gradient (there, appendix B).
#include "matrix.h"

// Rows of a block (packages/engine/src/ops/attend.ts knows it too).
#define BLOCK 24

typedef struct {
  const float *x;
  Transform transform;
  int stride, used; // channels with and without the filling
} Input;

typedef struct {
  int batch, chunks, nodes;
  int columns, ld; // nodes as whole vectors; distance of rows of scores
  Input query, key, value;
  float *kept; // [batch][nodes][largest score, 1 / sum], or NULL
  float *y;
} Attention;

INLINE Input read_input(const Task *task, int at, int stride, int used) {
  Input input = {task->heap + task->arg[at], read_transform(task->heap, task->arg + at + 1), stride, used};
  return input;
}
INLINE Attention read_attention(const Task *task) {
  const int32_t *a = task->arg;
  float *heap = task->heap;
  Attention t = {.batch = a[0], .chunks = a[1], .nodes = a[2], .columns = (a[2] + LANES - 1) / LANES * LANES, .ld = a[25],
                 .query = read_input(task, 3, a[21], a[22]), .key = read_input(task, 9, a[21], a[22]), .value = read_input(task, 15, a[23], a[24]),
                 .kept = a[26] == NONE ? 0 : heap + a[26], .y = heap + a[27]};
  return t;
}

// `rows` rows of an input from row `from` on, with what is pending on them applied; in `room` unless they can be read where they are.
INLINE const float *rows_of(const Input *input, int64_t from, int rows, float *room) {
  const float *x = input->x + from * input->stride;
  if (is_identity(&input->transform)) return x;
  transform_rows(&input->transform, x, input->stride, room, input->stride, rows, input->stride);
  return room;
}

// [rows][columns] as column panels of a right matrix.
static void pack_rows(const float *x, int rows, int columns, float *to) {
  for (int n = 0, panel; n < columns; n += panel) {
    panel = panel_vectors(columns - n) * LANES;
    for (int r = 0; r < rows; r++, to += panel)
      for (int j = 0; j < panel; j += LANES) store(to + j, load(x + (int64_t)r * columns + n + j));
  }
}
// The first `used` of [rows][stride] as column panels of the transpose, whose columns are filled up with zeros to whole vectors.
static void pack_columns(const float *x, int rows, int stride, int used, int columns, float *to) {
  for (int n = 0, panel; n < columns; n += panel) {
    panel = panel_vectors(columns - n) * LANES;
    for (int k = 0; k < used; k++, to += panel)
      for (int j = 0; j < panel; j++) to[j] = n + j < rows ? x[(int64_t)(n + j) * stride + k] : 0;
  }
}

// Which lanes of a row's last vector are nodes.
INLINE VI last_lanes(const Attention *t) {
  int32_t lanes[LANES];
  for (int j = 0; j < LANES; j++) lanes[j] = t->columns - LANES + j < t->nodes ? -1 : 0;
  return *(const VI *)lanes;
}

INLINE float largest_of(const float *row, int columns, VI mask) {
  int whole = columns - LANES, j = 0;
  V m0 = select_(mask, load(row + whole), splat(-3e38f)), m1 = m0, m2 = m0, m3 = m0;
  for (; j + 4 * LANES <= whole; j += 4 * LANES)
    m0 = max_(load(row + j), m0), m1 = max_(load(row + j + LANES), m1), m2 = max_(load(row + j + 2 * LANES), m2), m3 = max_(load(row + j + 3 * LANES), m3);
  for (; j < whole; j += LANES) m0 = max_(load(row + j), m0);
  m0 = max_(max_(m0, m1), max_(m2, m3));
  float largest = m0[0];
  for (int i = 1; i < LANES; i++) largest = m0[i] > largest ? m0[i] : largest;
  return largest;
}

INLINE V exponential(V score, V top) { return exp2_((score - top) * 1.44269504f); }

// Scores of a row to e^(score - largest), zeros in the filling; returns their sum.
INLINE float exponentials_of(float *row, int columns, VI mask, float largest) {
  V top = splat(largest), sum = zero();
  int whole = columns - LANES;
  for (int j = 0; j < whole; j += LANES) {
    V e = exponential(load(row + j), top);
    store(row + j, e), sum += e;
  }
  V last = keep(mask, exponential(load(row + whole), top));
  store(row + whole, last);
  return sum_(sum + last);
}

// args: batch, chunks, nodes, query, its transform, key, its transform, value, its transform, channels of query and key with the filling and
// without, those of value, distance of rows of scores, largest scores and sums to keep or NONE, y
void k_attend(Task *task) {
  Attention t = read_attention(task);
  int nodes = t.nodes, stride = t.value.stride, blocks = (nodes + BLOCK - 1) / BLOCK, first, last, packed = -1;
  int wide = stride > t.key.stride ? stride : t.key.stride;
  float *keys = task->scratch, *values = keys + (int64_t)t.key.used * t.columns, *scores = values + (int64_t)nodes * stride, *left = scores + (int64_t)BLOCK * t.ld;
  float *room = left + BLOCK * t.query.stride, *operands = room + (int64_t)nodes * wide;
  VI mask = last_lanes(&t);
  my_share(task, t.batch * blocks, &first, &last);
  for (int item = first; item < last; item++) {
    int sample = item / blocks, begin = item % blocks * BLOCK, rows = nodes - begin < BLOCK ? nodes - begin : BLOCK;
    int64_t at = (int64_t)sample * nodes;
    if (sample != packed) {
      pack_columns(rows_of(&t.key, at, nodes, room), nodes, t.key.stride, t.key.used, t.columns, keys);
      pack_rows(rows_of(&t.value, at, nodes, room), nodes, stride, values);
      packed = sample;
    }
    at += begin;
    float *y = t.y + at * stride, tops[BLOCK], inverses[BLOCK];
    multiply(rows_of(&t.query, at, rows, left), t.query.stride, rows, 1, t.query.used, 0, keys, t.columns, scores, t.ld, 0, operands);
    for (int r = 0; r < rows; r++) tops[r] = largest_of(scores + (int64_t)r * t.ld, t.columns, mask);
    for (int r = 0; r < rows; r++) inverses[r] = 1 / exponentials_of(scores + (int64_t)r * t.ld, t.columns, mask, tops[r]);
    for (int r = 0; r < rows && t.kept; r++) t.kept[2 * (at + r)] = tops[r], t.kept[2 * (at + r) + 1] = inverses[r];
    multiply(scores, t.ld, rows, 1, nodes, 0, values, stride, y, stride, 0, operands);
    for (int r = 0; r < rows; r++, y += stride) {
      V inverse = splat(inverses[r]);
      for (int k = 0; k < stride; k += LANES) store(y + k, load(y + k) * inverse);
    }
  }
}

// Where the gradient of an input goes.
typedef struct {
  float *dx, *stats, *quantizerSums; // of this chunk; NULL where not wanted
  int accumulate;
} Target;

// args from `at` on: gradient, accumulate, stats, quantizer sums
INLINE Target read_target(const Task *task, int at, int stride, int chunk) {
  const int32_t *a = task->arg + at;
  Target target = {.dx = a[0] == NONE ? 0 : task->heap + a[0], .accumulate = a[1],
                   .stats = a[2] == NONE ? 0 : task->heap + a[2] + (int64_t)chunk * 2 * stride,
                   .quantizerSums = a[3] == NONE ? 0 : task->heap + a[3] + (int64_t)chunk * 3 * LANES};
  if (target.stats && !target.accumulate) clear(target.stats, 2 * stride);
  if (target.quantizerSums) clear(target.quantizerSums, 3 * LANES);
  return target;
}

// d: gradient of a sample's values, through what is pending on them.
static void finish_input(const Attention *t, const Input *input, const Target *target, int64_t at, const float *d, float *part) {
  if (!target->dx) return;
  int stride = input->stride;
  BackwardSums sums = {.stats = target->stats ? part : 0, .ldStats = stride, .quantizerSums = target->quantizerSums, .accumulate = target->accumulate};
  if (target->stats) clear(part, 2 * stride);
  transform_backward(&input->transform, d, stride, input->x + at * stride, stride, target->dx + at * stride, stride, t->nodes, stride, &sums);
  if (target->stats) add_to(target->stats, part, 2 * stride);
}

// args: those of k_attend, gradient of y, then of query, key and value each: gradient, accumulate, stats, quantizer sums
void k_attend_backward(Task *task) {
  Attention t = read_attention(task);
  const float *g = task->heap + task->arg[28];
  int nodes = t.nodes, narrow = t.query.stride, stride = t.value.stride, wide = narrow > stride ? narrow : stride, first, last;
  float *keys = task->scratch, *keyRows = keys + (int64_t)t.key.used * t.columns, *values = keyRows + (int64_t)nodes * narrow;
  float *shares = values + (int64_t)t.value.used * t.columns, *scores = shares + (int64_t)BLOCK * t.ld, *gs = scores + (int64_t)BLOCK * t.ld;
  float *left = gs + BLOCK * stride, *room = left + BLOCK * narrow, *dq = room + (int64_t)nodes * wide, *dk = dq + (int64_t)nodes * narrow;
  float *dv = dk + (int64_t)nodes * narrow, *operands = dv + (int64_t)nodes * stride, *part = operands + (int64_t)MR * (nodes > wide ? nodes : wide);
  VI mask = last_lanes(&t);
  my_chunks(task, t.chunks, &first, &last);
  for (int chunk = first; chunk < last; chunk++) {
    Target query = read_target(task, 29, narrow, chunk), key = read_target(task, 33, narrow, chunk), value = read_target(task, 37, stride, chunk);
    for (int sample = chunk_begin(t.batch, chunk, t.chunks); sample < chunk_begin(t.batch, chunk + 1, t.chunks); sample++) {
      int64_t at = (int64_t)sample * nodes;
      const float *k = rows_of(&t.key, at, nodes, room);
      pack_columns(k, nodes, narrow, t.key.used, t.columns, keys);
      if (query.dx) pack_rows(k, nodes, narrow, keyRows);
      if (query.dx || key.dx) pack_columns(rows_of(&t.value, at, nodes, room), nodes, stride, t.value.used, t.columns, values);
      if (key.dx) clear(dk, (int64_t)nodes * narrow);
      if (value.dx) clear(dv, (int64_t)nodes * stride);
      for (int begin = 0; begin < nodes; begin += BLOCK) {
        int rows = nodes - begin < BLOCK ? nodes - begin : BLOCK;
        const float *q = rows_of(&t.query, at + begin, rows, left), *kept = t.kept + 2 * (at + begin);
        float means[BLOCK];
        multiply(q, narrow, rows, 1, t.query.used, 0, keys, t.columns, shares, t.ld, 0, operands);
        for (int r = 0; r < rows; r++) {
          exponentials_of(shares + (int64_t)r * t.ld, t.columns, mask, kept[2 * r]);
          const float *from = g + (at + begin + r) * stride, *y = t.y + (at + begin + r) * stride;
          V inverse = splat(kept[2 * r + 1]), sum = zero();
          for (int c = 0; c < stride; c += LANES) {
            V d = load(from + c) * inverse;
            store(gs + r * stride + c, d), sum = fma_(d, load(y + c), sum);
          }
          means[r] = sum_(sum);
        }
        if (value.dx) multiply_weights(shares, t.ld, rows, 1, 0, 1, nodes, 0, gs, 0, stride, dv);
        if (!query.dx && !key.dx) continue;
        multiply(gs, stride, rows, 1, t.value.used, 0, values, t.columns, scores, t.ld, 0, operands);
        for (int r = 0; r < rows; r++) {
          float *d = scores + (int64_t)r * t.ld;
          const float *share = shares + (int64_t)r * t.ld;
          V mean = splat(means[r]);
          for (int j = 0; j < t.columns; j += LANES) store(d + j, load(share + j) * (load(d + j) - mean));
        }
        if (key.dx) multiply_weights(scores, t.ld, rows, 1, 0, 1, nodes, 0, q, 0, narrow, dk);
        if (query.dx) multiply(scores, t.ld, rows, 1, nodes, 0, keyRows, narrow, dq + (int64_t)begin * narrow, narrow, 0, operands);
      }
      finish_input(&t, &t.query, &query, at, dq, part);
      finish_input(&t, &t.key, &key, at, dk, part);
      finish_input(&t, &t.value, &value, at, dv, part);
    }
  }
}
