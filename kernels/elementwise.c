// What is left between the products: addition (with one input: writing a pending value out), pooling, the log-magnitude of the
// raw-audio layer, sums, copies. Maps are [batch][rows][channels] with channels a multiple of LANES.
#include "kernels.h"

// args: batch, chunks, pixels, channels, y, inputs (1 or 2), factor or NONE, then per input: x, transform. y = sum of the inputs' values, the
// second times the factor.
void k_add(Task *task) {
  const int32_t *a = task->arg;
  int batch = a[0], chunks = a[1], pixels = a[2], c = a[3], first, last;
  enum { BLOCK = 32 };
  float factor = a[6] == NONE ? 1 : task->heap[a[6]];
  my_chunks(task, chunks, &first, &last);
  for (int chunk = first; chunk < last; chunk++) {
    int64_t begin = (int64_t)chunk_begin(batch, chunk, chunks) * pixels, end = (int64_t)chunk_begin(batch, chunk + 1, chunks) * pixels;
    for (int64_t p = begin; p < end; p += BLOCK) {
      int rows = end - p < BLOCK ? (int)(end - p) : BLOCK;
      float *y = task->heap + a[4] + p * c;
      for (int i = 0; i < a[5]; i++) {
        const int32_t *in = a + 7 + i * (1 + TRANSFORM_ARGUMENTS);
        Transform t = read_transform(task->heap, in + 1);
        const float *x = task->heap + in[0] + p * c;
        if (c % LANES) { // a map of one channel, dense
          float *to = i ? task->scratch : y;
          transform_flat(&t, x, to, rows * c);
          if (i) for (int j = 0; j < rows * c; j++) y[j] += factor * to[j];
        } else if (!i) {
          transform_rows(&t, x, c, y, c, rows, c);
        } else {
          transform_rows(&t, x, c, task->scratch, c, rows, c);
          for (int64_t j = 0; j < (int64_t)rows * c; j += LANES) store(y + j, fma_(load(task->scratch + j), splat(factor), load(y + j)));
        }
      }
    }
  }
}

// args: batch, chunks, pixels, channels, x, transform, g, dx, accumulate, stats, quantizer sums, factor or NONE: one input of an addition
void k_add_backward(Task *task) {
  const int32_t *a = task->arg;
  float *heap = task->heap;
  int batch = a[0], chunks = a[1], pixels = a[2], c = a[3], first, last;
  enum { BLOCK = 32 };
  Transform t = read_transform(heap, a + 5);
  const float *factor = a[15] == NONE ? 0 : heap + a[15];
  float *part = task->scratch, *scaled = part + 2 * c;
  my_chunks(task, chunks, &first, &last);
  for (int chunk = first; chunk < last; chunk++) {
    int64_t begin = (int64_t)chunk_begin(batch, chunk, chunks) * pixels, end = (int64_t)chunk_begin(batch, chunk + 1, chunks) * pixels;
    BackwardSums sums = {.stats = a[13] == NONE ? 0 : heap + a[13] + (int64_t)chunk * 2 * c, .ldStats = c, .quantizerSums = a[14] == NONE ? 0 : heap + a[14] + (int64_t)chunk * 3 * LANES, .accumulate = a[12]};
    if (sums.stats && !sums.accumulate) clear(sums.stats, 2 * c);
    if (sums.quantizerSums) clear(sums.quantizerSums, 3 * LANES);
    BackwardSums block = sums;
    if (sums.stats) block.stats = part;
    for (int64_t p = begin; p < end; p += BLOCK) {
      int rows = end - p < BLOCK ? (int)(end - p) : BLOCK;
      const float *g = heap + a[10] + p * c;
      if (factor) {
        const float by = *factor;
        for (int j = 0; j < rows * c; j++) scaled[j] = by * g[j];
        g = scaled;
      }
      if (c % LANES) { // a map of one channel, dense: nothing is normalised
        transform_backward_flat(&t, g, heap + a[4] + p * c, heap + a[11] + p * c, rows * c, &sums);
        continue;
      }
      if (sums.stats) clear(part, 2 * c);
      transform_backward(&t, g, c, heap + a[4] + p * c, c, heap + a[11] + p * c, c, rows, c, &block);
      if (sums.stats) add_to(sums.stats, part, 2 * c);
    }
  }
}

// args: batch, chunks, height, width, channels, x, transform, y, outHeight, outWidth, kernelHeight, kernelWidth, strideY, strideX
void k_pool(Task *task) {
  const int32_t *a = task->arg;
  int batch = a[0], chunks = a[1], height = a[2], width = a[3], c = a[4], oh = a[12], ow = a[13], kh = a[14], kw = a[15], first, last;
  Transform t = read_transform(task->heap, a + 6);
  float *image = task->scratch;
  V share = splat(1.0f / (float)(kh * kw));
  my_chunks(task, chunks, &first, &last);
  int begin = chunk_begin(batch, first, chunks), end = chunk_begin(batch, last, chunks);
  for (int sample = begin; sample < end; sample++) {
    transform_rows(&t, task->heap + a[5] + (int64_t)sample * height * width * c, c, image, c, height * width, c);
    float *y = task->heap + a[11] + (int64_t)sample * oh * ow * c;
    for (int i = 0; i < oh; i++)
      for (int j = 0; j < ow; j++, y += c)
        for (int k = 0; k < c; k += LANES) {
          V s = zero();
          for (int m = 0; m < kh; m++)
            for (int n = 0; n < kw; n++) s += load(image + ((int64_t)(i * a[16] + m) * width + j * a[17] + n) * c + k);
          store(y + k, s * share);
        }
  }
}

// args as k_pool with g in place of y, then dx, accumulate, stats, quantizer sums
void k_pool_backward(Task *task) {
  const int32_t *a = task->arg;
  float *heap = task->heap;
  int batch = a[0], chunks = a[1], height = a[2], width = a[3], c = a[4], oh = a[12], ow = a[13], kh = a[14], kw = a[15], first, last;
  Transform t = read_transform(heap, a + 6);
  int64_t size = (int64_t)height * width * c;
  float *image = task->scratch, *part = image + size;
  V share = splat(1.0f / (float)(kh * kw));
  my_chunks(task, chunks, &first, &last);
  for (int chunk = first; chunk < last; chunk++) {
    BackwardSums sums = {.stats = a[20] == NONE ? 0 : heap + a[20] + (int64_t)chunk * 2 * c, .ldStats = c, .quantizerSums = a[21] == NONE ? 0 : heap + a[21] + (int64_t)chunk * 3 * LANES, .accumulate = a[19]};
    if (sums.stats && !sums.accumulate) clear(sums.stats, 2 * c);
    if (sums.quantizerSums) clear(sums.quantizerSums, 3 * LANES);
    BackwardSums block = sums;
    if (sums.stats) block.stats = part;
    for (int sample = chunk_begin(batch, chunk, chunks); sample < chunk_begin(batch, chunk + 1, chunks); sample++) {
      const float *g = heap + a[11] + (int64_t)sample * oh * ow * c;
      clear(image, size);
      for (int i = 0; i < oh; i++)
        for (int j = 0; j < ow; j++, g += c)
          for (int m = 0; m < kh; m++)
            for (int n = 0; n < kw; n++) {
              float *to = image + ((int64_t)(i * a[16] + m) * width + j * a[17] + n) * c;
              for (int k = 0; k < c; k += LANES) store(to + k, fma_(load(g + k), share, load(to + k)));
            }
      if (sums.stats) clear(part, 2 * c);
      transform_backward(&t, image, c, heap + a[5] + sample * size, c, heap + a[18] + sample * size, c, height * width, c, &block);
      if (sums.stats) add_to(sums.stats, part, 2 * c);
    }
  }
}

// args: batch, chunks, pixels, channels, x, y, epsilon (float), stats: y = log(|x| + epsilon) with batch-norm sums
void k_log_magnitude(Task *task) {
  const int32_t *a = task->arg;
  int batch = a[0], chunks = a[1], pixels = a[2], c = a[3], first, last;
  V epsilon = splat(as_float(a[6]));
  my_chunks(task, chunks, &first, &last);
  for (int chunk = first; chunk < last; chunk++) {
    int begin = chunk_begin(batch, chunk, chunks), end = chunk_begin(batch, chunk + 1, chunks);
    float *total = a[7] == NONE ? 0 : task->heap + a[7] + (int64_t)chunk * 2 * c;
    if (total) clear(total, 2 * c);
    for (int sample = begin; sample < end; sample++)
      for (int k = 0; k < c; k += LANES) {
        const float *x = task->heap + a[4] + (int64_t)sample * pixels * c + k;
        float *y = task->heap + a[5] + (int64_t)sample * pixels * c + k;
        V s = zero(), q = zero();
        for (int p = 0; p < pixels; p++, x += c, y += c) {
          V v = log_(absolute(load(x)) + epsilon);
          store(y, v);
          s += v, q = fma_(v, v, q);
        }
        if (total) store(total + k, load(total + k) + s), store(total + c + k, load(total + c + k) + q);
      }
  }
}

// args: batch, chunks, pixels, channels, x, y, epsilon, g, coefficients, dx
void k_log_magnitude_backward(Task *task) {
  const int32_t *a = task->arg;
  float *heap = task->heap;
  int batch = a[0], chunks = a[1], c = a[3], first, last;
  V epsilon = splat(as_float(a[6]));
  my_chunks(task, chunks, &first, &last);
  int64_t begin = (int64_t)chunk_begin(batch, first, chunks) * a[2], end = (int64_t)chunk_begin(batch, last, chunks) * a[2];
  for (int64_t p = begin; p < end; p++) {
    float *dx = heap + a[9] + p * c;
    const float *x = heap + a[4] + p * c;
    gradient_rows(a[8] == NONE ? 0 : heap + a[8], heap + a[7] + p * c, heap + a[5] + p * c, dx, 1, c);
    for (int k = 0; k < c; k += LANES) {
      V v = load(x + k), d = load(dx + k) / (absolute(v) + epsilon);
      store(dx + k, select_((VI)(v < 0.0f), -d, keep((VI)(v != 0.0f), d)));
    }
  }
}

// args: partial [chunks][sums][LANES], chunks, sums, to [sums], accumulate: adds lanes and chunks in order
void k_reduce_lanes(Task *task) {
  const int32_t *a = task->arg;
  if (task->thread) return;
  for (int i = 0; i < a[2]; i++) {
    double s = a[4] ? task->heap[a[3] + i] : 0;
    for (int chunk = 0; chunk < a[1]; chunk++)
      for (int j = 0; j < LANES; j++) s += task->heap[a[0] + ((int64_t)chunk * a[2] + i) * LANES + j];
    task->heap[a[3] + i] = (float)s;
  }
}

// args: batch, chunks, pixels, channels, x, transform, g, partial [chunks][1][LANES]: sum of value * g, the gradient of a binary gate
void k_dot(Task *task) {
  const int32_t *a = task->arg;
  int batch = a[0], chunks = a[1], pixels = a[2], c = a[3], whole = c & ~(LANES - 1), first, last;
  Transform t = read_transform(task->heap, a + 5);
  my_chunks(task, chunks, &first, &last);
  for (int chunk = first; chunk < last; chunk++) {
    int64_t begin = (int64_t)chunk_begin(batch, chunk, chunks) * pixels, end = (int64_t)chunk_begin(batch, chunk + 1, chunks) * pixels;
    V total = zero();
    for (int64_t p = begin; p < end; p++) {
      const float *g = task->heap + a[10] + p * c;
      V s = zero();
      transform_flat(&t, task->heap + a[4] + p * c, task->scratch, c);
      for (int k = 0; k < whole; k += LANES) s = fma_(load(task->scratch + k), load(g + k), s);
      for (int k = whole; k < c; k++) s[k - whole] += task->scratch[k] * g[k]; // a map of one channel, dense
      total += s;
    }
    store(task->heap + a[11] + chunk * LANES, total);
  }
}

// args: batch, chunks, pixels, channels, used, x, transform, partial [chunks][3], samples, stride: [sum |v|, max |v|, count] of a value, and every
// `stride`-th value into the sample buffer (for choosing a quantizer's first step)
void k_observe(Task *task) {
  const int32_t *a = task->arg;
  int batch = a[0], chunks = a[1], pixels = a[2], c = a[3], used = a[4], first, last;
  Transform t = read_transform(task->heap, a + 6);
  int64_t total = (int64_t)batch * pixels * used, each = total / a[13];
  if (each < 1) each = 1;
  my_chunks(task, chunks, &first, &last);
  for (int chunk = first; chunk < last; chunk++) {
    int64_t begin = (int64_t)chunk_begin(batch, chunk, chunks) * pixels, end = (int64_t)chunk_begin(batch, chunk + 1, chunks) * pixels;
    double sum = 0;
    float largest = 0;
    for (int64_t p = begin; p < end; p++) {
      transform_rows(&t, task->heap + a[5] + p * c, c, task->scratch, c, 1, c);
      for (int k = 0; k < used; k++) {
        float v = task->scratch[k], m = v < 0 ? -v : v;
        sum += m;
        if (m > largest) largest = m;
        int64_t at = p * used + k;
        if (at % each == 0 && at / each < a[13]) task->heap[a[12] + at / each] = v;
      }
    }
    float *o = task->heap + a[11] + chunk * 3;
    o[0] = (float)sum, o[1] = largest, o[2] = (float)((end - begin) * used);
  }
}

// args: from, fromStride, to, toStride, rows, count: row copies between two strides, the rest of each row filled with zeros
void k_copy_rows(Task *task) {
  const int32_t *a = task->arg;
  int first, last;
  my_share(task, a[4], &first, &last);
  for (int r = first; r < last; r++) {
    const float *from = task->heap + a[0] + (int64_t)r * a[1];
    float *to = task->heap + a[2] + (int64_t)r * a[3];
    for (int i = 0; i < a[3]; i++) to[i] = i < a[5] ? from[i] : 0;
  }
}
