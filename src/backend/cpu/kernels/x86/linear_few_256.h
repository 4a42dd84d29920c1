/* Tasks of few tokens with AVX2: levels are unpacked where they are multiplied. */
#ifndef X86_LINEAR_FEW_256_H
#define X86_LINEAR_FEW_256_H

#include "backend/cpu/kernels/x86/multiply_256.h"

/* Where a tile's operands are, of its panel and its tokens. */
typedef struct operands {
  tile_operands common;
  const char *at, *next;
  __m256i values;
} operands;

TILE_INLINE operands find_operands(tile_format f, const linear_task *t, int64_t panel, int32_t token) {
  return (operands){.common = tile_find_operands(f, t, token),
                    .at = tile_panel(t, panel),
                    .next = tile_panel(t, panel + 1),
                    .values = load_values(f)};
}

/* What blocks add to every row: of a tile's tokens and sub-blocks, for 8 blocks from a multiple of 8 on. */
typedef struct block_sums {
  int32_t start[2][FEW_TOKENS][LANES];
  float min[2][FEW_TOKENS][LANES];
} block_sums;

TILE_INLINE void sum_blocks(tile_format f, const operands *o, int64_t b, int tokens, block_sums *to) {
  __m256i blocks = first_lanes(o->common.n_blocks - b);
  for (int i = 0; i < tokens; i++) {
    int64_t at = i * o->common.n_blocks + b;
    __m256i sums = _mm256_maskload_epi32((const int *)(o->common.neg_sum + 2 * at), blocks);
    __m256 scale = _mm256_maskload_ps(o->common.scale + at, blocks);
    for (int h = 0; h < tile_sub_blocks(f); h++) {
      if (zero_point(f)) _mm256_storeu_si256((__m256i *)to->start[h][i], start_sums(f, h, sums));
      if (f.has_min) _mm256_storeu_ps(to->min[h][i], scaled_sums(f, h, sums, scale));
    }
  }
}

TILE_INLINE factors find_factors(tile_format f, const operands *o, const block_sums *sums, int64_t b, int h) {
  return (factors){.levels = o->at + b * f.levels,
                   .values = o->values,
                   .inputs = o->common.level + b * QUANT_BLOCK,
                   .start = &sums->start[h][0][b % LANES],
                   .input_stride = o->common.cols,
                   .start_stride = LANES};
}

/* Adds the products of half a panel, scaled, and the minima. */
TILE_INLINE void accumulate(tile_format f, const operands *o, int64_t b, int half, int h, int tokens,
                            const block_sums *sums, const __m256i sum[MOST_TOKENS], __m256 acc[FEW_TOKENS]) {
  const char *scales = o->at + o->common.scales_at;
  __m256 d = load_scale(f, scales, b, half, h), m = f.has_min ? load_min(f, scales, b, half, h) : d;
  UNROLL
  for (int i = 0; i < tokens; i++)
    acc[i] =
        add_product(f, d, m, o->common.scale[i * o->common.n_blocks + b], &sums->min[h][i][b % LANES], sum[i], acc[i]);
}

TILE_INLINE void few_tile(tile_format f, const linear_task *t, int64_t panel, int32_t token, int tokens) {
  const operands o = find_operands(f, t, panel, token);
  __m256 acc[HALF_PANELS][FEW_TOKENS];
  block_sums sums;
  UNROLL
  for (int half = 0; half < HALF_PANELS; half++) {
    UNROLL
    for (int i = 0; i < tokens; i++) acc[half][i] = _mm256_setzero_ps();
  }
  for (int64_t b = 0; b < o.common.n_blocks; b++) {
    if ((zero_point(f) || f.has_min) && b % LANES == 0) sum_blocks(f, &o, b, tokens, &sums);
    tile_prefetch_block(f, &o.common, o.at, o.next, b);
    UNROLL
    for (int h = 0; h < tile_sub_blocks(f); h++) {
      __m256i sum[HALF_PANELS][MOST_TOKENS];
      factors a = find_factors(f, &o, &sums, b, h);
      multiply(f, &a, h, tokens, sum);
      UNROLL
      for (int half = 0; half < HALF_PANELS; half++) accumulate(f, &o, b, half, h, tokens, &sums, sum[half], acc[half]);
    }
  }
  UNROLL
  for (int half = 0; half < HALF_PANELS; half++) {
    UNROLL
    for (int i = 0; i < tokens; i++) store_rows(t, panel, half, token + i, acc[half][i]);
  }
}

TILE_INLINE void few_tiles(tile_format f, const linear_task *t, int64_t panel, int32_t token, int tokens) {
  TILE_BY_TOKENS(tokens, FEW_TOKENS, few_tile, f, t, panel, token)
}

#endif
