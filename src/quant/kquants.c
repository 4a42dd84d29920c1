/* Q2_K, Q3_K, Q4_K, Q5_K, Q6_K: blocks of 256 inputs, eight times 32, with a half d, for some a half dmin, and
 * integer factors of d and dmin for each 32 or each 16 of these.
 *
 *   Q2_K  16 bytes (min << 4 | scale), q: 64 bytes, d, dmin            weight = d scale q - dmin min
 *   Q3_K  third bits: 32 bytes, q: 64 bytes, 16 scales of 6 bits, d    weight = d (scale - 32) (q - 4)
 *   Q4_K  d, dmin, 8 scales and minima of 6 bits, q: 128 bytes         weight = d scale q - dmin min
 *   Q5_K  d, dmin, the same, fifth bits: 32 bytes, q: 128 bytes        weight = d scale q - dmin min
 *   Q6_K  low bits of q: 128 bytes, high bits: 64 bytes, 16 signed     weight = d scale (q - 32)
 *         scales, d
 *
 * Levels are in planes of 32 bytes: byte i holds some bits of input i of several runs of 32 inputs.
 * (Layout: the GGUF specification's ggml block types.) */
#include "quant/pack.h"

enum { SUPER = 256 };

/* ---- Levels: `width` bits of each of 32 levels, from bit `at` on, in bits `shift` and up of a plane's bytes ---- */

static ALWAYS_INLINE void load_bits(const uint8_t *plane, int shift, int width, int at, uint8_t *level) {
  add_bits(plane, QUANT_BLOCK, shift, width, at, level);
}

static void store_bits(uint8_t *plane, int shift, int width, int at, const uint8_t *level) {
  unsigned mask = (1u << width) - 1;
  for (int i = 0; i < QUANT_BLOCK; i++) plane[i] |= (uint8_t)((level[i] >> at & mask) << shift);
}

/* ---- Halves: ggml subtracts a minimum, quant_block adds it ---- */

static uint16_t load_minus(const uint8_t *p) {
  return load_half(p) ^ 0x8000;
}

static void store_minus(uint8_t *p, uint16_t h) {
  store_half(p, h ^ 0x8000);
}

/* ---- Q2_K ---- */

enum { Q2_LEVELS = 16, Q2_D = 80, Q2_MIN = 82, Q2_BYTES = 84 };

static ALWAYS_INLINE void q2_k_load(const uint8_t *block, int b, quant_block *to) {
  *to = (quant_block){.d = load_half(block + Q2_D), .m = load_minus(block + Q2_MIN)};
  for (int h = 0; h < 2; h++) {
    to->scale[h] = block[2 * b + h] & 15;
    to->min[h] = block[2 * b + h] >> 4;
  }
  load_bits(block + Q2_LEVELS + b / 4 * 32, b % 4 * 2, 2, 0, to->level);
}

static void q2_k_store(uint8_t *block, int b, const quant_block *from) {
  store_half(block + Q2_D, from->d);
  store_minus(block + Q2_MIN, from->m);
  for (int h = 0; h < 2; h++) block[2 * b + h] = (uint8_t)((from->scale[h] & 15) | (from->min[h] & 15) << 4);
  store_bits(block + Q2_LEVELS + b / 4 * 32, b % 4 * 2, 2, 0, from->level);
}

/* ---- Q3_K: scale j has its low nibble in byte j % 8, its high two bits in byte 8 + j % 4 ---- */

enum { Q3_THIRDS = 0, Q3_LEVELS = 32, Q3_SCALES = 96, Q3_D = 108, Q3_BYTES = 110 };

static ALWAYS_INLINE void q3_k_load(const uint8_t *block, int b, quant_block *to) {
  const uint8_t *scales = block + Q3_SCALES;
  *to = (quant_block){.d = load_half(block + Q3_D), .min = {1, 1}};
  for (int h = 0; h < 2; h++) {
    int j = 2 * b + h, low = scales[j % 8] >> j / 8 * 4 & 15, high = scales[8 + j % 4] >> j / 4 * 2 & 3;
    to->scale[h] = (int8_t)((high << 4 | low) - 32);
  }
  load_bits(block + Q3_LEVELS + b / 4 * 32, b % 4 * 2, 2, 0, to->level);
  load_bits(block + Q3_THIRDS, b, 1, 2, to->level);
}

static void q3_k_store(uint8_t *block, int b, const quant_block *from) {
  uint8_t *scales = block + Q3_SCALES;
  store_half(block + Q3_D, from->d);
  for (int h = 0; h < 2; h++) {
    int j = 2 * b + h, scale = from->scale[h] + 32;
    scales[j % 8] |= (uint8_t)((scale & 15) << j / 8 * 4);
    scales[8 + j % 4] |= (uint8_t)((scale >> 4 & 3) << j / 4 * 2);
  }
  store_bits(block + Q3_LEVELS + b / 4 * 32, b % 4 * 2, 2, 0, from->level);
  store_bits(block + Q3_THIRDS, b, 1, 2, from->level);
}

/* ---- Q4_K, Q5_K: of scales s and minima m, bytes 0 .. 3 hold s[0 .. 3], bytes 4 .. 7 m[0 .. 3]; the high two bits of
 * these bytes and the nibbles of bytes 8 .. 11 are s[4 .. 7] (low nibble) and m[4 .. 7] ---- */

enum { K_MIN = 2, K_FACTORS = 4, Q4_LEVELS = 16, Q4_BYTES = 144, Q5_FIFTHS = 16, Q5_LEVELS = 48, Q5_BYTES = 176 };

static ALWAYS_INLINE void load_factors(const uint8_t *block, int b, quant_block *to) {
  const uint8_t *scales = block + K_FACTORS, *mins = scales + 4, *both = scales + 8;
  int p = b % 4;
  int scale = b < 4 ? scales[p] & 63 : (both[p] & 15) | scales[p] >> 6 << 4;
  int min = b < 4 ? mins[p] & 63 : both[p] >> 4 | mins[p] >> 6 << 4;
  *to = (quant_block){.d = load_half(block),
                      .m = load_minus(block + K_MIN),
                      .scale = {(int8_t)scale, (int8_t)scale},
                      .min = {(int8_t)min, (int8_t)min}};
}

static void store_factors(uint8_t *block, int b, const quant_block *from) {
  uint8_t *scales = block + K_FACTORS, *mins = scales + 4, *both = scales + 8;
  int p = b % 4, scale = from->scale[0] & 63, min = from->min[0] & 63;
  store_half(block, from->d);
  store_minus(block + K_MIN, from->m);
  if (b < 4) {
    scales[p] |= (uint8_t)scale;
    mins[p] |= (uint8_t)min;
  } else {
    scales[p] |= (uint8_t)(scale >> 4 << 6);
    mins[p] |= (uint8_t)(min >> 4 << 6);
    both[p] = (uint8_t)((scale & 15) | min << 4);
  }
}

static ALWAYS_INLINE void q4_k_load(const uint8_t *block, int b, quant_block *to) {
  load_factors(block, b, to);
  load_bits(block + Q4_LEVELS + b / 2 * 32, b % 2 * 4, 4, 0, to->level);
}

static void q4_k_store(uint8_t *block, int b, const quant_block *from) {
  store_factors(block, b, from);
  store_bits(block + Q4_LEVELS + b / 2 * 32, b % 2 * 4, 4, 0, from->level);
}

static ALWAYS_INLINE void q5_k_load(const uint8_t *block, int b, quant_block *to) {
  load_factors(block, b, to);
  load_bits(block + Q5_LEVELS + b / 2 * 32, b % 2 * 4, 4, 0, to->level);
  load_bits(block + Q5_FIFTHS, b, 1, 4, to->level);
}

static void q5_k_store(uint8_t *block, int b, const quant_block *from) {
  store_factors(block, b, from);
  store_bits(block + Q5_LEVELS + b / 2 * 32, b % 2 * 4, 4, 0, from->level);
  store_bits(block + Q5_FIFTHS, b, 1, 4, from->level);
}

/* ---- Q6_K ---- */

enum { Q6_HIGH = 128, Q6_SCALES = 192, Q6_D = 208, Q6_BYTES = 210 };

/* Of four runs of 32 inputs the first two are the low nibbles of two planes, the others the high nibbles. */
static int q6_plane(int b) {
  return b / 4 * 64 + b % 2 * 32;
}
static int q6_shift(int b) {
  return b / 2 % 2 * 4;
}

static ALWAYS_INLINE void q6_k_load(const uint8_t *block, int b, quant_block *to) {
  *to = (quant_block){.d = load_half(block + Q6_D), .min = {1, 1}};
  memcpy(to->scale, block + Q6_SCALES + 2 * b, 2);
  load_bits(block + q6_plane(b), q6_shift(b), 4, 0, to->level);
  load_bits(block + Q6_HIGH + b / 4 * 32, b % 4 * 2, 2, 4, to->level);
}

static void q6_k_store(uint8_t *block, int b, const quant_block *from) {
  store_half(block + Q6_D, from->d);
  memcpy(block + Q6_SCALES + 2 * b, from->scale, 2);
  store_bits(block + q6_plane(b), q6_shift(b), 4, 0, from->level);
  store_bits(block + Q6_HIGH + b / 4 * 32, b % 4 * 2, 2, 4, from->level);
}

/* ---- The table's rows ---- */

PACK(q2_k)
PACK(q3_k)
PACK(q4_k)
PACK(q5_k)
PACK(q6_k)

#define ROW(NAME, ID, BYTES, BITS, HAS_MIN, FACTORS, FACTOR_BITS, START, ZERO, LOWER)                                  \
  {                                                                                                                    \
    QUANTIZED(SUPER, BITS, HAS_MIN, FACTORS), .name = NAME, .gguf_id = ID, .block_bytes = BYTES,                       \
                                              .factor_bits = FACTOR_BITS, .level_start = START, .zero = ZERO,          \
                                              .pack = LOWER##_pack, .load = LOWER##_load, .store = LOWER##_store       \
  }

const quant_info quant_q2_k = ROW("Q2_K", 10, Q2_BYTES, 2, true, FACTORS_SCALES_MINS, 4, Q2_LEVELS, 0, q2_k);
const quant_info quant_q3_k = ROW("Q3_K", 11, Q3_BYTES, 3, false, FACTORS_SCALES, 5, Q3_THIRDS, 4, q3_k);
const quant_info quant_q4_k = ROW("Q4_K", 12, Q4_BYTES, 4, true, FACTORS_SCALE_MIN, 6, Q4_LEVELS, 0, q4_k);
const quant_info quant_q5_k = ROW("Q5_K", 13, Q5_BYTES, 5, true, FACTORS_SCALE_MIN, 6, Q5_FIFTHS, 0, q5_k);
const quant_info quant_q6_k = ROW("Q6_K", 14, Q6_BYTES, 6, false, FACTORS_SCALES, 7, 0, 32, q6_k);
