/* Tasks of many tokens: parts of them are unpacked into the form that is multiplied, small enough
 * that the activations of a part of the inputs and the sums of all panels stay in the second-level cache, and the
 * weights of the panels at work in the first. linear_parts.c walks over the parts; an instruction set gives the shape
 * and four functions for each type. */
#ifndef LANES_LINEAR_PARTS_H
#define LANES_LINEAR_PARTS_H

#include "backend/cpu/kernels/lanes/linear_tiles.h"

/* Bytes of a block of a panel (16 rows, 32 inputs) whose levels have 8 bits. */
enum { BLOCK_LEVELS = PANEL_ROWS * QUANT_BLOCK };

typedef struct part_shape {
  int tile_tokens, tile_panels; /* what part_kernel.sum computes at once */
  int tokens, blocks, panels;   /* of a part at most: whole tiles, and a multiple of 16 blocks */
  int min_tokens;               /* fewer tokens take less time by the kernel for few, */
  int min_rest;                 /* and so does a last tile with fewer tokens */
} part_shape;

/* Panels first .. end - 1 of a task for some of its tokens, and the blocks of these at work. */
typedef struct part {
  const linear_task *task;
  int64_t first, end;
  int32_t token, tokens;
  int64_t block;
  int blocks;
} part;

/* The functions work on the part's memory, part_memory_of(shape, task->scratch). */
typedef struct part_kernel {
  const part_shape *shape;
  /* Copies the activations of the part's tokens and blocks in the order in which they are multiplied. Tokens that are
   * missing in the last tile get levels of 0. */
  void (*pack)(const part *p);
  /* Unpacks the part's blocks of a panel, as number `to` of tile_panels. */
  void (*unpack)(const part *p, int64_t panel, int to);
  /* Adds the products of the part's blocks for tile_panels panels from `panel` on and all tiles of its tokens to the
   * sums, or puts them there where the blocks are the first ones. */
  void (*sum)(const part *p, int64_t panel);
  /* Writes the sums to where the task wants them. */
  void (*store)(const part *p);
} part_kernel;

/* How many of the task's tokens linear_parts() does: the first ones, maybe none. */
int32_t linear_parts_tokens(const linear_task *t, const part_shape *s);
void linear_parts(const linear_task *t, const part_kernel *k);

/* The task's other tokens, by the kernel for few. */
void linear_parts_rest(const linear_task *t, const part_shape *s, linear_kernel few);

/* ---- Memory of a part ---- */

typedef struct part_memory {
  int8_t *level;  /* [tokens / tile_tokens][blocks][tile_tokens][QUANT_BLOCK] */
  float *scale;   /* [tokens][blocks] */
  float *min;     /* [2][tokens][blocks], by sub-block: the sum of the levels, scaled */
  int32_t *start; /* [2][tokens][blocks]: minus the zero point times that sum */
  int8_t *weight; /* [tile_panels][blocks][BLOCK_LEVELS] */
  float *d, *m;   /* [2][tile_panels][blocks][PANEL_ROWS]: scales and minima of sub-blocks with their factors */
  float *acc;     /* [tokens][panels][PANEL_ROWS] */
} part_memory;

/* Bytes of all arrays, each a multiple of 64. */
static inline size_t part_bytes(part_shape s) {
  size_t of_tokens = (size_t)s.tokens * s.blocks, of_panels = (size_t)s.tile_panels * s.blocks;
  size_t of_token = QUANT_BLOCK + 5 * sizeof(float), of_panel = BLOCK_LEVELS + 4 * PANEL_ROWS * sizeof(float);
  return of_tokens * of_token + of_panels * of_panel + (size_t)s.tokens * s.panels * PANEL_ROWS * sizeof(float);
}

TILE_INLINE part_memory part_memory_of(part_shape s, const part *p) {
  const size_t of_tokens = (size_t)s.tokens * s.blocks, of_panels = (size_t)s.tile_panels * s.blocks;
  part_memory m = {.level = p->task->scratch};
  m.scale = (float *)(m.level + of_tokens * QUANT_BLOCK);
  m.min = m.scale + of_tokens;
  m.start = (int32_t *)(m.min + 2 * of_tokens);
  m.weight = (int8_t *)(m.start + 2 * of_tokens);
  m.d = (float *)(m.weight + of_panels * BLOCK_LEVELS);
  m.m = m.d + 2 * of_panels * PANEL_ROWS;
  m.acc = m.m + 2 * of_panels * PANEL_ROWS;
  return m;
}

/* Tiles of the part's tokens. */
TILE_INLINE int part_tiles(part_shape s, const part *p) {
  return (p->tokens + s.tile_tokens - 1) / s.tile_tokens;
}

/* Indices into the arrays of part_memory. */
TILE_INLINE int64_t part_level(part_shape s, int tile, int b, int i) {
  return ((int64_t)(tile * s.blocks + b) * s.tile_tokens + i) * QUANT_BLOCK;
}
TILE_INLINE int64_t part_scale(part_shape s, int h, int token, int b) {
  return (int64_t)(h * s.tokens + token) * s.blocks + b;
}
/* Of weight: number `panel` of tile_panels, block b. */
TILE_INLINE int64_t part_weight(part_shape s, int panel, int b) {
  return (int64_t)(panel * s.blocks + b) * BLOCK_LEVELS;
}
TILE_INLINE int64_t part_rows(part_shape s, int h, int panel, int b) {
  return (int64_t)((h * s.tile_panels + panel) * s.blocks + b) * PANEL_ROWS;
}
/* Of acc: token and panel counted from the part's first ones. */
TILE_INLINE int64_t part_acc(part_shape s, int token, int64_t panel) {
  return (token * (int64_t)s.panels + panel) * PANEL_ROWS;
}

#endif
