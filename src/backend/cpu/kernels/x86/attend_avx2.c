/* Attention with AVX2: tiles of 6 queries by 16 positions or 16 dimensions, in 12 of the 16 registers. */
#include "backend/cpu/kernels/x86/math_avx2.h"

enum { SCORE_GROUPS = 1, VALUE_VECTORS = 1, Q8_VECTORS = 1 };

#include "backend/cpu/kernels/lanes/attend_lanes.h"

/* Eight of the sixteen keys. Bytes are multiplied as |key| * (q with key's sign): the sum of two products is at
 * most 2 * 128 * 127 and so fits 16 bits. */
INLINE void score_dots8(const uint8_t *keys, const int8_t *const *q, int n, __m256 *dot) {
  const __m256i offset = _mm256_set1_epi8((char)0x80), ones = _mm256_set1_epi16(1);
  __m256i sum[TILE_QUERIES];
  UNROLL for (int i = 0; i < n; i++) sum[i] = _mm256_setzero_si256();
  UNROLL for (int s = 0; s < QUANT_BLOCK / 4; s++) {
    __m256i key = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(keys + s * LINE)), offset);
    __m256i magnitude = _mm256_abs_epi8(key);
    UNROLL for (int i = 0; i < n; i++) {
      int32_t four;
      memcpy(&four, q[i] + 4 * s, sizeof four);
      __m256i pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(_mm256_set1_epi32(four), key));
      sum[i] = _mm256_add_epi32(sum[i], _mm256_madd_epi16(pairs, ones));
    }
  }
  UNROLL for (int i = 0; i < n; i++) dot[i] = _mm256_cvtepi32_ps(sum[i]);
}

INLINE void score_dots(const uint8_t *keys, const int8_t *const *q, const int32_t *neg_sum, int n, lanes *dot) {
  __m256 low[TILE_QUERIES], high[TILE_QUERIES];
  (void)neg_sum;
  score_dots8(keys, q, n, low);
  score_dots8(keys + LINE / 2, q, n, high);
  UNROLL for (int i = 0; i < n; i++) dot[i] = (lanes){low[i], high[i]};
}

void cpu_attend_avx2(cpu_kernels *k) {
  attend_fill(k);
}
