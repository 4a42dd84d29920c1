#include "quant/mix.h"

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

static const quant_mix mixes[] = {
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
enum { N_MIXES = sizeof mixes / sizeof *mixes };

const quant_mix *quant_mix_find(const char *name) {
  for (int i = 0; i < N_MIXES; i++)
    if (strcasecmp(mixes[i].name, name) == 0) return &mixes[i];
  return NULL;
}

const quant_mix *quant_mix_at(int i) {
  return i < N_MIXES ? &mixes[i] : NULL;
}

quant_type quant_mix_wv(const quant_mix *m, int32_t layer, int32_t n_layers) {
  return m->better_wv && m->better_wv(layer, n_layers) ? m->better : m->type;
}

quant_type quant_mix_w2(const quant_mix *m, int32_t layer, int32_t n_layers) {
  return m->better_w2 && m->better_w2(layer, n_layers) ? m->better : m->type;
}
