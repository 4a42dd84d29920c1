/* What linear_parts.h leaves to the instruction set, with AVX-512.
 *
 * Define before, beside what linear_parts.h asks for
 *   SIGNED  whether weights are unpacked to true levels, or stay above by their zero point */
#ifndef X86_LINEAR_PARTS_512_H
#define X86_LINEAR_PARTS_512_H

#include "backend/cpu/kernels/lanes/linear_parts.h"
#include "backend/cpu/kernels/x86/linear_512.h"

/* Adds the integer product of sub-block h of block b of token i of a tile, scaled, and the minimum. */
TILE_INLINE __m512 add_product(tile_format f, const part_scratch *s, int tile, int i, int b, int h, __m512 d, __m512 m,
                               __m512i product, __m512 acc) {
  __m512 scale = _mm512_mul_ps(d, _mm512_set1_ps(s->scale[tile][i][b]));
  acc = _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(product), acc);
  return f.has_min ? _mm512_fmadd_ps(m, _mm512_set1_ps(s->min[h][tile][i][b]), acc) : acc;
}

TILE_INLINE int pack_scales(tile_format f, const be_act *x, const part *p, int tile, int i, int b, part_scratch *s) {
  int64_t at = (p->token + tile * TILE_TOKENS + i) * (x->cols / QUANT_BLOCK) + p->block + b;
  __mmask16 blocks = (__mmask16)(p->blocks - b < 16 ? (1u << (p->blocks - b)) - 1 : 0xFFFF);
  __m512 scale = _mm512_maskz_loadu_ps(blocks, x->scale + at);
  __m512i neg_sums = _mm512_maskz_loadu_epi32(blocks, x->neg_sum + 2 * at);
  _mm512_storeu_ps(&s->scale[tile][i][b], scale);
  for (int h = 0; h < tile_sub_blocks(f); h++) {
    if (f.has_min) _mm512_storeu_ps(&s->min[h][tile][i][b], scaled_sums(f, h, neg_sums, scale));
    if (!SIGNED && zero_point(f)) _mm512_storeu_si512(&s->start[h][tile][i][b], start_sums(f, h, neg_sums));
  }
  return 16;
}

TILE_INLINE void unpack_piece(tile_format f, const part *p, const char *panel, int64_t scales_at, int b, int to,
                              part_scratch *s) {
  __m512i values = load_values(f);
  int64_t piece = p->block + b;
  UNROLL
  for (int step = 0; step < 8; step++) {
    __m512i level = step_levels(f, panel + piece * f.levels, step, values);
    if (SIGNED && zero_point(f)) level = _mm512_sub_epi8(level, _mm512_set1_epi8((char)zero_point(f)));
    _mm512_storeu_si512(s->weight[to][b] + step * 64, level);
  }
  for (int h = 0; h < tile_sub_blocks(f); h++) {
    _mm512_storeu_ps(s->d[h][to][b], load_scale(f, panel + scales_at, piece, h));
    if (f.has_min) _mm512_storeu_ps(s->m[h][to][b], load_min(f, panel + scales_at, piece, h));
  }
}

TILE_INLINE void store_sum(const linear_task *t, int64_t panel, int32_t token, const float sum[PANEL_ROWS]) {
  store_rows(t, panel, token, _mm512_loadu_ps(sum));
}

#endif
