#include "load/quant_choice.h"

#include <stdio.h>

gale_status quant_choice_find(const char *name, const quant_mix **r, gale_error *error) {
  *r = quant_mix_find(name);
  if (*r) return GALE_OK;
  char names[160];
  int used = 0;
  for (int i = 0; quant_mix_at(i); i++)
    used += snprintf(names + used, sizeof names - (size_t)used, "%s%s", i ? ", " : "", quant_mix_at(i)->name);
  return error_set(error, GALE_E_ARGUMENT, "unknown type \"%.32s\" to quantise to; %s are accepted", name, names);
}

static quant_type wv_type(const quant_mix *r, const model_config *config, int32_t layer) {
  quant_type type = quant_mix_wv(r, layer, config->n_layers);
  /* 80 layers with grouped queries are Llama's 70B, where eight heads share wv. */
  bool shared = config->n_layers == 80 && config->n_heads != config->n_kv_heads;
  return shared && type == QUANT_Q4_K ? QUANT_Q5_K : type;
}

static quant_type wanted_type(const quant_mix *r, const model_config *config, bool tied, const weight_target *target) {
  bool eight = config->n_experts == 8 && !quant_get(r->type)->is_float;
  switch (target->role) {
  case OUTPUT:
    return r->output;
  case TOK_EMBEDDINGS:
    return tied ? r->output : r->type;
  case WK:
    return eight ? QUANT_Q8_0 : r->type;
  case WV:
    return eight ? QUANT_Q8_0 : wv_type(r, config, target->layer);
  case WO:
    return eight && r->type == QUANT_Q4_K ? QUANT_Q5_K : r->type;
  case W2:
    return quant_mix_w2(r, target->layer, config->n_layers);
  default:
    return r->type;
  }
}

static bool fits(quant_type type, int64_t cols) {
  return cols % quant_get(type)->block == 0;
}

quant_type quant_choice_type(const quant_mix *r, const model_config *config, bool tied, const weight_target *target,
                             bool *fell_back) {
  static const quant_type smaller[QUANT_TYPES] = {
      [QUANT_Q4_K] = QUANT_Q5_0, [QUANT_Q5_K] = QUANT_Q5_1, [QUANT_Q6_K] = QUANT_Q8_0};
  if (target->rows == 0 || target->role == GATE) return QUANT_F32;
  quant_type type = wanted_type(r, config, tied, target);
  if (fits(type, target->cols)) return type;
  *fell_back = true;
  bool superblock = quant_get(type)->block > QUANT_BLOCK;
  return superblock && fits(smaller[type], target->cols) ? smaller[type] : QUANT_F16;
}
