/* Linear layers with AVX2 and AVX-VNNI: four bytes are multiplied and added to a sum of 32 bits by VPDPBUSD. */

/* 12 sums, two vectors of weights and one of activations take 15 registers. The chains of floats wait in memory. */
enum { FEW_TOKENS = 6, ABOVE = 128 };

#include "backend/cpu/kernels/x86/linear_few_256.h"
#include "backend/cpu/kernels/x86/linear_many_256.h"

TILE_INLINE void multiply(tile_format f, const factors *a, int h, int tokens, __m256i sum[HALF_PANELS][MOST_TOKENS]) {
  UNROLL
  for (int i = 0; i < tokens; i++) {
    __m256i start = zero_point(f) ? factor_start(a, i) : _mm256_setzero_si256();
    UNROLL
    for (int half = 0; half < HALF_PANELS; half++) sum[half][i] = start;
  }
  UNROLL
  for (int s = 0; s < 8 / tile_sub_blocks(f); s++) {
    int step = tile_step(f, h, s);
    __m256i w[HALF_PANELS];
    UNROLL
    for (int half = 0; half < HALF_PANELS; half++) w[half] = factor_levels(f, a, half, step);
    UNROLL
    for (int i = 0; i < tokens; i++) {
      __m256i x = factor_inputs(a, i, step);
      UNROLL
      for (int half = 0; half < HALF_PANELS; half++) sum[half][i] = _mm256_dpbusd_avx_epi32(sum[half][i], w[half], x);
    }
  }
}

TILE_QUANTIZED(LINEAR_256)

#define FILL(NAME, TYPE) k->linear[QUANT_##TYPE] = linear_##NAME;
void cpu_linear_avxvnni(cpu_kernels *k) {
  TILE_QUANTIZED(FILL)
  kernels_need_scratch(k, sizeof(part_scratch));
}
