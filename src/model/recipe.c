#include "model/recipe.h"

#include <stdio.h>
#include <strings.h>

/* The first eighth of the layers, the last one, and every third between. */
static bool spread(int32_t layer, int32_t n_layers) {
  int32_t eighth = n_layers / 8;
  return layer < eighth || layer >= 7 * n_layers / 8 || (layer - eighth) % 3 == 2;
}

static bool first_four(int32_t layer, int32_t n_layers) {
  (void)n_layers;
  return layer < 4;
}

static bool first_eighth(int32_t layer, int32_t n_layers) {
  return layer < n_layers / 8;
}

static const recipe recipes[] = {
    {.name = "f32", .type = QUANT_F32, .output = QUANT_F32, .file_type = 0},
    {.name = "f16", .type = QUANT_F16, .output = QUANT_F16, .file_type = 1},
    {.name = "bf16", .type = QUANT_BF16, .output = QUANT_BF16, .file_type = 32},
    {.name = "q8_0", .type = QUANT_Q8_0, .output = QUANT_Q8_0, .file_type = 7},
    {.name = "q4_0", .type = QUANT_Q4_0, .output = QUANT_Q6_K, .file_type = 2},
    {.name = "q4_1", .type = QUANT_Q4_1, .output = QUANT_Q6_K, .file_type = 3},
    {.name = "q5_0", .type = QUANT_Q5_0, .output = QUANT_Q6_K, .file_type = 8},
    {.name = "q5_1", .type = QUANT_Q5_1, .output = QUANT_Q6_K, .file_type = 9},
    {.name = "q4_k", .type = QUANT_Q4_K, .output = QUANT_Q6_K, .file_type = 14},
    {.name = "q5_k", .type = QUANT_Q5_K, .output = QUANT_Q6_K, .file_type = 16},
    {.name = "q6_k", .type = QUANT_Q6_K, .output = QUANT_Q6_K, .file_type = 18},
    {.name = "q4_k_s",
     .type = QUANT_Q4_K,
     .output = QUANT_Q6_K,
     .better = QUANT_Q5_K,
     .better_wv = first_four,
     .better_w2 = first_eighth,
     .file_type = 14},
    {.name = "q4_k_m",
     .type = QUANT_Q4_K,
     .output = QUANT_Q6_K,
     .better = QUANT_Q6_K,
     .better_wv = spread,
     .better_w2 = spread,
     .file_type = 15},
    {.name = "q5_k_m",
     .type = QUANT_Q5_K,
     .output = QUANT_Q6_K,
     .better = QUANT_Q6_K,
     .better_wv = spread,
     .better_w2 = spread,
     .file_type = 17},
};
enum { N_RECIPES = sizeof recipes / sizeof *recipes };

gale_status recipe_find(const char *name, const recipe **r, gale_error *error) {
  char names[160];
  int used = 0;
  for (int i = 0; i < N_RECIPES; i++) {
    if (strcasecmp(recipes[i].name, name) == 0) {
      *r = &recipes[i];
      return GALE_OK;
    }
    used += snprintf(names + used, sizeof names - (size_t)used, "%s%s", i ? ", " : "", recipes[i].name);
  }
  return error_set(error, GALE_E_ARGUMENT, "unknown type \"%.32s\" to quantise to; %s are accepted", name, names);
}

static quant_type wv_type(const recipe *r, const model_config *config, int32_t layer) {
  quant_type type = r->better_wv && r->better_wv(layer, config->n_layers) ? r->better : r->type;
  /* 80 layers with grouped queries are Llama's 70B, where eight heads share wv. */
  bool shared = config->n_layers == 80 && config->n_heads != config->n_kv_heads;
  return shared && type == QUANT_Q4_K ? QUANT_Q5_K : type;
}

static quant_type wanted_type(const recipe *r, const model_config *config, bool tied, const weight_item *item) {
  bool eight = config->n_experts == 8 && !quant_get(r->type)->is_float;
  switch (item->role) {
  case OUTPUT:
    return r->output;
  case TOK_EMBEDDINGS:
    return tied ? r->output : r->type;
  case WK:
    return eight ? QUANT_Q8_0 : r->type;
  case WV:
    return eight ? QUANT_Q8_0 : wv_type(r, config, item->layer);
  case WO:
    return eight && r->type == QUANT_Q4_K ? QUANT_Q5_K : r->type;
  case W2:
    return r->better_w2 && r->better_w2(item->layer, config->n_layers) ? r->better : r->type;
  default:
    return r->type;
  }
}

static bool fits(quant_type type, int64_t cols) {
  return cols % quant_get(type)->block == 0;
}

quant_type recipe_type(const recipe *r, const model_config *config, bool tied, const weight_item *item,
                       bool *fell_back) {
  static const quant_type smaller[QUANT_TYPES] = {
      [QUANT_Q4_K] = QUANT_Q5_0, [QUANT_Q5_K] = QUANT_Q5_1, [QUANT_Q6_K] = QUANT_Q8_0};
  if (item->rows == 0 || item->role == GATE) return QUANT_F32;
  quant_type type = wanted_type(r, config, tied, item);
  if (fits(type, item->cols)) return type;
  *fell_back = true;
  bool superblock = quant_get(type)->block > QUANT_BLOCK;
  return superblock && fits(smaller[type], item->cols) ? smaller[type] : QUANT_F16;
}
