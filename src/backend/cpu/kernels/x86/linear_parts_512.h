/* Parts of tasks of many tokens, with AVX-512: what the tiles of AVX-512 and of AMX are made from. The shape is a
 * constant wherever these functions are inlined. */
#ifndef X86_LINEAR_PARTS_512_H
#define X86_LINEAR_PARTS_512_H

#include "backend/cpu/kernels/x86/linear_512.h"
#include "backend/cpu/kernels/x86/part_levels.h"

/* Whether weights are unpacked to true levels, or stay above by their zero point. */
typedef enum part_levels { LEVELS_ABOVE, LEVELS_TRUE } part_levels;

/* Adds the integer product of sub-block h of block b of a token, scaled, and the minimum. */
TILE_INLINE __m512 add_product(tile_format f, part_shape s, part_memory m, int token, int b, int h, __m512 d,
                               __m512 least, __m512i product, __m512 acc) {
  __m512 scale = _mm512_mul_ps(d, _mm512_set1_ps(m.scale[part_scale(s, 0, token, b)]));
  acc = _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(product), acc);
  return f.has_min ? _mm512_fmadd_ps(least, _mm512_set1_ps(m.min[part_scale(s, h, token, b)]), acc) : acc;
}

/* Scales and sums of 16 blocks of a token, from block b of the part on. */
TILE_INLINE void pack_scales(tile_format f, part_shape s, part_levels levels, const part *p, int token, int b,
                             part_memory m) {
  const be_act *x = p->task->x;
  int64_t at = (p->token + token) * (x->cols / QUANT_BLOCK) + p->block + b;
  __mmask16 blocks = (__mmask16)(p->blocks - b < 16 ? (1u << (p->blocks - b)) - 1 : 0xFFFF);
  __m512 scale = _mm512_maskz_loadu_ps(blocks, x->scale + at);
  __m512i neg_sums = _mm512_maskz_loadu_epi32(blocks, x->neg_sum + 2 * at);
  _mm512_storeu_ps(m.scale + part_scale(s, 0, token, b), scale);
  for (int h = 0; h < tile_sub_blocks(f); h++) {
    int64_t to = part_scale(s, h, token, b);
    if (f.has_min) _mm512_storeu_ps(m.min + to, scaled_sums(f, h, neg_sums, scale));
    if (levels == LEVELS_ABOVE && zero_point(f)) _mm512_storeu_si512(m.start + to, start_sums(f, h, neg_sums));
  }
}

TILE_INLINE void pack_part(tile_format f, part_shape s, part_levels levels, const part *p) {
  part_memory m = part_memory_of(s, p);
  for (int tile = 0; tile * s.tile_tokens < p->tokens; tile++) {
    int n = tile_tokens_there(s, p, tile);
    pack_levels(s, p, tile, n, m.level);
    for (int i = 0; i < n; i++)
      for (int b = 0; b < p->blocks; b += 16) pack_scales(f, s, levels, p, tile * s.tile_tokens + i, b, m);
  }
}

TILE_INLINE void unpack_part(tile_format f, part_shape s, part_levels levels, const part *p, int64_t number, int to) {
  const char *panel = tile_panel(p->task, number), *next = tile_panel(p->task, number + s.tile_panels);
  const char *scales = panel + p->task->x->cols / QUANT_BLOCK * f.levels;
  part_memory m = part_memory_of(s, p);
  __m512i values = load_values(f);
  for (int b = 0; b < p->blocks; b++) {
    int64_t block = p->block + b;
    prefetch_block(f, p, next, b);
    UNROLL
    for (int step = 0; step < 8; step++) {
      __m512i level = step_levels(f, panel + block * f.levels, step, values);
      if (levels == LEVELS_TRUE && zero_point(f)) level = _mm512_sub_epi8(level, _mm512_set1_epi8((char)zero_point(f)));
      _mm512_storeu_si512(m.weight + part_weight(s, to, b) + step * 64, level);
    }
    for (int h = 0; h < tile_sub_blocks(f); h++) {
      _mm512_storeu_ps(m.d + part_rows(s, h, to, b), load_scale(f, scales, block, h));
      if (f.has_min) _mm512_storeu_ps(m.m + part_rows(s, h, to, b), load_min(f, scales, block, h));
    }
  }
}

/* Token by token, since a token's rows are contiguous in the sums and in the output, and the output of each token is on
 * memory pages of its own. */
TILE_INLINE void store_part(part_shape s, const part *p) {
  part_memory m = part_memory_of(s, p);
  for (int32_t i = 0; i < p->tokens; i++)
    for (int64_t panel = p->first; panel < p->end; panel++)
      store_rows(p->task, panel, p->token + i, _mm512_loadu_ps(m.acc + part_acc(s, i, panel - p->first)));
}

/* The parts of a part_kernel that depend on the type, for a file's own SHAPE, LEVELS and sum_part(). */
#define PARTS_512(NAME, TYPE)                                                                                          \
  static void NAME##_pack(const part *p) {                                                                             \
    pack_part(TILE_##TYPE, SHAPE, LEVELS, p);                                                                          \
  }                                                                                                                    \
  static void NAME##_unpack(const part *p, int64_t panel, int to) {                                                    \
    unpack_part(TILE_##TYPE, SHAPE, LEVELS, p, panel, to);                                                             \
  }                                                                                                                    \
  static void NAME##_sum(const part *p, int64_t panel) {                                                               \
    sum_part(TILE_##TYPE, p, panel);                                                                                   \
  }                                                                                                                    \
  static const part_kernel NAME##_parts = {&SHAPE, NAME##_pack, NAME##_unpack, NAME##_sum, store};

#endif
