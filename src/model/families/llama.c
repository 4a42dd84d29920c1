/* Llama 2 and 3, SmolLM2, and every GGUF of architecture "llama" - which includes Mistral's and Mixtral's: those files
 * do not tell them apart. Full attention unless the file states a window. */
#include "model/config.h"

/* Mistral 7B v0.1 was published in GGUF without its window. No other release has these sizes with theta 1e4. */
static bool is_mistral_7b_v01(const model_config *m) {
  return m->rope[0].theta == 10000 && m->vocab_size == 32000 && m->dim == 4096 && m->n_layers == 32 &&
         m->n_heads == 32 && m->n_kv_heads == 8 && m->hidden_dim == 14336 && m->n_experts == 0;
}

/* Layer by layer whether it has the window; without the key all have it. */
static gale_status read_pattern(const checkpoint *c, model_config *config, gale_error *error) {
  const setting *s = config_find(c, (config_key){.gguf = "attention.sliding_window_pattern"});
  if (!s) return GALE_OK;
  bool fits = s->type == SETTING_ARRAY && s->array.length == (size_t)config->n_layers;
  for (int32_t l = 0; fits && l < config->n_layers; l++) {
    fits = s->array.items[l].type == SETTING_BOOL;
    if (fits && !s->array.items[l].boolean) config_layers(config)[l].window = 0;
  }
  return fits ? GALE_OK
              : error_set(error, GALE_E_FORMAT, "%s: %s: an array of %d booleans is accepted", c->config_path, s->key,
                          config->n_layers);
}

static gale_status configure(const checkpoint *c, arena *memory, model_config *config, gale_error *error) {
  config->interleaved = c->kind == CHECKPOINT_GGUF;
  gale_status status = config_base(c, memory, config, error);
  if (!status) status = config_experts(c, config, error);
  if (status) return status;
  const config_key key = {.gguf = "attention.sliding_window"};
  int32_t window = 0;
  status = config_int(c, key, 0, INT32_MAX, &window, error);
  if (c->kind == CHECKPOINT_GGUF && !config_find(c, key) && is_mistral_7b_v01(config)) {
    window = 4096;
    config->note = "this is Mistral 7B v0.1: its window of 4096 is used, which the file does not state";
  }
  config_windows(config, window);
  return status ? status : read_pattern(c, config, error);
}

static const char *const gguf[] = {"llama", "mistral3", NULL}, *const hf[] = {"LlamaForCausalLM", NULL};
const family family_llama = {.name = "llama", .gguf = gguf, .hf = hf, .configure = configure};
