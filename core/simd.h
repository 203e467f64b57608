/* Vectors for the fast paths of prepared models: int32 lanes, and int16 pairs that multiply and add into them. One set of names for
 * WebAssembly and AVX2; without either BW_LANES is not defined and models run as they lie in flash. All operations are exact. */
#ifndef BITWRIGHT_SIMD_H
#define BITWRIGHT_SIMD_H
#include <stdint.h>
#include <string.h>

#if defined(__wasm_simd128__)
#include <wasm_simd128.h>
#define BW_LANES 4
typedef v128_t bw_vector;
static inline bw_vector bw_zero(void) { return wasm_i32x4_splat(0); }
static inline bw_vector bw_load(const void *p) { return wasm_v128_load(p); }
static inline void bw_store(void *p, bw_vector v) { wasm_v128_store(p, v); }
static inline bw_vector bw_splat(int32_t v) { return wasm_i32x4_splat(v); }
/* The two int16 at p in every lane. */
static inline bw_vector bw_splat_pair(const int16_t *p) { return wasm_v128_load32_splat(p); }
static inline bw_vector bw_add(bw_vector a, bw_vector b) { return wasm_i32x4_add(a, b); }
/* sum + a[2i] b[2i] + a[2i + 1] b[2i + 1] */
static inline bw_vector bw_dot(bw_vector sum, bw_vector a, bw_vector b) { return wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(a, b)); }
/* Neighbours of two rows of int16: the first half of the lanes and the second, in the order that bw_pack undoes. */
static inline bw_vector bw_pair_low(bw_vector a, bw_vector b) { return wasm_i16x8_shuffle(a, b, 0, 8, 1, 9, 2, 10, 3, 11); }
static inline bw_vector bw_pair_high(bw_vector a, bw_vector b) { return wasm_i16x8_shuffle(a, b, 4, 12, 5, 13, 6, 14, 7, 15); }
static inline bw_vector bw_low_words(bw_vector a, bw_vector b) { return wasm_i32x4_shuffle(a, b, 0, 2, 4, 6); }
/* round(v * multiplier / 2^31), ties up */
static inline bw_vector bw_multiply_high(bw_vector v, bw_vector multiplier) {
  const bw_vector half = wasm_i64x2_splat((int64_t)1 << 30);
  const bw_vector a = wasm_u64x2_shr(wasm_i64x2_add(wasm_i64x2_extmul_low_i32x4(v, multiplier), half), 31);
  const bw_vector b = wasm_u64x2_shr(wasm_i64x2_add(wasm_i64x2_extmul_high_i32x4(v, multiplier), half), 31);
  return bw_low_words(a, b);
}
/* floor(v / 2^s) by lane, `down` being what bw_shift_count made of s. */
static inline int32_t bw_shift_count(int32_t s) { return (int32_t)1 << (30 - s); }
static inline bw_vector bw_shift_down(bw_vector v, bw_vector down) {
  const bw_vector a = wasm_u64x2_shr(wasm_i64x2_extmul_low_i32x4(v, down), 30);
  const bw_vector b = wasm_u64x2_shr(wasm_i64x2_extmul_high_i32x4(v, down), 30);
  return bw_low_words(a, b);
}
/* -1 where v is negative */
static inline bw_vector bw_sign(bw_vector v) { return wasm_i32x4_shr(v, 31); }
static inline bw_vector bw_sub(bw_vector a, bw_vector b) { return wasm_i32x4_sub(a, b); }
static inline bw_vector bw_min(bw_vector a, bw_vector b) { return wasm_i32x4_min(a, b); }
static inline bw_vector bw_max(bw_vector a, bw_vector b) { return wasm_i32x4_max(a, b); }
static inline bw_vector bw_multiply_low(bw_vector a, bw_vector b) { return wasm_i32x4_mul(a, b); }
/* floor(a b / 2^32) of unsigned ones */
static inline bw_vector bw_multiply_high_unsigned(bw_vector a, bw_vector b) {
  return wasm_i32x4_shuffle(wasm_u64x2_extmul_low_u32x4(a, b), wasm_u64x2_extmul_high_u32x4(a, b), 1, 3, 5, 7);
}
/* of unsigned ones */
static inline bw_vector bw_shift_right(bw_vector v, int count) { return wasm_u32x4_shr(v, (uint32_t)count); }
static inline bw_vector bw_gather(const int32_t *table, bw_vector at) {
  return wasm_i32x4_make(table[wasm_i32x4_extract_lane(at, 0)], table[wasm_i32x4_extract_lane(at, 1)], table[wasm_i32x4_extract_lane(at, 2)],
                         table[wasm_i32x4_extract_lane(at, 3)]);
}
/* v / 2^times, rounded, a half up: v below 2^17, times up to 20 */
static inline bw_vector bw_halve(bw_vector v, bw_vector times) {
  const bw_vector scale = wasm_i32x4_shl(wasm_i32x4_sub(wasm_i32x4_const_splat(127), times), 23);
  return wasm_i32x4_trunc_sat_f32x4(wasm_f32x4_add(wasm_f32x4_mul(wasm_f32x4_convert_i32x4(v), scale), wasm_f32x4_const_splat(0.5f)));
}
static inline bw_vector bw_and(bw_vector a, bw_vector b) { return wasm_v128_and(a, b); }
static inline bw_vector bw_shift_left(bw_vector v, int count) { return wasm_i32x4_shl(v, count); }
/* BW_LANES int16 as int32 */
static inline bw_vector bw_widen(const int16_t *p) { return wasm_i32x4_load16x4(p); }

/* The nearest integer to v * scale + offset, ties to even, for results below 2^22; always the same operations in the same order. */
static inline bw_vector bw_round(bw_vector v, bw_vector scale, bw_vector offset) {
  const bw_vector t = wasm_f32x4_add(wasm_f32x4_mul(wasm_f32x4_convert_i32x4(v), scale), offset);
  return wasm_i32x4_sub(wasm_f32x4_add(t, wasm_f32x4_const_splat(12582912.0f)), wasm_i32x4_const_splat(0x4b400000));
}
/* 2 BW_LANES int16, saturated, in the order of channels from two vectors as bw_pair_low and bw_pair_high leave them; or BW_LANES of one. */
static inline bw_vector bw_pack(bw_vector low, bw_vector high) { return wasm_i16x8_narrow_i32x4(low, high); }
static inline bw_vector bw_pack_one(bw_vector v) { return wasm_i16x8_narrow_i32x4(v, v); }
static inline bw_vector bw_splat16(int32_t v) { return wasm_i16x8_splat((int16_t)v); }
static inline bw_vector bw_add16(bw_vector a, bw_vector b) { return wasm_i16x8_add(a, b); }
static inline bw_vector bw_clamp16(bw_vector v, bw_vector low, bw_vector high) { return wasm_i16x8_max(low, wasm_i16x8_min(high, v)); }
/* 2 BW_LANES int16 as bytes. */
static inline void bw_store_bytes(void *p, bw_vector v) { wasm_v128_store64_lane(p, wasm_i8x16_narrow_i16x8(v, v), 0); }
/* 2 BW_LANES bytes as int16, less zero. */
static inline bw_vector bw_widen_bytes(const uint8_t *p, bw_vector zero) { return wasm_i16x8_sub(wasm_i16x8_load8x8(p), zero); }

#elif defined(__AVX2__)
#include <immintrin.h>
#define BW_LANES 8
typedef __m256i bw_vector;
static inline bw_vector bw_zero(void) { return _mm256_setzero_si256(); }
static inline bw_vector bw_load(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
static inline void bw_store(void *p, bw_vector v) { _mm256_storeu_si256((__m256i *)p, v); }
static inline bw_vector bw_splat(int32_t v) { return _mm256_set1_epi32(v); }
static inline bw_vector bw_splat_pair(const int16_t *p) {
  int32_t pair;
  memcpy(&pair, p, 4);
  return _mm256_set1_epi32(pair);
}
static inline bw_vector bw_add(bw_vector a, bw_vector b) { return _mm256_add_epi32(a, b); }
#if defined(__AVX512VNNI__) && defined(__AVX512VL__)
static inline bw_vector bw_dot(bw_vector sum, bw_vector a, bw_vector b) { return _mm256_dpwssd_epi32(sum, a, b); }
#else
static inline bw_vector bw_dot(bw_vector sum, bw_vector a, bw_vector b) { return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b)); }
#endif
static inline bw_vector bw_pair_low(bw_vector a, bw_vector b) { return _mm256_unpacklo_epi16(a, b); }
static inline bw_vector bw_pair_high(bw_vector a, bw_vector b) { return _mm256_unpackhi_epi16(a, b); }
static inline bw_vector bw_multiply_high(bw_vector v, bw_vector multiplier) {
  const bw_vector half = _mm256_set1_epi64x((int64_t)1 << 30);
  const bw_vector even = _mm256_srli_epi64(_mm256_add_epi64(_mm256_mul_epi32(v, multiplier), half), 31);
  const bw_vector odd = _mm256_add_epi64(_mm256_mul_epi32(_mm256_srli_epi64(v, 32), _mm256_srli_epi64(multiplier, 32)), half);
  return _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 1), 0xaa);
}
static inline int32_t bw_shift_count(int32_t s) { return s; }
static inline bw_vector bw_shift_down(bw_vector v, bw_vector down) { return _mm256_srav_epi32(v, down); }
static inline bw_vector bw_sign(bw_vector v) { return _mm256_srai_epi32(v, 31); }
static inline bw_vector bw_sub(bw_vector a, bw_vector b) { return _mm256_sub_epi32(a, b); }
static inline bw_vector bw_min(bw_vector a, bw_vector b) { return _mm256_min_epi32(a, b); }
static inline bw_vector bw_max(bw_vector a, bw_vector b) { return _mm256_max_epi32(a, b); }
static inline bw_vector bw_multiply_low(bw_vector a, bw_vector b) { return _mm256_mullo_epi32(a, b); }
static inline bw_vector bw_multiply_high_unsigned(bw_vector a, bw_vector b) {
  const bw_vector odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), _mm256_srli_epi64(b, 32));
  return _mm256_blend_epi32(_mm256_srli_epi64(_mm256_mul_epu32(a, b), 32), odd, 0xaa);
}
static inline bw_vector bw_shift_right(bw_vector v, int count) { return _mm256_srli_epi32(v, count); }
static inline bw_vector bw_gather(const int32_t *table, bw_vector at) { return _mm256_i32gather_epi32(table, at, 4); }
static inline bw_vector bw_halve(bw_vector v, bw_vector times) {
  const bw_vector scale = _mm256_slli_epi32(_mm256_sub_epi32(_mm256_set1_epi32(127), times), 23);
  return _mm256_cvttps_epi32(_mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(v), _mm256_castsi256_ps(scale)), _mm256_set1_ps(0.5f)));
}
static inline bw_vector bw_and(bw_vector a, bw_vector b) { return _mm256_and_si256(a, b); }
static inline bw_vector bw_shift_left(bw_vector v, int count) { return _mm256_slli_epi32(v, count); }
static inline bw_vector bw_widen(const int16_t *p) { return _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)p)); }
static inline bw_vector bw_round(bw_vector v, bw_vector scale, bw_vector offset) {
  const __m256 f = _mm256_cvtepi32_ps(v), s = _mm256_castsi256_ps(scale), o = _mm256_castsi256_ps(offset);
#if defined(__FMA__)
  return _mm256_cvtps_epi32(_mm256_fmadd_ps(f, s, o));
#else
  return _mm256_cvtps_epi32(_mm256_add_ps(_mm256_mul_ps(f, s), o));
#endif
}
static inline bw_vector bw_pack(bw_vector low, bw_vector high) { return _mm256_packs_epi32(low, high); }
static inline bw_vector bw_pack_one(bw_vector v) {
  return _mm256_castsi128_si256(_mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1)));
}
static inline bw_vector bw_splat16(int32_t v) { return _mm256_set1_epi16((int16_t)v); }
static inline bw_vector bw_add16(bw_vector a, bw_vector b) { return _mm256_add_epi16(a, b); }
static inline bw_vector bw_clamp16(bw_vector v, bw_vector low, bw_vector high) { return _mm256_max_epi16(low, _mm256_min_epi16(high, v)); }
static inline void bw_store_bytes(void *p, bw_vector v) {
  _mm_storeu_si128((__m128i *)p, _mm_packs_epi16(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1)));
}
static inline bw_vector bw_widen_bytes(const uint8_t *p, bw_vector zero) {
  return _mm256_sub_epi16(_mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)p)), zero);
}
#endif

#endif
