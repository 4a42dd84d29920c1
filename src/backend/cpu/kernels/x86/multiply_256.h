/* The integer products of a tile: with AVX2 by VPMADDUBSW, into sums of 16 bits; with AVX-VNNI by VPDPBUSD, which
 * multiplies four bytes and adds them to a sum of 32 bits. */
#ifndef X86_MULTIPLY_256_H
#define X86_MULTIPLY_256_H

#include "backend/cpu/kernels/x86/linear_256.h"

/* ---- Operands ---- */

/* What is multiplied of a sub-block: the levels of its block in a panel, or unpacked, and of a tile's tokens the inputs
 * and what these add to every row's sum. Token i is at i times a stride. */
typedef struct factors {
  const char *levels;
  bool unpacked;
  __m256i values;
  const int8_t *inputs;
  const int32_t *start;
  int64_t input_stride, start_stride;
} factors;

/* Inputs 4 step .. 4 step + 3 of the block, of half a panel and of a token. */
TILE_INLINE __m256i factor_levels(tile_format f, const factors *a, int half, int step) {
  if (a->unpacked) return _mm256_loadu_si256((const __m256i *)(a->levels + step * 64 + half * 32));
  return step_levels(f, a->levels, half, step, a->values);
}
TILE_INLINE __m256i factor_inputs(const factors *a, int i, int step) {
  return _mm256_set1_epi32(four_bytes(a->inputs + i * a->input_stride + step * 4));
}
TILE_INLINE __m256i factor_start(const factors *a, int i) {
  /* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): prepared for every type with a zero point */
  return _mm256_set1_epi32(a->start[i * a->start_stride]);
}

/* ---- Products ---- */

#if defined(__AVXVNNI__)

/* The integer products of sub-block h. */
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

#else

/* Sums of two products in 16 bits. Activations' levels are within -127 .. 127, so that no sum saturates:
 *   2, 3 bits  2 * 7 * 127 = 1,778, and 4 of them are 7,112
 *   4 bits     2 * 15 * 127 = 3,810, and 8 of them are 30,480
 *   5 bits     2 * 31 * 127 = 7,874, and 4 of them are 31,496
 *   6 bits     2 * 63 * 127 = 16,002, and 2 of them are 32,004
 *   signs      2 * 128 * 127 = 32,512; the weight's sign moves to the activation, which has no -128 to overflow */
TILE_INLINE __m256i products(tile_format f, __m256i w, __m256i x) {
  if (!has_signs(f)) return _mm256_maddubs_epi16(w, x);
  return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
}

/* How many such sums are added in 16 bits; with factors for halves of a block no more than the 4 of a half. */
TILE_INLINE int steps_in_16_bits(tile_format f) {
  return has_signs(f) ? 1 : f.bits == 4 ? 8 : f.bits == 6 ? 2 : 4;
}

/* Keeps the compiler from adding in another order: GCC would compute all products first and spill them to memory. */
TILE_INLINE __m256i in_order(__m256i sum) {
  __asm__ volatile("" : "+x"(sum));
  return sum;
}

/* The integer products of sub-block h. */
TILE_INLINE void multiply(tile_format f, const factors *a, int h, int tokens, __m256i sum[HALF_PANELS][MOST_TOKENS]) {
  const __m256i one = _mm256_set1_epi16(1);
  __m256i run[HALF_PANELS][MOST_TOKENS];
  UNROLL
  for (int s = 0; s < 8 / tile_sub_blocks(f); s++) {
    int step = tile_step(f, h, s), steps = steps_in_16_bits(f), in_run = s % steps;
    __m256i w[HALF_PANELS];
    UNROLL
    for (int half = 0; half < HALF_PANELS; half++) w[half] = factor_levels(f, a, half, step);
    UNROLL
    for (int i = 0; i < tokens; i++) {
      __m256i x = factor_inputs(a, i, step);
      UNROLL
      for (int half = 0; half < HALF_PANELS; half++) {
        __m256i two = products(f, w[half], x);
        run[half][i] = in_run == 0 ? two : in_order(_mm256_add_epi16(run[half][i], two));
        if (in_run < steps - 1) continue;
        __m256i wide = _mm256_madd_epi16(run[half][i], one);
        sum[half][i] = s < steps ? wide : in_order(_mm256_add_epi32(sum[half][i], wide));
      }
    }
  }
  if (!zero_point(f)) return;
  UNROLL
  for (int i = 0; i < tokens; i++) {
    UNROLL
    for (int half = 0; half < HALF_PANELS; half++) sum[half][i] = _mm256_add_epi32(sum[half][i], factor_start(a, i));
  }
}

#endif

/* Adds the products of half a panel and a token, scaled, and the minima. */
TILE_INLINE __m256 add_product(tile_format f, __m256 d, __m256 m, float scale, const float *min, __m256i product,
                               __m256 acc) {
  acc = _mm256_fmadd_ps(_mm256_mul_ps(d, _mm256_set1_ps(scale)), _mm256_cvtepi32_ps(product), acc);
  return f.has_min ? _mm256_fmadd_ps(m, _mm256_set1_ps(*min), acc) : acc;
}

#endif
