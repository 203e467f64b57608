/* The layers in plain C, as they lie in the image.
 *
 * A dense convolution unpacks four output channels of weights to int8 once, then walks the map two pixels at a time: their input
 * windows are copied to int16 columns with the zero point taken off, so that padding is zero and odd containers cost nothing in the
 * inner loop. Packed or pointwise it goes pixel by pixel, a depthwise one channel by channel. Hosts with wide vectors and memory to spare have prepared.c. */
#include "layer.h"

#include "arithmetic.h"
#include "attend.h"
#include "cortex.h"
#include "parameters.h"
#include "prepared.h"
#include "sinc.h"
#include "values.h"
#include "weights.h"

/* The window of output pixel (row, column) as int16, kernel order, zero where it is padding; length kernel * channels. */
static void gather(const bw_step *s, uint32_t row, uint32_t column, int16_t *to) {
  const int32_t height = (int32_t)s->x.height, width = s->x.width, channels = s->x.channels;
  const int32_t kernelHeight = s->l.kernel[0], kernelWidth = s->l.kernel[1];
  const int32_t top = (int32_t)(row * s->l.stride[0]) - s->l.padding[0], left = (int32_t)(column * s->l.stride[1]) - s->l.padding[2];
  int32_t first = left < 0 ? -left : 0, last = width - left, y;
  if (last > kernelWidth) last = kernelWidth;
  if (first > kernelWidth || last < first) first = last = kernelWidth;
  if (left == 0 && kernelWidth == width) { /* whole rows (any 1-D map): one run */
    int32_t begin = top < 0 ? -top : 0, end = height - top, line = width * channels;
    if (end > kernelHeight) end = kernelHeight;
    if (begin > kernelHeight || end < begin) begin = end = kernelHeight;
    clear(to, begin * line);
    if (begin < end) fetch(&s->x, s->in, (uint32_t)((top + begin) * line), (uint32_t)((end - begin) * line), to + begin * line);
    clear(to + end * line, (kernelHeight - end) * line);
    return;
  }
  for (y = 0; y < kernelHeight; y++, to += kernelWidth * channels) {
    if (top + y < 0 || top + y >= height || first == last) {
      clear(to, kernelWidth * channels);
      continue;
    }
    clear(to, first * channels);
    fetch(&s->x, s->in, (uint32_t)(((top + y) * width + left + first) * channels), (uint32_t)((last - first) * channels),
          to + first * channels);
    clear(to + last * channels, (kernelWidth - last) * channels);
  }
}

/* sums[4 * pixel + channel] = columns[pixel] . weights[channel], both padded with zeros to `length`. */
static void dot(const int16_t *columns, const int8_t *weights, uint32_t length, int32_t sums[8]) {
  uint32_t pixel, c, k;
  for (pixel = 0; pixel < 2; pixel++) {
    for (c = 0; c < 4; c++) {
      const int16_t *x = columns + pixel * length;
      const int8_t *w = weights + c * length;
      int32_t sum = 0;
      for (k = 0; k < length; k++) sum += x[k] * w[k];
      sums[4 * pixel + c] = sum;
    }
  }
}

/* What the epilogue of one output channel needs. */
typedef struct {
  int32_t bias, multiplier, shift;
  uint32_t logOffset;
} epilogue;

static void load_epilogues(const bw_step *s, uint32_t first, uint32_t count, epilogue *to) {
  const uint32_t channels = s->y.channels;
  const uint8_t *p = s->parameters;
  uint32_t c;
  for (c = first; c < first + count; c++, to++) {
    to->bias = (int32_t)bw_load32(p + 4 * c);
    to->multiplier = (int32_t)bw_load32(p + 4 * (channels + c));
    to->logOffset = s->l.logMagnitude ? bw_load32(p + 4 * (2 * channels + c)) : 0;
    to->shift = (int8_t)p[4 * (s->l.logMagnitude ? 3 : 2) * channels + c];
  }
}

/* Bias or logarithm, requantization, clamp, for `count` neighbouring channels. */
static void finish(const bw_step *s, uint32_t index, uint32_t count, const epilogue *e, const int32_t *sums) {
  const int32_t unit = (int32_t)1 << s->l.accumulatorShift;
  uint32_t c;
  for (c = 0; c < count; c++) {
    int32_t sum = sums[c];
    if (s->l.logMagnitude) sum = bw_log2((uint32_t)(sum < 0 ? -sum : sum) + e[c].logOffset);
    else sum *= unit;
    store(&s->y, s->out, index + c, bw_requantize(sum + e[c].bias, e[c].multiplier, e[c].shift));
  }
}

/* The weights of one output channel of a dense convolution; a filter made from cut-offs is the same from both ends. */
static void unpack(const bw_step *s, uint32_t channel, uint32_t depth, int8_t *to) {
  uint32_t k;
  if (s->l.weightKind == 0) {
    const bw_sinc filter = bw_sinc_load(s->weights, channel, depth);
    for (k = 0; 2 * k < depth; k++) to[k] = to[depth - 1 - k] = (int8_t)bw_sinc_tap(&filter, bw_sinc_distance(k, depth));
    return;
  }
  for (k = 0; k < depth; k++) to[k] = (int8_t)bw_layer_weight(&s->l, s->weights, depth, channel, k);
}

static void convolve(const bw_step *s) {
  const uint32_t channels = s->y.channels, pixels = s->y.height * s->y.width;
  const uint32_t depth = (uint32_t)s->l.kernel[0] * s->l.kernel[1] * s->x.channels, length = (depth + 7) & ~7u;
  int16_t *columns = (int16_t *)(void *)s->scratch;
  int8_t *weights = (int8_t *)(s->scratch + 4 * length);
  uint32_t c0, c, pixel, i;
  memset(s->scratch, 0, 8 * length);
  for (c0 = 0; c0 < channels; c0 += 4) {
    const uint32_t count = channels - c0 < 4 ? channels - c0 : 4;
    uint32_t row = 0, column = 0;
    epilogue epilogues[4];
    load_epilogues(s, c0, count, epilogues);
    for (c = 0; c < count; c++) unpack(s, c0 + c, depth, weights + c * length);
    for (pixel = 0; pixel < pixels; pixel += 2) {
      const uint32_t together = pixels - pixel < 2 ? 1 : 2;
      int32_t sums[8];
      for (i = 0; i < together; i++) {
        gather(s, row, column, columns + i * length);
        if (++column == s->y.width) column = 0, row++;
      }
      dot(columns, weights, length, sums);
      for (i = 0; i < together; i++) finish(s, (pixel + i) * channels + c0, count, epilogues, sums + 4 * i);
    }
  }
}

/* All channels of a pixel or two before the next: they may be written over what was read, and there is no room for whole rows of weights. */
static void convolve_by_pixels(const bw_step *s) {
  const uint32_t channels = s->y.channels, pixels = s->y.height * s->y.width, most = bw_layout(&s->l) == BW_VECTORS ? 1 : 2;
  const uint32_t depth = (uint32_t)s->l.kernel[0] * s->l.kernel[1] * s->x.channels;
  int16_t *columns = (int16_t *)(void *)s->scratch;
  uint32_t c, k, pixel, i, row = 0, column = 0;
  for (pixel = 0; pixel < pixels; pixel += most) {
    const uint32_t together = pixels - pixel < most ? 1 : most;
    for (i = 0; i < together; i++) {
      gather(s, row, column, columns + i * depth);
      if (++column == s->y.width) column = 0, row++;
    }
    for (c = 0; c < channels; c++) {
      const int16_t *second = together > 1 ? columns + depth : columns;
      bw_sinc filter = {0, 0, 0, 0};
      epilogue e;
      int32_t sums[2] = {0, 0};
      if (s->l.weightKind == 0) filter = bw_sinc_load(s->weights, c, depth);
      for (k = 0; k < depth; k++) {
        const int32_t w = s->l.weightKind == 0 ? bw_sinc_tap(&filter, bw_sinc_distance(k, depth)) : bw_layer_weight(&s->l, s->weights, depth, c, k);
        sums[0] += columns[k] * w;
        sums[1] += second[k] * w;
      }
      load_epilogues(s, c, 1, &e);
      for (i = 0; i < together; i++) finish(s, (pixel + i) * channels + c, 1, &e, sums + i);
    }
  }
}

/* One channel at a time: its plane inside a border of zeros and its taps as int16, so that the output may be written over the input. */
static void convolve_depthwise(const bw_step *s) {
  const uint32_t channels = s->y.channels, kernelHeight = s->l.kernel[0], kernelWidth = s->l.kernel[1], taps = kernelHeight * kernelWidth;
  const uint32_t width = (uint32_t)s->x.width + s->l.padding[2] + s->l.padding[3], height = s->x.height + s->l.padding[0] + s->l.padding[1];
  int16_t *weights = (int16_t *)(void *)s->scratch, *plane = weights + taps;
  uint32_t c, k, row, column, y, x;
  memset(plane, 0, (size_t)2 * height * width);
  for (c = 0; c < channels; c++) {
    epilogue e;
    load_epilogues(s, c, 1, &e);
    for (k = 0; k < taps; k++) weights[k] = (int16_t)bw_tap(&s->l, s->weights, taps, c, k);
    for (row = 0; row < s->x.height; row++) {
      int16_t *to = plane + (size_t)(row + s->l.padding[0]) * width + s->l.padding[2];
      for (column = 0; column < s->x.width; column++) to[column] = fetch1(&s->x, s->in, (row * s->x.width + column) * channels + c);
    }
    for (row = 0; row < s->y.height; row++) {
      for (column = 0; column < s->y.width; column++) {
        const int16_t *from = plane + (size_t)row * s->l.stride[0] * width + column * s->l.stride[1], *w = weights;
        int32_t sum = 0;
        for (y = 0; y < kernelHeight; y++, from += width) {
          for (x = 0; x < kernelWidth; x++) sum += from[x] * *w++;
        }
        finish(s, (row * s->y.width + column) * channels + c, 1, &e, &sum);
      }
    }
  }
}

/* The sum of a channel over a window that begins at element `index`. */
static int32_t window_sum(const bw_step *s, uint32_t index) {
  const uint32_t channels = s->x.channels, line = s->x.width * channels, width = s->l.kernel[1];
  int32_t sum = 0;
  uint32_t y, x;
  for (y = 0; y < s->l.kernel[0]; y++, index += line) {
    if (s->x.containerBits == 8) {
      const int8_t *from = (const int8_t *)s->in + index;
      for (x = 0; x < width; x++, from += channels) sum += *from;
      sum -= (int32_t)width * s->x.zeroPoint;
    } else {
      for (x = 0; x < width; x++) sum += fetch1(&s->x, s->in, index + x * channels);
    }
  }
  return sum;
}

static void average_pool(const bw_step *s) {
  const uint32_t channels = s->y.channels;
  const int32_t multiplier = (int32_t)bw_load32(s->parameters), shift = (int8_t)s->parameters[4];
  uint32_t row, column, c;
  for (row = 0; row < s->y.height; row++) {
    for (column = 0; column < s->y.width; column++) {
      const uint32_t from = (row * s->l.stride[0] * s->x.width + column * s->l.stride[1]) * channels;
      for (c = 0; c < channels; c++)
        store(&s->y, s->out, (row * s->y.width + column) * channels + c, bw_requantize(window_sum(s, from + c), multiplier, shift));
    }
  }
}

static void add(const bw_step *s) {
  const uint32_t count = s->y.height * s->y.width * s->y.channels;
  int32_t multiplier[3], shift[3];
  uint32_t i;
  for (i = 0; i < 3; i++) {
    multiplier[i] = (int32_t)bw_load32(s->parameters + 4 * i);
    shift[i] = (int8_t)s->parameters[12 + i];
  }
  for (i = 0; i < count; i++) {
    const int32_t a = fetch1(&s->x, s->in, i) * (1 << 20), b = fetch1(&s->z, s->second, i) * (1 << 20);
    const int64_t sum = (int64_t)bw_requantize(a, multiplier[0], shift[0]) + bw_requantize(b, multiplier[1], shift[1]);
    store(&s->y, s->out, i, bw_requantize(bw_saturate(sum), multiplier[2], shift[2]));
  }
}

static void requantize(const bw_step *s) {
  const uint32_t count = s->y.height * s->y.width * s->y.channels;
  const int32_t multiplier = (int32_t)bw_load32(s->parameters), shift = (int8_t)s->parameters[4];
  uint32_t i;
  for (i = 0; i < count; i++) store(&s->y, s->out, i, bw_requantize(fetch1(&s->x, s->in, i), multiplier, shift));
}

void bw_load_step(const bw_model *m, uint32_t layer, uint8_t *arena, bw_step *s) {
  bw_get_layer(m, layer, &s->l);
  bw_get_tensor(m, s->l.input[0], &s->x);
  bw_get_tensor(m, s->l.op == BW_ADD ? s->l.input[1] : s->l.input[0], &s->z);
  bw_get_tensor(m, s->l.output, &s->y);
  s->in = arena + s->x.offset;
  s->second = arena + s->z.offset;
  s->out = arena + s->y.offset;
  s->scratch = arena + s->l.scratch;
  s->weights = m->image + s->l.weights;
  s->parameters = m->image + s->l.parameters;
}

/* The last rows of the input. */
static void crop(const bw_step *s) {
  const uint32_t line = (uint32_t)s->y.width * s->y.channels, count = s->y.height * line, first = (s->x.height - s->y.height) * line;
  uint32_t i;
  for (i = 0; i < count; i++) store(&s->y, s->out, i, fetch1(&s->x, s->in, first + i));
}

/* Compact parameters as wide ones behind what the kernel works in. */
static void widen_parameters(bw_step *s) {
  const uint32_t channels = s->y.channels;
  const int32_t scaleExponent = bw_scale_exponent(&s->l), biasExponent = bw_bias_exponent(&s->l);
  const uint8_t *from = s->parameters, *end = from + 4 * channels;
  int32_t *to = (int32_t *)(void *)(s->scratch + bw_work_bytes(&s->l, &s->x));
  int8_t *shifts = (int8_t *)(to + 2 * channels);
  s->parameters = (const uint8_t *)to;
  for (; from < end; from += 4, to++) {
    const bw_channel channel = bw_expand(scaleExponent, biasExponent, bw_load32(from));
    to[0] = channel.bias, to[channels] = channel.multiplier;
    *shifts++ = (int8_t)channel.shift;
  }
}

void bw_run_step(const bw_model *m, uint32_t layer, bw_step *s) {
  if (m->prepared && bw_run_prepared(m, layer, s)) return;
  if (s->l.compact) widen_parameters(s);
  if (bw_run_cortex(s)) return;
  switch (s->l.op) {
    case BW_CONVOLUTION:
      if (s->l.depthwise) convolve_depthwise(s);
      else if (bw_by_pixels(&s->l)) convolve_by_pixels(s);
      else convolve(s);
      break;
    case BW_ADD:
      add(s);
      break;
    case BW_AVERAGE_POOL:
      average_pool(s);
      break;
    case BW_REQUANTIZE:
      requantize(s);
      break;
    case BW_CROP:
      crop(s);
      break;
    default: /* a case of its own would cost the others instructions on microcontrollers */
      if (BW_ATTENTION && s->l.op == BW_ATTEND) bw_attend(s);
      break;
  }
}
