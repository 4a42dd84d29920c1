/* How the vector versions of a linear layer cut it into tiles. A tile is a few panels times a few tokens whose
 * sums stay in registers: one inlined function in which these sizes are constants. */
#ifndef LANES_LINEAR_TILES_H
#define LANES_LINEAR_TILES_H

#include "backend/cpu/kernels/kernels.h"

#define TILE_INLINE static inline __attribute__((always_inline))

/* Unrolls the next loop completely, so that the arrays it walks over become registers. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

/* What a kernel has to know of a type while it is compiled; see quant_info. */
typedef struct tile_format {
  quant_type type;
  int bits, zero;
  bool has_min;
  quant_factors factors;
  int blocks; /* of 32 inputs in a storage block */
  int levels; /* bytes of a block of a panel, or for float types of an input */
  int scales; /* bytes of a storage block's scales in a panel, a multiple of `blocks` */
} tile_format;

/* Bytes of a panel's halves, and of a block's planes of 4 and of 2 bits. */
enum { HALVES = 2 * PANEL_ROWS, NIBBLES = PANEL_ROWS * QUANT_BLOCK / 2, TWOS = PANEL_ROWS * QUANT_BLOCK / 4 };

#define TILE_FLOATS(TYPE, BITS) ((tile_format){.type = TYPE, .bits = BITS, .levels = BITS / 8 * PANEL_ROWS})

#define TILE_LEVELS(TYPE, BITS, ZERO, HAS_MIN, FACTORS, FACTOR_BYTES, BLOCKS)                                          \
  ((tile_format){TYPE, BITS, ZERO, HAS_MIN, FACTORS, BLOCKS, PANEL_ROWS * QUANT_BLOCK * BITS / 8,                      \
                 (HAS_MIN ? 2 * HALVES : HALVES) + BLOCKS * FACTOR_BYTES * PANEL_ROWS})

#define TILE_F32 TILE_FLOATS(QUANT_F32, 32)
#define TILE_F16 TILE_FLOATS(QUANT_F16, 16)
#define TILE_BF16 TILE_FLOATS(QUANT_BF16, 16)
#define TILE_Q8_0 TILE_LEVELS(QUANT_Q8_0, 8, 128, false, FACTORS_NONE, 0, 1)
#define TILE_Q4_0 TILE_LEVELS(QUANT_Q4_0, 4, 8, false, FACTORS_NONE, 0, 1)
#define TILE_Q4_1 TILE_LEVELS(QUANT_Q4_1, 4, 0, true, FACTORS_NONE, 0, 1)
#define TILE_Q5_0 TILE_LEVELS(QUANT_Q5_0, 5, 16, false, FACTORS_NONE, 0, 1)
#define TILE_Q5_1 TILE_LEVELS(QUANT_Q5_1, 5, 0, true, FACTORS_NONE, 0, 1)
#define TILE_Q2_K TILE_LEVELS(QUANT_Q2_K, 2, 0, true, FACTORS_SCALES_MINS, 2, 8)
#define TILE_Q3_K TILE_LEVELS(QUANT_Q3_K, 3, 4, false, FACTORS_SCALES, 2, 8)
#define TILE_Q4_K TILE_LEVELS(QUANT_Q4_K, 4, 0, true, FACTORS_SCALE_MIN, 2, 8)
#define TILE_Q5_K TILE_LEVELS(QUANT_Q5_K, 5, 0, true, FACTORS_SCALE_MIN, 2, 8)
#define TILE_Q6_K TILE_LEVELS(QUANT_Q6_K, 6, 32, false, FACTORS_SCALES, 2, 8)
#define TILE_IQ4_NL TILE_LEVELS(QUANT_IQ4_NL, 4, 0, false, FACTORS_NONE, 0, 1)
#define TILE_IQ4_XS TILE_LEVELS(QUANT_IQ4_XS, 4, 0, false, FACTORS_SCALE, 1, 8)

/* X(name, TYPE) for every type. */
#define TILE_FLOAT(X) X(f32, F32) X(f16, F16) X(bf16, BF16)
#define TILE_QUANTIZED(X)                                                                                              \
  X(q8_0, Q8_0)                                                                                                        \
  X(q4_0, Q4_0)                                                                                                        \
  X(q4_1, Q4_1)                                                                                                        \
  X(q5_0, Q5_0)                                                                                                        \
  X(q5_1, Q5_1)                                                                                                        \
  X(q2_k, Q2_K)                                                                                                        \
  X(q3_k, Q3_K)                                                                                                        \
  X(q4_k, Q4_K)                                                                                                        \
  X(q5_k, Q5_K)                                                                                                        \
  X(q6_k, Q6_K)                                                                                                        \
  X(iq4_nl, IQ4_NL)                                                                                                    \
  X(iq4_xs, IQ4_XS)

/* Types whose stored levels are indices of values. */
TILE_INLINE bool tile_has_values(tile_format f) {
  return f.type == QUANT_IQ4_NL || f.type == QUANT_IQ4_XS;
}

/* Types whose integer factors differ between the halves of a block. */
TILE_INLINE bool tile_has_halves(tile_format f) {
  return f.factors == FACTORS_SCALES || f.factors == FACTORS_SCALES_MINS;
}

/* A block of a panel is one sub-block, or two where its halves have factors of their own. */
TILE_INLINE int tile_sub_blocks(tile_format f) {
  return tile_has_halves(f) ? 2 : 1;
}

/* Step s of sub-block h. Both nibbles of a byte come one after the other where they are of one sub-block. */
TILE_INLINE int tile_step(tile_format f, int h, int s) {
  return tile_has_halves(f) ? h * 4 + s : s % 2 * 4 + s / 2;
}

/* What a pair of 16 bits, one for each half of a block, is multiplied by for `by` times their sum in sub-block h. */
TILE_INLINE int32_t tile_pair(tile_format f, int h, int16_t by) {
  uint32_t low = (uint16_t)by, high = low << 16;
  return (int32_t)(!tile_has_halves(f) ? high | low : h ? high : low);
}

/* The scales of the storage block that block b belongs to, in the scales of a panel, and the factors of block b in
 * these. */
TILE_INLINE const char *tile_scales(tile_format f, const char *scales, int64_t b) {
  return scales + b / f.blocks * f.scales;
}
TILE_INLINE const char *tile_factors(tile_format f, const char *scales, int64_t b) {
  int halves = f.has_min ? 2 * HALVES : HALVES;
  return tile_scales(f, scales, b) + halves + b % f.blocks * ((f.scales - halves) / f.blocks);
}

/* Where the scales or the minima of a sub-block's 16 rows are: halves, and unless `factor` is NULL the integers that
 * they are multiplied by, which is exact: bytes, or the low or high nibbles of bytes. */
typedef enum tile_width { FACTOR_BYTES, FACTOR_LOW_NIBBLES, FACTOR_HIGH_NIBBLES } tile_width;

typedef struct tile_scale {
  const char *halves, *factor;
  tile_width width;
} tile_scale;

/* The scale of sub-block h of block b. */
TILE_INLINE tile_scale tile_scale_at(tile_format f, const char *scales, int64_t b, int h) {
  const char *halves = tile_scales(f, scales, b);
  if (f.factors == FACTORS_NONE) return (tile_scale){.halves = halves};
  return (tile_scale){.halves = halves,
                      .factor = tile_factors(f, scales, b) + h * PANEL_ROWS,
                      .width = f.factors == FACTORS_SCALES_MINS ? FACTOR_LOW_NIBBLES : FACTOR_BYTES};
}
TILE_INLINE tile_scale tile_min_at(tile_format f, const char *scales, int64_t b, int h) {
  const char *halves = tile_scales(f, scales, b) + HALVES, *factors = tile_factors(f, scales, b);
  if (f.factors == FACTORS_NONE) return (tile_scale){.halves = halves};
  if (f.factors == FACTORS_SCALE_MIN) return (tile_scale){.halves = halves, .factor = factors + PANEL_ROWS};
  return (tile_scale){.halves = halves, .factor = factors + h * PANEL_ROWS, .width = FACTOR_HIGH_NIBBLES};
}

/* A scale of the same sub-block, for the rows from `row` on. */
TILE_INLINE tile_scale tile_scale_from(tile_scale s, int row) {
  s.halves += row * (HALVES / PANEL_ROWS);
  if (s.factor) s.factor += row;
  return s;
}

/* The address of a panel. Past the last panel it is that of the last; tile_rows() is 0 there, so nothing is written. */
TILE_INLINE const char *tile_panel(const linear_task *t, int64_t panel) {
  int64_t last = t->n_panels - 1;
  return t->panels + (size_t)(panel < last ? panel : last) * t->panel_bytes;
}

/* Rows of a panel that are to be written, from 0 to 16. */
TILE_INLINE int tile_rows(const linear_task *t, int64_t panel) {
  int64_t left = t->n_rows - panel * PANEL_ROWS;
  return left >= PANEL_ROWS ? PANEL_ROWS : left > 0 ? (int)left : 0;
}

/* Bytes of scales for each block. */
TILE_INLINE int tile_scale_bytes(tile_format f) {
  return f.blocks ? f.scales / f.blocks : 0;
}

/* The same as prefetch_bytes, in blocks. */
typedef struct tile_distance {
  int64_t far, near;
} tile_distance;

/* The distances for a panel of `count` blocks of `bytes` bytes. */
TILE_INLINE tile_distance tile_ahead(const linear_task *t, int64_t count, int64_t bytes) {
  prefetch_bytes ahead = t->n_tokens > 1 ? t->prefetch.several : t->prefetch.one;
  int64_t far = ahead.far / bytes, near = ahead.near / bytes;
  return (tile_distance){far < count ? far : count, near < count ? near : count};
}

/* Inputs of float types that are prefetched together, as a block is of quantised types. */
enum { FLOAT_INPUTS = 4 };

/* What does not depend on the instruction set: the activations of its tokens, from the first on,
 * where the scales begin in a panel, and how many blocks ahead to prefetch. */
typedef struct tile_operands {
  int64_t cols, n_blocks, scales_at;
  tile_distance ahead;
  const int8_t *level;
  const float *scale;
  const int16_t *neg_sum;
} tile_operands;

TILE_INLINE tile_operands tile_find_operands(tile_format f, const linear_task *t, int32_t token) {
  int64_t cols = t->x->cols, n_blocks = cols / QUANT_BLOCK;
  return (tile_operands){.cols = cols,
                         .n_blocks = n_blocks,
                         .scales_at = n_blocks * f.levels,
                         .ahead = tile_ahead(t, n_blocks, f.levels + tile_scale_bytes(f)),
                         .level = t->x->level + token * cols,
                         .scale = t->x->scale + token * n_blocks,
                         .neg_sum = t->x->neg_sum + token * n_blocks * 2};
}

/* Block number `index` of the `count` blocks of `bytes` bytes of a panel, or, past its end, of next. */
TILE_INLINE const char *tile_block(const char *panel, const char *next, int64_t index, int64_t count, int bytes) {
  return index < count ? panel + index * bytes : next + (index - count) * bytes;
}

/* Prefetches the blocks that are `ahead` of block number `index`. */
TILE_INLINE void tile_prefetch(const char *panel, const char *next, int64_t index, tile_distance ahead, int64_t count,
                               int bytes) {
  if (ahead.far) {
    const char *far = tile_block(panel, next, index + ahead.far, count, bytes);
    for (int i = 0; i < bytes; i += 64) __builtin_prefetch(far + i, 0, 2);
  }
  if (ahead.near) {
    const char *near = tile_block(panel, next, index + ahead.near, count, bytes);
    for (int i = 0; i < bytes; i += 64) __builtin_prefetch(near + i);
  }
}

/* Levels and scales of a panel, after those of block b. */
TILE_INLINE void tile_prefetch_block(tile_format f, const tile_operands *o, const char *panel, const char *next,
                                     int64_t b) {
  tile_prefetch(panel, next, b, o->ahead, o->n_blocks, f.levels);
  tile_prefetch(panel + o->scales_at, next + o->scales_at, b, o->ahead, o->n_blocks, tile_scale_bytes(f));
}

/* FUNCTION(..., TOKENS) with a constant in place of TOKENS, which is from 1 to MOST, itself at most 8: the function, an
 * inlined tile, is compiled once for each number of tokens. */
#define TILE_OF(N, MOST, FUNCTION, ...)                                                                                \
  case N:                                                                                                              \
    if ((N) <= (MOST)) FUNCTION(__VA_ARGS__, N);                                                                       \
    break;
#define TILE_BY_TOKENS(TOKENS, MOST, FUNCTION, ...)                                                                    \
  switch (TOKENS) {                                                                                                    \
    TILE_OF(1, MOST, FUNCTION, __VA_ARGS__)                                                                            \
    TILE_OF(2, MOST, FUNCTION, __VA_ARGS__)                                                                            \
    TILE_OF(3, MOST, FUNCTION, __VA_ARGS__)                                                                            \
    TILE_OF(4, MOST, FUNCTION, __VA_ARGS__)                                                                            \
    TILE_OF(5, MOST, FUNCTION, __VA_ARGS__)                                                                            \
    TILE_OF(6, MOST, FUNCTION, __VA_ARGS__)                                                                            \
    TILE_OF(7, MOST, FUNCTION, __VA_ARGS__)                                                                            \
    TILE_OF(8, MOST, FUNCTION, __VA_ARGS__)                                                                            \
  default:                                                                                                             \
    break;                                                                                                             \
  }

/* Computes the panels from `panel` on for `tokens` tokens from `token` on. */
typedef void tile_function(const linear_task *t, int64_t panel, int32_t token, int tokens);

/* Runs a task as tiles of `panels` panels and at most max_tokens tokens. The activations of as many tokens as fit
 * into a part of the second-level cache stay there while the panels pass by. */
TILE_INLINE void tile_all(const linear_task *t, tile_format f, int panels, int max_tokens, tile_function *tile) {
  enum { CACHE_BYTES = 1 << 18 };
  int64_t token_bytes = t->x->cols * (f.bits > 8 ? (int64_t)sizeof(float) : 1);
  int64_t in_cache = CACHE_BYTES / token_bytes, n = t->n_tokens;
  int64_t block = in_cache > max_tokens ? in_cache / max_tokens * max_tokens : max_tokens;
  linear_task again = *t;
  again.prefetch = (linear_prefetch){0};
  for (int64_t start = 0; start < n; start += block) {
    int64_t here = n - start < block ? n - start : block, n_tiles = (here + max_tokens - 1) / max_tokens;
    for (int64_t panel = 0; panel < t->n_panels; panel += panels)
      for (int64_t i = 0; i < n_tiles; i++) {
        int64_t first = here * i / n_tiles, last = here * (i + 1) / n_tiles;
        tile(i ? &again : t, panel, (int32_t)(start + first), (int)(last - first));
      }
  }
}

#endif
