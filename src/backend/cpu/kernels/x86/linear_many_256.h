/* Tasks of many tokens with AVX2: nothing but products and their scaling is left to the tiles. */
#ifndef X86_LINEAR_MANY_256_H
#define X86_LINEAR_MANY_256_H

#include "backend/cpu/kernels/x86/linear_256.h"

/* 12 sums, two vectors of weights and one of activations take 15 registers; the chains of floats wait in memory. A part
 * takes 230 KB. */
enum {
  TILE_TOKENS = MOST_TOKENS,
  TILE_PANELS = 1,
  TOKENS = 96,
  BLOCKS = 16,
  PANELS = 16,
  MIN_TOKENS = 24,
  MIN_REST = 1
};

#include "backend/cpu/kernels/lanes/linear_parts.h"

TILE_INLINE int pack_scales(tile_format f, const be_act *x, const part *p, int tile, int i, int b, part_scratch *s) {
  int64_t at = (p->token + tile * TILE_TOKENS + i) * (x->cols / QUANT_BLOCK) + p->block + b;
  __m256i blocks = first_lanes(p->blocks - b);
  __m256 scale = _mm256_maskload_ps(x->scale + at, blocks);
  __m256i neg_sums = _mm256_maskload_epi32((const int *)(x->neg_sum + 2 * at), blocks);
  _mm256_storeu_ps(&s->scale[tile][i][b], scale);
  for (int h = 0; h < tile_sub_blocks(f); h++) {
    if (f.has_min) _mm256_storeu_ps(&s->min[h][tile][i][b], scaled_sums(f, h, neg_sums, scale));
    if (zero_point(f)) _mm256_storeu_si256((__m256i *)&s->start[h][tile][i][b], start_sums(f, h, neg_sums));
  }
  return LANES;
}

TILE_INLINE void unpack_piece(tile_format f, const part *p, const char *panel, int64_t scales_at, int b, int to,
                              part_scratch *s) {
  __m256i values = load_values(f);
  int64_t piece = p->block + b;
  UNROLL
  for (int half = 0; half < HALF_PANELS; half++) {
    UNROLL
    for (int step = 0; step < 8; step++)
      _mm256_storeu_si256((__m256i *)(s->weight[to][b] + step * 64 + half * 32),
                          step_levels(f, panel + piece * f.levels, half, step, values));
    for (int h = 0; h < tile_sub_blocks(f); h++) {
      _mm256_storeu_ps(s->d[h][to][b] + half * LANES, load_scale(f, panel + scales_at, piece, half, h));
      if (f.has_min) _mm256_storeu_ps(s->m[h][to][b] + half * LANES, load_min(f, panel + scales_at, piece, half, h));
    }
  }
}

TILE_INLINE void store_sum(const linear_task *t, int64_t panel, int32_t token, const float sum[PANEL_ROWS]) {
  for (int half = 0; half < HALF_PANELS; half++) store_rows(t, panel, half, token, _mm256_loadu_ps(sum + half * LANES));
}

TILE_INLINE void sum_tile(tile_format f, const part *p, int64_t panel, int tile, part_scratch *s) {
  float(*to)[PANELS][PANEL_ROWS] = s->acc + tile * TILE_TOKENS;
  __m256 acc[HALF_PANELS][TILE_TOKENS];
  UNROLL
  for (int half = 0; half < HALF_PANELS; half++) {
    UNROLL
    for (int i = 0; i < TILE_TOKENS; i++)
      acc[half][i] = p->block ? _mm256_loadu_ps(to[i][panel] + half * LANES) : _mm256_setzero_ps();
  }
  for (int b = 0; b < p->blocks; b++) {
    UNROLL
    for (int h = 0; h < tile_sub_blocks(f); h++) {
      __m256i sum[HALF_PANELS][MOST_TOKENS];
      factors a = {.levels = (const char *)s->weight[0][b],
                   .unpacked = true,
                   .inputs = s->level[tile][b][0],
                   .start = &s->start[h][tile][0][b],
                   .input_stride = QUANT_BLOCK,
                   .start_stride = BLOCKS};
      multiply(f, &a, h, TILE_TOKENS, sum);
      UNROLL
      for (int half = 0; half < HALF_PANELS; half++) {
        __m256 d = _mm256_loadu_ps(s->d[h][0][b] + half * LANES);
        __m256 m = f.has_min ? _mm256_loadu_ps(s->m[h][0][b] + half * LANES) : d;
        UNROLL
        for (int i = 0; i < TILE_TOKENS; i++)
          acc[half][i] = add_product(f, d, m, s->scale[tile][i][b], &s->min[h][tile][i][b], sum[half][i], acc[half][i]);
      }
    }
  }
  UNROLL
  for (int half = 0; half < HALF_PANELS; half++) {
    UNROLL
    for (int i = 0; i < TILE_TOKENS; i++) _mm256_storeu_ps(to[i][panel] + half * LANES, acc[half][i]);
  }
}

/* ---- One function for each type, with the tiles of linear_few_256.h ---- */

#define LINEAR_256(NAME, TYPE)                                                                                         \
  static void NAME##_tile(const linear_task *t, int64_t panel, int32_t token, int tokens) {                            \
    few_tiles(TILE_##TYPE, t, panel, token, tokens);                                                                   \
  }                                                                                                                    \
  static void NAME##_few(const linear_task *t) {                                                                       \
    tile_all(t, TILE_##TYPE, 1, FEW_TOKENS, NAME##_tile);                                                              \
  }                                                                                                                    \
  static void linear_##NAME(const linear_task *t) {                                                                    \
    sum_tokens(TILE_##TYPE, t, part_tokens(t));                                                                        \
    sum_rest(t, part_tokens(t), NAME##_few);                                                                           \
  }

#endif
