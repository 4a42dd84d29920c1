/* Packing of rows into panels, and where things are in a panel. All of it is inlined into one function for each type,
 * so that the type's numbers are constants there: loading a model is mostly this. */
#ifndef QUANT_PACK_H
#define QUANT_PACK_H

#include "quant/quantized.h"

/* ---- The planes of levels in a panel ---- */

enum { STEP = PANEL_ROWS * 4, NIBBLE_PLANE = 4 * STEP, PAIR_PLANE = 2 * STEP };

static inline size_t levels_bytes(const quant_info *q) {
  return PANEL_ROWS * QUANT_BLOCK / 8 * (size_t)q->level_bits;
}

static inline uint32_t four_bytes(const uint8_t *p) {
  uint32_t v;
  memcpy(&v, p, sizeof v);
  return v;
}

static ALWAYS_INLINE void put_pairs(uint8_t *plane, int row, const uint8_t *level, int shift) {
  for (int h = 0; h < 2; h++) {
    uint32_t bytes = 0;
    for (int p = 0; p < 4; p++) bytes |= (four_bytes(level + 16 * h + 4 * p) >> shift & 0x03030303u) << 2 * p;
    memcpy(plane + h * STEP + row * 4, &bytes, 4);
  }
}

/* Rows share the bytes, which are zero before the first row: so each row's bits are added. */
static ALWAYS_INLINE void put_masks(uint8_t *plane, int row, const uint8_t *level, int shift) {
  for (int s = 0; s < 8; s += 2) {
    unsigned bits = gather_bits(level + 4 * s, shift);
    plane[s * 8 + row / 2] |= (uint8_t)((bits & 15) << row % 2 * 4);
    plane[s * 8 + 8 + row / 2] |= (uint8_t)(bits >> 4 << row % 2 * 4);
  }
}

static ALWAYS_INLINE void put_levels(const quant_info *q, uint8_t *plane, int row, const uint8_t *level) {
  int shift = 0;
  if (q->level_bits & 8)
    for (int s = 0; s < 8; s++) memcpy(plane + s * STEP + row * 4, level + s * 4, 4);
  if (q->level_bits & 4) {
    for (int g = 0; g < 4; g++) {
      uint32_t low = four_bytes(level + g * 4) & 0x0F0F0F0Fu, high = four_bytes(level + 16 + g * 4) << 4 & 0xF0F0F0F0u;
      uint32_t both = low | high;
      memcpy(plane + g * STEP + row * 4, &both, 4);
    }
    plane += NIBBLE_PLANE;
    shift += 4;
  }
  if (q->level_bits & 2) {
    put_pairs(plane, row, level, shift);
    plane += PAIR_PLANE;
    shift += 2;
  }
  if (q->level_bits & 1) put_masks(plane, row, level, shift);
}

/* ---- The scales in a panel ---- */

/* The scales of the storage block that block b, of 32 inputs, belongs to. */
static inline size_t scales_at(const quant_info *q, size_t n_cols, size_t b) {
  size_t blocks = (size_t)q->block / QUANT_BLOCK;
  return n_cols / QUANT_BLOCK * levels_bytes(q) + b / blocks * (size_t)q->panel_scales;
}

static inline size_t factors_at(const quant_info *q, size_t b) {
  size_t blocks = (size_t)q->block / QUANT_BLOCK;
  return (q->has_min ? 4 : 2) * PANEL_ROWS + b % blocks * PANEL_ROWS * (size_t)FACTOR_BYTES(q->factors);
}

static ALWAYS_INLINE void put_factors(quant_factors factors, uint8_t *to, const quant_block *numbers) {
  switch (factors) {
  case FACTORS_NONE:
    break;
  case FACTORS_SCALE:
    to[0] = (uint8_t)numbers->scale[0];
    break;
  case FACTORS_SCALE_MIN:
    to[0] = (uint8_t)numbers->scale[0];
    to[PANEL_ROWS] = (uint8_t)numbers->min[0];
    break;
  case FACTORS_SCALES:
    for (int h = 0; h < 2; h++) to[h * PANEL_ROWS] = (uint8_t)numbers->scale[h];
    break;
  case FACTORS_SCALES_MINS:
    for (int h = 0; h < 2; h++) to[h * PANEL_ROWS] = (uint8_t)(numbers->scale[h] | numbers->min[h] << 4);
    break;
  }
}

/* ---- Panels ---- */

static ALWAYS_INLINE void put_block(const quant_info *q, uint8_t *panel, size_t n_cols, size_t b, int row,
                                    const quant_block *numbers) {
  uint8_t *scales = panel + scales_at(q, n_cols, b);
  put_levels(q, panel + b * levels_bytes(q), row, numbers->level);
  store_half(scales + 2 * row, numbers->d);
  if (q->has_min) store_half(scales + 2 * PANEL_ROWS + 2 * row, numbers->m);
  put_factors(q->factors, scales + factors_at(q, b) + row, numbers);
}

/* quant_info.pack for the type q, whose load is given apart so that it is inlined. Block by block: the lines of a panel
 * that its rows share are then written while they are at hand. */
static ALWAYS_INLINE void pack_rows(const quant_info *q, void (*load)(const uint8_t *, int, quant_block *), void *panel,
                                    const void *from, size_t stride, int n_rows, size_t n_cols) {
  const int blocks = q->block / QUANT_BLOCK;
  size_t n_blocks = n_cols / (size_t)q->block;
  bool shared_bytes = q->level_bits & 1;
  if (shared_bytes || n_rows < PANEL_ROWS) memset(panel, 0, n_blocks * (size_t)(q->panel_levels + q->panel_scales));
  for (size_t block = 0; block < n_blocks; block++)
    for (int r = 0; r < n_rows; r++) {
      const uint8_t *stored = (const uint8_t *)from + (size_t)r * stride + block * (size_t)q->block_bytes;
#pragma GCC unroll 8
      for (int p = 0; p < blocks; p++) {
        quant_block numbers;
        load(stored, p, &numbers);
        put_block(q, panel, n_cols, block * (size_t)blocks + (size_t)p, r, &numbers);
      }
    }
}

#define PACK(LOWER)                                                                                                    \
  static void LOWER##_pack(const quant_info *q, void *panel, const void *from, size_t stride, int n_rows,              \
                           size_t n_cols) {                                                                            \
    (void)q;                                                                                                           \
    pack_rows(&quant_##LOWER, LOWER##_load, panel, from, stride, n_rows, n_cols);                                      \
  }

#endif
