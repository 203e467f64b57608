// Batch normalisation between the products: the forward sums become one scale and offset per channel, the backward sums three
// coefficients per channel (dy = c1 g + c2 y + c3). Both are a handful of numbers; the passes over the maps belong to the layers.
// A bias is the same thing with scale 1.
#include "kernels.h"

// args: stats partials, chunks, channels, stride, count (float), gamma, beta, running mean, running variance, momentum slot,
// epsilon (float), out: scale, offset, mean, 1 / deviation (four arrays of `stride`, one after the other)
void k_norm_train(Task *task) {
  const int32_t *a = task->arg;
  float *heap = task->heap, *scale = heap + a[11];
  int chunks = a[1], channels = a[2], stride = a[3];
  if (task->thread) return;
  double count = as_float(a[4]), epsilon = as_float(a[10]);
  for (int c = 0; c < stride; c++) {
    double s = 0, q = 0;
    for (int k = 0; k < chunks; k++) s += heap[a[0] + k * 2 * stride + c], q += heap[a[0] + (k * 2 + 1) * stride + c];
    double mean = s / count, variance = q / count - mean * mean;
    if (variance < 0) variance = 0;
    double inverse = 1 / sqrt_d(variance + epsilon);
    int real = c < channels;
    float gamma = !real ? 0 : a[5] == NONE ? 1 : heap[a[5] + c], beta = !real || a[6] == NONE ? 0 : heap[a[6] + c];
    scale[c] = (float)(gamma * inverse);
    scale[stride + c] = real ? (float)(beta - gamma * inverse * mean) : 0;
    scale[2 * stride + c] = (float)mean;
    scale[3 * stride + c] = (float)inverse;
    if (real && a[7] != NONE) {
      float momentum = heap[a[9]];
      double unbiased = count > 1 ? variance * count / (count - 1) : variance;
      heap[a[7] + c] += momentum * ((float)mean - heap[a[7] + c]);
      heap[a[8] + c] += momentum * ((float)unbiased - heap[a[8] + c]);
    }
  }
}

// args as above, from the running statistics: channels, stride, gamma, beta, running mean, running variance, epsilon, out
void k_norm_eval(Task *task) {
  const int32_t *a = task->arg;
  float *heap = task->heap, *scale = heap + a[7];
  int channels = a[0], stride = a[1];
  if (task->thread) return;
  for (int c = 0; c < stride; c++) {
    int real = c < channels;
    double mean = real ? heap[a[4] + c] : 0, inverse = real ? 1 / sqrt_d((double)heap[a[5] + c] + as_float(a[6])) : 0;
    float gamma = !real ? 0 : a[2] == NONE ? 1 : heap[a[2] + c], beta = !real || a[3] == NONE ? 0 : heap[a[3] + c];
    scale[c] = (float)(gamma * inverse);
    scale[stride + c] = (float)(beta - gamma * inverse * mean);
    scale[2 * stride + c] = (float)mean;
    scale[3 * stride + c] = (float)inverse;
  }
}

// args: backward partials, chunks, channels, stride, count (float), gamma, norm arrays (as written above), d gamma, d beta,
// out coefficients (three arrays of `stride`), train (statistics depend on the batch), accumulate
void k_norm_backward(Task *task) {
  const int32_t *a = task->arg;
  float *heap = task->heap, *out = heap + a[9];
  const float *norm = heap + a[6];
  int chunks = a[1], channels = a[2], stride = a[3];
  if (task->thread) return;
  double count = as_float(a[4]);
  for (int c = 0; c < stride; c++) {
    double s = 0, q = 0;
    if (c >= channels) {
      out[c] = out[stride + c] = out[2 * stride + c] = 0;
      continue;
    }
    for (int k = 0; k < chunks; k++) s += heap[a[0] + k * 2 * stride + c], q += heap[a[0] + (k * 2 + 1) * stride + c];
    double mean = norm[2 * stride + c], inverse = norm[3 * stride + c], gamma = a[5] == NONE ? 1 : heap[a[5] + c];
    double dGamma = (q - mean * s) * inverse; // sum of g times the normalised value
    if (a[7] != NONE) heap[a[7] + c] = (float)dGamma + (a[11] ? heap[a[7] + c] : 0);
    if (a[8] != NONE) heap[a[8] + c] = (float)s + (a[11] ? heap[a[8] + c] : 0);
    double c1 = gamma * inverse, c2 = a[10] ? -c1 * dGamma * inverse / count : 0;
    out[c] = (float)c1;
    out[stride + c] = (float)c2;
    out[2 * stride + c] = a[10] ? (float)(-c1 * s / count - c2 * mean) : 0;
  }
}

// args: bias, channels, stride, out: scale (ones) and offset, `stride` each
void k_bias(Task *task) {
  const int32_t *a = task->arg;
  float *out = task->heap + a[3];
  if (task->thread) return;
  for (int c = 0; c < a[2]; c++) out[c] = c < a[1], out[a[2] + c] = c < a[1] ? task->heap[a[0] + c] : 0;
}

// args: backward partials, chunks, channels, stride, d bias, accumulate
void k_bias_backward(Task *task) {
  const int32_t *a = task->arg;
  if (task->thread) return;
  for (int c = 0; c < a[2]; c++) {
    float s = a[5] ? task->heap[a[4] + c] : 0;
    for (int k = 0; k < a[1]; k++) s += task->heap[a[0] + k * 2 * a[3] + c];
    task->heap[a[4] + c] = s;
  }
}
