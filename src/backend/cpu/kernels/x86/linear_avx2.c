/* Linear layers with AVX2. */
#include "backend/cpu/kernels/x86/linear_many_256.h"

/* ---- Float weights ---- */

/* 16 registers, less those of weights and activations. */
enum { FLOAT_TOKENS = 6 };

TILE_INLINE __m256 load_weights(tile_format f, const char *p) {
  if (f.type == QUANT_F32) return _mm256_loadu_ps((const float *)p);
  if (f.type == QUANT_F16) return load_halves(p);
  __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

TILE_INLINE void float_tile(tile_format f, const linear_task *t, int64_t panel, int32_t token, int tokens) {
  int64_t cols = t->x->cols;
  int bytes = FLOAT_INPUTS * f.levels;
  const tile_distance ahead = tile_ahead(t, cols / FLOAT_INPUTS, bytes);
  const float *x = t->x->f32 + token * cols;
  const char *at = tile_panel(t, panel), *next = tile_panel(t, panel + 1);
  __m256 acc[HALF_PANELS][FLOAT_TOKENS];
  UNROLL
  for (int h = 0; h < HALF_PANELS; h++) {
    UNROLL
    for (int i = 0; i < tokens; i++) acc[h][i] = _mm256_setzero_ps();
  }
  for (int64_t c = 0; c < cols; c++) {
    if (c % FLOAT_INPUTS == 0) tile_prefetch(at, next, c / FLOAT_INPUTS, ahead, cols / FLOAT_INPUTS, bytes);
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

TILE_INLINE void float_tiles(tile_format f, const linear_task *t, int64_t panel, int32_t token,
                             int tokens){TILE_BY_TOKENS(tokens, FLOAT_TOKENS, float_tile, f, t, panel, token)}

/* ---- One function for each type ---- */

#define FLOAT(NAME, TYPE)                                                                                              \
  static void NAME##_tile(const linear_task *t, int64_t panel, int32_t token, int tokens) {                            \
    float_tiles(TILE_##TYPE, t, panel, token, tokens);                                                                 \
  }                                                                                                                    \
  static void linear_##NAME(const linear_task *t) {                                                                    \
    tile_all(t, TILE_##TYPE, 1, FLOAT_TOKENS, NAME##_tile);                                                            \
  }
TILE_FLOAT(FLOAT) TILE_QUANTIZED(LINEAR_256)

#define FILL(NAME, TYPE) k->linear[QUANT_##TYPE] = linear_##NAME;
    void cpu_linear_avx2(cpu_kernels *k) {
  TILE_FLOAT(FILL)
  TILE_QUANTIZED(FILL)
  kernels_need_scratch(k, part_bytes(SHAPE_256));
}
