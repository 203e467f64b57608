/* Attention on hosts: four queries at a time against all keys, which were turned once so that positions lie in lanes, and their probabilities
 * against all values, turned likewise. The softmax is that of softmax.h in vectors: its shifts by octaves are products with powers of two in
 * float32, where all they meet is exact. */
#include "attend.h"
#include "prepared.h"
#include "values.h"

#ifdef BW_LANES

enum { ROWS = BW_ATTENTION_ROWS, PANEL = 2 * L };

static uint32_t up(uint32_t value, uint32_t unit) { return (value + unit - 1) / unit * unit; }

static void *take(uint8_t *memory, uint64_t *used, uint64_t bytes) {
  void *at = memory ? memory + *used : 0;
  *used += (bytes + 63) & ~(uint64_t)63;
  return at;
}

/* Places in the memory, or NULL; returns how much of it they are. */
static uint64_t lay_out(uint32_t positions, uint32_t depth, uint32_t channels, uint8_t *memory, prepared_attention *w) {
  uint64_t used = 0;
  w->depth = up(depth, 2), w->positions = up(positions, 2);
  w->scoreStride = up(positions, PANEL), w->sumStride = up(channels, PANEL);
  w->row = take(memory, &used, 2 * (depth > channels ? depth : channels));
  w->queries = take(memory, &used, (uint64_t)2 * ROWS * w->depth);
  w->keys = take(memory, &used, (uint64_t)2 * w->scoreStride * w->depth);
  w->values = take(memory, &used, (uint64_t)2 * w->sumStride * w->positions);
  w->shares = take(memory, &used, 2 * ((uint64_t)ROWS * w->scoreStride + L)); /* stored a vector at a time, of which half counts */
  w->scores = take(memory, &used, (uint64_t)4 * ROWS * w->scoreStride);
  w->sums = take(memory, &used, (uint64_t)4 * ROWS * w->sumStride);
  w->points = take(memory, &used, 4 * 64);
  return used;
}

uint64_t bw_attention_room(const bw_tensor *x, const bw_tensor *y) {
  prepared_attention w;
  return lay_out(x->height * x->width, x->channels, y->channels, 0, &w);
}

/* Keys in panels of positions, values in panels of channels: neighbours along the sum side by side in a lane. */
void bw_turn_attention(const bw_attention *a, uint8_t *memory, prepared_attention *w) {
  uint32_t j, c;
  lay_out(a->positions, a->depth, a->channels, memory, w);
  memset(w->keys, 0, 2 * (size_t)w->scoreStride * w->depth);
  memset(w->values, 0, 2 * (size_t)w->sumStride * w->positions);
  for (j = 0; j < a->positions; j++) {
    int16_t *to = w->keys + (size_t)(j / PANEL) * PANEL * w->depth + j % PANEL * 2;
    fetch(&a->key, a->keys, j * a->depth, a->depth, w->row);
    for (c = 0; c < a->depth; c++) to[c / 2 * 2 * PANEL + c % 2] = w->row[c];
    to = w->values + (size_t)(j / 2) * 2 * PANEL + j % 2;
    fetch(&a->value, a->values, j * a->channels, a->channels, w->row);
    for (c = 0; c < a->channels; c++) to[(size_t)(c / PANEL) * PANEL * w->positions + c % PANEL * 2] = w->row[c];
  }
  for (j = 0; j < 64; j++) w->points[j] = (int32_t)(bw_powers[j] << 10 | (bw_powers[j] - bw_powers[j + 1]));
}

/* to[row][panel] = rows of x times panels of w, both of so many pairs. */
static void multiply(const int16_t *x, uint32_t step, const int16_t *w, uint32_t pairs, uint32_t panels, int32_t *to, uint32_t stride) {
  uint32_t panel, k, i;
  for (panel = 0; panel < panels; panel++, to += PANEL) {
    const int16_t *x0 = x, *x1 = x + step, *x2 = x1 + step, *x3 = x2 + step;
    bw_vector sums[ROWS][2];
    for (i = 0; i < ROWS; i++) sums[i][0] = sums[i][1] = bw_zero();
    for (k = 0; k < pairs; k++, w += 2 * PANEL) {
      const bw_vector b = bw_load(w), c = bw_load(w + PANEL);
      bw_vector v = bw_splat_pair(x0 + 2 * k);
      sums[0][0] = bw_dot(sums[0][0], v, b), sums[0][1] = bw_dot(sums[0][1], v, c);
      v = bw_splat_pair(x1 + 2 * k);
      sums[1][0] = bw_dot(sums[1][0], v, b), sums[1][1] = bw_dot(sums[1][1], v, c);
      v = bw_splat_pair(x2 + 2 * k);
      sums[2][0] = bw_dot(sums[2][0], v, b), sums[2][1] = bw_dot(sums[2][1], v, c);
      v = bw_splat_pair(x3 + 2 * k);
      sums[3][0] = bw_dot(sums[3][0], v, b), sums[3][1] = bw_dot(sums[3][1], v, c);
    }
    for (i = 0; i < ROWS; i++) bw_store(to + i * stride, sums[i][0]), bw_store(to + i * stride + L, sums[i][1]);
  }
}

static inline bw_vector power_of(const bw_octaves *o, const int32_t *points, bw_vector d) {
  const bw_vector near = bw_min(d, bw_splat((int32_t)(o->most >> 1 < INT32_MAX / 2 ? o->most : INT32_MAX)));
  const bw_vector t = bw_shift_right(bw_multiply_high_unsigned(bw_shift_left(near, (int)o->left), bw_splat((int32_t)o->factor)), (int)o->right);
  const bw_vector point = bw_gather(points, bw_and(bw_shift_right(t, 10), bw_splat(63)));
  const bw_vector fall = bw_dot(bw_splat(512), bw_and(point, bw_splat(1023)), bw_and(t, bw_splat(1023)));
  const bw_vector value = bw_sub(bw_shift_right(point, 10), bw_shift_right(fall, 10));
  return bw_halve(value, bw_min(bw_shift_right(t, 16), bw_splat(20)));
}

/* A row of scores to probabilities. */
static void soften(const bw_attention *a, const prepared_attention *w, int32_t *row, int16_t *to) {
  const uint32_t count = a->positions, padded = w->scoreStride;
  bw_vector most = bw_splat(INT32_MIN), total = bw_zero(), whole, inverse;
  int32_t lanes[L], largest = INT32_MIN;
  uint32_t sum = 0, j;
  for (j = count; j < padded; j++) row[j] = INT32_MIN;
  for (j = 0; j < padded; j += L) most = bw_max(most, bw_load(row + j));
  bw_store(lanes, most);
  for (j = 0; j < L; j++) largest = lanes[j] > largest ? lanes[j] : largest;
  for (j = 0; j < padded; j += L) bw_store(row + j, power_of(&a->octaves, w->points, bw_sub(bw_splat(largest), bw_load(row + j))));
  for (j = count; j < padded; j++) row[j] = 0;
  for (j = 0; j < padded; j += L) total = bw_add(total, bw_load(row + j));
  bw_store(lanes, total);
  for (j = 0; j < L; j++) sum += (uint32_t)lanes[j];
  whole = bw_splat((int32_t)sum), inverse = bw_splat((int32_t)(UINT32_MAX / sum));
  for (j = 0; j < padded; j += L) { /* bw_share */
    const bw_vector part = bw_load(row + j), product = bw_add(bw_sub(bw_shift_left(part, 15), part), bw_splat((int32_t)(sum >> 1)));
    const bw_vector quotient = bw_multiply_high_unsigned(product, inverse);
    const bw_vector rest = bw_sub(product, bw_multiply_low(quotient, whole));
    bw_store(to + j, bw_pack_one(bw_sub(quotient, bw_sign(bw_sub(bw_splat((int32_t)sum - 1), rest)))));
  }
}

void bw_attend_rows(const bw_attention *a, const prepared_attention *w, uint32_t first, uint32_t count) {
  uint32_t q;
  for (q = 0; q < ROWS; q++) /* beyond the last the last again */
    fetch(&a->query, a->queries, (first + (q < count ? q : count - 1)) * a->depth, a->depth, w->queries + q * w->depth);
  multiply(w->queries, w->depth, w->keys, w->depth / 2, w->scoreStride / PANEL, w->scores, w->scoreStride);
  for (q = 0; q < ROWS; q++) soften(a, w, w->scores + q * w->scoreStride, w->shares + q * w->scoreStride);
  multiply(w->shares, w->scoreStride, w->values, w->positions / 2, w->sumStride / PANEL, w->sums, w->sumStride);
}

#endif
