#include "model/config.h"

#include "format/gguf_keys.h"
#include "model/tensors.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- Look-up ---- */

const char *config_architecture(const checkpoint *c) {
  const setting *s = checkpoint_setting(c, "general.architecture");
  return s && s->type == SETTING_STRING ? s->string.bytes : "";
}

/* The spellings of a kind of file, divided by bars; NULL: none. */
static const char *spellings(const checkpoint *c, config_key key) {
  return c->kind == CHECKPOINT_GGUF ? key.gguf : c->kind == CHECKPOINT_HF ? key.hf : key.mistral;
}

/* The setting whose key is `outer`, a dot and the first n bytes of `key`; without the dot where `outer` is empty. */
static const setting *find_in(const checkpoint *c, const char *outer, const char *key, int n) {
  char full[256];
  int length = snprintf(full, sizeof full, "%s%s%.*s", outer, *outer ? "." : "", n, key);
  return length < (int)sizeof full ? checkpoint_setting(c, full) : NULL;
}

static const setting *find_spelling(const checkpoint *c, const char *key, int n) {
  if (c->kind == CHECKPOINT_GGUF) return find_in(c, config_architecture(c), key, n);
  /* In a multimodal checkpoint the language model's settings are in an object of their own. */
  const setting *s = c->kind == CHECKPOINT_HF ? find_in(c, "text_config", key, n) : NULL;
  return s ? s : find_in(c, "", key, n);
}

const setting *config_stated(const checkpoint *c, config_key key) {
  const setting *null = NULL;
  for (const char *next = spellings(c, key); next; next = strchr(next, '|') ? strchr(next, '|') + 1 : NULL) {
    const setting *s = find_spelling(c, next, (int)strcspn(next, "|"));
    if (s && s->type != SETTING_NULL) return s;
    if (!null) null = s;
  }
  return null;
}

bool config_is_nested(const checkpoint *c) {
  static const char inner[] = "text_config.";
  for (size_t i = 0; i < c->n_settings; i++)
    if (c->kind == CHECKPOINT_HF && strncmp(c->settings[i].key, inner, sizeof inner - 1) == 0) return true;
  return false;
}

const setting *config_find(const checkpoint *c, config_key key) {
  const setting *s = config_stated(c, key);
  return s && s->type == SETTING_NULL ? NULL : s;
}

static gale_status out_of_range(const checkpoint *c, const setting *s, const char *wanted, gale_error *error) {
  char value[64] = "a value of another type";
  if (s->type == SETTING_INT) snprintf(value, sizeof value, "%" PRId64, s->integer);
  if (s->type == SETTING_FLOAT) snprintf(value, sizeof value, "%g", s->number);
  return error_set(error, GALE_E_FORMAT, "%s: %s is %s (offset %" PRIu64 "): %s is accepted", c->config_path, s->key,
                   value, s->offset, wanted);
}

static gale_status missing(const checkpoint *c, config_key key, gale_error *error) {
  const char *name = spellings(c, key);
  bool gguf = c->kind == CHECKPOINT_GGUF;
  if (!name) name = "?";
  return error_set(error, GALE_E_FORMAT, "%s: %s%s%.*s is missing%s", c->config_path,
                   gguf ? config_architecture(c) : "", gguf ? "." : "", (int)strcspn(name, "|"), name,
                   gguf ? "; an override can state it" : "");
}

gale_status config_int(const checkpoint *c, config_key key, int64_t low, int64_t high, int32_t *value,
                       gale_error *error) {
  const setting *s = config_find(c, key);
  if (!s) return *value < low ? missing(c, key, error) : GALE_OK;
  /* JSON writers that went through floating point leave 4096.0. */
  bool whole = s->type == SETTING_FLOAT && s->number == rint(s->number) && fabs(s->number) < 1e15;
  int64_t n = whole ? (int64_t)s->number : s->integer;
  if ((s->type != SETTING_INT && !whole) || n < low || n > high) {
    char wanted[96];
    snprintf(wanted, sizeof wanted, "an integer from %" PRId64 " to %" PRId64, low, high);
    return out_of_range(c, s, wanted, error);
  }
  *value = (int32_t)n;
  return GALE_OK;
}

gale_status config_number(const checkpoint *c, config_key key, double low, double high, double *value,
                          gale_error *error) {
  const setting *s = config_find(c, key);
  if (!s) return *value < low ? missing(c, key, error) : GALE_OK;
  double n = s->type == SETTING_INT ? (double)s->integer : s->number;
  if ((s->type != SETTING_INT && s->type != SETTING_FLOAT) || !(n >= low && n <= high)) {
    char wanted[96];
    snprintf(wanted, sizeof wanted, "a number from %g to %g", low, high);
    return out_of_range(c, s, wanted, error);
  }
  *value = (double)(float)n; /* GGUF files hold floats: twins in other formats must not differ from them */
  return GALE_OK;
}

const char *config_text(const checkpoint *c, config_key key) {
  const setting *s = config_find(c, key);
  return s && s->type == SETTING_STRING ? s->string.bytes : "";
}

gale_status config_refuse(const checkpoint *c, config_key key, const char *what, gale_error *error) {
  const setting *s = config_find(c, key);
  bool off = !s || (s->type == SETTING_BOOL && !s->boolean) || (s->type == SETTING_INT && s->integer == 0);
  return off ? GALE_OK
             : error_set(error, GALE_E_UNSUPPORTED, "%s: %s asks for %s, which this family does not have",
                         c->config_path, s->key, what);
}

/* ---- The common block ---- */

static const char *model_name(const checkpoint *c, arena *memory) {
  const setting *s = c->kind == CHECKPOINT_GGUF ? checkpoint_setting(c, "general.name") : NULL;
  if (s && s->type == SETTING_STRING && s->string.length > 0) return s->string.bytes;
  size_t n = strlen(c->path);
  while (n > 1 && c->path[n - 1] == '/') n--;
  size_t start = n;
  while (start > 0 && c->path[start - 1] != '/') start--;
  return arena_string(memory, c->path + start, n - start);
}

/* Files may leave the vocabulary's size to the embedding. */
static gale_status vocabulary_size(const checkpoint *c, model_config *config, gale_error *error) {
  const char *const embedding[] = {[CHECKPOINT_GGUF] = "token_embd.weight",
                                   [CHECKPOINT_HF] = "model.embed_tokens.weight",
                                   [CHECKPOINT_MISTRAL] = "tok_embeddings.weight"};
  const tensor *t = tensor_lookup(c, embedding[c->kind]);
  config->vocab_size = t && t->n_dims == 2 && t->shape[0] <= 1 << 24 ? (int32_t)t->shape[0] : 0;
  return config_int(c, (config_key){GGUF_VOCAB_SIZE, "vocab_size", "vocab_size"}, 1, 1 << 24, &config->vocab_size,
                    error);
}

static gale_status read_sizes(const checkpoint *c, model_config *config, gale_error *error) {
  const struct {
    config_key key;
    int32_t high;
    int32_t *value;
  } sizes[] = {
      {{GGUF_EMBEDDING_LENGTH, "hidden_size", "dim"}, 1 << 20, &config->dim},
      {{GGUF_BLOCK_COUNT, "num_hidden_layers", "n_layers"}, 1 << 12, &config->n_layers},
      {{GGUF_FEED_FORWARD_LENGTH, "intermediate_size", "hidden_dim"}, 1 << 22, &config->hidden_dim},
      {{GGUF_ATTENTION_HEAD_COUNT, "num_attention_heads", "n_heads"}, 1 << 12, &config->n_heads},
      {{GGUF_CONTEXT_LENGTH, "max_position_embeddings", "max_seq_len"}, 1 << 28, &config->context},
  };
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    gale_status status = config_int(c, sizes[i].key, 1, sizes[i].high, sizes[i].value, error);
    if (status) return status;
  }
  return vocabulary_size(c, config, error);
}

static gale_status read_heads(const checkpoint *c, model_config *config, gale_error *error) {
  if (config->n_kv_heads == 0) config->n_kv_heads = config->n_heads;
  const config_key kv = {GGUF_ATTENTION_HEAD_COUNT_KV, "num_key_value_heads", "n_kv_heads"};
  gale_status status = config_int(c, kv, 1, 1 << 12, &config->n_kv_heads, error);
  if (status) return status;
  if (config->n_heads % config->n_kv_heads != 0)
    return error_set(error, GALE_E_FORMAT, "%s: %d heads cannot share %d key/value heads: a divisor is accepted",
                     c->config_path, config->n_heads, config->n_kv_heads);
  const config_key head = {GGUF_ATTENTION_KEY_LENGTH, "head_dim", "head_dim"};
  bool divided = config->head_dim == 0;
  if (divided) config->head_dim = config->dim / config->n_heads;
  status = config_int(c, head, 2, KV_MOST_DIM, &config->head_dim, error);
  if (status) return status;
  if (divided && !config_find(c, head) && config->dim % config->n_heads != 0)
    return error_set(error, GALE_E_FORMAT, "%s: dim %d is not a multiple of %d heads and no head_dim is given",
                     c->config_path, config->dim, config->n_heads);
  int32_t value_dim = config->head_dim, rotary = config->head_dim;
  status = config_int(c, (config_key){.gguf = GGUF_ATTENTION_VALUE_LENGTH}, 1, 1 << 12, &value_dim, error);
  if (!status) status = config_int(c, (config_key){.gguf = GGUF_ROPE_DIMENSION_COUNT}, 1, 1 << 12, &rotary, error);
  if (status) return status;
  if (config->head_dim % 2 != 0 || value_dim != config->head_dim || rotary != config->head_dim)
    return error_set(error, GALE_E_UNSUPPORTED,
                     "%s: keys of %d, values of %d and rotation of %d dimensions: one even number is accepted",
                     c->config_path, config->head_dim, value_dim, rotary);
  return GALE_OK;
}

static gale_status refuse_extras(const checkpoint *c, gale_error *error) {
  const struct {
    const char *hf, *what;
  } extras[] = {
      {"attention_bias", "biases"}, {"mlp_bias", "biases"}, {"use_bidirectional_attention", "attention to later text"}};
  const char *const partial[] = {"partial_rotary_factor", "rope_parameters.partial_rotary_factor"};
  gale_status status = GALE_OK;
  for (size_t i = 0; i < sizeof extras / sizeof *extras && !status; i++)
    status = config_refuse(c, (config_key){.hf = extras[i].hf}, extras[i].what, error);
  for (size_t i = 0; i < sizeof partial / sizeof *partial && !status; i++) {
    double share = 1;
    status = config_number(c, (config_key){.hf = partial[i]}, 1, 1, &share, error);
  }
  return status;
}

/* The activation as HF names it; GGUF and Mistral's files leave it to the family, which has put its own into config. */
static gale_status read_activation(const checkpoint *c, model_config *config, gale_error *error) {
  /* Gemma's hidden_act says gelu where the tanh form was meant; hidden_activation, where it is given, is right. */
  bool gemma = config->activation == BE_GELU_TANH;
  const char *name = config_text(c, (config_key){.hf = "hidden_activation"});
  if (!*name) name = config_text(c, (config_key){.hf = "hidden_act"});
  if (!*name) return GALE_OK;
  if (strcmp(name, "silu") == 0)
    config->activation = BE_SILU;
  else if (strcmp(name, "gelu_pytorch_tanh") == 0 || (gemma && strcmp(name, "gelu") == 0))
    config->activation = BE_GELU_TANH;
  else
    return error_set(error, GALE_E_UNSUPPORTED, "%s: hidden_act \"%s\": silu or gelu_pytorch_tanh is accepted",
                     c->config_path, name);
  return GALE_OK;
}

static gale_status read_theta(const checkpoint *c, double *theta, gale_error *error) {
  const config_key key = {"rope.freq_base|rope.global.freq_base",
                          "rope_theta|rope_parameters.rope_theta|rope_parameters.full_attention.rope_theta",
                          "rope_theta"};
  return config_number(c, key, 1e-3, 1e15, theta, error);
}

gale_status config_base(const checkpoint *c, arena *memory, model_config *config, gale_error *error) {
  if (!(config->name = model_name(c, memory))) return error_memory(error, strlen(c->path) + 1);
  gale_status status = read_sizes(c, config, error);
  if (!status) status = read_heads(c, config, error);
  if (!status) status = refuse_extras(c, error);
  if (!status) status = read_activation(c, config, error);
  if (status) return status;
  if (!(config->layers = arena_array(memory, (size_t)config->n_layers, sizeof *config->layers)))
    return error_memory(error, (uint64_t)config->n_layers * sizeof *config->layers);
  config->embedding_scale = 1;
  config->attention_scale = 1.0f / sqrtf((float)config->head_dim);
  double eps = config->norm_eps > 0 ? (double)config->norm_eps : -1;
  double theta = config->rope[0].theta > 0 ? config->rope[0].theta : 10000;
  status = config_number(c, (config_key){GGUF_ATTENTION_LAYER_NORM_RMS_EPSILON, "rms_norm_eps", "norm_eps"}, 0, 1, &eps,
                         error);
  if (!status) status = read_theta(c, &theta, error);
  if (status) return status;
  /* Converters that hold numbers in structs write 0 for what their source did not state. */
  if (eps > 0 || c->kind != CHECKPOINT_GGUF || config->norm_eps == 0) config->norm_eps = (float)eps;
  const char *const prefixes[] = {"rope_scaling", "rope_parameters", "rope_parameters.full_attention", NULL};
  return config_rope(c, memory, config, 0, theta, prefixes, error);
}

void config_windows(model_config *config, int32_t window) {
  for (int32_t l = 0; l < config->n_layers; l++) config_layers(config)[l].window = window;
}

gale_status config_layer_types(const checkpoint *c, model_config *config, bool *found, gale_error *error) {
  const setting *types = config_find(c, (config_key){.hf = "layer_types"});
  *found = types != NULL;
  if (!types) return GALE_OK;
  if (types->type != SETTING_ARRAY || types->array.length != (size_t)config->n_layers)
    return error_set(error, GALE_E_FORMAT, "%s: layer_types: a list of %d names is accepted", c->config_path,
                     config->n_layers);
  for (int32_t l = 0; l < config->n_layers; l++) {
    const setting *item = &types->array.items[l];
    const char *name = item->type == SETTING_STRING ? item->string.bytes : "";
    layer_config *layer = &config_layers(config)[l];
    if (strcmp(name, "full_attention") == 0)
      layer->window = 0;
    else if (strcmp(name, "sliding_attention") != 0 || layer->window == 0)
      return error_set(error, GALE_E_FORMAT,
                       "%s: layer_types[%d]: full_attention, or with a sliding_window sliding_attention, is accepted",
                       c->config_path, l);
  }
  return GALE_OK;
}

gale_status config_window_pattern(const checkpoint *c, model_config *config, int32_t period, gale_error *error) {
  const config_key key = {.gguf = GGUF_ATTENTION_SLIDING_WINDOW_PATTERN, .hf = "sliding_window_pattern"};
  const setting *list = config_find(c, key);
  if (!list || list->type != SETTING_ARRAY) {
    gale_status status = list ? config_int(c, key, 1, 1 << 12, &period, error) : GALE_OK;
    for (int32_t l = 0; l < config->n_layers && period > 0 && !status; l++)
      if ((l + 1) % period == 0) config_layers(config)[l].window = 0;
    return status;
  }
  bool fits = list->array.length == (size_t)config->n_layers;
  for (int32_t l = 0; fits && l < config->n_layers; l++) {
    fits = list->array.items[l].type == SETTING_BOOL;
    if (fits && !list->array.items[l].boolean) config_layers(config)[l].window = 0;
  }
  return fits ? GALE_OK
              : error_set(error, GALE_E_FORMAT, "%s: %s: an integer or an array of %d booleans is accepted",
                          c->config_path, list->key, config->n_layers);
}

gale_status config_experts(const checkpoint *c, model_config *config, gale_error *error) {
  const config_key total = {GGUF_EXPERT_COUNT, "num_local_experts", "moe.num_experts"};
  const config_key used = {GGUF_EXPERT_USED_COUNT, "num_experts_per_tok", "moe.num_experts_per_tok"};
  gale_status status = config_int(c, total, 0, 1024, &config->n_experts, error);
  if (status || config->n_experts == 0) return status;
  if (c->kind == CHECKPOINT_HF) config->n_experts_per_tok = 2; /* transformers' default */
  return config_int(c, used, 1, config->n_experts, &config->n_experts_per_tok, error);
}
