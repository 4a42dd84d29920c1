#include "quant/pack.h"

#include "base/half.h"
#include "base/random.h"

#include <math.h>

/* ---- Weights ---- */

static void true_levels(const quant_info *q, const uint8_t stored[QUANT_BLOCK], int8_t to[QUANT_BLOCK]) {
  if (q->values)
    for (int i = 0; i < QUANT_BLOCK; i++) to[i] = q->values[stored[i]];
  else
    for (int i = 0; i < QUANT_BLOCK; i++) to[i] = (int8_t)(stored[i] - q->zero);
}

/* Products are exact: d has 11 significant bits, a factor and a level of the same type have no more than 12. */
void quant_weights(const quant_info *q, const quant_block *numbers, float *to) {
  int8_t level[QUANT_BLOCK];
  true_levels(q, numbers->level, level);
  float d = half_to_float(numbers->d), m = half_to_float(numbers->m);
  for (int h = 0; h < 2; h++) {
    float scale = d * numbers->scale[h], min = q->has_min ? m * numbers->min[h] : 0;
    for (int i = 16 * h; i < 16 * h + 16; i++) to[i] = scale * level[i] + min;
  }
}

void quantized_dequantize(const quant_info *q, const void *from, float *to, size_t n) {
  const uint8_t *block = from;
  for (const float *end = to + n; to < end; block += q->block_bytes)
    for (int p = 0; p < q->block / QUANT_BLOCK; p++, to += QUANT_BLOCK) {
      quant_block numbers;
      q->load(block, p, &numbers);
      quant_weights(q, &numbers, to);
    }
}

/* ---- The planes of levels in a panel ---- */

static void get_pairs(const uint8_t *plane, int row, uint8_t *level, int shift) {
  for (int s = 0; s < 8; s++) {
    uint32_t pairs = four_bytes(plane + s / 4 * STEP + row * 4) >> s % 4 * 2 & 0x03030303u;
    pairs = pairs << shift | four_bytes(level + 4 * s);
    memcpy(level + 4 * s, &pairs, 4);
  }
}

static void get_masks(const uint8_t *plane, int row, uint8_t *level, int shift) {
  for (int s = 0; s < 8; s += 2) {
    int low = plane[s * 8 + row / 2] >> row % 2 * 4 & 15, high = plane[s * 8 + 8 + row / 2] >> row % 2 * 4 & 15;
    spread_bits((uint8_t)(low | high << 4), shift, level + 4 * s);
  }
}

static void get_levels(const quant_info *q, const uint8_t *plane, int row, uint8_t *level) {
  int shift = 0;
  memset(level, 0, QUANT_BLOCK);
  if (q->level_bits & 8)
    for (int s = 0; s < 8; s++) memcpy(level + s * 4, plane + s * STEP + row * 4, 4);
  if (q->level_bits & 4) {
    for (int g = 0; g < 4; g++) memcpy(level + g * 4, plane + g * STEP + row * 4, 4);
    for (int i = 0; i < 16; i++) level[16 + i] = level[i] >> 4;
    for (int i = 0; i < 16; i++) level[i] &= 15;
    plane += NIBBLE_PLANE;
    shift += 4;
  }
  if (q->level_bits & 2) {
    get_pairs(plane, row, level, shift);
    plane += PAIR_PLANE;
    shift += 2;
  }
  if (q->level_bits & 1) get_masks(plane, row, level, shift);
}

/* ---- The scales in a panel ---- */

static void get_factors(quant_factors factors, const uint8_t *from, quant_block *numbers) {
  for (int h = 0; h < 2; h++) {
    numbers->scale[h] = numbers->min[h] = 1;
    switch (factors) {
    case FACTORS_NONE:
      break;
    case FACTORS_SCALE_MIN:
      numbers->min[h] = (int8_t)from[PANEL_ROWS]; /* fall through */
    case FACTORS_SCALE:
      numbers->scale[h] = (int8_t)from[0];
      break;
    case FACTORS_SCALES:
      numbers->scale[h] = (int8_t)from[h * PANEL_ROWS];
      break;
    case FACTORS_SCALES_MINS:
      numbers->scale[h] = from[h * PANEL_ROWS] & 15;
      numbers->min[h] = from[h * PANEL_ROWS] >> 4;
      break;
    }
  }
}

/* ---- Panels ---- */

static void get_block(const quant_info *q, const uint8_t *panel, size_t n_cols, size_t b, int row,
                      quant_block *numbers) {
  const uint8_t *scales = panel + scales_at(q, n_cols, b);
  get_levels(q, panel + b * levels_bytes(q), row, numbers->level);
  numbers->d = load_half(scales + 2 * row);
  numbers->m = q->has_min ? load_half(scales + 2 * PANEL_ROWS + 2 * row) : 0;
  get_factors(q->factors, scales + factors_at(q, b) + row, numbers);
}

void quantized_unpack_row(const quant_info *q, const void *panel, int row, float *to, size_t n_cols) {
  for (size_t b = 0; b < n_cols / QUANT_BLOCK; b++) {
    quant_block numbers;
    get_block(q, panel, n_cols, b, row, &numbers);
    quant_weights(q, &numbers, to + b * QUANT_BLOCK);
  }
}

void quantized_levels(const quant_info *q, const void *panel, size_t n_cols, size_t b, quant_levels *to) {
  for (int r = 0; r < PANEL_ROWS; r++) {
    quant_block numbers;
    get_block(q, panel, n_cols, b, r, &numbers);
    true_levels(q, numbers.level, to->level[r]);
    to->scale[r] = half_to_float(numbers.d);
    to->min[r] = half_to_float(numbers.m);
    memcpy(to->scales[r], numbers.scale, sizeof numbers.scale);
    memcpy(to->mins[r], numbers.min, sizeof numbers.min);
  }
}

/* ---- Random blocks ---- */

/* Scales are drawn from the upper half of their range: least .. 2 least - 1. */
static int least_factor(const quant_info *q) {
  return q->factor_bits ? 1 << (q->factor_bits - 1) : 1;
}

/* Sets d and m of all blocks. Levels are uniform. A type with a minimum gets the weights d scale (level - mean): its
 * minimum's factor is the scale. Without one, a scale has either sign, which makes the weights' mean zero; where
 * there is no scale, the mean stays. */
static quant_block synthetic_block(const quant_info *q, float deviation) {
  int n = 1 << q->level_bits;
  double sum = 0, squares = 0;
  for (int l = 0; l < n; l++) {
    double value = q->values ? q->values[l] : l - q->zero;
    sum += value;
    squares += value * value;
  }
  double mean = sum / n, least = least_factor(q), mean_factor = (3 * least - 1) / 2;
  double square_factor = mean_factor * mean_factor + (least * least - 1) / 12;
  bool signed_scale = q->factor_bits && !q->has_min;
  double square_level = squares / n - (signed_scale ? 0 : mean * mean);
  quant_block numbers = {.d = half_from_float(deviation / sqrtf((float)(square_factor * square_level)))};
  if (q->has_min) numbers.m = half_from_float(-half_to_float(numbers.d) * (float)mean);
  return numbers;
}

static void draw_factors(const quant_info *q, uint64_t random, quant_block *numbers) {
  int least = least_factor(q);
  for (int h = 0; h < 2; h++, random >>= 8) {
    int factor = least + (int)(random & 127) % least;
    bool negative = q->factor_bits && !q->has_min && random & 128;
    numbers->scale[h] = (int8_t)(negative ? -factor : factor);
    numbers->min[h] = (int8_t)factor;
  }
}

void quantized_synthesize(const quant_info *q, void *to, size_t n, uint64_t first, uint64_t seed, float deviation) {
  /* Random words: 8 for each 32 elements. Of the 64 of a block of 256 levels take the first half, factors others. */
  enum { WORDS = 8, FACTOR_WORDS = 32 };
  quant_block numbers = synthetic_block(q, deviation);
  size_t level_bytes = (size_t)(q->block * q->level_bits / 8);
  uint8_t *block = to, *end = block + n / (size_t)q->block * (size_t)q->block_bytes;
  for (uint64_t at = first / QUANT_BLOCK * WORDS; block < end; block += q->block_bytes) {
    memset(block, 0, (size_t)q->block_bytes);
    for (int p = 0; p < q->block / QUANT_BLOCK; p++) {
      draw_factors(q, q->factor_bits ? random_at(seed, at + FACTOR_WORDS + (uint64_t)p) : 0, &numbers);
      q->store(block, p, &numbers);
    }
    for (size_t i = 0; i < level_bytes; i += 8) {
      uint64_t r = random_at(seed, at + i / 8);
      memcpy(block + q->level_start + i, &r, level_bytes - i < 8 ? level_bytes - i : 8);
    }
    at += (uint64_t)(q->block / QUANT_BLOCK * WORDS);
  }
}
