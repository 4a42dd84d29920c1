/* Linear layers with AVX2 and AVX-VNNI: four bytes are multiplied and added to a sum of 32 bits by VPDPBUSD. */

/* 12 sums, two vectors of weights and one of activations take 15 registers. The chains of floats wait in memory. */
enum { TOKENS = 6, ABOVE = 128 };

#include "backend/cpu/linear_256.h"

TILE_INLINE void multiply(tile_format f, const operands *o, int64_t b, int tokens, const block_sums *sums,
                          __m256 product[HALF_PANELS][TOKENS]) {
  int halves = tile_has_halves(f) ? 2 : 1, steps = 8 / halves;
  UNROLL
  for (int half = 0; half < halves; half++) {
    __m256i sum[HALF_PANELS][TOKENS];
    UNROLL
    for (int i = 0; i < tokens; i++) {
      __m256i start = zero_point(f) ? _mm256_set1_epi32(sums->zero[half][i][b % 8]) : _mm256_setzero_si256();
      UNROLL
      for (int h = 0; h < HALF_PANELS; h++) sum[h][i] = start;
    }
    UNROLL
    for (int s = 0; s < steps; s++) {
      int step = halves == 2 ? half * steps + s : s % 2 * 4 + s / 2; /* both nibbles of a byte one after the other */
      __m256i w[HALF_PANELS];
      UNROLL
      for (int h = 0; h < HALF_PANELS; h++) w[h] = step_levels(f, o->at + b * f.levels, h, step, o->values);
      UNROLL
      for (int i = 0; i < tokens; i++) {
        __m256i x = step_inputs(o, b, i, step);
        UNROLL
        for (int h = 0; h < HALF_PANELS; h++) sum[h][i] = _mm256_dpbusd_avx_epi32(sum[h][i], w[h], x);
      }
    }
    UNROLL
    for (int h = 0; h < HALF_PANELS; h++) {
      __m256 factor = _mm256_setzero_ps();
      if (f.factors != FACTORS_NONE) factor = to_floats(factor_bytes(f, factors_at(f, o, b, h), half));
      UNROLL
      for (int i = 0; i < tokens; i++) {
        __m256 whole = _mm256_cvtepi32_ps(sum[h][i]), before = half ? product[h][i] : _mm256_setzero_ps();
        /* The addition gives a product of zero the sign that it has as an integer. */
        product[h][i] = f.factors == FACTORS_NONE ? whole : _mm256_fmadd_ps(factor, whole, before);
      }
    }
  }
}

TILE_QUANTIZED(LINEAR_256)

#define FILL(NAME, TYPE) k->linear[QUANT_##TYPE] = linear_##NAME;
void cpu_linear_avxvnni(cpu_kernels *k) {
  TILE_QUANTIZED(FILL)
}
