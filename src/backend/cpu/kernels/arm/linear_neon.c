/* Linear layers with NEON and its dot products: four rows of a panel are the lanes of a vector. */
#include "backend/cpu/kernels/lanes/linear_tiles.h"

#include <arm_neon.h>

/* Of 32 registers, sums of float weights take 16 with two panels and up to two tokens, and 24 with one panel and six
 * tokens. A tile of quantised weights does one half of a panel after the other: six tokens have 12 integer sums (or 24,
 * with factors for halves of a block) and 6 vectors of activations. The floating-point sums are kept in
 * memory. */
enum { ROWS = 4, VECTORS = PANEL_ROWS / ROWS, HALF_VECTORS = VECTORS / 2, STEP = PANEL_ROWS * 4 };
enum { FLOAT_PANELS = 2, FLOAT_TOKENS = 6, LEVEL_TOKENS = 6 };

/* Eight halves as floats. */
TILE_INLINE void load_halves(const char *p, float32x4_t to[2]) {
  float16x8_t halves = vreinterpretq_f16_u8(vld1q_u8((const uint8_t *)p));
  to[0] = vcvt_f32_f16(vget_low_f16(halves));
  to[1] = vcvt_high_f32_f16(halves);
}

/* Writes a tile's sums of one panel, [tokens][16]. */
static __attribute__((noinline)) void store(const linear_task *t, int64_t panel, int32_t token, int tokens,
                                            const float *sums) {
  int n = tile_rows(t, panel);
  float *out = t->out + token * t->stride + panel * PANEL_ROWS;
  for (int i = 0; i < tokens; i++, out += t->stride, sums += PANEL_ROWS)
    for (int r = 0; r < n; r++) out[r] = t->add ? out[r] + sums[r] : sums[r];
}

/* ---- Float weights ---- */

/* Half a panel's rows of one input. */
TILE_INLINE void load_weights(tile_format f, const char *p, float32x4_t to[HALF_VECTORS]) {
  if (f.type == QUANT_F32) {
    to[0] = vreinterpretq_f32_u8(vld1q_u8((const uint8_t *)p));
    to[1] = vreinterpretq_f32_u8(vld1q_u8((const uint8_t *)p + 16));
  } else if (f.type == QUANT_F16) {
    load_halves(p, to);
  } else {
    uint16x8_t upper = vreinterpretq_u16_u8(vld1q_u8((const uint8_t *)p));
    to[0] = vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(upper), 16));
    to[1] = vreinterpretq_f32_u32(vshll_high_n_u16(upper, 16));
  }
}

TILE_INLINE void float_tile(tile_format f, const linear_task *t, int64_t panel, int32_t token, int panels, int tokens) {
  int64_t cols = t->x->cols;
  int bytes = FLOAT_INPUTS * f.levels;
  const tile_distance ahead = tile_ahead(t, cols / FLOAT_INPUTS, bytes);
  const float *x = t->x->f32 + token * cols;
  const char *at[FLOAT_PANELS], *next[FLOAT_PANELS];
  float32x4_t acc[FLOAT_PANELS * VECTORS][FLOAT_TOKENS];
  UNROLL
  for (int p = 0; p < panels; p++) {
    at[p] = tile_panel(t, panel + p);
    next[p] = tile_panel(t, panel + panels + p);
  }
  UNROLL
  for (int v = 0; v < panels * VECTORS; v++) {
    UNROLL
    for (int i = 0; i < tokens; i++) acc[v][i] = vdupq_n_f32(0);
  }
  for (int64_t c = 0; c < cols; c++) {
    for (int p = 0; p < panels && c % FLOAT_INPUTS == 0; p++)
      tile_prefetch(at[p], next[p], c / FLOAT_INPUTS, ahead, cols / FLOAT_INPUTS, bytes);
    UNROLL
    for (int half = 0; half < panels * 2; half++) {
      int p = half / 2, first = half * HALF_VECTORS;
      float32x4_t w[HALF_VECTORS];
      load_weights(f, at[p] + c * f.levels + half % 2 * f.levels / 2, w);
      UNROLL
      for (int i = 0; i < tokens; i++) {
        UNROLL
        for (int v = 0; v < HALF_VECTORS; v++)
          acc[first + v][i] = vfmaq_n_f32(acc[first + v][i], w[v], x[i * cols + c]);
      }
    }
  }
  UNROLL
  for (int p = 0; p < panels; p++) {
    float sums[FLOAT_TOKENS * PANEL_ROWS];
    UNROLL
    for (int v = 0; v < VECTORS; v++) {
      UNROLL
      for (int i = 0; i < tokens; i++) vst1q_f32(sums + i * PANEL_ROWS + v * ROWS, acc[p * VECTORS + v][i]);
    }
    store(t, panel + p, token, tokens, sums);
  }
}

/* ---- Quantised weights: levels ---- */

/* The values of a type that has some. */
TILE_INLINE int8x16_t load_values(tile_format f) {
  return tile_has_values(f) ? vld1q_s8(quant_get(f.type)->values) : vdupq_n_s8(0);
}

/* Two bits of each of inputs 4 step .. 4 step + 3, at bit `at`, among others. */
TILE_INLINE uint8x16_t step_twos(const uint8_t *plane, int step, int at) {
  uint8x16_t twos = vld1q_u8(plane + step / 4 * STEP);
  switch (step % 4 * 2 - at) {
  case -4:
    return vshlq_n_u8(twos, 4);
  case -2:
    return vshlq_n_u8(twos, 2);
  case 2:
    return vshrq_n_u8(twos, 2);
  case 4:
    return vshrq_n_u8(twos, 4);
  case 6:
    return vshrq_n_u8(twos, 6);
  default:
    return twos;
  }
}

/* All ones in byte i where bit i of the 16 bits at p is set. */
TILE_INLINE uint8x16_t spread_bits(const uint8_t *p) {
  uint8x16_t bytes = vcombine_u8(vld1_dup_u8(p), vld1_dup_u8(p + 1));
  return vtstq_u8(bytes, vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201u)));
}

/* Inputs 4 step .. 4 step + 3 of four rows. Levels without a sign have at most 6 bits, so that all are signed bytes. */
TILE_INLINE int8x16_t step_levels(tile_format f, const uint8_t *plane, int vector, int step, int8x16_t values) {
  const int bytes = vector * 16;
  if (f.bits == 8) return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(plane + bytes + step * STEP), vdupq_n_u8(0x80)));
  uint8x16_t level = vdupq_n_u8(0);
  if (f.bits & 4) {
    uint8x16_t packed = vld1q_u8(plane + bytes + step % 4 * STEP);
    level = step < 4 ? vandq_u8(packed, vdupq_n_u8(15)) : vshrq_n_u8(packed, 4);
    plane += NIBBLES;
  }
  if (tile_has_values(f)) return vqtbl1q_s8(values, level);
  if (f.bits & 2) {
    int at = f.bits & 4;
    level = vbslq_u8(vdupq_n_u8((uint8_t)(3 << at)), step_twos(plane + bytes, step, at), level);
    plane += TWOS;
  }
  if (f.bits & 1)
    level = vbslq_u8(vdupq_n_u8((uint8_t)(1 << (f.bits - 1))), spread_bits(plane + step * 8 + vector * 2), level);
  return vreinterpretq_s8_u8(level);
}

/* Adds the products of w, four inputs of four rows, and of inputs 4 lane .. 4 lane + 3 of x. */
TILE_INLINE int32x4_t add_dots(int32x4_t sum, int8x16_t w, int8x16_t x, int lane) {
  switch (lane) {
  case 0:
    return vdotq_laneq_s32(sum, w, x, 0);
  case 1:
    return vdotq_laneq_s32(sum, w, x, 1);
  case 2:
    return vdotq_laneq_s32(sum, w, x, 2);
  default:
    return vdotq_laneq_s32(sum, w, x, 3);
  }
}

/* Keeps the compiler from unpacking all weights first, for which there are too few registers. */
#define KEEP_ORDER(X) __asm__ volatile("" : "+w"(X))

/* ---- Scales ---- */

/* For the sub-blocks of a block and half a panel: scales and minima times their factors, which is exact. */
typedef struct block_scales {
  float32x4_t d[2][HALF_VECTORS], m[2][HALF_VECTORS];
} block_scales;

/* Eight rows of a scale, times its factor. */
TILE_INLINE void load_scale(tile_scale s, float32x4_t to[HALF_VECTORS]) {
  load_halves(s.halves, to);
  if (!s.factor) return;
  uint8x8_t bytes = vld1_u8((const uint8_t *)s.factor);
  if (s.width == FACTOR_LOW_NIBBLES) bytes = vand_u8(bytes, vdup_n_u8(15));
  if (s.width == FACTOR_HIGH_NIBBLES) bytes = vshr_n_u8(bytes, 4);
  int16x8_t words = vmovl_s8(vreinterpret_s8_u8(bytes));
  to[0] = vmulq_f32(to[0], vcvtq_f32_s32(vmovl_s16(vget_low_s16(words))));
  to[1] = vmulq_f32(to[1], vcvtq_f32_s32(vmovl_high_s16(words)));
}

/* The scales of block b; half 0 or 1 of the panel. */
TILE_INLINE block_scales load_scales(tile_format f, const char *scales, int64_t b, int half) {
  block_scales to;
  UNROLL
  for (int h = 0; h < tile_sub_blocks(f); h++) {
    load_scale(tile_scale_from(tile_scale_at(f, scales, b, h), half * PANEL_ROWS / 2), to.d[h]);
    if (f.has_min) load_scale(tile_scale_from(tile_min_at(f, scales, b, h), half * PANEL_ROWS / 2), to.m[h]);
  }
  return to;
}

/* ---- Quantised weights: tiles ---- */

/* Where a tile's operands are, of its panels and its tokens. */
typedef struct operands {
  tile_operands common;
  const char *at, *next;
  int8x16_t values;
} operands;

TILE_INLINE operands find_operands(tile_format f, const linear_task *t, int64_t panel, int32_t token) {
  return (operands){.common = tile_find_operands(f, t, token),
                    .at = tile_panel(t, panel),
                    .next = tile_panel(t, panel + 1),
                    .values = load_values(f)};
}

/* A whole number added to the bits of 3 * 2^22 is a float that much larger, as long as it is below 2^22; sums are at
 * most 32 * 127 * 128. Subtraction is faster than conversion on many processors. */
#define WHOLE_ZERO 12582912.0f
enum { WHOLE_ZERO_BITS = 0x4B400000 };

TILE_INLINE float32x4_t whole_number(int32x4_t sum) {
  return vsubq_f32(vreinterpretq_f32_s32(sum), vdupq_n_f32(WHOLE_ZERO));
}

/* What a block adds to every row, for each token. */
typedef struct block_sums {
  int32_t start[2][LEVEL_TOKENS]; /* of integer sums: minus the zero point times the sum of a sub-block's levels */
  float min[2][LEVEL_TOKENS];     /* the sum of the levels, scaled */
  float scale[LEVEL_TOKENS];
} block_sums;

TILE_INLINE block_sums sum_block(tile_format f, const operands *o, int64_t b, int tokens) {
  block_sums to;
  int zero = f.bits == 8 ? 0 : f.zero;
  UNROLL
  for (int i = 0; i < tokens; i++) {
    int64_t block = i * o->common.n_blocks + b;
    int neg[2] = {o->common.neg_sum[2 * block], o->common.neg_sum[2 * block + 1]};
    to.scale[i] = o->common.scale[block];
    UNROLL
    for (int h = 0; h < tile_sub_blocks(f); h++) {
      int sum = tile_sub_blocks(f) == 2 ? neg[h] : neg[0] + neg[1];
      to.start[h][i] = WHOLE_ZERO_BITS + zero * sum;
      to.min[h][i] = to.scale[i] * (float)-sum;
    }
  }
  return to;
}

/* The integer products of block b and of half a panel. */
TILE_INLINE void multiply(tile_format f, const operands *o, int64_t b, int half, int tokens, const block_sums *sums,
                          int32x4_t sum[2][HALF_VECTORS][LEVEL_TOKENS]) {
  const uint8_t *plane = (const uint8_t *)o->at + b * f.levels;
  UNROLL
  for (int h = 0; h < 2; h++) {
    int to = h % tile_sub_blocks(f);
    int8x16_t x[LEVEL_TOKENS];
    UNROLL
    for (int i = 0; i < tokens; i++) {
      x[i] = vld1q_s8(o->common.level + i * o->common.cols + b * QUANT_BLOCK + h * 16);
      if (h == to) sum[h][0][i] = sum[h][1][i] = vdupq_n_s32(sums->start[h][i]);
    }
    UNROLL
    for (int s = 0; s < 4; s++) {
      UNROLL
      for (int v = 0; v < HALF_VECTORS; v++) {
        int8x16_t w = step_levels(f, plane, half * HALF_VECTORS + v, h * 4 + s, o->values);
        UNROLL
        for (int i = 0; i < tokens; i++) {
          sum[to][v][i] = add_dots(sum[to][v][i], w, x[i], s);
          KEEP_ORDER(sum[to][v][i]);
        }
      }
    }
  }
}

/* Adds the products, scaled, and the minima of half a panel. */
TILE_INLINE void accumulate(tile_format f, const block_scales *p, int tokens, const block_sums *sums,
                            int32x4_t sum[2][HALF_VECTORS][LEVEL_TOKENS], float32x4_t acc[HALF_VECTORS][LEVEL_TOKENS]) {
  UNROLL
  for (int h = 0; h < tile_sub_blocks(f); h++) {
    UNROLL
    for (int v = 0; v < HALF_VECTORS; v++) {
      UNROLL
      for (int i = 0; i < tokens; i++) {
        float32x4_t product = whole_number(sum[h][v][i]);
        acc[v][i] = vfmaq_f32(acc[v][i], vmulq_n_f32(p->d[h][v], sums->scale[i]), product);
        if (f.has_min) acc[v][i] = vfmaq_n_f32(acc[v][i], p->m[h][v], sums->min[h][i]);
      }
    }
  }
}

TILE_INLINE void quantized_tile(tile_format f, const linear_task *t, int64_t panel, int32_t token, int tokens) {
  const operands o = find_operands(f, t, panel, token);
  float32x4_t acc[2][HALF_VECTORS][LEVEL_TOKENS];
  UNROLL
  for (int v = 0; v < VECTORS; v++) {
    UNROLL
    for (int i = 0; i < tokens; i++) acc[v / 2][v % 2][i] = vdupq_n_f32(0);
  }
  for (int64_t b = 0; b < o.common.n_blocks; b++) {
    tile_prefetch_block(f, &o.common, o.at, o.next, b);
    const block_sums sums = sum_block(f, &o, b, tokens);
    for (int half = 0; half < 2; half++) {
      int32x4_t sum[2][HALF_VECTORS][LEVEL_TOKENS];
      multiply(f, &o, b, half, tokens, &sums, sum);
      const block_scales scales = load_scales(f, o.at + o.common.scales_at, b, half);
      accumulate(f, &scales, tokens, &sums, sum, acc[half]);
    }
  }
  float sums[LEVEL_TOKENS * PANEL_ROWS];
  UNROLL
  for (int v = 0; v < VECTORS; v++) {
    UNROLL
    for (int i = 0; i < tokens; i++) vst1q_f32(sums + i * PANEL_ROWS + v * ROWS, acc[v / 2][v % 2][i]);
  }
  store(t, panel, token, tokens, sums);
}

/* ---- One function for each type ---- */

/* With few tokens, two panels' sums keep the units busy; with more, one's do. */
TILE_INLINE void float_panels(tile_format f, const linear_task *t, int64_t panel, int32_t token, int tokens) {
  if (tokens <= 2) {
    float_tile(f, t, panel, token, FLOAT_PANELS, tokens);
    return;
  }
  for (int p = 0; p < FLOAT_PANELS && panel + p < t->n_panels; p++) float_tile(f, t, panel + p, token, 1, tokens);
}

TILE_INLINE void float_tiles(tile_format f, const linear_task *t, int64_t panel, int32_t token,
                             int tokens){TILE_BY_TOKENS(tokens, FLOAT_TOKENS, float_panels, f, t, panel, token)}

TILE_INLINE void quantized_tiles(tile_format f, const linear_task *t, int64_t panel, int32_t token,
                                 int tokens){TILE_BY_TOKENS(tokens, LEVEL_TOKENS, quantized_tile, f, t, panel, token)}

#define LINEAR(NAME, FORMAT, PANELS, TOKENS, TILES)                                                                    \
  static void NAME##_tile(const linear_task *t, int64_t panel, int32_t token, int tokens) {                            \
    TILES(FORMAT, t, panel, token, tokens);                                                                            \
  }                                                                                                                    \
  static void linear_##NAME(const linear_task *t) {                                                                    \
    tile_all(t, FORMAT, PANELS, TOKENS, NAME##_tile);                                                                  \
  }
#define FLOAT(NAME, TYPE) LINEAR(NAME, TILE_##TYPE, FLOAT_PANELS, FLOAT_TOKENS, float_tiles)
#define QUANTIZED(NAME, TYPE) LINEAR(NAME, TILE_##TYPE, 1, LEVEL_TOKENS, quantized_tiles)
TILE_FLOAT(FLOAT) TILE_QUANTIZED(QUANTIZED)

#define FILL(NAME, TYPE) k->linear[QUANT_##TYPE] = linear_##NAME;
    void cpu_linear_neon(cpu_kernels *k) {
  TILE_FLOAT(FILL)
  TILE_QUANTIZED(FILL)
}
