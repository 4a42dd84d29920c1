/* The products of outliers on sixteen lanes, the rows of a panel. Include math_avx512.h or the like first.
 *
 * Tokens mostly have their outliers in the same inputs: the weights of an input are unpacked once, for all panels of
 * the tile, into rows that follow each other as in the output, to which each outlier adds its products. */
#ifndef LANES_OUTLIERS_LANES_H
#define LANES_OUTLIERS_LANES_H

#include "backend/cpu/kernels/lanes/linear_tiles.h"

#include <string.h>

/* The largest tile: panels, blocks of inputs, and inputs with outliers whose weights are kept unpacked. */
enum { OUTLIER_PANELS = 32, OUTLIER_BLOCKS = 32, OUTLIER_INPUTS = 64 };

typedef struct outlier_scratch {
  /* Unpacked weights of inputs, in the order in which the inputs were first met. */
  float weight[OUTLIER_INPUTS][OUTLIER_PANELS][PANEL_ROWS];
} outlier_scratch;

/* The first block from b to end - 1 that has an outlier (at[b] is not 0), or end. */
static inline int64_t next_outlier(const uint8_t *at, int64_t b, int64_t end) {
  for (uint64_t eight; end - b >= (int64_t)sizeof eight; b += (int64_t)sizeof eight) {
    memcpy(&eight, at + b, sizeof eight);
    if (eight) break;
  }
  while (b < end && !at[b]) b++;
  return b;
}

/* ---- Weights of one input ---- */

/* level[r] |= (word r at p >> shift & mask) << up, for the 16 rows of a panel. */
TILE_INLINE void load_words(const char *p, int shift, uint32_t mask, int up, uint32_t level[PANEL_ROWS]) {
  for (int r = 0; r < PANEL_ROWS; r++) {
    /* One by one: a copy of all sixteen is written in narrower parts than it is read, and the reading waits. */
    uint32_t word;
    memcpy(&word, p + r * sizeof word, sizeof word);
    level[r] |= (word >> shift & mask) << up;
  }
}

/* True levels of input `input` of a block, for 16 rows. */
TILE_INLINE void column_levels(tile_format f, const char *plane, int input, int32_t to[PANEL_ROWS]) {
  int step = input / 4, byte = input % 4 * 8;
  uint32_t level[PANEL_ROWS] = {0};
  if (f.bits == 8) load_words(plane + step * 64, byte, 255, 0, level);
  if (f.bits < 8 && f.bits & 4) {
    load_words(plane + step % 4 * 64, byte + step / 4 * 4, 15, 0, level);
    plane += NIBBLES;
  }
  if (f.bits & 2) {
    load_words(plane + step / 4 * 64, byte + step % 4 * 2, 3, f.bits & 4, level);
    plane += TWOS;
  }
  if (f.bits & 1) {
    uint64_t ones;
    memcpy(&ones, plane + step * 8, sizeof ones);
    for (int r = 0; r < PANEL_ROWS; r++) level[r] |= (uint32_t)(ones >> (r * 4 + input % 4) & 1) << (f.bits - 1);
  }
  const int8_t *values = tile_has_values(f) ? quant_get(f.type)->values : NULL;
  for (int r = 0; r < PANEL_ROWS; r++) to[r] = values ? values[level[r]] : (int32_t)level[r] - f.zero;
}

/* Factors of one half of a block. */
TILE_INLINE void column_factors(tile_format f, const char *factors, int half, int32_t scale[PANEL_ROWS],
                                int32_t min[PANEL_ROWS]) {
  const char *own = factors + (tile_has_halves(f) ? half * PANEL_ROWS : 0);
  for (int r = 0; r < PANEL_ROWS; r++) {
    scale[r] = min[r] = 1;
    if (f.factors == FACTORS_NONE) continue;
    scale[r] = f.factors == FACTORS_SCALES_MINS ? own[r] & 15 : (int8_t)own[r];
    if (f.factors == FACTORS_SCALES_MINS) min[r] = (uint8_t)own[r] >> 4;
    if (f.factors == FACTORS_SCALE_MIN) min[r] = (uint8_t)factors[PANEL_ROWS + r];
  }
}

/* The weights of input `place` of a block in all rows; levels: of the block, halves: of its storage block. Both
 * products are exact, so that the sum is what dequantize gives. */
TILE_INLINE lanes load_column(tile_format f, const char *levels, const char *halves, const char *factors, int place) {
  int32_t level[PANEL_ROWS], scale[PANEL_ROWS], min[PANEL_ROWS];
  float product[PANEL_ROWS], minimum[PANEL_ROWS];
  column_levels(f, levels, place, level);
  column_factors(f, factors, place / (QUANT_BLOCK / 2), scale, min);
  for (int r = 0; r < PANEL_ROWS; r++) product[r] = (float)(level[r] * scale[r]), minimum[r] = (float)min[r];
  lanes weight = lanes_mul(lanes_load_f16((const uint16_t *)halves), lanes_load(product));
  if (!f.has_min) return weight;
  lanes m = lanes_load_f16((const uint16_t *)(halves + HALVES));
  return f.factors == FACTORS_NONE ? lanes_add(m, weight) : lanes_fma(m, lanes_load(minimum), weight);
}

/* The weights of input `place` of block b in the panels of the task, [n_panels][16]. */
TILE_INLINE void load_input(tile_format f, const linear_task *t, int64_t b, int place, float (*to)[PANEL_ROWS]) {
  const char *scales = t->panels + t->x->cols / QUANT_BLOCK * f.levels;
  const char *levels = t->panels + b * f.levels, *halves = tile_scales(f, scales, b);
  const char *factors = tile_factors(f, scales, b);
  for (int64_t panel = 0; panel < t->n_panels; panel++) {
    lanes_store(to[panel], load_column(f, levels, halves, factors, place));
    levels += t->panel_bytes, halves += t->panel_bytes, factors += t->panel_bytes;
  }
}

/* ---- Adding their products ---- */

/* Adds the products of one outlier to n rows of the output. */
static inline void add_product(const float (*weight)[PANEL_ROWS], float value, float *out, int64_t n) {
  lanes v = lanes_set(value);
  for (; n >= PANEL_ROWS; n -= PANEL_ROWS, out += PANEL_ROWS)
    lanes_store(out, lanes_fma(lanes_load(*weight++), v, lanes_load(out)));
  if (n) lanes_store_n(out, lanes_fma(lanes_load(*weight), v, lanes_load_n(out, (int)n)), (int)n);
}

/* Adds the products of the outliers in blocks first .. end - 1, at most OUTLIER_BLOCKS, to at most OUTLIER_PANELS
 * panels. */
TILE_INLINE void add_of_blocks(tile_format f, const linear_task *t, int64_t first, int64_t end) {
  outlier_scratch *s = t->scratch;
  /* By input: 1 + the index of its weights in s->weight; 0: not unpacked. */
  uint8_t number[OUTLIER_BLOCKS * QUANT_BLOCK] = {0};
  int count = 0;
  int64_t n_blocks = t->x->cols / QUANT_BLOCK;
  for (int32_t token = 0; token < t->n_tokens; token++) {
    const uint8_t *at = t->x->outlier_at + token * n_blocks;
    const float *value = t->x->outlier + token * n_blocks;
    for (int64_t b = next_outlier(at, first, end); b < end; b = next_outlier(at, b + 1, end)) {
      uint8_t *of_input = &number[(b - first) * QUANT_BLOCK + at[b] - 1];
      if (!*of_input) {
        if (count == OUTLIER_INPUTS) {
          memset(number, 0, sizeof number);
          count = 0;
        }
        load_input(f, t, b, at[b] - 1, s->weight[count]);
        *of_input = (uint8_t)++count;
      }
      add_product(s->weight[*of_input - 1], value[b], t->out + token * t->stride, t->n_rows);
    }
  }
}

TILE_INLINE void add_outliers(tile_format f, const linear_task *t) {
  int64_t n_blocks = t->x->cols / QUANT_BLOCK;
  for (int64_t panel = 0; panel < t->n_panels; panel += OUTLIER_PANELS) {
    linear_task part = *t;
    int64_t rows = t->n_rows - panel * PANEL_ROWS, most = OUTLIER_PANELS * PANEL_ROWS;
    part.panels += (size_t)panel * t->panel_bytes;
    part.n_panels = t->n_panels - panel < OUTLIER_PANELS ? t->n_panels - panel : OUTLIER_PANELS;
    part.out += panel * PANEL_ROWS;
    part.n_rows = rows < most ? rows : most;
    for (int64_t b = 0; b < n_blocks; b += OUTLIER_BLOCKS)
      add_of_blocks(f, &part, b, n_blocks - b < OUTLIER_BLOCKS ? n_blocks : b + OUTLIER_BLOCKS);
  }
}

#define OUTLIERS_OF(NAME, TYPE)                                                                                        \
  static void outliers_##NAME(const linear_task *t) {                                                                  \
    add_outliers(TILE_##TYPE, t);                                                                                      \
  }
TILE_QUANTIZED(OUTLIERS_OF)

#define OUTLIERS_FILL(NAME, TYPE) k->add_outliers[QUANT_##TYPE] = outliers_##NAME;
static void outliers_fill(cpu_kernels *k) {
  TILE_QUANTIZED(OUTLIERS_FILL)
  kernels_need_scratch(k, sizeof(outlier_scratch));
}

#endif
