/* What all quantised types share: everything but where a storage block keeps its numbers. */
#ifndef QUANT_QUANTIZED_H
#define QUANT_QUANTIZED_H

#include "quant/quant.h"

#include <string.h>

#define ALWAYS_INLINE inline __attribute__((always_inline))

void quantized_dequantize(const quant_info *q, const void *from, float *to, size_t n);
void quantized_unpack_row(const quant_info *q, const void *panel, int row, float *to, size_t n_cols);
void quantized_levels(const quant_info *q, const void *panel, size_t n_cols, size_t b, quant_levels *to);
void quantized_synthesize(const quant_info *q, void *to, size_t n, uint64_t first, uint64_t seed, float deviation);

/* The members of a row that follow from a few of them. */
#define QUANTIZED(BLOCK, BITS, HAS_MIN, FACTORS)                                                                       \
  .block = BLOCK, .level_bits = BITS, .has_min = HAS_MIN, .factors = FACTORS,                                          \
  .panel_levels = PANEL_ROWS * BLOCK * BITS / 8,                                                                       \
  .panel_scales = PANEL_ROWS * ((HAS_MIN ? 4 : 2) + BLOCK / QUANT_BLOCK * FACTOR_BYTES(FACTORS)),                      \
  .dequantize = quantized_dequantize, .unpack_row = quantized_unpack_row, .levels = quantized_levels,                  \
  .synthesize = quantized_synthesize

#define FACTOR_BYTES(FACTORS) ((FACTORS) == FACTORS_NONE ? 0 : (FACTORS) == FACTORS_SCALE ? 1 : 2)

static inline uint16_t load_half(const uint8_t *p) {
  uint16_t h;
  memcpy(&h, p, sizeof h);
  return h;
}

static inline void store_half(uint8_t *p, uint16_t h) {
  memcpy(p, &h, sizeof h);
}

/* Eight bytes at a time, as a 64-bit number: shifts cross the bytes' borders only where the mask cuts off. */
static inline uint64_t eight_bytes(const uint8_t *p) {
  uint64_t v;
  memcpy(&v, p, sizeof v);
  return v;
}

static inline uint64_t eight_times(unsigned byte) {
  return byte * 0x0101010101010101u;
}

/* Adds `width` bits of each of n bytes, a multiple of 8, from bit `shift` on, to levels whose bits from `at` on are 0.
 */
static inline void add_bits(const uint8_t *bytes, size_t n, int shift, int width, int at, uint8_t *level) {
  for (size_t i = 0; i < n; i += 8) {
    uint64_t sum = eight_bytes(level + i) | (eight_bytes(bytes + i) >> shift & eight_times((1u << width) - 1)) << at;
    memcpy(level + i, &sum, sizeof sum);
  }
}

/* Byte i of 16 is input i in its low nibble and input 16 + i in its high one. Loading adds to levels of zero. */
static inline void load_nibbles(const uint8_t *nibbles, uint8_t *level) {
  add_bits(nibbles, 16, 0, 4, 0, level);
  add_bits(nibbles, 16, 4, 4, 0, level + 16);
}

static inline void store_nibbles(uint8_t *nibbles, const uint8_t *level) {
  for (int i = 0; i < 16; i++) nibbles[i] = (uint8_t)((level[i] & 15) | level[16 + i] << 4);
}

/* Bit i of bits to bit `at` of level i, of 8, which is 0 there. */
static inline void spread_bits(uint8_t bits, int at, uint8_t *level) {
  uint64_t bytes, own = bits * 0x0101010101010101u & 0x8040201008040201u; /* bit i of byte i */
  memcpy(&bytes, level, sizeof bytes);
  bytes |= ((own + 0x7F7F7F7F7F7F7F7Fu) >> 7 & 0x0101010101010101u) << at;
  memcpy(level, &bytes, sizeof bytes);
}

/* The inverse: the product's highest byte collects the bits, bit 8 i being shifted by 56 - 7 i. */
static inline uint8_t gather_bits(const uint8_t *level, int at) {
  uint64_t bytes;
  memcpy(&bytes, level, sizeof bytes);
  return (uint8_t)((bytes >> at & 0x0101010101010101u) * 0x0102040810204080u >> 56);
}

#endif
