/* Llama 2 and 3, SmolLM2, and every GGUF of architecture "llama" - which includes Mistral's and Mixtral's: those files
 * do not tell them apart. Full attention unless the file states a window. */
#include "format/gguf_keys.h"
#include "model/config.h"

#include <string.h>

/* Mistral 7B v0.1 was published in GGUF without its window. No other release has these sizes with theta 1e4. */
static bool is_mistral_7b_v01(const model_config *m) {
  return m->rope[0].theta == 10000 && m->vocab_size == 32000 && m->dim == 4096 && m->n_layers == 32 &&
         m->n_heads == 32 && m->n_kv_heads == 8 && m->hidden_dim == 14336 && m->n_experts == 0;
}

/* What transformers' configurations have as defaults; Voxtral has some of its own. */
static void nested_defaults(const checkpoint *c, model_config *config) {
  const setting *type = checkpoint_setting(c, "model_type");
  bool voxtral = type && type->type == SETTING_STRING && strcmp(type->string.bytes, "voxtral") == 0;
  config->n_heads = 32;
  config->n_layers = voxtral ? 30 : 32;
  config->dim = voxtral ? 3072 : 4096;
  config->hidden_dim = voxtral ? 8192 : 11008;
  config->context = voxtral ? 131072 : 2048;
  if (!voxtral) return;
  config->n_kv_heads = 8;
  config->head_dim = 128;
  config->norm_eps = 1e-5f;
  config->rope[0].theta = 1e8;
}

static gale_status configure(const checkpoint *c, arena *memory, model_config *config, gale_error *error) {
  config->interleaved = c->kind == CHECKPOINT_GGUF;
  if (config_is_nested(c)) nested_defaults(c, config);
  /* All of this architecture have this one; files of architecture "llama" have several. */
  if (strcmp(config_architecture(c), "mistral3") == 0) config->norm_eps = 1e-5f;
  gale_status status = config_base(c, memory, config, error);
  if (!status) status = config_experts(c, config, error);
  if (status) return status;
  const config_key key = {.gguf = GGUF_ATTENTION_SLIDING_WINDOW};
  int32_t window = 0;
  status = config_int(c, key, 0, INT32_MAX, &window, error);
  if (c->kind == CHECKPOINT_GGUF && !config_find(c, key) && is_mistral_7b_v01(config)) {
    window = 4096;
    config->note = "this is Mistral 7B v0.1: its window of 4096 is used, which the file does not state";
  }
  config_windows(config, window);
  return status || c->kind == CHECKPOINT_HF ? status : config_window_pattern(c, config, 0, error);
}

static const char *const gguf[] = {"llama", "mistral3", NULL}, *const hf[] = {"LlamaForCausalLM", NULL};
static const char *const hf_types[] = {"llama", NULL};
const family family_llama = {.name = "llama", .gguf = gguf, .hf = hf, .hf_types = hf_types, .configure = configure};
