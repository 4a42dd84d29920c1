#include "quant/quant.h"

#include <strings.h>

static const quant_info *const table[QUANT_TYPES] = {
    [QUANT_F32] = &quant_f32,   [QUANT_F16] = &quant_f16,       [QUANT_BF16] = &quant_bf16,
    [QUANT_Q8_0] = &quant_q8_0, [QUANT_Q4_0] = &quant_q4_0,     [QUANT_Q4_1] = &quant_q4_1,
    [QUANT_Q5_0] = &quant_q5_0, [QUANT_Q5_1] = &quant_q5_1,     [QUANT_Q2_K] = &quant_q2_k,
    [QUANT_Q3_K] = &quant_q3_k, [QUANT_Q4_K] = &quant_q4_k,     [QUANT_Q5_K] = &quant_q5_k,
    [QUANT_Q6_K] = &quant_q6_k, [QUANT_IQ4_NL] = &quant_iq4_nl, [QUANT_IQ4_XS] = &quant_iq4_xs,
};

const quant_info *quant_get(quant_type type) {
  return table[type];
}

bool quant_from_gguf(uint32_t gguf_id, quant_type *type) {
  for (int t = 0; t < QUANT_TYPES; t++)
    if (table[t]->gguf_id == gguf_id) {
      *type = (quant_type)t;
      return true;
    }
  return false;
}

const char *quant_ggml_name(uint32_t gguf_id) {
  static const char *const names[] = {
      [4] = "Q4_2",      [5] = "Q4_3",   [9] = "Q8_1",   [15] = "Q8_K",       [16] = "IQ2_XXS",    [17] = "IQ2_XS",
      [18] = "IQ3_XXS",  [19] = "IQ1_S", [21] = "IQ3_S", [22] = "IQ2_S",      [24] = "I8",         [25] = "I16",
      [26] = "I32",      [27] = "I64",   [28] = "F64",   [29] = "IQ1_M",      [31] = "Q4_0_4_4",   [32] = "Q4_0_4_8",
      [33] = "Q4_0_8_8", [34] = "TQ1_0", [35] = "TQ2_0", [36] = "IQ4_NL_4_4", [37] = "IQ4_NL_4_8", [38] = "IQ4_NL_8_8",
      [39] = "MXFP4",    [40] = "NVFP4",
  };
  quant_type known;
  if (quant_from_gguf(gguf_id, &known)) return table[known]->name;
  return gguf_id < sizeof names / sizeof *names ? names[gguf_id] : NULL;
}

bool quant_from_name(const char *name, quant_type *type) {
  for (int t = 0; t < QUANT_TYPES; t++)
    if (strcasecmp(table[t]->name, name) == 0) {
      *type = (quant_type)t;
      return true;
    }
  return false;
}

uint64_t quant_bytes(quant_type type, uint64_t n) {
  return n / (uint64_t)table[type]->block * (uint64_t)table[type]->block_bytes;
}

size_t quant_panel_bytes(quant_type type, size_t n_cols) {
  const quant_info *q = table[type];
  size_t n_blocks = n_cols / (size_t)q->block;
  size_t bytes = n_blocks * (size_t)(q->panel_levels + q->panel_scales);
  return (bytes + PANEL_ALIGN - 1) / PANEL_ALIGN * PANEL_ALIGN;
}
