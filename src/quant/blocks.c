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
#include "quant/pack.h"

enum { FIFTH_BYTES = 4 };

static ALWAYS_INLINE void load_head(const uint8_t *block, bool has_min, quant_block *to) {
  *to = (quant_block){.d = load_half(block), .m = has_min ? load_half(block + 2) : 0, .scale = {1, 1}, .min = {1, 1}};
}

static void store_head(uint8_t *block, bool has_min, const quant_block *from) {
  store_half(block, from->d);
  if (has_min) store_half(block + 2, from->m);
}

static ALWAYS_INLINE void load_fifths(const uint8_t *fifths, uint8_t *level) {
  for (int i = 0; i < FIFTH_BYTES; i++) spread_bits(fifths[i], 4, level + 8 * i);
}

static void store_fifths(uint8_t *fifths, const uint8_t *level) {
  for (int i = 0; i < FIFTH_BYTES; i++) fifths[i] = gather_bits(level + 8 * i, 4);
}

/* ---- One pair for each type ---- */

static ALWAYS_INLINE void q8_0_load(const uint8_t *block, int b, quant_block *to) {
  (void)b;
  load_head(block, false, to);
  for (int i = 0; i < QUANT_BLOCK; i++) to->level[i] = block[2 + i] ^ 0x80;
}
static void q8_0_store(uint8_t *block, int b, const quant_block *from) {
  (void)b;
  store_head(block, false, from);
  for (int i = 0; i < QUANT_BLOCK; i++) block[2 + i] = from->level[i] ^ 0x80;
}

static ALWAYS_INLINE void q4_0_load(const uint8_t *block, int b, quant_block *to) {
  (void)b;
  load_head(block, false, to);
  load_nibbles(block + 2, to->level);
}
static void q4_0_store(uint8_t *block, int b, const quant_block *from) {
  (void)b;
  store_head(block, false, from);
  store_nibbles(block + 2, from->level);
}

static ALWAYS_INLINE void q4_1_load(const uint8_t *block, int b, quant_block *to) {
  (void)b;
  load_head(block, true, to);
  load_nibbles(block + 4, to->level);
}
static void q4_1_store(uint8_t *block, int b, const quant_block *from) {
  (void)b;
  store_head(block, true, from);
  store_nibbles(block + 4, from->level);
}

static ALWAYS_INLINE void q5_0_load(const uint8_t *block, int b, quant_block *to) {
  (void)b;
  load_head(block, false, to);
  load_fifths(block + 2, to->level);
  load_nibbles(block + 2 + FIFTH_BYTES, to->level);
}
static void q5_0_store(uint8_t *block, int b, const quant_block *from) {
  (void)b;
  store_head(block, false, from);
  store_fifths(block + 2, from->level);
  store_nibbles(block + 2 + FIFTH_BYTES, from->level);
}

static ALWAYS_INLINE void q5_1_load(const uint8_t *block, int b, quant_block *to) {
  (void)b;
  load_head(block, true, to);
  load_fifths(block + 4, to->level);
  load_nibbles(block + 4 + FIFTH_BYTES, to->level);
}
static void q5_1_store(uint8_t *block, int b, const quant_block *from) {
  (void)b;
  store_head(block, true, from);
  store_fifths(block + 4, from->level);
  store_nibbles(block + 4 + FIFTH_BYTES, from->level);
}

PACK(q8_0)
PACK(q4_0)
PACK(q4_1)
PACK(q5_0)
PACK(q5_1)

#define ROW(NAME, ID, BYTES, BITS, ZERO, HAS_MIN, LOWER)                                                               \
  {                                                                                                                    \
    QUANTIZED(QUANT_BLOCK, BITS, HAS_MIN, FACTORS_NONE),                                                               \
        .name = NAME, .gguf_id = ID, .block_bytes = BYTES, .level_start = HAS_MIN ? 4 : 2, .zero = ZERO,               \
        .pack = LOWER##_pack, .load = LOWER##_load, .store = LOWER##_store                                             \
  }

const quant_info quant_q8_0 = ROW("Q8_0", 8, 34, 8, 128, false, q8_0);
const quant_info quant_q4_0 = ROW("Q4_0", 2, 18, 4, 8, false, q4_0);
const quant_info quant_q4_1 = ROW("Q4_1", 3, 20, 4, 0, true, q4_1);
const quant_info quant_q5_0 = ROW("Q5_0", 6, 22, 5, 16, false, q5_0);
const quant_info quant_q5_1 = ROW("Q5_1", 7, 24, 5, 0, true, q5_1);
