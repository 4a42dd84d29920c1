/* Gemma 1, 2 and 3 (text): embeddings scaled by sqrt(dim), norm weights stored as an offset from 1 (GGUF files have it
 * added), GELU in its tanh form. Gemma 2 adds norms behind both halves, a window on every other layer and soft-caps;
 * Gemma 3 has norms on q and k, one full layer in six, and a theta of its own for layers with a window. */
#include "model/tensors.h"

#include <math.h>

static gale_status configure_common(const checkpoint *c, arena *memory, model_config *config, gale_error *error) {
  config->activation = BE_GELU_TANH;
  if (c->kind == CHECKPOINT_HF) {
    config->norm_offset = 1;
    config->head_dim = 256; /* transformers' default, which early files rely on */
  }
  gale_status status = config_base(c, memory, config, error);
  config->embedding_scale = sqrtf((float)config->dim);
  return status;
}

/* Scores are scaled by a number that is not always the head's dimension. */
static gale_status read_query_scale(const checkpoint *c, model_config *config, double otherwise, gale_error *error) {
  double scalar = otherwise;
  gale_status status = config_number(c, (config_key){.hf = "query_pre_attn_scalar"}, 1e-3, 1e6, &scalar, error);
  config->attention_scale = (float)(1 / sqrt(scalar));
  return status;
}

static gale_status configure_gemma(const checkpoint *c, arena *memory, model_config *config, gale_error *error) {
  return configure_common(c, memory, config, error);
}

static const config_key final_cap = {.gguf = "final_logit_softcapping", .hf = "final_logit_softcapping"};

static gale_status read_cap(const checkpoint *c, config_key key, double otherwise, float *cap, gale_error *error) {
  const setting *s = config_stated(c, key);
  double value = s && s->type == SETTING_NULL ? 0 : otherwise;
  gale_status status = config_number(c, key, 0, 1e6, &value, error);
  *cap = (float)value;
  return status;
}

/* Layers see `window` positions, but for every `period`-th one, counted from 1, which sees all; HF's layer_types says
 * it layer by layer. */
static gale_status read_windows(const checkpoint *c, model_config *config, int32_t window, int32_t period,
                                gale_error *error) {
  const config_key key = {.gguf = "attention.sliding_window", .hf = "sliding_window"};
  const config_key pattern = {.gguf = "attention.sliding_window_pattern", .hf = "sliding_window_pattern"};
  gale_status status = config_int(c, key, 0, INT32_MAX, &window, error);
  if (!status) status = config_int(c, pattern, 1, 1 << 12, &period, error);
  if (status) return status;
  config_windows(config, window);
  bool found;
  status = config_layer_types(c, config, &found, error);
  for (int32_t l = 0; l < config->n_layers && !found; l++)
    if ((l + 1) % period == 0) config_layers(config)[l].window = 0;
  return status;
}

static gale_status configure_gemma2(const checkpoint *c, arena *memory, model_config *config, gale_error *error) {
  gale_status status = configure_common(c, memory, config, error);
  if (status) return status;
  config->post_norms = true;
  /* GGUF has no key for the scale: 27B, the size with 46 layers, uses dim / n_heads. */
  bool is_27b = config->n_layers == 46;
  status = read_query_scale(c, config,
                            c->kind == CHECKPOINT_HF ? 256
                            : is_27b                 ? (double)config->dim / config->n_heads
                                                     : config->head_dim,
                            error);
  if (!status)
    status = read_cap(c, (config_key){.gguf = "attn_logit_softcapping", .hf = "attn_logit_softcapping"}, 50,
                      &config->attention_softcap, error);
  if (!status) status = read_cap(c, final_cap, 30, &config->logit_softcap, error);
  return status ? status : read_windows(c, config, 4096, 2, error);
}

/* theta of the layers with a window; most GGUF files don't state it. */
static gale_status read_local_rope(const checkpoint *c, arena *memory, model_config *config, gale_error *error) {
  double theta = 10000;
  config_key key = {.gguf = "rope.freq_base_swa", .hf = "rope_local_base_freq"};
  if (!config_find(c, key)) key.hf = "rope_parameters.sliding_attention.rope_theta";
  gale_status status = config_number(c, key, 1e-3, 1e15, &theta, error);
  const char *const prefixes[] = {"rope_parameters.sliding_attention", NULL};
  if (!status) status = config_rope(c, memory, config, 1, theta, c->kind == CHECKPOINT_HF ? prefixes : NULL, error);
  for (int32_t l = 0; l < config->n_layers; l++) config_layers(config)[l].rope = config->layers[l].window > 0;
  return status;
}

static gale_status configure_gemma3(const checkpoint *c, arena *memory, model_config *config, gale_error *error) {
  config->rope[0].theta = 1e6;
  if (c->kind == CHECKPOINT_HF) { /* what text_config leaves out in the multimodal releases */
    config->n_heads = 8;
    config->n_kv_heads = 4;
    config->context = 131072;
  }
  gale_status status = configure_common(c, memory, config, error);
  if (status) return status;
  config->post_norms = config->qk_norms = true;
  /* GGUF has no key for the scale: 27B, the size with 62 layers, uses dim / n_heads. */
  bool is_27b = config->n_layers == 62;
  status = read_query_scale(c, config,
                            c->kind == CHECKPOINT_HF ? 256
                            : is_27b                 ? (double)config->dim / config->n_heads
                                                     : config->head_dim,
                            error);
  if (!status) status = read_cap(c, final_cap, 0, &config->logit_softcap, error);
  if (!status) status = read_windows(c, config, c->kind == CHECKPOINT_HF ? 4096 : 0, 6, error);
  return status ? status : read_local_rope(c, memory, config, error);
}

/* What Llama calls post_attention_layernorm stands before the feed-forward; in Gemma 2 and 3 it is what it says. */
static const tensor_name names[] = {
    {ATTENTION_POST_NORM, CHECKPOINT_HF, "model.layers.%d.post_attention_layernorm.weight", SLICE_NONE},
    {FFN_NORM, CHECKPOINT_HF, "model.layers.%d.pre_feedforward_layernorm.weight", SLICE_NONE},
    {FFN_POST_NORM, CHECKPOINT_HF, "model.layers.%d.post_feedforward_layernorm.weight", SLICE_NONE},
    {0},
};

static const char *const gguf1[] = {"gemma", NULL}, *const hf1[] = {"GemmaForCausalLM", NULL};
static const char *const gguf2[] = {"gemma2", NULL}, *const hf2[] = {"Gemma2ForCausalLM", NULL};
static const char *const gguf3[] = {"gemma3", NULL};
static const char *const hf3[] = {"Gemma3ForCausalLM", "Gemma3ForConditionalGeneration", NULL};
const family family_gemma = {.name = "gemma", .gguf = gguf1, .hf = hf1, .configure = configure_gemma};
const family family_gemma2 = {
    .name = "gemma2", .gguf = gguf2, .hf = hf2, .configure = configure_gemma2, .names = names};
const family family_gemma3 = {
    .name = "gemma3", .gguf = gguf3, .hf = hf3, .configure = configure_gemma3, .names = names};
