/* Linear layers with AVX-512 and VNNI: the rows of a panel are the lanes of a vector. */
#include "backend/cpu/linear_tiles.h"

#include <immintrin.h>
#include <string.h>

/* 12 chains and 12 integer sums leave 8 registers for weights and activations. */
enum { PANELS = 2, TOKENS = 6 };

TILE_INLINE __m512 load_halves(const char *p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

TILE_INLINE void store(const linear_task *t, int64_t panel, int32_t token, __m512 acc) {
  __mmask16 rows = (__mmask16)((1u << tile_rows(t, panel)) - 1);
  if (!rows) return;
  float *out = t->out + token * t->stride + panel * PANEL_ROWS;
  if (t->add) acc = _mm512_add_ps(_mm512_maskz_loadu_ps(rows, out), acc);
  _mm512_mask_storeu_ps(out, rows, acc);
}

/* ---- Float weights ---- */

TILE_INLINE __m512 load_weights(tile_format f, const char *p) {
  if (f.type == QUANT_F32) return _mm512_loadu_ps(p);
  if (f.type == QUANT_F16) return load_halves(p);
  __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

TILE_INLINE void float_tile(tile_format f, const linear_task *t, int64_t panel, int32_t token, int tokens) {
  int64_t cols = t->x->cols, ahead = tile_ahead(f, cols);
  const float *x = t->x->f32 + token * cols;
  const char *at[PANELS], *next[PANELS];
  __m512 acc[PANELS][TOKENS];
  UNROLL
  for (int p = 0; p < PANELS; p++) {
    at[p] = tile_panel(t, panel + p);
    next[p] = tile_panel(t, panel + PANELS + p);
    UNROLL
    for (int i = 0; i < tokens; i++) acc[p][i] = _mm512_setzero_ps();
  }
  for (int64_t c = 0; c < cols; c++) {
    UNROLL
    for (int p = 0; p < PANELS; p++) {
      tile_prefetch(at[p], next[p], c + ahead, cols, f.levels);
      __m512 w = load_weights(f, at[p] + c * f.levels);
      UNROLL
      for (int i = 0; i < tokens; i++) acc[p][i] = _mm512_fmadd_ps(w, _mm512_set1_ps(x[i * cols + c]), acc[p][i]);
    }
  }
  UNROLL
  for (int p = 0; p < PANELS; p++) {
    UNROLL
    for (int i = 0; i < tokens; i++) store(t, panel + p, token + i, acc[p][i]);
  }
}

/* ---- Quantised weights ---- */

TILE_INLINE int32_t four_levels(const int8_t *p) {
  int32_t v;
  memcpy(&v, p, sizeof v);
  return v;
}

/* Inputs 4 step .. 4 step + 3 of a block, as stored. */
TILE_INLINE __m512i step_levels(tile_format f, const char *block, int step) {
  if (f.bits == 8) return _mm512_loadu_si512(block + step * 64);
  __m512i packed = _mm512_loadu_si512(block + step % 4 * 64);
  if (step >= 4) packed = _mm512_srli_epi16(packed, 4);
  __m512i nibbles = _mm512_and_si512(packed, _mm512_set1_epi8(15));
  if (f.bits == 4) return nibbles;
  __mmask64 fifth;
  memcpy(&fifth, block + NIBBLES + step * 8, sizeof fifth);
  return _mm512_mask_add_epi8(nibbles, fifth, nibbles, _mm512_set1_epi8(16));
}

/* Stored levels are `zero` above the true ones, so the sum of products starts at minus zero times the sum of the
 * activation's levels. */
TILE_INLINE __m512i first_sum(tile_format f, int32_t neg_sum) {
  __m512i sum = _mm512_set1_epi32(neg_sum);
  switch (f.zero) {
  case 8:
    return _mm512_slli_epi32(sum, 3);
  case 16:
    return _mm512_slli_epi32(sum, 4);
  case 128:
    return _mm512_slli_epi32(sum, 7);
  default:
    return _mm512_setzero_si512();
  }
}

/* scale times the sum of the levels, of n blocks but at most 16. */
TILE_INLINE void scaled_sums(const float *scale, const int32_t *neg_sum, int64_t n, float to[16]) {
  __mmask16 blocks = (__mmask16)(n < 16 ? (1u << n) - 1 : 0xFFFF);
  __m512i sum = _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_maskz_loadu_epi32(blocks, neg_sum));
  _mm512_storeu_ps(to, _mm512_mul_ps(_mm512_maskz_loadu_ps(blocks, scale), _mm512_cvtepi32_ps(sum)));
}

TILE_INLINE void quantized_tile(tile_format f, const linear_task *t, int64_t panel, int32_t token, int tokens) {
  int64_t cols = t->x->cols, n_blocks = cols / QUANT_BLOCK, scales_at = n_blocks * f.levels;
  int64_t ahead = tile_ahead(f, n_blocks);
  const int8_t *level = t->x->level + token * cols;
  const float *scale = t->x->scale + token * n_blocks;
  const int32_t *neg_sum = t->x->neg_sum + token * n_blocks;
  const char *at[PANELS], *next[PANELS];
  __m512 acc[PANELS][TOKENS];
  float x_sum[TOKENS][16]; /* of the blocks from the last multiple of 16 on */
  UNROLL
  for (int p = 0; p < PANELS; p++) {
    at[p] = tile_panel(t, panel + p);
    next[p] = tile_panel(t, panel + PANELS + p);
    UNROLL
    for (int i = 0; i < tokens; i++) acc[p][i] = _mm512_setzero_ps();
  }
  for (int64_t b = 0; b < n_blocks; b++) {
    if (f.has_min && b % 16 == 0)
      for (int i = 0; i < tokens; i++)
        scaled_sums(scale + i * n_blocks + b, neg_sum + i * n_blocks + b, n_blocks - b, x_sum[i]);

    __m512i sum[PANELS][TOKENS];
    UNROLL
    for (int p = 0; p < PANELS; p++) {
      tile_prefetch(at[p], next[p], b + ahead, n_blocks, f.levels);
      tile_prefetch(at[p] + scales_at, next[p] + scales_at, b + ahead, n_blocks, f.scales);
      UNROLL
      for (int i = 0; i < tokens; i++) sum[p][i] = first_sum(f, neg_sum[i * n_blocks + b]);
    }
    UNROLL
    for (int s = 0; s < 8; s++) {
      int step = s % 2 * 4 + s / 2; /* both nibbles of a byte one after the other */
      __m512i w[PANELS];
      UNROLL
      for (int p = 0; p < PANELS; p++) w[p] = step_levels(f, at[p] + b * f.levels, step);
      UNROLL
      for (int i = 0; i < tokens; i++) {
        __m512i x = _mm512_set1_epi32(four_levels(level + i * cols + b * QUANT_BLOCK + step * 4));
        UNROLL
        for (int p = 0; p < PANELS; p++) sum[p][i] = _mm512_dpbusd_epi32(sum[p][i], w[p], x);
      }
    }
    UNROLL
    for (int p = 0; p < PANELS; p++) {
      const char *scales = at[p] + scales_at + b * f.scales;
      UNROLL
      for (int i = 0; i < tokens; i++) {
        __m512 both = _mm512_mul_ps(load_halves(scales), _mm512_set1_ps(scale[i * n_blocks + b]));
        acc[p][i] = _mm512_fmadd_ps(both, _mm512_cvtepi32_ps(sum[p][i]), acc[p][i]);
        if (f.has_min)
          acc[p][i] = _mm512_fmadd_ps(load_halves(scales + HALVES), _mm512_set1_ps(x_sum[i][b % 16]), acc[p][i]);
      }
    }
  }
  UNROLL
  for (int p = 0; p < PANELS; p++) {
    UNROLL
    for (int i = 0; i < tokens; i++) store(t, panel + p, token + i, acc[p][i]);
  }
}

/* ---- One function for each type ---- */

TILE_INLINE void tile_of(tile_format f, const linear_task *t, int64_t panel, int32_t token, int tokens) {
  if (f.bits > 8)
    float_tile(f, t, panel, token, tokens);
  else
    quantized_tile(f, t, panel, token, tokens);
}

TILE_INLINE void tile(tile_format f, const linear_task *t, int64_t panel, int32_t token, int tokens) {
  switch (tokens) {
  case 1:
    tile_of(f, t, panel, token, 1);
    break;
  case 2:
    tile_of(f, t, panel, token, 2);
    break;
  case 3:
    tile_of(f, t, panel, token, 3);
    break;
  case 4:
    tile_of(f, t, panel, token, 4);
    break;
  case 5:
    tile_of(f, t, panel, token, 5);
    break;
  default:
    tile_of(f, t, panel, token, 6);
    break;
  }
}

#define LINEAR(NAME, FORMAT)                                                                                           \
  static void NAME##_tile(const linear_task *t, int64_t panel, int32_t token, int tokens) {                            \
    tile(FORMAT, t, panel, token, tokens);                                                                             \
  }                                                                                                                    \
  static void NAME(const linear_task *t) {                                                                             \
    tile_all(t, FORMAT, PANELS, TOKENS, NAME##_tile);                                                                  \
  }

LINEAR(linear_f32, TILE_F32)
LINEAR(linear_f16, TILE_F16)
LINEAR(linear_bf16, TILE_BF16)
LINEAR(linear_q8_0, TILE_Q8_0)
LINEAR(linear_q4_0, TILE_Q4_0)
LINEAR(linear_q4_1, TILE_Q4_1)
LINEAR(linear_q5_0, TILE_Q5_0)
LINEAR(linear_q5_1, TILE_Q5_1)

void cpu_linear_avx512(cpu_kernels *k) {
  k->linear[QUANT_F32] = linear_f32;
  k->linear[QUANT_F16] = linear_f16;
  k->linear[QUANT_BF16] = linear_bf16;
  k->linear[QUANT_Q8_0] = linear_q8_0;
  k->linear[QUANT_Q4_0] = linear_q4_0;
  k->linear[QUANT_Q4_1] = linear_q4_1;
  k->linear[QUANT_Q5_0] = linear_q5_0;
  k->linear[QUANT_Q5_1] = linear_q5_1;
}
