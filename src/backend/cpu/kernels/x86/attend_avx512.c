/* Attention with AVX-512: tiles of 6 queries by 64 positions or 64 dimensions, in 24 of the 32 registers. */
#include "backend/cpu/kernels/x86/math_avx512.h"

enum { SCORE_GROUPS = 4, VALUE_VECTORS = 4, Q8_VECTORS = 2 };

#include "backend/cpu/kernels/lanes/attend_lanes.h"

/* Stored levels are 128 above the true ones: the sum starts at -128 times the sum of q's levels. */
INLINE void score_dots(const uint8_t *keys, const int8_t *const *q, const int32_t *neg_sum, int n, lanes *dot) {
  __m512i sum[TILE_QUERIES];
  UNROLL for (int i = 0; i < n; i++) sum[i] = _mm512_set1_epi32(128 * neg_sum[i]);
  UNROLL for (int s = 0; s < QUANT_BLOCK / 4; s++) {
    __m512i key = _mm512_loadu_si512(keys + s * LINE);
    UNROLL for (int i = 0; i < n; i++) {
      int32_t four;
      memcpy(&four, q[i] + 4 * s, sizeof four);
      sum[i] = _mm512_dpbusd_epi32(sum[i], key, _mm512_set1_epi32(four));
    }
  }
  UNROLL for (int i = 0; i < n; i++) dot[i] = _mm512_cvtepi32_ps(sum[i]);
}

void cpu_attend_avx512(cpu_kernels *k) {
  attend_fill(k);
}
