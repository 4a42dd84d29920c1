/* Linear layers with AVX2: bytes are multiplied by VPMADDUBSW, into sums of 16 bits. */

/* Quantised weights need two sums for each token and half panel. With four tokens those of floats wait in memory, which
 * costs less than unpacking more often. Float weights leave 12 registers to sums. */
enum { FEW_TOKENS = 4, ABOVE = 0, FLOAT_TOKENS = 6 };

#include "backend/cpu/kernels/x86/linear_few_256.h"
#include "backend/cpu/kernels/x86/linear_many_256.h"

/* ---- Quantised weights ---- */

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

/* How many of those are added in 16 bits; with factors for halves of a piece no more than the 4 of a half. */
TILE_INLINE int steps_in_16_bits(tile_format f) {
  return has_signs(f) ? 1 : f.bits == 4 ? 8 : f.bits == 6 ? 2 : 4;
}

/* Keeps the compiler from adding in another order: GCC would compute all products before, and hold them in memory. */
TILE_INLINE __m256i in_order(__m256i sum) {
  __asm__ volatile("" : "+x"(sum));
  return sum;
}

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

/* ---- Float weights ---- */

TILE_INLINE __m256 load_weights(tile_format f, const char *p) {
  if (f.type == QUANT_F32) return _mm256_loadu_ps((const float *)p);
  if (f.type == QUANT_F16) return load_halves(p);
  __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

TILE_INLINE void float_tile(tile_format f, const linear_task *t, int64_t panel, int32_t token, int tokens) {
  int64_t cols = t->x->cols;
  int bytes = FLOAT_PIECE * f.levels;
  const tile_distance ahead = tile_ahead(t, cols / FLOAT_PIECE, bytes);
  const float *x = t->x->f32 + token * cols;
  const char *at = tile_panel(t, panel), *next = tile_panel(t, panel + 1);
  __m256 acc[HALF_PANELS][FLOAT_TOKENS];
  UNROLL
  for (int h = 0; h < HALF_PANELS; h++) {
    UNROLL
    for (int i = 0; i < tokens; i++) acc[h][i] = _mm256_setzero_ps();
  }
  for (int64_t c = 0; c < cols; c++) {
    if (c % FLOAT_PIECE == 0) tile_prefetch(at, next, c / FLOAT_PIECE, ahead, cols / FLOAT_PIECE, bytes);
    __m256 w[HALF_PANELS];
    UNROLL
    for (int h = 0; h < HALF_PANELS; h++) w[h] = load_weights(f, at + c * f.levels + h * f.levels / 2);
    UNROLL
    for (int i = 0; i < tokens; i++) {
      __m256 v = _mm256_set1_ps(x[i * cols + c]);
      UNROLL
      for (int h = 0; h < HALF_PANELS; h++) acc[h][i] = _mm256_fmadd_ps(w[h], v, acc[h][i]);
    }
  }
  UNROLL
  for (int h = 0; h < HALF_PANELS; h++) {
    UNROLL
    for (int i = 0; i < tokens; i++) store_rows(t, panel, h, token + i, acc[h][i]);
  }
}

TILE_INLINE void float_tiles(tile_format f, const linear_task *t, int64_t panel, int32_t token, int tokens) {
  switch (tokens) {
  case 1:
    float_tile(f, t, panel, token, 1);
    break;
  case 2:
    float_tile(f, t, panel, token, 2);
    break;
  case 3:
    float_tile(f, t, panel, token, 3);
    break;
  case 4:
    float_tile(f, t, panel, token, 4);
    break;
  case 5:
    float_tile(f, t, panel, token, 5);
    break;
  default:
    float_tile(f, t, panel, token, 6);
    break;
  }
}

/* ---- One function for each type ---- */

#define FLOAT(NAME, TYPE)                                                                                              \
  static void NAME##_tile(const linear_task *t, int64_t panel, int32_t token, int tokens) {                            \
    float_tiles(TILE_##TYPE, t, panel, token, tokens);                                                                 \
  }                                                                                                                    \
  static void linear_##NAME(const linear_task *t) {                                                                    \
    tile_all(t, TILE_##TYPE, 1, FLOAT_TOKENS, NAME##_tile);                                                            \
  }
TILE_FLOAT(FLOAT)
TILE_QUANTIZED(LINEAR_256)

#define FILL(NAME, TYPE) k->linear[QUANT_##TYPE] = linear_##NAME;
void cpu_linear_avx2(cpu_kernels *k) {
  TILE_FLOAT(FILL)
  TILE_QUANTIZED(FILL)
  kernels_need_scratch(k, sizeof(part_scratch));
}
