/* Linear layers of many tokens with AVX-512 and VNNI: nothing but products and their scaling is left to the tiles. */

/* 12 chains, 12 integer sums, two vectors of weights, two of scales and one of activations take 29 registers. */
enum {
  TILE_TOKENS = 6,
  TILE_PANELS = 2,
  TOKENS = 258,
  BLOCKS = 16,
  PANELS = 32,
  MIN_TOKENS = 24,
  MIN_REST = 1,
  SIGNED = 0
};

#include "backend/cpu/kernels/x86/linear_parts_512.h"

/* The integer products of sub-block h of block b. */
TILE_INLINE void multiply(tile_format f, int b, int h, int tile, const part_scratch *s,
                          __m512i sum[TILE_PANELS][TILE_TOKENS]) {
  UNROLL
  for (int i = 0; i < TILE_TOKENS; i++) {
    __m512i start = zero_point(f) ? _mm512_set1_epi32(s->start[h][tile][i][b]) : _mm512_setzero_si512();
    UNROLL
    for (int p = 0; p < TILE_PANELS; p++) sum[p][i] = start;
  }
  int steps = 8 / tile_sub_blocks(f);
  UNROLL
  for (int step = h * steps; step < (h + 1) * steps; step++) {
    __m512i w[TILE_PANELS];
    UNROLL
    for (int p = 0; p < TILE_PANELS; p++) w[p] = _mm512_loadu_si512(s->weight[p][b] + step * 64);
    UNROLL
    for (int i = 0; i < TILE_TOKENS; i++) {
      __m512i x = _mm512_set1_epi32(four_bytes(s->level[tile][b][i] + step * 4));
      UNROLL
      for (int p = 0; p < TILE_PANELS; p++) sum[p][i] = _mm512_dpbusd_epi32(sum[p][i], w[p], x);
    }
  }
}

TILE_INLINE void sum_tile(tile_format f, const part *p, int64_t panel, int tile, part_scratch *s) {
  float(*to)[PANELS][PANEL_ROWS] = s->acc + tile * TILE_TOKENS;
  __m512 acc[TILE_PANELS][TILE_TOKENS];
  UNROLL
  for (int k = 0; k < TILE_PANELS; k++) {
    UNROLL
    for (int i = 0; i < TILE_TOKENS; i++)
      acc[k][i] = p->block ? _mm512_loadu_ps(to[i][panel + k]) : _mm512_setzero_ps();
  }
  for (int b = 0; b < p->blocks; b++) {
    UNROLL
    for (int h = 0; h < tile_sub_blocks(f); h++) {
      __m512i sum[TILE_PANELS][TILE_TOKENS];
      multiply(f, b, h, tile, s, sum);
      UNROLL
      for (int k = 0; k < TILE_PANELS; k++) {
        __m512 d = _mm512_loadu_ps(s->d[h][k][b]), m = f.has_min ? _mm512_loadu_ps(s->m[h][k][b]) : d;
        UNROLL
        for (int i = 0; i < TILE_TOKENS; i++) acc[k][i] = add_product(f, s, tile, i, b, h, d, m, sum[k][i], acc[k][i]);
      }
    }
  }
  UNROLL
  for (int k = 0; k < TILE_PANELS; k++) {
    UNROLL
    for (int i = 0; i < TILE_TOKENS; i++) _mm512_storeu_ps(to[i][panel + k], acc[k][i]);
  }
}

/* ---- One function for each type ---- */

#define LINEAR(NAME, TYPE)                                                                                             \
  static void linear_##NAME(const linear_task *t) {                                                                    \
    sum_tokens(TILE_##TYPE, t, part_tokens(t));                                                                        \
    sum_rest(t, part_tokens(t), linear_few_avx512[QUANT_##TYPE]);                                                      \
  }
TILE_QUANTIZED(LINEAR)

void cpu_linear_many_avx512(cpu_kernels *k) {
#define FILL(NAME, TYPE) k->linear[QUANT_##TYPE] = linear_##NAME;
  TILE_QUANTIZED(FILL)
  kernels_need_scratch(k, sizeof(part_scratch));
}
