/* Linear layers of many tokens with AVX-512 and VNNI: nothing but products and their scaling is left to the tiles. */
#include "backend/cpu/kernels/x86/linear_parts_512.h"

/* 12 chains, 12 integer sums, two vectors of weights, two of scales and one of activations take 29 registers. */
enum { TILE_TOKENS = 6, TILE_PANELS = 2 };

static const part_shape SHAPE = {.tile_tokens = TILE_TOKENS,
                                 .tile_panels = TILE_PANELS,
                                 .tokens = 258,
                                 .blocks = 16,
                                 .panels = 32,
                                 .min_tokens = 24,
                                 .min_rest = 1};
static const part_levels LEVELS = LEVELS_ABOVE;

/* The integer products of sub-block h of block b. */
TILE_INLINE void multiply(tile_format f, part_memory m, int tile, int b, int h, __m512i sum[TILE_PANELS][TILE_TOKENS]) {
  UNROLL
  for (int i = 0; i < TILE_TOKENS; i++) {
    __m512i start = zero_point(f) ? _mm512_set1_epi32(m.start[part_scale(SHAPE, h, tile * TILE_TOKENS + i, b)])
                                  : _mm512_setzero_si512();
    UNROLL
    for (int k = 0; k < TILE_PANELS; k++) sum[k][i] = start;
  }
  int steps = 8 / tile_sub_blocks(f);
  UNROLL
  for (int step = h * steps; step < (h + 1) * steps; step++) {
    __m512i w[TILE_PANELS];
    UNROLL
    for (int k = 0; k < TILE_PANELS; k++) w[k] = _mm512_loadu_si512(m.weight + part_weight(SHAPE, k, b) + step * 64);
    UNROLL
    for (int i = 0; i < TILE_TOKENS; i++) {
      __m512i x = _mm512_set1_epi32(four_bytes(m.level + part_level(SHAPE, tile, b, i) + step * 4));
      UNROLL
      for (int k = 0; k < TILE_PANELS; k++) sum[k][i] = _mm512_dpbusd_epi32(sum[k][i], w[k], x);
    }
  }
}

TILE_INLINE void sum_tile(tile_format f, const part *p, part_memory m, int64_t panel, int tile) {
  const int first = tile * TILE_TOKENS;
  __m512 acc[TILE_PANELS][TILE_TOKENS];
  UNROLL
  for (int k = 0; k < TILE_PANELS; k++) {
    UNROLL
    for (int i = 0; i < TILE_TOKENS; i++)
      acc[k][i] =
          p->block ? _mm512_loadu_ps(m.acc + part_acc(SHAPE, first + i, panel + k - p->first)) : _mm512_setzero_ps();
  }
  for (int b = 0; b < p->blocks; b++) {
    UNROLL
    for (int h = 0; h < tile_sub_blocks(f); h++) {
      __m512i sum[TILE_PANELS][TILE_TOKENS];
      multiply(f, m, tile, b, h, sum);
      UNROLL
      for (int k = 0; k < TILE_PANELS; k++) {
        int64_t rows = part_rows(SHAPE, h, k, b);
        __m512 d = _mm512_loadu_ps(m.d + rows), least = f.has_min ? _mm512_loadu_ps(m.m + rows) : d;
        UNROLL
        for (int i = 0; i < TILE_TOKENS; i++)
          acc[k][i] = add_product(f, SHAPE, m, first + i, b, h, d, least, sum[k][i], acc[k][i]);
      }
    }
  }
  UNROLL
  for (int k = 0; k < TILE_PANELS; k++) {
    UNROLL
    for (int i = 0; i < TILE_TOKENS; i++)
      _mm512_storeu_ps(m.acc + part_acc(SHAPE, first + i, panel + k - p->first), acc[k][i]);
  }
}

TILE_INLINE void sum_part(tile_format f, const part *p, int64_t panel) {
  part_memory m = part_memory_of(SHAPE, p);
  for (int tile = 0; tile < part_tiles(SHAPE, p); tile++) sum_tile(f, p, m, panel, tile);
}

static void store(const part *p) {
  store_part(SHAPE, p);
}

/* ---- One function for each type ---- */

#define LINEAR(NAME, TYPE)                                                                                             \
  PARTS_512(NAME, TYPE)                                                                                                \
  static void linear_##NAME(const linear_task *t) {                                                                    \
    linear_parts(t, &NAME##_parts);                                                                                    \
    linear_parts_rest(t, &SHAPE, linear_few_avx512[QUANT_##TYPE]);                                                     \
  }
TILE_QUANTIZED(LINEAR)

void cpu_linear_many_avx512(cpu_kernels *k) {
#define FILL(NAME, TYPE) k->linear[QUANT_##TYPE] = linear_##NAME;
  TILE_QUANTIZED(FILL)
  kernels_need_scratch(k, part_bytes(SHAPE));
}
