/* How values lie in the arena: containers of 2, 4, 8 and 16 bits, read as int16 with the zero point taken off and stored clamped. */
#ifndef BITWRIGHT_VALUES_H
#define BITWRIGHT_VALUES_H
#include "arithmetic.h"
#include "bw.h"

#ifdef __wasm_simd128__
#include <wasm_simd128.h>
#endif

#ifdef __wasm_simd128__
/* Eight values from element `index` on, each less its zero point; narrow containers must start on a byte. */
static inline v128_t fetch8(const bw_tensor *t, const uint8_t *base, uint32_t index) {
  const v128_t zero = wasm_i16x8_splat(t->zeroPoint), offset = wasm_i16x8_splat((int16_t)(t->min - t->zeroPoint));
  v128_t v;
  if (t->containerBits == 8) return wasm_i16x8_sub(wasm_i16x8_load8x8(base + index), zero);
  if (t->containerBits == 16) return wasm_i16x8_sub(wasm_v128_load(base + 2 * index), zero);
  if (t->containerBits == 4) { /* each byte twice, then its field moved to the top of the byte by a multiplication */
    v = wasm_u16x8_load8x8(base + (index >> 1));
    v = wasm_i16x8_shuffle(v, v, 0, 0, 1, 1, 2, 2, 3, 3);
    v = wasm_v128_and(wasm_i16x8_mul(v, wasm_i16x8_const(16, 1, 16, 1, 16, 1, 16, 1)), wasm_i16x8_const_splat(0xf0));
    return wasm_i16x8_add(wasm_u16x8_shr(v, 4), offset);
  }
  v = wasm_v128_load16_splat(base + (index >> 2));
  v = wasm_i8x16_shuffle(v, wasm_i16x8_const_splat(0), 0, 16, 0, 16, 0, 16, 0, 16, 1, 16, 1, 16, 1, 16, 1, 16);
  v = wasm_v128_and(wasm_i16x8_mul(v, wasm_i16x8_const(64, 16, 4, 1, 64, 16, 4, 1)), wasm_i16x8_const_splat(0xc0));
  return wasm_i16x8_add(wasm_u16x8_shr(v, 6), offset);
}
#endif

/* Whether element `index` starts on a byte. */
static inline int on_byte(const bw_tensor *t, uint32_t index) { return t->containerBits >= 8 || ((index * t->containerBits) & 7) == 0; }

static inline int16_t fetch1(const bw_tensor *t, const uint8_t *base, uint32_t index) {
  int16_t value;
  switch (t->containerBits) {
    case 8:
      return (int16_t)((int8_t)base[index] - t->zeroPoint);
    case 16:
      memcpy(&value, base + 2 * index, 2);
      return (int16_t)(value - t->zeroPoint);
    case 4:
      return (int16_t)((base[index >> 1] >> ((index & 1) * 4) & 15) + t->min - t->zeroPoint);
    default:
      return (int16_t)((base[index >> 2] >> ((index & 3) * 2) & 3) + t->min - t->zeroPoint);
  }
}

/* count values from element `index` on, each less its zero point. */
static inline void fetch(const bw_tensor *t, const uint8_t *base, uint32_t index, uint32_t count, int16_t *to) {
  const uint32_t end = index + count;
#ifdef __wasm_simd128__
  for (; index < end && !on_byte(t, index); index++) *to++ = fetch1(t, base, index);
  for (; index + 8 <= end; index += 8, to += 8) wasm_v128_store(to, fetch8(t, base, index));
#endif
  if (t->containerBits == 8) {
    for (; index < end; index++) *to++ = (int16_t)((int8_t)base[index] - t->zeroPoint);
  } else {
    for (; index < end; index++) *to++ = fetch1(t, base, index);
  }
}

static inline void clear(int16_t *to, int32_t count) {
  if (count > 0) memset(to, 0, (size_t)count * sizeof *to);
}

/* Clamps value (without the zero point) and puts it into element `index`. */
static inline void store(const bw_tensor *t, uint8_t *base, uint32_t index, int32_t value) {
  int32_t low = t->min - t->zeroPoint, high = t->max - t->zeroPoint, q;
  uint32_t bits = t->containerBits, at, field;
  q = (value < low ? low : value > high ? high : value) + t->zeroPoint;
  if (bits == 8) {
    base[index] = (uint8_t)q;
  } else if (bits == 16) {
    ((int16_t *)(void *)base)[index] = (int16_t)q;
  } else {
    at = (index * bits) & 7;
    field = (1u << bits) - 1;
    base += bits == 4 ? index >> 1 : index >> 2;
    *base = (uint8_t)((*base & ~(field << at)) | (uint32_t)(q - t->min) << at);
  }
}

#endif
