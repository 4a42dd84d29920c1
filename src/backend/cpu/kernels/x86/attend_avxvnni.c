/* Attention with AVX2 and AVX-VNNI: as with AVX2, but for the dot products of the q8 cache. */
#include "backend/cpu/kernels/x86/math_avx2.h"

enum { SCORE_GROUPS = 1, VALUE_VECTORS = 1, Q8_VECTORS = 1 };

#include "backend/cpu/kernels/lanes/attend_lanes.h"

/* Stored levels are 128 above the true ones: the sums start at -128 times the sum of q's levels. */
INLINE void score_dots(const uint8_t *keys, const int8_t *const *q, const int32_t *neg_sum, int n, lanes *dot) {
  __m256i low[TILE_QUERIES], high[TILE_QUERIES];
  UNROLL for (int i = 0; i < n; i++) low[i] = high[i] = _mm256_set1_epi32(128 * neg_sum[i]);
  UNROLL for (int s = 0; s < QUANT_BLOCK / 4; s++) {
    __m256i first = _mm256_loadu_si256((const __m256i *)(keys + s * LINE));
    __m256i second = _mm256_loadu_si256((const __m256i *)(keys + s * LINE + LINE / 2));
    UNROLL for (int i = 0; i < n; i++) {
      int32_t four;
      memcpy(&four, q[i] + 4 * s, sizeof four);
      __m256i x = _mm256_set1_epi32(four);
      low[i] = _mm256_dpbusd_avx_epi32(low[i], first, x);
      high[i] = _mm256_dpbusd_avx_epi32(high[i], second, x);
    }
  }
  UNROLL for (int i = 0; i < n; i++) dot[i] = (lanes){_mm256_cvtepi32_ps(low[i]), _mm256_cvtepi32_ps(high[i])};
}

void cpu_attend_avxvnni(cpu_kernels *k) {
  attend_fill(k);
}
