// The two optimisers, over lists of parameter ranges so that one command updates a whole network (or only the sampled path).
#include "kernels.h"

// The hyper-parameter slot in the heap: [learningRate, weightDecay, momentum or beta1, beta2, epsilon, step]. Ranges: [offset in the
// parameter block, count, learning-rate factor (float), decay factor (float)].
#define RANGE 4

// args: parameters, gradients, momentum, hyper-parameters, ranges, then the ranges. Nesterov as in PyTorch: v = m v + g; p -= lr (g + m v).
void k_sgd(Task *task) {
  const int32_t *a = task->arg;
  float *p = task->heap + a[0], *v = task->heap + a[2];
  const float *g = task->heap + a[1], *h = task->heap + a[3];
  float momentum = h[2];
  for (int r = 0; r < a[4]; r++) {
    const int32_t *range = a + 5 + r * RANGE;
    float rate = h[0] * as_float(range[2]), decay = h[1] * as_float(range[3]);
    int first, last;
    my_share(task, range[1], &first, &last);
    for (int i = range[0] + first; i < range[0] + last; i++) {
      float d = g[i] + decay * p[i];
      v[i] = momentum * v[i] + d;
      p[i] -= rate * (d + momentum * v[i]);
    }
  }
}

// args: parameters, gradients, first moment, second moment, hyper-parameters, ranges, then the ranges. Decoupled weight decay (AdamW,
// Loshchilov & Hutter 2019); the step count in the slot starts at 1.
void k_adam(Task *task) {
  const int32_t *a = task->arg;
  float *p = task->heap + a[0], *m = task->heap + a[2], *v = task->heap + a[3];
  const float *g = task->heap + a[1], *h = task->heap + a[4];
  double beta1 = h[2], beta2 = h[3], step = h[5];
  float c1 = (float)(1 / (1 - exp_d(step * log_d(beta1 > 0 ? beta1 : 1e-300)))), c2 = (float)(1 / (1 - exp_d(step * log_d(beta2)))), b1 = h[2], b2 = h[3], epsilon = h[4];
  if (b1 == 0) c1 = 1;
  for (int r = 0; r < a[5]; r++) {
    const int32_t *range = a + 6 + r * RANGE;
    float rate = h[0] * as_float(range[2]), decay = h[1] * as_float(range[3]);
    int first, last;
    my_share(task, range[1], &first, &last);
    for (int i = range[0] + first; i < range[0] + last; i++) {
      m[i] = b1 * m[i] + (1 - b1) * g[i];
      v[i] = b2 * v[i] + (1 - b2) * g[i] * g[i];
      p[i] -= rate * (decay * p[i] + m[i] * c1 / (__builtin_sqrtf(v[i] * c2) + epsilon));
    }
  }
}
