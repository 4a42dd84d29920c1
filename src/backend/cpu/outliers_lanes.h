/* The products of outliers on sixteen lanes, the rows of a panel. Include math_avx512.h or the like first.
 *
 * Tokens mostly have their outliers in the same inputs, so that the weights of an input are unpacked once for several
 * tokens. Sums wait in the output: each outlier adds to what is there. */
#ifndef CPU_OUTLIERS_LANES_H
#define CPU_OUTLIERS_LANES_H

#include "backend/cpu/linear_tiles.h"

#include <string.h>

/* What is looked at at once. */
enum { OUTLIER_TOKENS = 64, OUTLIER_BLOCKS = 32, OUTLIERS = OUTLIER_TOKENS * OUTLIER_BLOCKS };

typedef struct outlier {
  float value;
  uint16_t input; /* from the first block's first on */
  uint16_t token; /* from the first one on */
} outlier;

/* ---- Finding them ---- */

/* The next block from b on, below end, that has an outlier; else end. */
static inline int64_t next_outlier(const uint8_t *at, int64_t b, int64_t end) {
  for (uint64_t eight; end - b >= (int64_t)sizeof eight; b += (int64_t)sizeof eight) {
    memcpy(&eight, at + b, sizeof eight);
    if (eight) break;
  }
  while (b < end && !at[b]) b++;
  return b;
}

/* Sorts by input; those of one input stay by token. */
static inline void sort_outliers(const outlier *from, int n, outlier *to) {
  uint16_t first[OUTLIER_BLOCKS + 1] = {0}, end[OUTLIER_BLOCKS];
  for (int i = 0; i < n; i++) first[from[i].input / QUANT_BLOCK + 1]++;
  for (int b = 0; b < OUTLIER_BLOCKS; b++) first[b + 1] = (uint16_t)(first[b + 1] + first[b]);
  memcpy(end, first, sizeof end);
  for (int i = 0; i < n; i++) {
    int b = from[i].input / QUANT_BLOCK, at = end[b]++;
    for (; at > first[b] && to[at - 1].input > from[i].input; at--) to[at] = to[at - 1];
    to[at] = from[i];
  }
}

/* The outliers of blocks first .. end - 1 of n tokens, sorted. */
static inline int find_outliers(const be_act *x, int32_t token, int32_t n, int64_t first, int64_t end, outlier *to) {
  outlier unsorted[OUTLIERS], *found = n > 1 ? unsorted : to;
  int64_t n_blocks = x->cols / QUANT_BLOCK;
  int count = 0;
  for (int32_t i = 0; i < n; i++) {
    const uint8_t *at = x->outlier_at + (token + i) * n_blocks;
    const float *value = x->outlier + (token + i) * n_blocks;
    for (int64_t b = next_outlier(at, first, end); b < end; b = next_outlier(at, b + 1, end))
      found[count++] = (outlier){value[b], (uint16_t)((b - first) * QUANT_BLOCK + at[b] - 1), (uint16_t)i};
  }
  if (n > 1 && count) sort_outliers(found, count, to);
  return count;
}

/* ---- Weights of one input ---- */

/* The 32 bits of each row that begin at p, shifted down. */
TILE_INLINE void load_words(const char *p, int shift, uint32_t mask, int up, uint32_t level[PANEL_ROWS]) {
  uint32_t word[PANEL_ROWS];
  memcpy(word, p, sizeof word);
  for (int r = 0; r < PANEL_ROWS; r++) level[r] |= (word[r] >> shift & mask) << up;
}

/* True levels of input `input` of a piece. */
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

/* Factors of one half of a piece. */
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

/* The weights of input `place` of a piece in all rows; levels: of the piece, halves: of its storage block. Both
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

/* ---- Adding their products ---- */

/* Those of n outliers of one input to `rows` rows of a panel. */
TILE_INLINE void add_to_rows(lanes weight, const outlier *list, int n, float *out, int64_t stride, int rows) {
  for (int i = 0; i < n; i++) {
    float *to = out + list[i].token * stride;
    lanes_store_n(to, lanes_fma(weight, lanes_set(list[i].value), lanes_load_n(to, rows)), rows);
  }
}

/* Those of input `place` of block b to all panels. The last panel may not be full: it comes by itself, since what a
 * masked store wrote is waited for. */
TILE_INLINE void add_input(tile_format f, const linear_task *t, int64_t b, int place, const outlier *list, int n,
                           float *out) {
  const char *scales = t->panels + t->x->cols / QUANT_BLOCK * f.levels;
  const char *levels = t->panels + b * f.levels, *halves = tile_scales(f, scales, b);
  const char *factors = tile_factors(f, scales, b);
  int64_t full = t->n_rows / PANEL_ROWS;
  float *first = out + list->token * t->stride;
  lanes value = lanes_set(list->value);
  for (int64_t panel = 0; panel < full; panel++, out += PANEL_ROWS, first += PANEL_ROWS) {
    lanes weight = load_column(f, levels, halves, factors, place);
    lanes_store(first, lanes_fma(weight, value, lanes_load(first)));
    add_to_rows(weight, list + 1, n - 1, out, t->stride, PANEL_ROWS);
    levels += t->panel_bytes, halves += t->panel_bytes, factors += t->panel_bytes;
  }
  int rows = (int)(t->n_rows % PANEL_ROWS);
  if (rows) add_to_rows(load_column(f, levels, halves, factors, place), list, n, out, t->stride, rows);
}

TILE_INLINE void add_outliers(tile_format f, const linear_task *t) {
  int64_t n_blocks = t->x->cols / QUANT_BLOCK;
  outlier list[OUTLIERS];
  for (int32_t token = 0; token < t->n_tokens; token += OUTLIER_TOKENS)
    for (int64_t b = 0; b < n_blocks; b += OUTLIER_BLOCKS) {
      int32_t n = t->n_tokens - token < OUTLIER_TOKENS ? t->n_tokens - token : OUTLIER_TOKENS;
      int64_t end_block = n_blocks - b < OUTLIER_BLOCKS ? n_blocks : b + OUTLIER_BLOCKS;
      int count = find_outliers(t->x, token, n, b, end_block, list);
      for (int first = 0, end; first < count; first = end) {
        for (end = first + 1; end < count && list[end].input == list[first].input;) end++;
        add_input(f, t, b + list[first].input / QUANT_BLOCK, list[first].input % QUANT_BLOCK, list + first, end - first,
                  t->out + token * t->stride);
      }
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
}

#endif
