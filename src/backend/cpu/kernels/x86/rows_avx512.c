/* Operations on one row of activations with AVX-512. Quantising takes four blocks at once. */
#include "backend/cpu/kernels/x86/math_avx512.h"

#include "backend/cpu/kernels/lanes/rows_lanes.h"

enum { FOUR = 4 };

/* ---- The two largest magnitudes of four blocks, as whole numbers ---- */

typedef struct two_largest {
  __m512i first, second;
} two_largest;

/* Of both, lane by lane. */
static inline two_largest merge(two_largest a, two_largest b) {
  return (two_largest){
      _mm512_max_epu32(a.first, b.first),
      _mm512_max_epu32(_mm512_min_epu32(a.first, b.first), _mm512_max_epu32(a.second, b.second)),
  };
}

static inline two_largest of_block(const float *x) {
  __m512i low = _mm512_castps_si512(_mm512_abs_ps(_mm512_loadu_ps(x)));
  __m512i high = _mm512_castps_si512(_mm512_abs_ps(_mm512_loadu_ps(x + LANES)));
  return (two_largest){_mm512_max_epu32(low, high), _mm512_min_epu32(low, high)};
}

/* Merges parts of both: in quarters of vectors, 01 and 23 of each, or 02 and 13. */
static inline two_largest merge_halves(two_largest a, two_largest b) {
  return merge(
      (two_largest){_mm512_shuffle_i32x4(a.first, b.first, 0x44), _mm512_shuffle_i32x4(a.second, b.second, 0x44)},
      (two_largest){_mm512_shuffle_i32x4(a.first, b.first, 0xEE), _mm512_shuffle_i32x4(a.second, b.second, 0xEE)});
}
static inline two_largest merge_quarters(two_largest a, two_largest b) {
  return merge(
      (two_largest){_mm512_shuffle_i32x4(a.first, b.first, 0x88), _mm512_shuffle_i32x4(a.second, b.second, 0x88)},
      (two_largest){_mm512_shuffle_i32x4(a.first, b.first, 0xDD), _mm512_shuffle_i32x4(a.second, b.second, 0xDD)});
}

/* Lane 4 i is block i's. */
static inline two_largest of_four(const float *x) {
  two_largest a = merge_halves(of_block(x), of_block(x + QUANT_BLOCK));
  two_largest b = merge_halves(of_block(x + 2 * QUANT_BLOCK), of_block(x + 3 * QUANT_BLOCK));
  two_largest all = merge_quarters(a, b);
  all = merge(all, (two_largest){_mm512_shuffle_epi32(all.first, 0x4E), _mm512_shuffle_epi32(all.second, 0x4E)});
  return merge(all, (two_largest){_mm512_shuffle_epi32(all.first, 0xB1), _mm512_shuffle_epi32(all.second, 0xB1)});
}

static inline __m128i every_fourth(__m512i a) {
  __m512i lane = _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  return _mm512_castsi512_si128(_mm512_permutexvar_epi32(lane, a));
}

static inline __mmask8 quantizable(__m128i bits) {
  __m128i least = _mm_set1_epi32((int)QUANTIZE_LEAST), range = _mm_set1_epi32((int)(0x7F800000u - QUANTIZE_LEAST));
  return _mm_cmplt_epu32_mask(_mm_sub_epi32(bits, least), range);
}

/* ---- Levels ---- */

/* A block's vectors without its outlier. */
typedef struct values {
  __m512 low, high;
} values;

/* bound: what the outlier alone is above; infinity if there is none. */
static inline values without_outlier(const float *x, float bound, const be_act *to, int64_t block) {
  values v = {_mm512_loadu_ps(x), _mm512_loadu_ps(x + LANES)};
  if (!to->outlier_at) return v;
  uint32_t above = lanes_above(v.low, v.high, bound);
  note_outlier(x, above, to, block);
  return (values){lanes_without(v.low, above), lanes_without(v.high, above >> LANES)};
}

/* Two blocks, divided by their scales, in order. */
static inline __m512i levels_of_two(const values block[2], const float scale[2]) {
  __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), level[2];
  for (int i = 0; i < 2; i++) {
    __m512 by = _mm512_set1_ps(scale[i]);
    __m512i low = _mm512_cvtps_epi32(_mm512_div_ps(block[i].low, by));
    __m512i high = _mm512_cvtps_epi32(_mm512_div_ps(block[i].high, by));
    level[i] = _mm512_packs_epi32(low, high);
  }
  return _mm512_permutexvar_epi32(order, _mm512_packs_epi16(level[0], level[1]));
}

/* Sums of 8 levels, each 1024 above. */
static inline __m512i sums_of_eight(__m512i level) {
  return _mm512_sad_epu8(_mm512_xor_si512(level, _mm512_set1_epi8(-128)), _mm512_setzero_si512());
}

/* Minus the sums of 16 levels, of two pairs of blocks. */
static inline __m128i neg_sums_of(__m512i a, __m512i b) {
  __m512i low = sums_of_eight(a), high = sums_of_eight(b);
  __m512i sum = _mm512_add_epi64(_mm512_unpacklo_epi64(low, high), _mm512_unpackhi_epi64(low, high));
  __m128i neg = _mm512_cvtepi64_epi16(_mm512_sub_epi64(_mm512_set1_epi64(LANES * 128), sum));
  return _mm_shuffle_epi8(neg, _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15));
}

/* math_scale() of four. */
static inline __m128 scales_of(__m128 max) {
  const __m128i dropped = _mm_set1_epi32((int)SCALE_DROPPED);
  __m128i bits = _mm_castps_si128(_mm_div_ps(max, _mm_set1_ps(SCALE_DIVISOR)));
  return _mm_castsi128_ps(_mm_andnot_si128(dropped, _mm_add_epi32(bits, dropped)));
}

/* Quantises four blocks; or does nothing and returns false, where one has nothing to divide by or is not finite. */
static inline bool quantize_four(const float *x, const be_act *to, int64_t block, float least) {
  two_largest largest = of_four(x);
  __m128i first = every_fourth(largest.first), second = every_fourth(largest.second);
  __m128 max = _mm_castsi128_ps(first), bound = _mm_mul_ps(max, _mm_set1_ps(to->outlier_rest));
  __mmask8 sound = quantizable(first);
  if (to->outlier_at) {
    __mmask8 is = _mm_cmp_ps_mask(_mm_castsi128_ps(second), bound, _CMP_LE_OQ);
    is &= _mm_cmp_ps_mask(max, _mm_set1_ps(least), _CMP_GT_OQ);
    bound = _mm_mask_mov_ps(_mm_set1_ps(INFINITY), is, bound);
    max = _mm_castsi128_ps(_mm_mask_mov_epi32(first, is, second));
    sound &= quantizable(_mm_castps_si128(max));
  }
  if (sound != 15) return false;
  float *scale = to->scale + block, bounds[FOUR];
  values v[FOUR];
  _mm_storeu_ps(scale, scales_of(max));
  _mm_storeu_ps(bounds, bound);
  for (int i = 0; i < FOUR; i++) v[i] = without_outlier(x + i * QUANT_BLOCK, bounds[i], to, block + i);
  __m512i a = levels_of_two(v, scale), b = levels_of_two(v + 2, scale + 2);
  _mm512_storeu_si512(to->level + block * QUANT_BLOCK, a);
  _mm512_storeu_si512(to->level + (block + 2) * QUANT_BLOCK, b);
  _mm_storeu_si128((__m128i *)(to->neg_sum + 2 * block), neg_sums_of(a, b));
  return true;
}

static void quantize_fours(const float *x, int64_t n, const be_act *to, int64_t at, float least) {
  int64_t b = 0, count = n / QUANT_BLOCK, first = at / QUANT_BLOCK;
  for (; b + FOUR <= count; b += FOUR) {
    if (quantize_four(x + b * QUANT_BLOCK, to, first + b, least)) continue;
    for (int64_t i = b; i < b + FOUR; i++) quantize_block(x + i * QUANT_BLOCK, to, first + i, least, false);
  }
  for (; b < count; b++) quantize_block(x + b * QUANT_BLOCK, to, first + b, least, false);
}

void cpu_rows_avx512(cpu_kernels *k) {
  rows_fill(k);
  k->quantize = quantize_fours;
}
