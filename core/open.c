/* bw_open: everything that can be wrong with a .bw image is found here, once, so that execution checks nothing.
 * The order matters: each check may rely on the ones before it, and none may run for long on a hostile file (BW_LIMIT_WORK). */
#include <stddef.h>

#include "arithmetic.h"
#include "attend.h"
#include "bw.h"
#include "layer.h"
#include "parameters.h"
#include "sinc.h"
#include "weights.h"

enum { LIMIT_COUNT = 1024, LIMIT_CLASSES = 4096, LIMIT_DEPTH = 1 << 20, LIMIT_SHIFT = 24, LIMIT_MADE = 1 << 20 };
#define LIMIT_ARENA ((uint32_t)1 << 26)
#define LIMIT_WORK ((uint64_t)1 << 31) /* multiply-accumulates of one run */

static uint32_t crc32(const uint8_t *p, uint32_t length) {
  uint32_t crc = ~0u, i, nibble[16];
  for (i = 0; i < 16; i++) {
    uint32_t v = i;
    int bit;
    for (bit = 0; bit < 4; bit++) v = v & 1 ? v >> 1 ^ 0xedb88320u : v >> 1;
    nibble[i] = v;
  }
  for (i = 0; i < length; i++) {
    crc = crc >> 4 ^ nibble[(crc ^ p[i]) & 15];
    crc = crc >> 4 ^ nibble[(crc ^ p[i] >> 4) & 15];
  }
  return ~crc;
}

void bw_get_tensor(const bw_model *model, uint32_t index, bw_tensor *tensor) {
  memcpy(tensor, model->image + model->header.tensors + index * (uint32_t)sizeof *tensor, sizeof *tensor);
}

void bw_get_layer(const bw_model *model, uint32_t index, bw_layer *layer) {
  memcpy(layer, model->image + model->header.layers + index * (uint32_t)sizeof *layer, sizeof *layer);
}

static uint64_t elements(const bw_tensor *t) { return (uint64_t)t->height * t->width * t->channels; }
static uint64_t bytes(const bw_tensor *t) { return (elements(t) * t->containerBits + 7) / 8; }

/* Largest |q - zeroPoint|. */
static int64_t reach(const bw_tensor *t) {
  int64_t low = t->zeroPoint - t->min, high = t->max - t->zeroPoint;
  return low > high ? low : high;
}

static uint64_t depth(const bw_layer *l, uint32_t inputChannels) {
  return (uint64_t)l->kernel[0] * l->kernel[1] * (l->depthwise ? 1 : inputChannels);
}

/* Dense: two int16 columns and four rows of int8 weights, each padded to 8; pixel by pixel two columns, for vectors one. Depthwise: one
 * channel's plane inside its border and its taps, as int16 in even rows and columns. (layer.c) */
static uint64_t work_bytes(const bw_layer *l, const bw_tensor *x) {
  uint64_t k;
  if (l->op != BW_CONVOLUTION) return 0;
  if (l->depthwise) {
    const uint64_t rows = (uint64_t)x->height + l->padding[0] + l->padding[1], columns = (uint64_t)x->width + l->padding[2] + l->padding[3];
    const uint64_t even = (rows + rows % 2) * (columns + columns % 2), taps = (l->kernel[0] + 1u) / 2 * 2 * ((l->kernel[1] + 1u) / 2 * 2);
    return 2 * (even + taps) + 8;
  }
  k = bw_padded_depth(l, (uint32_t)depth(l, x->channels));
  if (bw_layout(l) == BW_VECTORS) return 2 * k;
  return bw_by_pixels(l) ? 4 * ((k + 3) & ~(uint64_t)3) : 8 * ((k + 7) & ~(uint64_t)7);
}

static uint32_t limited(uint64_t size) { return size > UINT32_MAX ? UINT32_MAX : (uint32_t)size; }

uint32_t bw_work_bytes(const bw_layer *l, const bw_tensor *x) { return limited(work_bytes(l, x)); }

uint32_t bw_scratch_bytes(const bw_layer *l, const bw_tensor *x, const bw_tensor *y) {
  if (l->op == BW_ATTEND) return limited(bw_attention_bytes(x, y));
  return limited(work_bytes(l, x) + (l->compact ? 9u * y->channels : 0));
}

static int inside(const bw_model *m, uint32_t offset, uint64_t size) {
  return offset % 4 == 0 && offset >= sizeof(bw_header) && offset + size <= m->header.length;
}

static int overlap(uint32_t a, uint64_t aSize, uint32_t b, uint64_t bSize) { return a < b + bSize && b < a + aSize; }

static int check_header(const bw_model *m) {
  const bw_header *h = &m->header;
  if (h->tensorCount < 2 || h->tensorCount > LIMIT_COUNT || h->layerCount < 1 || h->layerCount > LIMIT_COUNT) return BW_BAD_HEADER;
  if (h->classCount < 1 || h->classCount > LIMIT_CLASSES) return BW_BAD_HEADER;
  if (!inside(m, h->tensors, (uint64_t)h->tensorCount * sizeof(bw_tensor))) return BW_BAD_HEADER;
  if (!inside(m, h->layers, (uint64_t)h->layerCount * sizeof(bw_layer))) return BW_BAD_HEADER;
  if (!inside(m, h->strings, h->stringBytes)) return BW_BAD_STRINGS;
  if (h->arenaBytes > LIMIT_ARENA || h->arenaBytes % 16 != 0) return BW_BAD_HEADER;
  return BW_OK;
}

/* Length-prefixed names: the model, the classes, the tensors (255: named as the layer that makes it), the layers. */
static int check_strings(const bw_model *m) {
  const bw_header *h = &m->header;
  const uint8_t *p = m->image + h->strings;
  uint32_t at = 0, i, count = 1 + h->classCount + h->tensorCount + h->layerCount, firstTensor = 1 + h->classCount;
  for (i = 0; i < count; i++) {
    uint32_t size;
    if (at >= h->stringBytes) return BW_BAD_STRINGS;
    size = p[at++];
    if (size == 255) {
      if (i < firstTensor || i >= firstTensor + h->tensorCount) return BW_BAD_STRINGS;
      size = 0;
    }
    if (size > h->stringBytes - at) return BW_BAD_STRINGS;
    at += size;
  }
  return at == h->stringBytes ? BW_OK : BW_BAD_STRINGS;
}

static int check_tensor(const bw_model *m, const bw_tensor *t) {
  uint32_t c = t->containerBits;
  if (t->height == 0 || t->width == 0 || t->channels == 0 || elements(t) > (uint64_t)8 * LIMIT_ARENA) return BW_BAD_TENSOR;
  if ((c != 2 && c != 4 && c != 8 && c != 16) || t->bits == 0 || t->bits > c || t->min > t->max) return BW_BAD_TENSOR;
  if (c == 8 && (t->min < -128 || t->max > 127)) return BW_BAD_TENSOR;
  if (c < 8 && t->max - t->min >= 1 << c) return BW_BAD_TENSOR;
  if (t->min - t->zeroPoint < INT16_MIN || t->max - t->zeroPoint > INT16_MAX) return BW_BAD_TENSOR;
  if (!(t->scale > 0 && t->scale < 3e38f)) return BW_BAD_TENSOR;
  if (t->offset % 16 != 0 || t->offset + bytes(t) > m->header.arenaBytes) return BW_BAD_ARENA;
  return BW_OK;
}

static int check_input(const bw_model *m) {
  const bw_front_end *f = &m->header.frontEnd;
  bw_tensor t;
  bw_get_tensor(m, 0, &t);
  if (f->kind == BW_RAW) {
    if (f->sampleRate < 1 || f->sampleRate > 384000 || f->samples < 1) return BW_BAD_FRONT_END;
    return elements(&t) == f->samples && t.containerBits == 16 && t.zeroPoint == 0 ? BW_OK : BW_BAD_INPUT;
  }
  if (f->kind == BW_IMAGE) {
    if (f->sampleRate | f->samples | f->windowSamples | f->hopSamples | f->melBands | f->coefficients) return BW_BAD_FRONT_END;
    if (f->lowHz != 0 || f->highHz != 0) return BW_BAD_FRONT_END;
    return t.containerBits == 8 && t.min == -128 && t.max == 127 ? BW_OK : BW_BAD_INPUT;
  }
  if (!bw_front_end_valid(f)) return BW_BAD_FRONT_END;
  return elements(&t) == (uint64_t)bw_front_end_frames(f) * f->coefficients ? BW_OK : BW_BAD_INPUT;
}

static uint64_t output_size(uint64_t size, uint32_t before, uint32_t after, uint32_t kernel, uint32_t stride) {
  uint64_t padded = size + before + after;
  return kernel == 0 || stride == 0 || padded < kernel ? 0 : (padded - kernel) / stride + 1;
}

static int valid_weights(const bw_layer *l) {
  const uint32_t kind = l->weightKind & 31;
  if (kind == 0) return l->weightKind == 0;
  return (kind <= 8 || (kind >= 17 && kind <= 23)) && bw_layout(l) <= BW_VECTORS;
}

/* Shapes, attributes and the place of weights and parameters; adds the layer's multiply-accumulates to *work. */
static int check_shape(const bw_model *m, const bw_layer *l, const bw_tensor *x, const bw_tensor *y, uint64_t *work) {
  uint64_t k, channels = 1;
  if (l->op == BW_CONVOLUTION || l->op == BW_AVERAGE_POOL) {
    if (y->height != output_size(x->height, l->padding[0], l->padding[1], l->kernel[0], l->stride[0])) return BW_BAD_SHAPE;
    if (y->width != output_size(x->width, l->padding[2], l->padding[3], l->kernel[1], l->stride[1])) return BW_BAD_SHAPE;
  }
  switch (l->op) {
    case BW_CONVOLUTION:
      if (!valid_weights(l) || l->depthwise > 1 || l->logMagnitude > 1) return BW_BAD_LAYER;
      if (l->depthwise && x->channels != y->channels) return BW_BAD_SHAPE;
      k = depth(l, x->channels);
      if (k > LIMIT_DEPTH) return BW_BAD_SHAPE;
      *work += elements(y) * k;
      channels = y->channels;
      if (l->weightKind == 0 && (l->depthwise || x->channels != 1 || channels * k > LIMIT_MADE)) return BW_BAD_LAYER;
      if (!inside(m, l->weights, bw_weight_bytes(l, channels, (uint32_t)k))) return BW_BAD_DATA;
      return inside(m, l->parameters, channels * bw_parameter_bytes(l)) ? BW_OK : BW_BAD_DATA;
    case BW_AVERAGE_POOL:
      if (l->padding[0] | l->padding[1] | l->padding[2] | l->padding[3]) return BW_BAD_SHAPE;
      if (x->channels != y->channels) return BW_BAD_SHAPE;
      *work += elements(y) * l->kernel[0] * l->kernel[1];
      return inside(m, l->parameters, 5) ? BW_OK : BW_BAD_DATA;
    case BW_ADD:
    case BW_REQUANTIZE:
      if (x->height != y->height || x->width != y->width || x->channels != y->channels) return BW_BAD_SHAPE;
      *work += elements(y);
      return inside(m, l->parameters, l->op == BW_ADD ? 15 : 5) ? BW_OK : BW_BAD_DATA;
    case BW_ATTEND:
      if (x->height != y->height || x->width != y->width || (uint64_t)y->height * y->width > BW_MOST_POSITIONS) return BW_BAD_SHAPE;
      *work += elements(y) / y->channels * (elements(x) + elements(y));
      return inside(m, l->parameters, 5) ? BW_OK : BW_BAD_DATA;
    case BW_RESHAPE:
      if (elements(x) != elements(y) || x->containerBits != y->containerBits || x->zeroPoint != y->zeroPoint) return BW_BAD_SHAPE;
      return x->min == y->min && x->max == y->max && x->offset == y->offset ? BW_OK : BW_BAD_SHAPE;
    case BW_CROP:
      if (x->height < y->height || x->width != y->width || x->channels != y->channels) return BW_BAD_SHAPE;
      if (x->containerBits != y->containerBits || x->zeroPoint != y->zeroPoint) return BW_BAD_SHAPE;
      *work += elements(y);
      return x->min == y->min && x->max == y->max ? BW_OK : BW_BAD_SHAPE;
    default:
      return BW_BAD_LAYER;
  }
}

/* Whatever lies between a tensor's making (or the start, for the input) and this read must not write over it. */
static int check_alive(const bw_model *m, uint32_t reader, uint32_t index) {
  bw_tensor t, other, source;
  bw_layer l;
  uint32_t i = reader;
  bw_get_tensor(m, index, &t);
  while (i-- > 0) {
    bw_get_layer(m, i, &l);
    if (l.output == index) return BW_OK;
    if (l.op == BW_RESHAPE) continue;
    bw_get_tensor(m, l.output, &other);
    bw_get_tensor(m, l.input[0], &source);
    if (overlap(t.offset, bytes(&t), other.offset, bytes(&other))) return BW_BAD_OVERLAP;
    if (overlap(t.offset, bytes(&t), l.scratch, bw_scratch_bytes(&l, &source, &other))) return BW_BAD_OVERLAP;
  }
  return index == 0 ? BW_OK : BW_BAD_ORDER;
}

/* Whether the layer may write y over x while it still reads x.
 * Depthwise convolutions go channel by channel: elements must lie on their own channel's, in containers of one width at one place.
 * Sums, requantizations and pointwise convolutions go unit by unit (an element, a pixel) from the first to the last and read a unit, perhaps
 * some after it, before they write it. Once k units are written they reach up to bit 8 y.offset + k yBits; what is still to be read begins
 * at bit 8 x.offset + k xBits or after it. The first must not pass the second for k in 1..units-1: a line, so that its two ends decide. */
static int may_overlap(const bw_layer *l, const bw_tensor *x, const bw_tensor *y) {
  const int64_t ahead = 8 * ((int64_t)x->offset - (int64_t)y->offset);
  int64_t units, growth;
  if (l->op == BW_ADD || l->op == BW_REQUANTIZE) {
    units = (int64_t)elements(y), growth = (int64_t)y->containerBits - x->containerBits;
  } else if (l->op == BW_CONVOLUTION && bw_pointwise(l)) {
    units = (int64_t)y->height * y->width, growth = (int64_t)y->channels * y->containerBits - (int64_t)x->channels * x->containerBits;
  } else {
    return l->op == BW_CONVOLUTION && l->depthwise && ahead == 0 && x->containerBits == y->containerBits;
  }
  return units == 1 || (growth <= ahead && growth * (units - 1) <= ahead);
}

static int check_arena(const bw_model *m, uint32_t at, const bw_layer *l, const bw_tensor *x, const bw_tensor *y) {
  uint32_t scratch = bw_scratch_bytes(l, x, y), i;
  int status = BW_OK;
  for (i = 0; i < bw_inputs(l) && status == BW_OK; i++) status = check_alive(m, at, bw_input_of(l, i));
  if (status != BW_OK || l->op == BW_RESHAPE) return status;
  if (l->scratch % 16 != 0 || (uint64_t)l->scratch + scratch > m->header.arenaBytes) return BW_BAD_ARENA;
  if (overlap(y->offset, bytes(y), l->scratch, scratch)) return BW_BAD_OVERLAP;
  for (i = 0; i < bw_inputs(l); i++) {
    bw_tensor t;
    bw_get_tensor(m, bw_input_of(l, i), &t);
    if (overlap(y->offset, bytes(y), t.offset, bytes(&t)) && !may_overlap(l, &t, y)) return BW_BAD_OVERLAP;
    if (overlap(l->scratch, scratch, t.offset, bytes(&t))) return BW_BAD_OVERLAP;
  }
  return BW_OK;
}

static int check_shifts(const uint8_t *shift, uint32_t count) {
  uint32_t i;
  for (i = 0; i < count; i++) {
    int value = shift[i] < 128 ? shift[i] : shift[i] - 256;
    if (value < -31 || value > 30) return BW_BAD_SHIFT;
  }
  return BW_OK;
}

/* Sum of |w| over the k weights of a channel. */
static int64_t magnitudes(const bw_layer *l, const uint8_t *weights, uint32_t channel, uint32_t k) {
  int64_t sum = 0;
  uint32_t i;
  bw_sinc filter = {0, 0, 0, 0};
  if (l->weightKind == 0) filter = bw_sinc_load(weights, channel, k);
  for (i = 0; i < k; i++) {
    const int32_t w = l->weightKind == 0 ? bw_sinc_tap(&filter, bw_sinc_distance(i, k)) : bw_layer_weight(l, weights, k, channel, i);
    sum += w < 0 ? -w : w;
  }
  return sum;
}

/* No int32 of the layer may overflow: (sum|w| * max|x - zeroPoint| << accumulatorShift) + |bias| < 2^31, and their like. */
static int check_ranges(const bw_model *m, const bw_layer *l, const bw_tensor *x) {
  const int64_t limit = INT32_MAX;
  const uint8_t *p = m->image + l->parameters;
  uint32_t c, k, i;
  bw_tensor y;
  switch (l->op) {
    case BW_CONVOLUTION:
      bw_get_tensor(m, l->output, &y);
      k = (uint32_t)depth(l, x->channels);
      for (c = 0; c < y.channels; c++) {
        int64_t bias = bw_load_channel(l, p, y.channels, c).bias, sum = magnitudes(l, m->image + l->weights, c, k) * reach(x);
        if (bias < 0) bias = -bias;
        if (l->logMagnitude) {
          if (sum > limit || sum + (int64_t)bw_load32(p + 4 * (2 * y.channels + c)) > UINT32_MAX) return BW_BAD_RANGE;
          if (bias + ((int64_t)32 << 16) > limit) return BW_BAD_RANGE;
        } else if (sum * ((int64_t)1 << l->accumulatorShift) + bias > limit) {
          return BW_BAD_RANGE;
        }
      }
      return l->compact ? BW_OK : check_shifts(p + 4 * (l->logMagnitude ? 3 : 2) * (uint32_t)y.channels, y.channels);
    case BW_ADD:
      for (i = 0; i < 2; i++) {
        bw_tensor t;
        bw_get_tensor(m, l->input[i], &t);
        if (reach(&t) > 2047) return BW_BAD_RANGE;
      }
      return check_shifts(p + 12, 3);
    case BW_AVERAGE_POOL:
      if (reach(x) * l->kernel[0] * l->kernel[1] > limit) return BW_BAD_RANGE;
      return check_shifts(p + 4, 1);
    case BW_REQUANTIZE:
      return check_shifts(p + 4, 1);
    case BW_ATTEND: /* its other sum is of at most BW_WHOLE + BW_MOST_POSITIONS / 2 in probabilities times an int16 */
      bw_get_tensor(m, l->input[1], &y);
      return reach(x) * reach(&y) * x->channels < (int64_t)1 << 30 ? check_shifts(p + 4, 1) : BW_BAD_RANGE;
    default:
      return BW_OK;
  }
}

static int check_layer(const bw_model *m, uint32_t at, uint64_t *work) {
  bw_layer l, earlier;
  bw_tensor x, y;
  uint32_t i;
  int status;
  bw_get_layer(m, at, &l);
  if (l.op > BW_ATTEND || (l.op == BW_ATTEND && !BW_ATTENTION)) return BW_BAD_LAYER;
  if (l.accumulatorShift != 0 && (l.op != BW_CONVOLUTION || l.logMagnitude)) return BW_BAD_LAYER;
  if (l.accumulatorShift > LIMIT_SHIFT) return BW_BAD_LAYER;
  if (l.compact > 1 || (l.compact && (l.op != BW_CONVOLUTION || l.logMagnitude))) return BW_BAD_LAYER;
  if (l.compact && (bw_scale_exponent(&l) < BW_LEAST_EXPONENT || bw_scale_exponent(&l) > BW_MOST_EXPONENT)) return BW_BAD_LAYER;
  if (l.output >= m->header.tensorCount || l.output == 0) return BW_BAD_LAYER;
  for (i = 0; i < bw_inputs(&l); i++)
    if (bw_input_of(&l, i) >= m->header.tensorCount) return BW_BAD_LAYER;
  for (i = 0; i < at; i++) {
    bw_get_layer(m, i, &earlier);
    if (earlier.output == l.output) return BW_BAD_ORDER;
  }
  bw_get_tensor(m, l.input[0], &x);
  bw_get_tensor(m, l.output, &y);
  status = check_shape(m, &l, &x, &y, work);
  for (i = 1; i < bw_inputs(&l) && status == BW_OK; i++) {
    const uint32_t channels = l.op == BW_ATTEND && i == 1 ? x.channels : y.channels;
    bw_tensor z;
    bw_get_tensor(m, bw_input_of(&l, i), &z);
    if (z.height != y.height || z.width != y.width || z.channels != channels) status = BW_BAD_SHAPE;
  }
  if (status != BW_OK) return status;
  if (*work > LIMIT_WORK) return BW_TOO_MUCH_WORK;
  status = check_arena(m, at, &l, &x, &y);
  return status == BW_OK ? check_ranges(m, &l, &x) : status;
}

static int check_logits(const bw_model *m) {
  bw_layer l;
  bw_tensor t;
  bw_get_layer(m, m->header.layerCount - 1, &l);
  bw_get_tensor(m, l.output, &t);
  return t.height == 1 && t.width == 1 && t.channels == m->header.classCount && t.containerBits == 16 ? BW_OK : BW_BAD_LOGITS;
}

static int check_image(bw_model *m, const void *image, uint32_t length) {
  uint64_t work = 0;
  uint32_t i;
  int status;
  if ((uintptr_t)image % 4 != 0) return BW_BAD_ALIGNMENT;
  if (length < sizeof m->header) return BW_TOO_SHORT;
  memcpy(&m->header, image, sizeof m->header);
  if (m->header.magic != BW_MAGIC) return BW_BAD_MAGIC;
  if (m->header.version < 1 || m->header.version > BW_VERSION) return BW_BAD_VERSION;
  if (m->header.length != length) return BW_BAD_LENGTH;
  if (m->header.checksum != crc32(m->image + 16, length - 16)) return BW_BAD_CHECKSUM;
  if ((status = check_header(m)) != BW_OK) return status;
  if ((status = check_strings(m)) != BW_OK) return status;
  for (i = 0; i < m->header.tensorCount; i++) {
    bw_tensor t;
    bw_get_tensor(m, i, &t);
    m->fault = i;
    if ((status = check_tensor(m, &t)) != BW_OK) return status;
  }
  m->fault = 0;
  if ((status = check_input(m)) != BW_OK) return status;
  for (i = 0; i < m->header.layerCount; i++) {
    m->fault = i;
    if ((status = check_layer(m, i, &work)) != BW_OK) return status;
  }
  m->fault = 0;
  return check_logits(m);
}

int bw_open(bw_model *m, const void *image, uint32_t length) {
  int status;
  m->image = image;
  m->fault = 0;
  m->prepared = 0;
  status = check_image(m, image, length);
  /* the arena of a file of an older version may be one that layers of today have no room in */
  if ((status == BW_BAD_ARENA || status == BW_BAD_OVERLAP) && m->header.version < BW_VERSION) status = BW_BAD_VERSION;
  if (status == BW_BAD_VERSION) m->fault = m->header.version;
  return status;
}
