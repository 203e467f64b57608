/* The most likely class and the softmax of logits, in whole numbers, so that every processor gives the same ones.
 *
 * With d the distance of a logit from the largest, exp(-scale d) is 2^-t, t = scale log2(e) d in 2^-16: its whole part a shift, the rest a
 * line between 64 points. A class gets its share of the sum, rounded to nearest. */
#include "arithmetic.h"
#include "bw.h"

/* 2^16 * 2^(-i / 64), rounded */
static const uint32_t powers[65] = {
  65536, 64830, 64132, 63441, 62757, 62081, 61413, 60751, 60097, 59449, 58809, 58176, 57549,
  56929, 56316, 55709, 55109, 54515, 53928, 53347, 52773, 52204, 51642, 51085, 50535, 49991,
  49452, 48920, 48393, 47871, 47356, 46846, 46341, 45842, 45348, 44859, 44376, 43898, 43425,
  42958, 42495, 42037, 41584, 41136, 40693, 40255, 39821, 39392, 38968, 38548, 38133, 37722,
  37316, 36914, 36516, 36123, 35734, 35349, 34968, 34591, 34219, 33850, 33486, 33125, 32768,
};

uint32_t bw_argmax(const int16_t *logits, uint32_t count) {
  uint32_t best = 0, i;
  for (i = 1; i < count; i++)
    if (logits[i] > logits[best]) best = i;
  return best;
}

/* scale * log2(e) as factor * 2^exponent, the factor below 2^32. */
static uint32_t in_octaves(float scale, int32_t *exponent) {
  uint32_t bits, fraction;
  memcpy(&bits, &scale, sizeof bits);
  fraction = bits & 0x7fffffu;
  *exponent = (int32_t)(bits >> 23 & 255) - 157;
  if (bits >> 23 & 255) fraction |= 0x800000u;
  else *exponent += 1;
  return (uint32_t)((uint64_t)fraction * 3098164009u >> 24); /* log2(e) * 2^31 */
}

/* 2^16 * exp(-scale * d), d >= 0. */
static uint32_t power_of(uint32_t factor, int32_t exponent, uint32_t d) {
  const int32_t down = -16 - exponent;
  const uint64_t product = (uint64_t)factor * d;
  uint32_t t = 20u << 16, value;
  if (down >= 64) t = 0;
  else if (down >= 0 && product >> down < t) t = (uint32_t)(product >> down);
  else if (product == 0) t = 0;
  value = powers[t >> 10 & 63] - (((powers[t >> 10 & 63] - powers[(t >> 10 & 63) + 1]) * (t & 1023) + 512) >> 10);
  return (value + ((1u << (t >> 16)) >> 1)) >> (t >> 16);
}

/* round(part * whole / sum) for part * whole < 2^32 */
static uint32_t share(uint32_t part, uint32_t whole, uint32_t sum) {
  const uint32_t product = part * whole, quotient = product / sum, rest = product - quotient * sum;
  return quotient + (rest >= sum - rest);
}

static void softmax(const int16_t *logits, uint32_t count, float scale, uint8_t *bytes, uint16_t *words) {
  const int32_t largest = logits[bw_argmax(logits, count)];
  int32_t exponent;
  const uint32_t factor = in_octaves(scale, &exponent);
  uint32_t sum = 0, i;
  for (i = 0; i < count; i++) sum += power_of(factor, exponent, (uint32_t)(largest - logits[i]));
  for (i = 0; i < count; i++) {
    const uint32_t power = power_of(factor, exponent, (uint32_t)(largest - logits[i]));
    if (bytes) bytes[i] = (uint8_t)share(power, 255, sum);
    else words[i] = (uint16_t)share(power, 65535, sum);
  }
}

void bw_softmax8(const int16_t *logits, uint32_t count, float scale, uint8_t *to) { softmax(logits, count, scale, to, 0); }
void bw_softmax16(const int16_t *logits, uint32_t count, float scale, uint16_t *to) { softmax(logits, count, scale, 0, to); }
