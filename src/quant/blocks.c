/* Q8_0, Q4_0, Q4_1, Q5_0, Q5_1: blocks of 32 inputs with a half d and, for some, a half m.
 *
 *   Q8_0  d, 32 signed bytes q                  weight = d q
 *   Q4_0  d, 32 nibbles q                       weight = d (q - 8)
 *   Q4_1  d, m, 32 nibbles q                    weight = d q + m
 *   Q5_0  d, 32 fifth bits, 32 nibbles          weight = d (q - 16)
 *   Q5_1  d, m, 32 fifth bits, 32 nibbles       weight = d q + m
 *
 * Nibble byte i holds input i in its low half and input 16 + i in its high half; the fifth bits are in
 * order of the inputs. (Layout: the GGUF specification's ggml block types.) */
#include "base/half.h"
#include "quant/quant.h"
#include "quant/random.h"

#include <math.h>

enum { NIBBLE_BYTES = 16, NIBBLE_LEVELS = PANEL_ROWS * NIBBLE_BYTES, STEP = PANEL_ROWS * 4, FIFTH_BYTES = 4 };

static uint16_t load_half(const uint8_t *p) {
  uint16_t h;
  memcpy(&h, p, sizeof h);
  return h;
}

/* ---- A storage block ---- */

static size_t scale_bytes(const quant_info *q) {
  return q->has_min ? 4 : 2;
}

static int stored_level(const quant_info *q, const uint8_t *block, int i) {
  const uint8_t *p = block + scale_bytes(q);
  if (q->level_bits == 8) return (int8_t)p[i];
  int fifth = 0;
  if (q->level_bits == 5) {
    fifth = p[i / 8] >> i % 8 & 1;
    p += FIFTH_BYTES;
  }
  int low = i < 16 ? p[i] & 15 : p[i - 16] >> 4;
  return (low | fifth << 4) - q->zero;
}

static void dequantize(const quant_info *q, const void *from, float *to, size_t n) {
  const uint8_t *block = from;
  for (size_t b = 0; b < n; b += QUANT_BLOCK, block += q->block_bytes) {
    float d = half_to_float(load_half(block)), m = q->has_min ? half_to_float(load_half(block + 2)) : 0;
    for (int i = 0; i < QUANT_BLOCK; i++) to[b + (size_t)i] = fmaf(d, (float)stored_level(q, block, i), m);
  }
}

/* ---- A panel ---- */

static const uint8_t *block_scales(const quant_info *q, const void *panel, size_t n_cols, size_t b) {
  return (const uint8_t *)panel + n_cols / QUANT_BLOCK * (size_t)q->panel_levels + b * (size_t)q->panel_scales;
}

static void pack_levels(const quant_info *q, uint8_t *levels, int row, const uint8_t *block) {
  const uint8_t *p = block + scale_bytes(q);
  if (q->level_bits == 8) {
    for (int i = 0; i < QUANT_BLOCK; i++) levels[i / 4 * STEP + row * 4 + i % 4] = p[i] ^ 0x80;
    return;
  }
  if (q->level_bits == 5) {
    uint8_t *masks = levels + NIBBLE_LEVELS;
    for (int s = 0; s < 8; s++) masks[s * 8 + row / 2] |= (uint8_t)((p[s / 2] >> (s % 2 * 4) & 15) << (row % 2 * 4));
    p += FIFTH_BYTES;
  }
  for (int g = 0; g < 4; g++) memcpy(levels + g * STEP + row * 4, p + g * 4, 4);
}

static void pack(const quant_info *q, void *panel, const void *from, size_t stride, int n_rows, size_t n_cols) {
  size_t n_blocks = n_cols / QUANT_BLOCK, all_levels = n_blocks * (size_t)q->panel_levels;
  memset(panel, q->level_bits == 8 ? 0x80 : 0, all_levels);
  memset((uint8_t *)panel + all_levels, 0, n_blocks * (size_t)q->panel_scales);
  for (int r = 0; r < n_rows; r++) {
    const uint8_t *block = (const uint8_t *)from + (size_t)r * stride;
    for (size_t b = 0; b < n_blocks; b++, block += q->block_bytes) {
      uint8_t *scales = (uint8_t *)panel + all_levels + b * (size_t)q->panel_scales;
      memcpy(scales + 2 * r, block, 2);
      if (q->has_min) memcpy(scales + 2 * PANEL_ROWS + 2 * r, block + 2, 2);
      pack_levels(q, (uint8_t *)panel + b * (size_t)q->panel_levels, r, block);
    }
  }
}

static int packed_level(const quant_info *q, const uint8_t *levels, int row, int i) {
  if (q->level_bits == 8) return levels[i / 4 * STEP + row * 4 + i % 4] - q->zero;
  uint8_t byte = levels[i % 16 / 4 * STEP + row * 4 + i % 4];
  int level = i < 16 ? byte & 15 : byte >> 4;
  if (q->level_bits == 5) level |= (levels[NIBBLE_LEVELS + i / 4 * 8 + row / 2] >> (row % 2 * 4 + i % 4) & 1) << 4;
  return level - q->zero;
}

static void unpack_row(const quant_info *q, const void *panel, int row, float *to, size_t n_cols) {
  for (size_t b = 0; b < n_cols / QUANT_BLOCK; b++) {
    const uint8_t *levels = (const uint8_t *)panel + b * (size_t)q->panel_levels;
    const uint8_t *scales = block_scales(q, panel, n_cols, b) + 2 * row;
    float d = half_to_float(load_half(scales)), m = q->has_min ? half_to_float(load_half(scales + 2 * PANEL_ROWS)) : 0;
    for (int i = 0; i < QUANT_BLOCK; i++)
      to[b * QUANT_BLOCK + (size_t)i] = fmaf(d, (float)packed_level(q, levels, row, i), m);
  }
}

static void block_levels(const quant_info *q, const void *panel, size_t n_cols, size_t b, quant_levels *to) {
  const uint8_t *levels = (const uint8_t *)panel + b * (size_t)q->panel_levels;
  const uint8_t *scales = block_scales(q, panel, n_cols, b);
  for (int r = 0; r < PANEL_ROWS; r++) {
    to->scale[r] = half_to_float(load_half(scales + 2 * r));
    to->min[r] = q->has_min ? half_to_float(load_half(scales + 2 * PANEL_ROWS + 2 * r)) : 0;
    for (int i = 0; i < QUANT_BLOCK; i++) to->level[r][i] = (int8_t)packed_level(q, levels, r, i);
  }
}

/* ---- Random blocks ---- */

static void synthesize(const quant_info *q, void *to, size_t n, uint64_t first, uint64_t seed, float deviation) {
  /* Uniform levels 0 .. N - 1 have a standard deviation of sqrt((N^2 - 1) / 12) and a mean of (N - 1) / 2. */
  float levels = (float)(1 << q->level_bits);
  uint16_t d = half_from_float(deviation / sqrtf((levels * levels - 1) / 12));
  uint16_t m = half_from_float(half_to_float(d) * (1 - levels) / 2);
  size_t head = scale_bytes(q), body = (size_t)q->block_bytes - head;
  uint8_t *block = to;
  for (uint64_t b = first / QUANT_BLOCK, end = b + n / QUANT_BLOCK; b < end; b++, block += q->block_bytes) {
    memcpy(block, &d, 2);
    if (q->has_min) memcpy(block + 2, &m, 2);
    for (size_t i = 0; i < body; i += 8) {
      uint64_t r = random_at(seed, b * 8 + i / 8);
      memcpy(block + head + i, &r, body - i < 8 ? body - i : 8);
    }
  }
}

#define ROW(NAME, ID, BITS, ZERO, MIN, BLOCK_BYTES, LEVELS)                                                            \
  {                                                                                                                    \
    .name = NAME, .gguf_id = ID, .block = QUANT_BLOCK, .block_bytes = BLOCK_BYTES, .level_bits = BITS, .zero = ZERO,   \
    .has_min = MIN, .panel_levels = LEVELS, .panel_scales = (MIN ? 4 : 2) * PANEL_ROWS, .dequantize = dequantize,      \
    .pack = pack, .unpack_row = unpack_row, .levels = block_levels, .synthesize = synthesize                           \
  }

const quant_info quant_q8_0 = ROW("Q8_0", 8, 8, 128, false, 34, PANEL_ROWS *QUANT_BLOCK);
const quant_info quant_q4_0 = ROW("Q4_0", 2, 4, 8, false, 18, NIBBLE_LEVELS);
const quant_info quant_q4_1 = ROW("Q4_1", 3, 4, 0, true, 20, NIBBLE_LEVELS);
const quant_info quant_q5_0 = ROW("Q5_0", 6, 5, 16, false, 22, NIBBLE_LEVELS + 64);
const quant_info quant_q5_1 = ROW("Q5_1", 7, 5, 0, true, 24, NIBBLE_LEVELS + 64);
