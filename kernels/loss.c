// Softmax cross-entropy over a batch of logits, against smoothed labels or whole distributions, and its gradient.
#include "kernels.h"

enum { MAX_CLASSES = 4096 };

// args: batch, chunks, classes, stride, logits, transform, labels (int32 in the heap, negative: row is ignored), smoothing (float),
// divisor (float), out logits [batch][stride], partial [chunks][2] (loss sum, correct), dx or NONE, stats or NONE, targets or NONE.
// The loss is sum over rows / divisor; target = (1 - smoothing) * onehot + smoothing / classes, or the row of targets [batch][stride].
void k_cross_entropy(Task *task) {
  const int32_t *a = task->arg;
  float *heap = task->heap;
  int batch = a[0], chunks = a[1], classes = a[2], stride = a[3], first, last;
  Transform t = read_transform(heap, a + 5);
  double smoothing = as_float(a[11]), divisor = as_float(a[12]);
  my_chunks(task, chunks, &first, &last);
  for (int chunk = first; chunk < last; chunk++) {
    double loss = 0;
    int correct = 0;
    float *stats = a[16] == NONE ? 0 : heap + a[16] + (int64_t)chunk * 2 * stride;
    if (stats) clear(stats, 2 * stride);
    for (int row = chunk_begin(batch, chunk, chunks); row < chunk_begin(batch, chunk + 1, chunks); row++) {
      const float *x = heap + a[4] + (int64_t)row * stride;
      float *z = heap + a[13] + (int64_t)row * stride, *dx = a[15] == NONE ? 0 : heap + a[15] + (int64_t)row * stride;
      int label = ((const int32_t *)heap)[a[10] + row], best = 0;
      transform_rows(&t, x, stride, z, stride, 1, stride);
      if (dx) clear(dx, stride);
      if (label < 0) continue;
      for (int i = 1; i < classes; i++) if (z[i] > z[best]) best = i;
      correct += best == label;
      double sum = 0, mean = 0;
      for (int i = 0; i < classes; i++) sum += exp_d((double)z[i] - z[best]), mean += z[i];
      double logSum = log_d(sum) + z[best];
      const float *wanted = a[17] == NONE ? 0 : heap + a[17] + (int64_t)row * stride;
      if (wanted) for (int i = 0; i < classes; i++) loss += wanted[i] * (logSum - z[i]);
      else loss += logSum - (1 - smoothing) * z[label] - smoothing * mean / classes;
      if (dx)
        for (int i = 0; i < classes; i++) {
          double target = wanted ? wanted[i] : smoothing / classes + (i == label ? 1 - smoothing : 0);
          float g = (float)((exp_d(z[i] - logSum) - target) / divisor);
          dx[i] = g;
          if (stats) stats[i] += g, stats[stride + i] += g * x[i];
        }
    }
    float *o = heap + a[14] + chunk * 2;
    o[0] = (float)loss, o[1] = (float)correct;
  }
}
