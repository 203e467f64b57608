// Graphs: sums, means and largest values over the neighbours of a node, the attention that weighs them, and dropout. Edges are entries of a
// sparse matrix by rows (a row's neighbours are its columns), with the way back by columns, so that every number has one writer. The same
// aggregation multiplies a sparse matrix of features with dense weights. Maps are [nodes][stride]; heads share a map's channels evenly.
#include "kernels.h"

enum { SUM, MEAN, MAX };
enum { GAT, COSINE, LINEAR };

#define LEAK 0.2f
// Added to the squares under the cosine's roots.
#define LENGTH_EPSILON 1e-12f

static const int32_t *integers(const Task *task, int at) { return (const int32_t *)task->heap + at; }

// The first arguments of every command on edges, entries of a sparse matrix: rows, columns, entries, then where its starts and columns lie, and on
// the way back its starts, rows and entries. After them: heads, channels of a head.
typedef struct {
  int rows, columns;
  const int32_t *starts, *of, *back, *backRows, *backEntries;
  int heads, each, channels;
} Edges;
#define EDGES_ARGUMENTS 10

static Edges read_edges(const Task *task) {
  const int32_t *a = task->arg;
  Edges t = {a[0], a[1], integers(task, a[3]), integers(task, a[4]), integers(task, a[5]), integers(task, a[6]), integers(task, a[7]), a[8], a[9], a[8] * a[9]};
  return t;
}

// What weighs the i-th entry of a row, or on the way back of a column.
INLINE float weight_of(const Edges *t, int kind, const float *weights, int back, int i) {
  int entry = back ? t->backEntries[i] : i, row = back ? t->backRows[i] : 0;
  float share = back && kind == MEAN ? 1.0f / (float)(t->starts[row + 1] - t->starts[row]) : 1;
  return weights ? weights[entry] * share : share;
}

// y = (accumulate ? y : 0) + the sum of the weighed rows of x over the entries from..to, `vectors` vectors wide, in registers.
INLINE void weighed_sum(const Edges *t, int kind, const float *weights, int back, int from, int to, const float *x, int stride, float *y, int accumulate, int vectors) {
  const int32_t *of = back ? t->backRows : t->of;
  V sums[4];
  UNROLL for (int v = 0; v < vectors; v++) sums[v] = accumulate ? load(y + v * LANES) : zero();
  for (int i = from; i < to; i++) {
    const float *own = x + (int64_t)of[i] * stride;
    V w = splat(weight_of(t, kind, weights, back, i));
    UNROLL for (int v = 0; v < vectors; v++) sums[v] += w * load(own + v * LANES);
  }
  UNROLL for (int v = 0; v < vectors; v++) store(y + v * LANES, sums[v]);
}

// The same for all channels of one head where both maps have whole vectors of them; 0 where they have not, and nothing is done.
INLINE int weighed_row(const Edges *t, int kind, const float *weights, int back, int from, int to, const float *x, int stride, float *y, int yStride, int accumulate) {
  int vectors = (t->channels + LANES - 1) / LANES;
  if (t->heads > 1 || vectors * LANES > stride || vectors * LANES > yStride) return 0;
  for (int v = 0; v < vectors; v += 4) {
    const float *own = x + v * LANES;
    float *to_ = y + v * LANES;
    switch (vectors - v) {
      case 1: weighed_sum(t, kind, weights, back, from, to, own, stride, to_, accumulate, 1); break;
      case 2: weighed_sum(t, kind, weights, back, from, to, own, stride, to_, accumulate, 2); break;
      case 3: weighed_sum(t, kind, weights, back, from, to, own, stride, to_, accumulate, 3); break;
      default: weighed_sum(t, kind, weights, back, from, to, own, stride, to_, accumulate, 4);
    }
  }
  for (int c = t->channels; c < vectors * LANES; c++) y[c] = 0;
  return 1;
}

// args: edges, kind, weights [entries][heads] or NONE (all 1), x, x stride, y, y stride, chosen (entry of each largest value [rows][channels],
// int32; NONE unless MAX)
void k_aggregate(Task *task) {
  const int32_t *a = task->arg + EDGES_ARGUMENTS;
  Edges t = read_edges(task);
  int kind = a[0], first, last;
  const float *weights = a[1] == NONE ? 0 : task->heap + a[1];
  my_share(task, t.rows, &first, &last);
  for (int row = first; row < last; row++) {
    float *y = task->heap + a[4] + (int64_t)row * a[5];
    int32_t *chosen = a[6] == NONE ? 0 : (int32_t *)task->heap + a[6] + (int64_t)row * t.channels;
    clear(y, a[5]);
    int inRegisters = kind != MAX && weighed_row(&t, kind, weights, 0, t.starts[row], t.starts[row + 1], task->heap + a[2], a[3], y, a[5], 0);
    for (int e = t.starts[row]; !inRegisters && e < t.starts[row + 1]; e++) {
      const float *x = task->heap + a[2] + (int64_t)t.of[e] * a[3];
      for (int h = 0; h < t.heads; h++) {
        float w = weights ? weights[(int64_t)e * t.heads + h] : 1;
        int from = h * t.each, to = from + t.each;
        if (kind != MAX) {
          for (int c = from; c < to; c++) y[c] += w * x[c];
          continue;
        }
        for (int c = from; c < to; c++)
          if (e == t.starts[row] || w * x[c] > y[c]) y[c] = w * x[c], chosen[c] = e;
      }
    }
    int degree = t.starts[row + 1] - t.starts[row];
    if (kind == MEAN && degree > 1)
      for (int c = 0; c < t.channels; c++) y[c] *= 1.0f / (float)degree;
  }
}

// args: edges, kind, weights or NONE, g, g stride, dx, dx stride, accumulate, chosen or NONE: gradient of what is aggregated
void k_aggregate_backward(Task *task) {
  const int32_t *a = task->arg + EDGES_ARGUMENTS;
  Edges t = read_edges(task);
  int first, last;
  const float *weights = a[1] == NONE ? 0 : task->heap + a[1];
  my_share(task, t.columns, &first, &last);
  for (int column = first; column < last; column++) {
    float *dx = task->heap + a[4] + (int64_t)column * a[5];
    if (!a[6]) clear(dx, a[5]);
    int inRegisters = a[7] == NONE && weighed_row(&t, a[0], weights, 1, t.back[column], t.back[column + 1], task->heap + a[2], a[3], dx, a[5], a[6]);
    for (int b = t.back[column]; !inRegisters && b < t.back[column + 1]; b++) {
      int row = t.backRows[b], e = t.backEntries[b];
      const float *g = task->heap + a[2] + (int64_t)row * a[3];
      const int32_t *chosen = a[7] == NONE ? 0 : integers(task, a[7]) + (int64_t)row * t.channels;
      float share = a[0] == MEAN ? 1.0f / (float)(t.starts[row + 1] - t.starts[row]) : 1;
      for (int h = 0; h < t.heads; h++) {
        float w = weights ? weights[(int64_t)e * t.heads + h] * share : share;
        int from = h * t.each, to = from + t.each;
        if (!chosen)
          for (int c = from; c < to; c++) dx[c] += w * g[c];
        else
          for (int c = from; c < to; c++) dx[c] += chosen[c] == e ? w * g[c] : 0;
      }
    }
  }
}

static float product(const float *x, const float *y, int count) {
  float s = 0;
  for (int i = 0; i < count; i++) s += x[i] * y[i];
  return s;
}

// What a node looks for and what its neighbour shows.
typedef struct {
  int kind, stride, each;
  const float *x, *left, *right; // GAT: [heads][each] of both; LINEAR: right alone; COSINE: left [heads], how sharp it is
} Attention;
#define ATTENTION_ARGUMENTS 5

static Attention read_attention(const Task *task, const int32_t *a, int each) {
  Attention t = {a[0], a[2], each, task->heap + a[1], a[3] == NONE ? 0 : task->heap + a[3], a[4] == NONE ? 0 : task->heap + a[4]};
  return t;
}
static const float *of_node(const Attention *t, int node, int head) { return t->x + (int64_t)node * t->stride + head * t->each; }
static float length(const float *x, int count) { return (float)sqrt_d((double)product(x, x, count) + LENGTH_EPSILON); }
// What a node's own numbers put into the sums that GAT bends.
static float own_part(const Attention *t, int row, int head) {
  return t->kind == GAT ? product(of_node(t, row, head), t->left + head * t->each, t->each) : 0;
}

// args: edges, attention (kind, x, x stride, left, right), weights [entries][heads]: shares of a row's neighbours, a softmax of scores
void k_edge_attention(Task *task) {
  const int32_t *a = task->arg + EDGES_ARGUMENTS;
  Edges t = read_edges(task);
  Attention n = read_attention(task, a, t.each);
  int first, last;
  my_share(task, t.rows, &first, &last);
  for (int row = first; row < last; row++)
    for (int h = 0; h < t.heads; h++) {
      const float *own = of_node(&n, row, h);
      float *weights = task->heap + a[ATTENTION_ARGUMENTS] + h, most = -3e38f, part = own_part(&n, row, h);
      float sharpness = n.kind == COSINE ? n.left[h] / length(own, t.each) : 0;
      for (int e = t.starts[row]; e < t.starts[row + 1]; e++) {
        const float *x = of_node(&n, t.of[e], h);
        float s = n.kind == COSINE ? sharpness * product(own, x, t.each) / length(x, t.each) : part + product(x, n.right + h * t.each, t.each);
        if (n.kind == GAT && s < 0) s *= LEAK;
        if (n.kind == LINEAR) s = (float)tanh_d(s);
        weights[(int64_t)e * t.heads] = s;
        if (s > most) most = s;
      }
      double sum = 0;
      for (int e = t.starts[row]; e < t.starts[row + 1]; e++) {
        float *w = weights + (int64_t)e * t.heads;
        *w = (float)exp_d((double)*w - most);
        sum += *w;
      }
      for (int e = t.starts[row]; e < t.starts[row + 1]; e++) weights[(int64_t)e * t.heads] = (float)(weights[(int64_t)e * t.heads] / sum);
    }
}

// args: edges, attention, weights, kind of aggregation, g, g stride, chosen or NONE, d [entries][heads]: from the gradient of what was aggregated to
// that of the scores, as they are before GAT and LINEAR bend them
void k_edge_attention_backward(Task *task) {
  const int32_t *a = task->arg + EDGES_ARGUMENTS;
  Edges t = read_edges(task);
  Attention n = read_attention(task, a, t.each);
  a += ATTENTION_ARGUMENTS;
  int first, last;
  my_share(task, t.rows, &first, &last);
  for (int row = first; row < last; row++) {
    const int32_t *chosen = a[4] == NONE ? 0 : integers(task, a[4]) + (int64_t)row * t.channels;
    float share = a[1] == MEAN ? 1.0f / (float)(t.starts[row + 1] - t.starts[row]) : 1;
    for (int h = 0; h < t.heads; h++) {
      const float *g = task->heap + a[2] + (int64_t)row * a[3] + h * t.each, *weights = task->heap + a[0] + h;
      float *scores = task->heap + a[5] + h, part = own_part(&n, row, h);
      double mean = 0;
      for (int e = t.starts[row]; e < t.starts[row + 1]; e++) {
        const float *x = of_node(&n, t.of[e], h);
        float d = 0;
        if (chosen)
          for (int c = 0; c < t.each; c++) d += chosen[h * t.each + c] == e ? g[c] * x[c] : 0;
        else d = share * product(g, x, t.each);
        scores[(int64_t)e * t.heads] = d;
        mean += (double)d * weights[(int64_t)e * t.heads];
      }
      for (int e = t.starts[row]; e < t.starts[row + 1]; e++) {
        float d = weights[(int64_t)e * t.heads] * (scores[(int64_t)e * t.heads] - (float)mean);
        if (n.kind != COSINE) {
          float s = part + product(of_node(&n, t.of[e], h), n.right + h * t.each, t.each), bent = n.kind == LINEAR ? (float)tanh_d(s) : 0;
          d *= n.kind == LINEAR ? 1 - bent * bent : s < 0 ? LEAK : 1;
        }
        scores[(int64_t)e * t.heads] = d;
      }
    }
  }
}

// dx += d times the derivative of sharpness * cosine(x, y) by x; returns the cosine.
static float cosine_gradient(const float *x, const float *y, float sharpness, float d, float *dx, int count) {
  float own = 1 / length(x, count), other = 1 / length(y, count), cosine = product(x, y, count) * own * other;
  for (int c = 0; c < count; c++) dx[c] += d * sharpness * own * (y[c] * other - cosine * x[c] * own);
  return cosine;
}

// args: edges, attention, chunks, d, dx or NONE, dx stride, accumulate, partial [chunks][left, right]: gradients of the nodes that scores were made
// of, and of the attention's parameters
void k_edge_attention_gradient(Task *task) {
  const int32_t *a = task->arg + EDGES_ARGUMENTS;
  Edges t = read_edges(task);
  Attention n = read_attention(task, a, t.each);
  a += ATTENTION_ARGUMENTS;
  int chunks = a[0], first, last;
  const float *scores = task->heap + a[1];
  int lefts = n.kind == GAT ? t.channels : n.kind == COSINE ? t.heads : 0, rights = n.kind == COSINE ? 0 : t.channels;
  my_chunks(task, chunks, &first, &last);
  for (int chunk = first; chunk < last; chunk++) {
    float *dLeft = task->heap + a[5] + (int64_t)chunk * (lefts + rights), *dRight = dLeft + lefts;
    clear(dLeft, lefts + rights);
    for (int node = chunk_begin(t.rows, chunk, chunks); node < chunk_begin(t.rows, chunk + 1, chunks); node++) {
      float *out = a[2] == NONE ? task->scratch : task->heap + a[2] + (int64_t)node * a[3];
      if (a[2] == NONE || !a[4]) clear(out, a[3]);
      for (int h = 0; h < t.heads; h++) {
        const float *x = of_node(&n, node, h);
        float *dx = out + h * t.each, seen = 0, shown = 0;
        for (int e = t.starts[node]; e < t.starts[node + 1]; e++) {
          float d = scores[(int64_t)e * t.heads + h];
          if (n.kind == COSINE) dLeft[h] += d * cosine_gradient(x, of_node(&n, t.of[e], h), n.left[h], d, dx, t.each);
          seen += d;
        }
        for (int b = t.back[node]; b < t.back[node + 1]; b++) {
          float d = scores[(int64_t)t.backEntries[b] * t.heads + h];
          if (n.kind == COSINE) cosine_gradient(x, of_node(&n, t.backRows[b], h), n.left[h], d, dx, t.each);
          shown += d;
        }
        for (int c = 0, at = h * t.each; c < t.each; c++, at++) {
          if (n.kind == GAT) dx[c] += seen * n.left[at], dLeft[at] += seen * x[c];
          if (n.kind != COSINE) dx[c] += shown * n.right[at], dRight[at] += shown * x[c];
        }
      }
    }
  }
}

// args: partial [chunks][stride], chunks, stride, from, to [count], count: adds chunks in order
void k_reduce_chunks(Task *task) {
  const int32_t *a = task->arg;
  int first, last;
  my_share(task, a[5], &first, &last);
  for (int i = first; i < last; i++) {
    double s = 0;
    for (int chunk = 0; chunk < a[1]; chunk++) s += task->heap[a[0] + (int64_t)chunk * a[2] + a[3] + i];
    task->heap[a[4] + i] = (float)s;
  }
}

typedef uint32_t VU __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

// Threefry-2x32 with 20 rounds, as packages/engine/src/random.ts has it, of LANES counters from `x` on: all bits where either of a
// counter's two numbers is not below the threshold, none elsewhere. (As a branch it would be foretold wrong every other time.)
INLINE void threefry_keeps(uint32_t key0, uint32_t key1, uint32_t x, uint32_t y, uint32_t threshold, int32_t *first, int32_t *second) {
  static const int rotations[8] = {13, 15, 26, 6, 17, 29, 16, 24};
  uint32_t keys[3] = {key0, key1, 0x1bd11bda ^ key0 ^ key1};
  VU a, b = (VU){0} + (y + keys[1]);
  for (int i = 0; i < LANES; i++) a[i] = x + (uint32_t)i + keys[0];
  UNROLL for (uint32_t group = 0; group < 5; group++) {
    UNROLL for (int round = 0; round < 4; round++) {
      int r = rotations[group % 2 * 4 + round];
      a += b;
      b = (b << r | b >> (32 - r)) ^ a;
    }
    a += keys[(group + 1) % 3];
    b += keys[(group + 2) % 3] + group + 1;
  }
  *(VI *)first = (VI)(a >= threshold);
  *(VI *)second = (VI)(b >= threshold);
}

INLINE float kept(int32_t keep, float f) {
  union {
    float f;
    int32_t i;
  } u = {f};
  u.i &= keep;
  return u.f;
}

// args: slot [key, key, threshold (32 bits), scale], site, rows, channels, x, x stride, y, y stride, accumulate: scale * x where the number drawn for
// (site, row, channel) is not below the threshold, 0 elsewhere. Its own gradient with g for x.
void k_dropout(Task *task) {
  const int32_t *a = task->arg, *slot = integers(task, a[0]);
  int32_t even[LANES], odd[LANES];
  float scale = task->heap[a[0] + 3];
  int channels = a[3], pairs = (channels + 1) / 2, lane = LANES, first, last;
  my_share(task, a[2], &first, &last);
  for (int row = first; row < last; row++) {
    const float *x = task->heap + a[4] + (int64_t)row * a[5];
    float *y = task->heap + a[6] + (int64_t)row * a[7];
    for (int p = 0; p < pairs; p++, lane++) {
      // rows follow each other without a gap between their counters
      if (lane == LANES) {
        uint32_t counter = (uint32_t)row * (uint32_t)pairs + (uint32_t)p;
        threefry_keeps((uint32_t)slot[0], (uint32_t)slot[1], counter, (uint32_t)a[1], (uint32_t)slot[2], even, odd);
        lane = 0;
      }
      int c = 2 * p;
      float v = kept(even[lane], scale * x[c]);
      y[c] = a[8] ? y[c] + v : v;
      if (c + 1 == channels) continue;
      v = kept(odd[lane], scale * x[c + 1]);
      y[c + 1] = a[8] ? y[c + 1] + v : v;
    }
    if (!a[8])
      for (int c = channels; c < a[7]; c++) y[c] = 0;
  }
}
