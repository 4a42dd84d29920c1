/* Mistral: the Llama block with grouped-query attention and a sliding window, from Hugging Face and from
 * Mistral's own directories. */
#include "model/config.h"

#include <string.h>

static const config_key window_key = {.hf = "sliding_window", .mistral = "sliding_window"};

/* The window of one item of a list: null means full attention. */
static gale_status list_window(const checkpoint *c, const setting *item, int32_t *window, gale_error *error) {
  if (item->type == SETTING_NULL) {
    *window = 0;
    return GALE_OK;
  }
  if (item->type != SETTING_INT || item->integer < 1 || item->integer > INT32_MAX)
    return error_set(error, GALE_E_FORMAT, "%s: sliding_window: a list of positive integers and nulls is accepted",
                     c->config_path);
  *window = (int32_t)item->integer;
  return GALE_OK;
}

/* A list is repeated over the layers. */
static gale_status repeat_list(const checkpoint *c, const setting *list, int32_t *windows, int32_t n_layers,
                               gale_error *error) {
  size_t n = list->array.length;
  if (n == 0 || (size_t)n_layers % n != 0)
    return error_set(error, GALE_E_FORMAT, "%s: sliding_window: a list whose length divides %d layers is accepted",
                     c->config_path, n_layers);
  gale_status status = GALE_OK;
  for (int32_t l = 0; l < n_layers && !status; l++)
    status = list_window(c, &list->array.items[(size_t)l % n], &windows[l], error);
  return status;
}

/* layer_types says layer by layer whether the window holds. */
static gale_status apply_layer_types(const checkpoint *c, int32_t *windows, int32_t n_layers, gale_error *error) {
  const setting *types = config_find(c, (config_key){.hf = "layer_types"});
  if (!types) return GALE_OK;
  if (types->type != SETTING_ARRAY || types->array.length != (size_t)n_layers)
    return error_set(error, GALE_E_FORMAT, "%s: layer_types: a list of %d names is accepted", c->config_path, n_layers);
  for (int32_t l = 0; l < n_layers; l++) {
    const setting *item = &types->array.items[l];
    const char *name = item->type == SETTING_STRING ? item->string.bytes : "";
    if (strcmp(name, "full_attention") == 0)
      windows[l] = 0;
    else if (strcmp(name, "sliding_attention") != 0 || windows[l] == 0)
      return error_set(error, GALE_E_FORMAT,
                       "%s: layer_types[%d]: full_attention, or with a sliding_window sliding_attention, is accepted",
                       c->config_path, l);
  }
  return GALE_OK;
}

static gale_status configure(const checkpoint *c, arena *memory, model_config *config, gale_error *error) {
  config->interleaved = c->kind == CHECKPOINT_MISTRAL;
  /* transformers' MistralConfig has 8 key/value heads and a window of 4096 where the file is silent; Mistral's
   * own files mean no window by silence, and none of them states a context. */
  if (c->kind == CHECKPOINT_HF && !checkpoint_setting(c, "num_key_value_heads")) config->n_kv_heads = 8;
  if (c->kind == CHECKPOINT_MISTRAL) config->context = 32768;
  gale_status status = config_base(c, memory, config, error);
  if (!status)
    status = config_windows(memory, config,
                            c->kind == CHECKPOINT_HF && !checkpoint_setting(c, "sliding_window") ? 4096 : 0, error);
  if (status) return status;
  int32_t *windows = (int32_t *)config->window, window = windows[0];
  const setting *s = config_find(c, window_key);
  if (s && s->type == SETTING_ARRAY) {
    status = repeat_list(c, s, windows, config->n_layers, error);
  } else if (s) {
    status = config_int(c, window_key, 1, INT32_MAX, &window, error);
    for (int32_t l = 0; l < config->n_layers; l++) windows[l] = window;
  }
  return status ? status : apply_layer_types(c, windows, config->n_layers, error);
}

static const char *const gguf[] = {NULL}, *const hf[] = {"MistralForCausalLM", NULL};
const family family_mistral = {.name = "mistral", .gguf = gguf, .hf = hf, .native = true, .configure = configure};
