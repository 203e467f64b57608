/* Both ways from a sum to its value, the exact one in integers and bw_round() in float32, are monotone: neither ever falls as the sum
 * grows. So they agree everywhere if they agree on both sides of every step of the exact one, of which there are as many as a container has
 * values. A float's rounding reaches across a step now and then; a scale or an offset some units in the last place away then
 * mends that step and seldom breaks another, so that a short search is enough. */
#include "rounding.h"

#include "arithmetic.h"
#include "simd.h"

#ifdef BW_LANES

enum { L = BW_LANES, MOST_STEPS = 255, MOST_POINTS = (2 * MOST_STEPS + 2 + L - 1) / L * L, SCALES = 11, OFFSETS = 61 };

static int32_t exact(const bw_rounding *r, int64_t sum) {
  const int32_t v = bw_requantize((int32_t)(sum * ((int64_t)1 << r->left) + r->bias), r->multiplier, r->shift);
  return v < r->low ? r->low : v > r->high ? r->high : v;
}

/* The first sum in (from, most] whose value is at least `value`, most + 1 where there is none; `guess` is near it. */
static int64_t step(const bw_rounding *r, int64_t from, int32_t value, double guess) {
  int64_t low = from, high = r->most + 1; /* exact(low) < value, exact(high) >= value */
  if (guess > (double)low + 2 && guess < (double)high - 2) {
    const int64_t near = (int64_t)guess;
    if (exact(r, near - 1) < value) low = near - 1;
    else high = near - 1;
    if (high > near + 2) {
      if (exact(r, near + 2) >= value) high = near + 2;
      else low = near + 2;
    }
  }
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    if (exact(r, middle) < value) low = middle;
    else high = middle;
  }
  return high;
}

static bw_vector splat_float(float v) {
  int32_t bits;
  memcpy(&bits, &v, 4);
  return bw_splat(bits);
}

static int agrees(const bw_rounding *r, const int32_t *sums, const int32_t *values, uint32_t count, float scale, float offset) {
  const bw_vector s = splat_float(scale), o = splat_float(offset);
  const int32_t centre = bw_centre(r->low, r->high);
  uint32_t i, lane;
  for (i = 0; i < count; i += L) {
    int32_t v[L];
    bw_store(v, bw_round(bw_load(sums + i), s, o));
    for (lane = 0; lane < L; lane++) {
      const int32_t away = v[lane] + centre, value = away < r->low ? r->low : away > r->high ? r->high : away;
      if (value != values[i + lane]) return 0;
    }
  }
  return 1;
}

/* 0, 1, -1, 2, -2, .. */
static int32_t zigzag(int32_t i) { return i % 2 ? (i + 1) / 2 : -i / 2; }

static float nudged(float v, int32_t units) {
  int32_t bits;
  memcpy(&bits, &v, 4);
  bits += units;
  memcpy(&v, &bits, 4);
  return v;
}

int bw_find_rounding(const bw_rounding *r, float *scale, float *offset) {
  int32_t sums[MOST_POINTS], values[MOST_POINTS], value, i;
  double unit = 1.0 / 2147483648.0 * r->multiplier, perSum, reach;
  uint32_t count = 0;
  int64_t at = r->least;
  if (r->multiplier <= 0 || r->high - r->low > MOST_STEPS) return 0;
  for (i = r->shift; i < 0; i++) unit /= 2;
  for (i = r->shift; i > 0; i--) unit *= 2;
  perSum = unit * (double)((int64_t)1 << r->left);
  reach = (double)(r->most > -r->least ? r->most : -r->least) * perSum + (r->bias < 0 ? -(double)r->bias : r->bias) * unit;
  if (!(perSum > 1e-30 && reach < 1e6)) return 0;
  sums[count] = (int32_t)r->least, values[count++] = exact(r, r->least);
  for (value = values[0] + 1; value <= r->high; value++) {
    if (exact(r, at) < value) at = step(r, at, value, ((value - 0.5) / unit - r->bias) / (double)((int64_t)1 << r->left));
    if (at > r->most) break;
    sums[count] = (int32_t)(at - 1), values[count++] = exact(r, at - 1);
    sums[count] = (int32_t)at, values[count++] = exact(r, at);
  }
  sums[count] = (int32_t)r->most, values[count++] = exact(r, r->most);
  for (; count % L; count++) sums[count] = (int32_t)r->most, values[count] = values[count - 1];
  for (i = 0; i < SCALES * OFFSETS; i++) {
    *scale = nudged((float)perSum, zigzag(i % SCALES));
    *offset = (float)(r->bias * unit - bw_centre(r->low, r->high)) + (float)zigzag(i / SCALES) * 0x1p-19f;
    if (agrees(r, sums, values, count, *scale, *offset)) return 1;
  }
  return 0;
}

#endif
