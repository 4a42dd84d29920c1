/* IQ4_NL, IQ4_XS: nibbles that are indices into a fixed table of 16 values, denser near zero.
 *
 *   IQ4_NL  blocks of 32: d, nibbles                                  weight = d value[q]
 *   IQ4_XS  blocks of 256: d, the high two bits of 8 scales, their    weight = d (scale - 32) value[q]
 *           low nibbles: 4 bytes, nibbles: 16 bytes for each 32 inputs
 *
 * Of the 16 nibble bytes of 32 inputs, byte i holds input i in its low half and input 16 + i in its high half.
 * (Layout and values: the GGUF specification's ggml block types.) */
#include "quant/pack.h"

enum { XS_HIGH = 2, XS_LOW = 4, XS_LEVELS = 8, SUPER = 256 };

static const int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

static ALWAYS_INLINE void iq4_nl_load(const uint8_t *block, int b, quant_block *to) {
  (void)b;
  *to = (quant_block){.d = load_half(block), .scale = {1, 1}, .min = {1, 1}};
  load_nibbles(block + 2, to->level);
}

static void iq4_nl_store(uint8_t *block, int b, const quant_block *from) {
  (void)b;
  store_half(block, from->d);
  store_nibbles(block + 2, from->level);
}

static ALWAYS_INLINE void iq4_xs_load(const uint8_t *block, int b, quant_block *to) {
  int high = block[XS_HIGH + b / 4] >> b % 4 * 2 & 3, low = block[XS_LOW + b / 2] >> b % 2 * 4 & 15;
  int8_t scale = (int8_t)((high << 4 | low) - 32);
  *to = (quant_block){.d = load_half(block), .scale = {scale, scale}, .min = {1, 1}};
  load_nibbles(block + XS_LEVELS + b * 16, to->level);
}

static void iq4_xs_store(uint8_t *block, int b, const quant_block *from) {
  int scale = from->scale[0] + 32;
  store_half(block, from->d);
  block[XS_HIGH + b / 4] |= (uint8_t)((scale >> 4 & 3) << b % 4 * 2);
  block[XS_LOW + b / 2] |= (uint8_t)((scale & 15) << b % 2 * 4);
  store_nibbles(block + XS_LEVELS + b * 16, from->level);
}

PACK(iq4_nl)
PACK(iq4_xs)

const quant_info quant_iq4_nl = {
    QUANTIZED(QUANT_BLOCK, 4, false, FACTORS_NONE),
    .name = "IQ4_NL",
    .gguf_id = 20,
    .block_bytes = 18,
    .level_start = 2,
    .values = iq4_values,
    .pack = iq4_nl_pack,
    .load = iq4_nl_load,
    .store = iq4_nl_store,
};

const quant_info quant_iq4_xs = {
    QUANTIZED(SUPER, 4, false, FACTORS_SCALE),
    .name = "IQ4_XS",
    .gguf_id = 23,
    .block_bytes = 136,
    .factor_bits = 5,
    .level_start = XS_LEVELS,
    .values = iq4_values,
    .pack = iq4_xs_pack,
    .load = iq4_xs_load,
    .store = iq4_xs_store,
};
