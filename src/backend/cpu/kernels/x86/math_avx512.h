/* Sixteen floats at once with AVX-512; math_avx2.h has the same functions for AVX2. Each is one IEEE operation
 * on every lane, so that code written with them gives the bits of the portable C that it follows. */
#ifndef X86_MATH_AVX512_H
#define X86_MATH_AVX512_H

#include <immintrin.h>
#include <stdint.h>

enum { LANES = 16 };
typedef __m512 lanes;

static inline lanes lanes_zero(void) {
  return _mm512_setzero_ps();
}
static inline lanes lanes_set(float x) {
  return _mm512_set1_ps(x);
}

/* ---- Memory. The functions with n touch the first n lanes only, 0 <= n <= 16; the others read as zero ---- */

static inline __mmask16 lanes_mask(int n) {
  return (__mmask16)((1u << n) - 1);
}
static inline lanes lanes_load(const float *p) {
  return _mm512_loadu_ps(p);
}
static inline lanes lanes_load_n(const float *p, int n) {
  return _mm512_maskz_loadu_ps(lanes_mask(n), p);
}
static inline void lanes_store(float *p, lanes a) {
  _mm512_storeu_ps(p, a);
}
static inline void lanes_store_n(float *p, lanes a, int n) {
  _mm512_mask_storeu_ps(p, lanes_mask(n), a);
}
static inline lanes lanes_load_f16(const uint16_t *p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
/* n is even. */
static inline lanes lanes_load_f16_n(const uint16_t *p, int n) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lanes_mask(n), p));
}
static inline lanes lanes_load_i8(const char *p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}
static inline void lanes_store_f16(uint16_t *p, lanes a) {
  _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
/* Rounds to signed bytes and returns their sum. */
static inline int32_t lanes_store_i8(int8_t *p, lanes a) {
  __m128i level = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a));
  _mm_storeu_si128((__m128i *)p, level);
  /* Sums of eight bytes each, which are 128 above. */
  __m128i sum = _mm_sad_epu8(_mm_xor_si128(level, _mm_set1_epi8(-128)), _mm_setzero_si128());
  return _mm_cvtsi128_si32(sum) + _mm_extract_epi16(sum, 4) - LANES * 128;
}

/* ---- Arithmetic ---- */

static inline lanes lanes_add(lanes a, lanes b) {
  return _mm512_add_ps(a, b);
}
static inline lanes lanes_sub(lanes a, lanes b) {
  return _mm512_sub_ps(a, b);
}
static inline lanes lanes_mul(lanes a, lanes b) {
  return _mm512_mul_ps(a, b);
}
static inline lanes lanes_div(lanes a, lanes b) {
  return _mm512_div_ps(a, b);
}
/* a b + c */
static inline lanes lanes_fma(lanes a, lanes b, lanes c) {
  return _mm512_fmadd_ps(a, b, c);
}
static inline lanes lanes_negate(lanes a) {
  return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f));
}
static inline lanes lanes_round(lanes a) {
  return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
/* a 2^n for whole n, where neither is so far out that the result would be rounded. */
static inline lanes lanes_scale(lanes a, lanes n) {
  return _mm512_scalef_ps(a, n);
}

/* math_tree16() */
static inline float lanes_tree(lanes a) {
  __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/* ---- Comparisons ---- */

/* a > b ? a : b, which for NaN is b. */
static inline lanes lanes_max(lanes a, lanes b) {
  return _mm512_max_ps(a, b);
}
/* a < b ? yes : no */
static inline lanes lanes_less(lanes a, lanes b, lanes yes, lanes no) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
}
/* first <= lane number <= last ? a : other, for any first and last. */
static inline lanes lanes_between(int first, int last, lanes a, lanes other) {
  __m512i i = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  __mmask16 in = _mm512_cmpge_epi32_mask(i, _mm512_set1_epi32(first));
  return _mm512_mask_blend_ps(_mm512_mask_cmple_epi32_mask(in, i, _mm512_set1_epi32(last)), other, a);
}
/* The largest lane, none of which is NaN; of zeros either. */
static inline float lanes_largest(lanes a) {
  return _mm512_reduce_max_ps(a);
}
/* The bits of the largest magnitude of a and b, as whole numbers. */
static inline uint32_t lanes_largest_bits(lanes a, lanes b) {
  __m512i magnitude = _mm512_set1_epi32(0x7FFFFFFF);
  __m512i x = _mm512_and_si512(_mm512_castps_si512(a), magnitude);
  __m512i y = _mm512_and_si512(_mm512_castps_si512(b), magnitude);
  return _mm512_reduce_max_epu32(_mm512_max_epu32(x, y));
}
/* Bit i: whether the magnitude of value i is above `least`, of the lanes of a and then of b. */
static inline uint32_t lanes_above(lanes a, lanes b, float least) {
  __m512 bound = _mm512_set1_ps(least);
  uint32_t low = _mm512_cmp_ps_mask(_mm512_abs_ps(a), bound, _CMP_GT_OQ);
  return low | (uint32_t)_mm512_cmp_ps_mask(_mm512_abs_ps(b), bound, _CMP_GT_OQ) << 16;
}
/* a with zero in lane i where bit i is set. */
static inline lanes lanes_without(lanes a, uint32_t bits) {
  return _mm512_maskz_mov_ps((__mmask16)~bits, a);
}

#endif
