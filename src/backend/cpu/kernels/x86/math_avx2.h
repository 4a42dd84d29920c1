/* Sixteen floats at once with AVX2, FMA and F16C, as two registers; math_avx512.h has the same functions for
 * AVX-512. Each is one IEEE operation on every lane, so that code written with them gives the bits of the
 * portable C that it follows. */
#ifndef X86_MATH_AVX2_H
#define X86_MATH_AVX2_H

#include <immintrin.h>
#include <stdint.h>

enum { LANES = 16 };
typedef struct lanes {
  __m256 a, b; /* lanes 0 .. 7 and 8 .. 15 */
} lanes;

static inline lanes lanes_zero(void) {
  return (lanes){_mm256_setzero_ps(), _mm256_setzero_ps()};
}
static inline lanes lanes_set(float x) {
  return (lanes){_mm256_set1_ps(x), _mm256_set1_ps(x)};
}

/* ---- Memory. The functions with n touch the first n lanes only, 0 <= n <= 16; the others read as zero ---- */

/* All ones in the lanes below n. */
static inline __m256i lanes_mask8(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline lanes lanes_load(const float *p) {
  return (lanes){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
static inline lanes lanes_load_n(const float *p, int n) {
  return (lanes){_mm256_maskload_ps(p, lanes_mask8(n)), _mm256_maskload_ps(p + 8, lanes_mask8(n - 8))};
}
static inline void lanes_store(float *p, lanes x) {
  _mm256_storeu_ps(p, x.a);
  _mm256_storeu_ps(p + 8, x.b);
}
static inline void lanes_store_n(float *p, lanes x, int n) {
  if (n == LANES) { /* some processors take long over a masked store */
    lanes_store(p, x);
    return;
  }
  _mm256_maskstore_ps(p, lanes_mask8(n), x.a);
  _mm256_maskstore_ps(p + 8, lanes_mask8(n - 8), x.b);
}
static inline lanes lanes_load_f16(const uint16_t *p) {
  return (lanes){_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)),
                 _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 8)))};
}
/* n is even. */
static inline lanes lanes_load_f16_n(const uint16_t *p, int n) {
  __m256i mask = lanes_mask8(n / 2), h = _mm256_maskload_epi32((const int *)p, mask);
  return (lanes){_mm256_cvtph_ps(_mm256_castsi256_si128(h)), _mm256_cvtph_ps(_mm256_extracti128_si256(h, 1))};
}
static inline lanes lanes_load_i8(const char *p) {
  __m128i x = _mm_loadu_si128((const __m128i *)p);
  return (lanes){_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(x)),
                 _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_unpackhi_epi64(x, x)))};
}
static inline void lanes_store_f16(uint16_t *p, lanes x) {
  _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(x.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  _mm_storeu_si128((__m128i *)(p + 8), _mm256_cvtps_ph(x.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
/* Rounds to signed bytes and returns their sum. */
static inline int32_t lanes_store_i8(int8_t *p, lanes x) {
  __m256i a = _mm256_cvtps_epi32(x.a), b = _mm256_cvtps_epi32(x.b);
  /* Packing works on 128-bit halves: the quarters come out as 0 2 1 3. */
  __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xD8);
  __m128i level = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128((__m128i *)p, level);
  /* Sums of eight bytes each, which are 128 above. */
  __m128i sum = _mm_sad_epu8(_mm_xor_si128(level, _mm_set1_epi8(-128)), _mm_setzero_si128());
  return _mm_cvtsi128_si32(sum) + _mm_extract_epi16(sum, 4) - LANES * 128;
}

/* ---- Arithmetic ---- */

static inline lanes lanes_add(lanes x, lanes y) {
  return (lanes){_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)};
}
static inline lanes lanes_sub(lanes x, lanes y) {
  return (lanes){_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)};
}
static inline lanes lanes_mul(lanes x, lanes y) {
  return (lanes){_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)};
}
static inline lanes lanes_div(lanes x, lanes y) {
  return (lanes){_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)};
}
/* x y + z */
static inline lanes lanes_fma(lanes x, lanes y, lanes z) {
  return (lanes){_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
static inline lanes lanes_negate(lanes x) {
  __m256 sign = _mm256_set1_ps(-0.0f);
  return (lanes){_mm256_xor_ps(x.a, sign), _mm256_xor_ps(x.b, sign)};
}
static inline lanes lanes_round(lanes x) {
  return (lanes){_mm256_round_ps(x.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
                 _mm256_round_ps(x.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
/* x 2^n in two steps, since 2^128 is not a float. */
static inline __m256 lanes_scale8(__m256 x, __m256 n) {
  __m256i whole = _mm256_cvtps_epi32(n), bias = _mm256_set1_epi32(127);
  __m256i half = _mm256_srai_epi32(whole, 1), rest = _mm256_sub_epi32(whole, half);
  x = _mm256_mul_ps(x, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23)));
  return _mm256_mul_ps(x, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23)));
}
/* x 2^n for whole n, where neither is so far out that the result would be rounded. */
static inline lanes lanes_scale(lanes x, lanes n) {
  return (lanes){lanes_scale8(x.a, n.a), lanes_scale8(x.b, n.b)};
}

/* math_tree16() */
static inline float lanes_tree(lanes x) {
  __m256 eight = _mm256_add_ps(x.a, x.b);
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/* ---- Comparisons ---- */

/* x > y ? x : y, which for NaN is y. */
static inline lanes lanes_max(lanes x, lanes y) {
  return (lanes){_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)};
}
/* x < y ? yes : no */
static inline lanes lanes_less(lanes x, lanes y, lanes yes, lanes no) {
  return (lanes){_mm256_blendv_ps(no.a, yes.a, _mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ)),
                 _mm256_blendv_ps(no.b, yes.b, _mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ))};
}
static inline __m256 lanes_between8(int first, int last, __m256 x, __m256 other) {
  __m256i in = _mm256_andnot_si256(lanes_mask8(first), lanes_mask8(last + 1));
  return _mm256_blendv_ps(other, x, _mm256_castsi256_ps(in));
}
/* first <= lane number <= last ? x : other, for any first and last. */
static inline lanes lanes_between(int first, int last, lanes x, lanes other) {
  return (lanes){lanes_between8(first, last, x.a, other.a), lanes_between8(first - 8, last - 8, x.b, other.b)};
}
/* The largest lane, none of which is NaN; of zeros either. */
static inline float lanes_largest(lanes x) {
  __m256 m = _mm256_max_ps(x.a, x.b);
  __m128 n = _mm_max_ps(_mm256_castps256_ps128(m), _mm256_extractf128_ps(m, 1));
  n = _mm_max_ps(n, _mm_movehl_ps(n, n));
  return _mm_cvtss_f32(_mm_max_ss(n, _mm_movehdup_ps(n)));
}
/* The bits of the largest magnitude of x and y, as whole numbers. */
static inline uint32_t lanes_largest_bits(lanes x, lanes y) {
  __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7FFFFFFF));
  __m256i a = _mm256_castps_si256(_mm256_and_ps(x.a, magnitude)),
          b = _mm256_castps_si256(_mm256_and_ps(x.b, magnitude));
  __m256i c = _mm256_castps_si256(_mm256_and_ps(y.a, magnitude)),
          d = _mm256_castps_si256(_mm256_and_ps(y.b, magnitude));
  __m256i m = _mm256_max_epi32(_mm256_max_epi32(a, b), _mm256_max_epi32(c, d));
  __m128i n = _mm_max_epi32(_mm256_castsi256_si128(m), _mm256_extracti128_si256(m, 1));
  n = _mm_max_epi32(n, _mm_shuffle_epi32(n, 0x4E));
  return (uint32_t)_mm_cvtsi128_si32(_mm_max_epi32(n, _mm_shuffle_epi32(n, 0xB1)));
}
static inline uint32_t lanes_above8(__m256 x, float least) {
  __m256 size = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
  return (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(size, _mm256_set1_ps(least), _CMP_GT_OQ));
}
/* Bit i: whether the magnitude of value i is above `least`, of the lanes of x and then of y. */
static inline uint32_t lanes_above(lanes x, lanes y, float least) {
  return lanes_above8(x.a, least) | lanes_above8(x.b, least) << 8 | lanes_above8(y.a, least) << 16 |
         lanes_above8(y.b, least) << 24;
}
static inline __m256 lanes_without8(__m256 x, uint32_t bits) {
  __m256i own = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  __m256i set = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32((int)bits), own), own);
  return _mm256_andnot_ps(_mm256_castsi256_ps(set), x);
}
/* x with zero in lane i where bit i is set. */
static inline lanes lanes_without(lanes x, uint32_t bits) {
  return (lanes){lanes_without8(x.a, bits), lanes_without8(x.b, bits >> 8)};
}

#endif
