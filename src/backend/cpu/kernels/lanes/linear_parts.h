/* Tasks of many tokens on x86: parts of them are brought into a form that is multiplied without further ado, and small
 * enough that the activations of a part of the inputs and the sums of all panels stay in the second-level cache, and
 * the weights of the panels at work in the first.
 *
 * Include linear_256.h or linear_512.h before, and define
 *   TILE_TOKENS, TILE_PANELS  what sum_tile() computes at once
 *   TOKENS, BLOCKS, PANELS    of a part at most; whole tiles, and a multiple of 16 blocks
 *   MIN_TOKENS                fewer take less time as they are,
 *   MIN_REST                  and so does a tile with fewer
 * and after it the functions that are declared below. */
#ifndef LANES_LINEAR_PARTS_H
#define LANES_LINEAR_PARTS_H

#include "backend/cpu/kernels/lanes/linear_tiles.h"

#include <immintrin.h>

enum { PIECE = PANEL_ROWS * QUANT_BLOCK, TILES = TOKENS / TILE_TOKENS };

typedef struct part_scratch {
  /* ---- Activations: what belongs to a token, and to a sub-block of it ---- */
  int8_t level[TILES][BLOCKS][TILE_TOKENS][QUANT_BLOCK];
  float scale[TILES][TILE_TOKENS][BLOCKS];
  float min[2][TILES][TILE_TOKENS][BLOCKS];     /* the sum of the levels, scaled */
  int32_t start[2][TILES][TILE_TOKENS][BLOCKS]; /* minus the zero point times that sum */

  /* ---- Weights: those of panels of 8 bits, scales and minima of sub-blocks with their factors ---- */
  int8_t weight[TILE_PANELS][BLOCKS][PIECE];
  float d[2][TILE_PANELS][BLOCKS][PANEL_ROWS], m[2][TILE_PANELS][BLOCKS][PANEL_ROWS];

  float acc[TOKENS][PANELS][PANEL_ROWS];
} part_scratch;

/* The tokens and blocks that the scratch memory holds. */
typedef struct part {
  int32_t token, tokens;
  int64_t block;
  int blocks;
} part;

/* Adds the blocks of a part for TILE_PANELS panels and a tile of tokens to s->acc, or puts them there where the part's
 * blocks are the first ones. */
TILE_INLINE void sum_tile(tile_format f, const part *p, int64_t panel, int tile, part_scratch *s);

/* The scales and sums of block b of the part and those after it, for token i of a tile. Returns how many blocks it did;
 * those after the part's last are zeros. */
TILE_INLINE int pack_scales(tile_format f, const be_act *x, const part *p, int tile, int i, int b, part_scratch *s);

/* Block b of a part of a panel, as number `to` of those at work. */
TILE_INLINE void unpack_piece(tile_format f, const part *p, const char *panel, int64_t scales_at, int b, int to,
                              part_scratch *s);

/* The sums of a panel's rows for a token, to where the task wants them. */
TILE_INLINE void store_sum(const linear_task *t, int64_t panel, int32_t token, const float sum[PANEL_ROWS]);

/* The levels of a tile of tokens, n of which are there; the others get levels of zero. */
TILE_INLINE void pack_levels(const be_act *x, const part *p, int tile, int n, part_scratch *s) {
  const int8_t *from = x->level + (p->token + tile * TILE_TOKENS) * x->cols + p->block * QUANT_BLOCK;
  __m256i zero = _mm256_setzero_si256();
  for (int b = 0; b < p->blocks; b += 2) /* a cache line holds two */
    for (int i = 0; i < TILE_TOKENS; i++) {
      const int8_t *at = from + i * x->cols + b * QUANT_BLOCK;
      bool second = b + 1 < p->blocks;
      __m256i level = i < n ? _mm256_loadu_si256((const __m256i *)at) : zero;
      _mm256_store_si256((__m256i *)s->level[tile][b][i], level);
      if (second) level = i < n ? _mm256_loadu_si256((const __m256i *)(at + QUANT_BLOCK)) : zero;
      if (second) _mm256_store_si256((__m256i *)s->level[tile][b + 1][i], level);
    }
}

TILE_INLINE void pack_activations(tile_format f, const be_act *x, const part *p, part_scratch *s) {
  for (int tile = 0; tile * TILE_TOKENS < p->tokens; tile++) {
    int left = p->tokens - tile * TILE_TOKENS, n = left < TILE_TOKENS ? left : TILE_TOKENS;
    pack_levels(x, p, tile, n, s);
    for (int i = 0; i < n; i++)
      for (int b = 0; b < p->blocks;) b += pack_scales(f, x, p, tile, i, b, s);
  }
}

/* A panel's part, as number `to` of those at work. next: read after it. */
TILE_INLINE void unpack_weights(tile_format f, const part *p, const char *panel, int64_t scales_at, const char *next,
                                int to, part_scratch *s) {
  for (int b = 0; b < p->blocks; b++) {
    const char *ahead = next + (p->block + b) * f.levels;
    for (int i = 0; i < f.levels; i += 64) __builtin_prefetch(ahead + i);
    unpack_piece(f, p, panel, scales_at, b, to, s);
  }
}

/* The rows of a token are next to each other here as there: each of its rows in memory is on a page of its own. */
TILE_INLINE void store_sums(const linear_task *t, int64_t first, int64_t end, const part *p, const part_scratch *s) {
  for (int32_t i = 0; i < p->tokens; i++)
    for (int64_t panel = first; panel < end; panel++) store_sum(t, panel, p->token + i, s->acc[i][panel - first]);
}

/* Panels first .. end - 1 for the tokens of a part. */
TILE_INLINE void sum_panels(tile_format f, const linear_task *t, int64_t first, int64_t end, part p) {
  part_scratch *s = t->scratch;
  int64_t all = t->x->cols / QUANT_BLOCK;
  for (p.block = 0; p.block < all; p.block += BLOCKS) {
    p.blocks = all - p.block < BLOCKS ? (int)(all - p.block) : BLOCKS;
    pack_activations(f, t->x, &p, s);
    for (int64_t panel = first; panel < end; panel += TILE_PANELS) {
      for (int i = 0; i < TILE_PANELS; i++)
        unpack_weights(f, &p, tile_panel(t, panel + i), all * f.levels, tile_panel(t, panel + TILE_PANELS + i), i, s);
      for (int tile = 0; tile * TILE_TOKENS < p.tokens; tile++) sum_tile(f, &p, panel - first, tile, s);
    }
  }
  store_sums(t, first, end, &p, s);
}

/* The first n tokens of a task. */
TILE_INLINE void sum_tokens(tile_format f, const linear_task *t, int32_t n) {
  if (n == 0) return;
  int32_t parts = (n + TOKENS - 1) / TOKENS, tiles = (n + TILE_TOKENS - 1) / TILE_TOKENS;
  int32_t most = (tiles + parts - 1) / parts * TILE_TOKENS;
  for (int32_t token = 0; token < n; token += most) {
    part p = {.token = token, .tokens = n - token < most ? n - token : most};
    for (int64_t panel = 0; panel < t->n_panels; panel += PANELS)
      sum_panels(f, t, panel, panel + PANELS < t->n_panels ? panel + PANELS : t->n_panels, p);
  }
}

/* How many of a task's tokens are worth while. */
TILE_INLINE int32_t part_tokens(const linear_task *t) {
  int32_t rest = t->n_tokens % TILE_TOKENS;
  if (t->n_tokens < MIN_TOKENS) return 0;
  return rest < MIN_REST ? t->n_tokens - rest : t->n_tokens;
}

/* Those after the first `done`, in the way of few. */
TILE_INLINE void sum_rest(const linear_task *t, int32_t done, linear_kernel few) {
  if (done == t->n_tokens) return;
  const be_act x = act_from(t->x, done);
  linear_task left = *t;
  left.x = &x;
  left.n_tokens -= done;
  left.out += done * t->stride;
  few(&left);
}

#endif
