/* Tasks of many tokens with AVX2: nothing but products and their scaling is left to the tiles. */
#ifndef X86_LINEAR_MANY_256_H
#define X86_LINEAR_MANY_256_H

#include "backend/cpu/kernels/x86/linear_few_256.h"
#include "backend/cpu/kernels/x86/part_levels.h"

/* 12 sums, two vectors of weights and one of activations take 15 registers; the floating-point sums are kept in memory.
 * A part takes 230 KB. */
static const part_shape SHAPE_256 = {.tile_tokens = MOST_TOKENS,
                                     .tile_panels = 1,
                                     .tokens = 96,
                                     .blocks = 16,
                                     .panels = 16,
                                     .min_tokens = 24,
                                     .min_rest = 1};

/* Scales and sums of 8 blocks of a token, from block b of the part on. */
TILE_INLINE void pack_scales(tile_format f, const part *p, int token, int b, part_memory m) {
  const be_act *x = p->task->x;
  int64_t at = (p->token + token) * (x->cols / QUANT_BLOCK) + p->block + b;
  __m256i blocks = first_lanes(p->blocks - b);
  __m256 scale = _mm256_maskload_ps(x->scale + at, blocks);
  __m256i neg_sums = _mm256_maskload_epi32((const int *)(x->neg_sum + 2 * at), blocks);
  _mm256_storeu_ps(m.scale + part_scale(SHAPE_256, 0, token, b), scale);
  for (int h = 0; h < tile_sub_blocks(f); h++) {
    int64_t to = part_scale(SHAPE_256, h, token, b);
    if (f.has_min) _mm256_storeu_ps(m.min + to, scaled_sums(f, h, neg_sums, scale));
    if (zero_point(f)) _mm256_storeu_si256((__m256i *)(m.start + to), start_sums(f, h, neg_sums));
  }
}

TILE_INLINE void pack_part(tile_format f, const part *p) {
  const part_shape s = SHAPE_256;
  part_memory m = part_memory_of(s, p);
  for (int tile = 0; tile * s.tile_tokens < p->tokens; tile++) {
    int n = tile_tokens_there(s, p, tile);
    pack_levels(s, p, tile, n, m.level);
    for (int i = 0; i < n; i++)
      for (int b = 0; b < p->blocks; b += LANES) pack_scales(f, p, tile * s.tile_tokens + i, b, m);
  }
}

TILE_INLINE void unpack_part(tile_format f, const part *p, int64_t number, int to) {
  const part_shape s = SHAPE_256;
  const char *panel = tile_panel(p->task, number), *next = tile_panel(p->task, number + s.tile_panels);
  const char *scales = panel + p->task->x->cols / QUANT_BLOCK * f.levels;
  part_memory m = part_memory_of(s, p);
  __m256i values = load_values(f);
  for (int b = 0; b < p->blocks; b++) {
    int64_t block = p->block + b;
    prefetch_block(f, p, next, b);
    UNROLL
    for (int half = 0; half < HALF_PANELS; half++) {
      UNROLL
      for (int step = 0; step < 8; step++)
        _mm256_storeu_si256((__m256i *)(m.weight + part_weight(s, to, b) + step * 64 + half * 32),
                            step_levels(f, panel + block * f.levels, half, step, values));
      for (int h = 0; h < tile_sub_blocks(f); h++) {
        int64_t at = part_rows(s, h, to, b) + half * LANES;
        _mm256_storeu_ps(m.d + at, load_scale(f, scales, block, half, h));
        if (f.has_min) _mm256_storeu_ps(m.m + at, load_min(f, scales, block, half, h));
      }
    }
  }
}

TILE_INLINE void sum_tile(tile_format f, const part *p, part_memory m, int64_t panel, int tile) {
  const part_shape s = SHAPE_256;
  const int first = tile * s.tile_tokens;
  __m256 acc[HALF_PANELS][MOST_TOKENS];
  UNROLL
  for (int half = 0; half < HALF_PANELS; half++) {
    UNROLL
    for (int i = 0; i < MOST_TOKENS; i++)
      acc[half][i] = p->block ? _mm256_loadu_ps(m.acc + part_acc(s, first + i, panel - p->first) + half * LANES)
                              : _mm256_setzero_ps();
  }
  for (int b = 0; b < p->blocks; b++) {
    UNROLL
    for (int h = 0; h < tile_sub_blocks(f); h++) {
      __m256i sum[HALF_PANELS][MOST_TOKENS];
      factors a = {.levels = (const char *)m.weight + part_weight(s, 0, b),
                   .unpacked = true,
                   .inputs = m.level + part_level(s, tile, b, 0),
                   .start = m.start + part_scale(s, h, first, b),
                   .input_stride = QUANT_BLOCK,
                   .start_stride = s.blocks};
      multiply(f, &a, h, MOST_TOKENS, sum);
      UNROLL
      for (int half = 0; half < HALF_PANELS; half++) {
        int64_t rows = part_rows(s, h, 0, b) + half * LANES;
        __m256 d = _mm256_loadu_ps(m.d + rows), least = f.has_min ? _mm256_loadu_ps(m.m + rows) : d;
        UNROLL
        for (int i = 0; i < MOST_TOKENS; i++)
          acc[half][i] = add_product(f, d, least, m.scale[part_scale(s, 0, first + i, b)],
                                     m.min + part_scale(s, h, first + i, b), sum[half][i], acc[half][i]);
      }
    }
  }
  UNROLL
  for (int half = 0; half < HALF_PANELS; half++) {
    UNROLL
    for (int i = 0; i < MOST_TOKENS; i++)
      _mm256_storeu_ps(m.acc + part_acc(s, first + i, panel - p->first) + half * LANES, acc[half][i]);
  }
}

TILE_INLINE void sum_part(tile_format f, const part *p, int64_t panel) {
  part_memory m = part_memory_of(SHAPE_256, p);
  for (int tile = 0; tile < part_tiles(SHAPE_256, p); tile++) sum_tile(f, p, m, panel, tile);
}

/* Token by token, since a token's rows are contiguous in the sums and in the output, and the output of each token is on
 * memory pages of its own. */
static void store_part_256(const part *p) {
  part_memory m = part_memory_of(SHAPE_256, p);
  for (int32_t i = 0; i < p->tokens; i++)
    for (int64_t panel = p->first; panel < p->end; panel++) {
      const float *sum = m.acc + part_acc(SHAPE_256, i, panel - p->first);
      for (int half = 0; half < HALF_PANELS; half++)
        store_rows(p->task, panel, half, p->token + i, _mm256_loadu_ps(sum + half * LANES));
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
  static void NAME##_pack(const part *p) {                                                                             \
    pack_part(TILE_##TYPE, p);                                                                                         \
  }                                                                                                                    \
  static void NAME##_unpack(const part *p, int64_t panel, int to) {                                                    \
    unpack_part(TILE_##TYPE, p, panel, to);                                                                            \
  }                                                                                                                    \
  static void NAME##_sum(const part *p, int64_t panel) {                                                               \
    sum_part(TILE_##TYPE, p, panel);                                                                                   \
  }                                                                                                                    \
  static void linear_##NAME(const linear_task *t) {                                                                    \
    static const part_kernel k = {&SHAPE_256, NAME##_pack, NAME##_unpack, NAME##_sum, store_part_256};                 \
    linear_parts(t, &k);                                                                                               \
    linear_parts_rest(t, &SHAPE_256, NAME##_few);                                                                      \
  }

#endif
