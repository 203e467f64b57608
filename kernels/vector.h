// One vector type for every target: 8 floats where the CPU has AVX2 and FMA, 4 elsewhere (SSE, NEON, WebAssembly).
// Channel strides are multiples of LANES, so no kernel has a tail along channels.
#pragma once
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))
// For loops that want all registers for themselves.
#define NOINLINE __attribute__((noinline))

#if defined(__wasm__)
#include <wasm_simd128.h>
#define LANES 4
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define LANES 8
#else
#define LANES 4
#endif

#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

typedef float V __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef int32_t VI __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

INLINE V load(const float *p) { return *(const V *)p; }
INLINE void store(float *p, V v) { *(V *)p = v; }
INLINE V zero(void) { return (V){0}; }
INLINE V splat(float f) {
#if LANES == 8
  return (V)_mm256_set1_ps(f);
#else
  return (V){f, f, f, f};
#endif
}

// a * b + c
INLINE V fma_(V a, V b, V c) {
#if LANES == 8
  return (V)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__wasm_relaxed_simd__)
  return (V)__builtin_wasm_relaxed_madd_f32x4((v128_t)a, (v128_t)b, (v128_t)c);
#else
  return a * b + c;
#endif
}

INLINE V select_(VI mask, V yes, V no) { return (V)(((VI)yes & mask) | ((VI)no & ~mask)); }
INLINE V keep(VI mask, V v) { return (V)((VI)v & mask); }
INLINE V absolute(V v) { return (V)((VI)v & 0x7fffffff); }

// The larger one lane by lane; b where a is a NaN.
INLINE V max_(V a, V b) {
#if LANES == 8
  return (V)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__wasm__)
  return (V)wasm_f32x4_pmax((v128_t)b, (v128_t)a);
#else
  return select_(a > b, a, b);
#endif
}

// Limits v to [low, high]; a NaN stays a NaN, so that a diverging network is seen in its loss.
INLINE V clamp(V v, V low, V high) {
#if LANES == 8
  return (V)_mm256_min_ps((__m256)high, _mm256_max_ps((__m256)low, (__m256)v));
#elif defined(__wasm__)
  return (V)wasm_f32x4_pmin(wasm_f32x4_pmax((v128_t)v, (v128_t)low), (v128_t)high);
#else
  v = select_(v < low, low, v);
  return select_(v > high, high, v);
#endif
}

// Round half to even. The fallback's trick is exact for |v| < 2^22, far above any quantization level.
INLINE V round_(V v) {
#if LANES == 8
  return (V)_mm256_round_ps((__m256)v, 8);
#elif defined(__wasm__)
  return (V)wasm_f32x4_nearest((v128_t)v);
#else
  const float magic = 12582912.0f;
  return (v + magic) - magic;
#endif
}

INLINE float sum_(V v) {
  float s = v[0];
  for (int i = 1; i < LANES; i++) s += v[i];
  return s;
}

// Natural logarithm for v > 0: exponent plus a degree-8 polynomial on [sqrt(1/2), sqrt(2)) (Cephes logf), error below 2 ulp.
INLINE V log_(V v) {
  VI bits = (VI)v;
  VI exponent = (bits >> 23) - 126;
  V m = (V)((bits & 0x007fffff) | 0x3f000000);
  VI low = m < 0.707106781f;
  exponent += low;
  m = m + keep(low, m) - 1.0f;
  V e = __builtin_convertvector(exponent, V);
  V z = m * m;
  V y = splat(7.0376836292e-2f);
  y = fma_(y, m, splat(-1.1514610310e-1f));
  y = fma_(y, m, splat(1.1676998740e-1f));
  y = fma_(y, m, splat(-1.2420140846e-1f));
  y = fma_(y, m, splat(1.4249322787e-1f));
  y = fma_(y, m, splat(-1.6668057665e-1f));
  y = fma_(y, m, splat(2.0000714765e-1f));
  y = fma_(y, m, splat(-2.4999993993e-1f));
  y = fma_(y, m, splat(3.3333331174e-1f));
  y = y * m * z;
  y = fma_(e, splat(-2.12194440e-4f), y);
  y = fma_(z, splat(-0.5f), y);
  return m + y + e * 0.693359375f;
}

// 2^v for v <= 0 (2^-126 from there down), error below 2 ulp. Adding 1.5 * 2^23 rounds v and leaves the exponent's bits below the point.
INLINE V exp2_(V v) {
  const float point = 12582912.0f + 127.0f;
  v = max_(splat(-126.0f), v);
  V shifted = v + point, f = v - (shifted - point);
  V y = splat(1.3264727e-3f);
  y = fma_(y, f, splat(9.671513e-3f));
  y = fma_(y, f, splat(5.5507336e-2f));
  y = fma_(y, f, splat(2.4022242e-1f));
  y = fma_(y, f, splat(6.93147e-1f));
  y = fma_(y, f, splat(1.0f));
  return y * (V)((VI)shifted << 23);
}
