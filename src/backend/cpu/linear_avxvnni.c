/* Linear layers with AVX2 and AVX-VNNI: four bytes are multiplied and added to a sum of 32 bits by VPDPBUSD. */

/* 12 sums, two vectors of weights and one of activations take 15 registers. The chains of floats wait in memory. */
enum { TOKENS = 6, ABOVE = 128 };

#include "backend/cpu/linear_256.h"

TILE_INLINE void multiply(tile_format f, const operands *o, int64_t b, int h, int tokens, const block_sums *sums,
                          __m256i sum[HALF_PANELS][TOKENS]) {
  UNROLL
  for (int i = 0; i < tokens; i++) {
    /* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): prepared for every type with a zero point */
    __m256i start = zero_point(f) ? _mm256_set1_epi32(sums->start[h][i][b % 8]) : _mm256_setzero_si256();
    UNROLL
    for (int half = 0; half < HALF_PANELS; half++) sum[half][i] = start;
  }
  UNROLL
  for (int s = 0; s < 8 / tile_sub_blocks(f); s++) {
    int step = tile_step(f, h, s);
    __m256i w[HALF_PANELS];
    UNROLL
    for (int half = 0; half < HALF_PANELS; half++)
      w[half] = step_levels(f, o->at + b * f.levels, half, step, o->values);
    UNROLL
    for (int i = 0; i < tokens; i++) {
      __m256i x = step_inputs(o, b, i, step);
      UNROLL
      for (int half = 0; half < HALF_PANELS; half++) sum[half][i] = _mm256_dpbusd_avx_epi32(sum[half][i], w[half], x);
    }
  }
}

TILE_QUANTIZED(LINEAR_256)

#define FILL(NAME, TYPE) k->linear[QUANT_##TYPE] = linear_##NAME;
void cpu_linear_avxvnni(cpu_kernels *k) {
  TILE_QUANTIZED(FILL)
}
