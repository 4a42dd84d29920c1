/* The levels of a part's tokens, for AVX2 and AVX-512. */
#ifndef X86_PART_LEVELS_H
#define X86_PART_LEVELS_H

#include "backend/cpu/kernels/lanes/linear_parts.h"

#include <immintrin.h>

/* Copies the levels of a tile of tokens; those from n on, which are missing, get levels of zero. */
TILE_INLINE void pack_levels(part_shape s, const part *p, int tile, int n, int8_t *to) {
  const be_act *x = p->task->x;
  const int8_t *from = x->level + (p->token + tile * s.tile_tokens) * x->cols + p->block * QUANT_BLOCK;
  const __m256i zero = _mm256_setzero_si256();
  for (int b = 0; b < p->blocks; b += 2) /* a cache line holds two */
    for (int i = 0; i < s.tile_tokens; i++) {
      const int8_t *at = from + i * x->cols + b * QUANT_BLOCK;
      bool second = b + 1 < p->blocks;
      __m256i level = i < n ? _mm256_loadu_si256((const __m256i *)at) : zero;
      _mm256_store_si256((__m256i *)(to + part_level(s, tile, b, i)), level);
      if (second) level = i < n ? _mm256_loadu_si256((const __m256i *)(at + QUANT_BLOCK)) : zero;
      if (second) _mm256_store_si256((__m256i *)(to + part_level(s, tile, b + 1, i)), level);
    }
}

/* The number of tokens in a tile: fewer than tile_tokens in the last one. */
TILE_INLINE int tile_tokens_there(part_shape s, const part *p, int tile) {
  int left = p->tokens - tile * s.tile_tokens;
  return left < s.tile_tokens ? left : s.tile_tokens;
}

/* Prefetches the levels of block b of the part in a panel. */
TILE_INLINE void prefetch_block(tile_format f, const part *p, const char *panel, int b) {
  const char *at = panel + (p->block + b) * f.levels;
  for (int i = 0; i < f.levels; i += 64) __builtin_prefetch(at + i);
}

#endif
