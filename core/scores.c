/* The most likely class and the softmax of logits (softmax.h): a class gets its share of the sum, rounded to nearest. */
#include "bw.h"
#include "softmax.h"

const uint32_t bw_powers[65] = {
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

/* round(part * whole / sum) for part * whole < 2^32 */
static uint32_t share(uint32_t part, uint32_t whole, uint32_t sum) {
  const uint32_t product = part * whole, quotient = product / sum, rest = product - quotient * sum;
  return quotient + (rest >= sum - rest);
}

static void softmax(const int16_t *logits, uint32_t count, float scale, uint8_t *bytes, uint16_t *words) {
  const int32_t largest = logits[bw_argmax(logits, count)];
  const bw_octaves octaves = bw_octaves_of(scale);
  uint32_t sum = 0, i;
  for (i = 0; i < count; i++) sum += bw_power(&octaves, (uint32_t)(largest - logits[i]));
  for (i = 0; i < count; i++) {
    const uint32_t power = bw_power(&octaves, (uint32_t)(largest - logits[i]));
    if (bytes) bytes[i] = (uint8_t)share(power, 255, sum);
    else words[i] = (uint16_t)share(power, 65535, sum);
  }
}

void bw_softmax8(const int16_t *logits, uint32_t count, float scale, uint8_t *to) { softmax(logits, count, scale, to, 0); }
void bw_softmax16(const int16_t *logits, uint32_t count, float scale, uint16_t *to) { softmax(logits, count, scale, 0, to); }
