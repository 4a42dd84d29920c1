/* Mistral, Ministral and (in Mistral's own files) Mixtral: the Llama block with grouped-query attention and windows,
 * from Hugging Face and from Mistral's own directories. */
#include "model/config.h"

#include <string.h>

/* The window of one item of a list: null means full attention. */
static gale_status list_window(const checkpoint *c, const setting *item, int32_t *window, gale_error *error) {
  *window = 0;
  if (item->type == SETTING_NULL) return GALE_OK;
  if (item->type != SETTING_INT || item->integer < 1 || item->integer > INT32_MAX)
    return error_set(error, GALE_E_FORMAT, "%s: sliding_window: a list of positive integers and nulls is accepted",
                     c->config_path);
  *window = (int32_t)item->integer;
  return GALE_OK;
}

/* A list is repeated over the layers. */
static gale_status repeat_list(const checkpoint *c, const setting *list, model_config *config, gale_error *error) {
  size_t n = list->array.length;
  if (n == 0 || (size_t)config->n_layers % n != 0)
    return error_set(error, GALE_E_FORMAT, "%s: %s: a list whose length divides %d layers is accepted", c->config_path,
                     list->key, config->n_layers);
  gale_status status = GALE_OK;
  for (int32_t l = 0; l < config->n_layers && !status; l++)
    status = list_window(c, &list->array.items[(size_t)l % n], &config_layers(config)[l].window, error);
  return status;
}

static gale_status read_windows(const checkpoint *c, model_config *config, gale_error *error) {
  const config_key key = {.hf = "sliding_window", .mistral = "sliding_window|_sliding_window"};
  const setting *s = config_find(c, key);
  if (s && s->type == SETTING_ARRAY) return repeat_list(c, s, config, error);
  int32_t window = 0;
  gale_status status = s ? config_int(c, key, 1, INT32_MAX, &window, error) : GALE_OK;
  config_windows(config, window);
  return status;
}

/* True for a key that an HF file does not have, for which transformers has a default; a key may also be there with
 * null. */
static bool hf_silent(const checkpoint *c, const char *key) {
  return c->kind == CHECKPOINT_HF && !config_stated(c, (config_key){.hf = key});
}

/* What transformers' configuration has as defaults. */
static void nested_defaults(model_config *config) {
  config->n_heads = config->n_layers = 32;
  config->dim = 4096;
  config->hidden_dim = 14336;
  config->context = 131072;
}

static gale_status configure(const checkpoint *c, arena *memory, model_config *config, gale_error *error) {
  bool ministral3 = strcmp(config_text(c, (config_key){.hf = "model_type"}), "ministral3") == 0;
  config->interleaved = c->kind == CHECKPOINT_MISTRAL;
  if (hf_silent(c, "num_key_value_heads")) config->n_kv_heads = 8;
  if (ministral3) config->norm_eps = 1e-5f;
  if (config_is_nested(c)) nested_defaults(config);
  /* Mistral's own files state no context; the tokenizer of the v0.1 release was made for this one. */
  if (c->kind == CHECKPOINT_MISTRAL) config->context = 32768;
  gale_status status = config_base(c, memory, config, error);
  if (!status) status = config_experts(c, config, error);
  if (!status) status = read_windows(c, config, error);
  if (status) return status;
  if (hf_silent(c, "sliding_window") && !ministral3) config_windows(config, 4096);
  bool found;
  return config_layer_types(c, config, &found, error);
}

static const char *const gguf[] = {NULL};
static const char *const hf[] = {"MistralForCausalLM", "MinistralForCausalLM", "Ministral3ForCausalLM",
                                 "Mistral3ForConditionalGeneration", NULL};
static const char *const hf_types[] = {"mistral", "ministral", "ministral3", "mistral3", NULL};
const family family_mistral = {
    .name = "mistral", .gguf = gguf, .hf = hf, .hf_types = hf_types, .native = true, .configure = configure};

/* ---- Mixtral from Hugging Face: no window unless the file states one ---- */

static gale_status configure_mixtral(const checkpoint *c, arena *memory, model_config *config, gale_error *error) {
  config->n_experts = 8;
  config->norm_eps = 1e-5f;
  config->rope[0].theta = 1e6;
  if (hf_silent(c, "num_key_value_heads")) config->n_kv_heads = 8;
  gale_status status = config_base(c, memory, config, error);
  if (!status) status = config_experts(c, config, error);
  return status ? status : read_windows(c, config, error);
}

static const char *const mixtral_hf[] = {"MixtralForCausalLM", NULL}, *const mixtral_types[] = {"mixtral", NULL};
const family family_mixtral = {
    .name = "mixtral", .gguf = gguf, .hf = mixtral_hf, .hf_types = mixtral_types, .configure = configure_mixtral};
