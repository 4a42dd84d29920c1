/* Gemma 1, 2 and 3 (text): embeddings scaled by sqrt(dim), norm weights stored as an offset from 1 (GGUF files have it
 * added), GELU in its tanh form. Gemma 2 adds norms behind both halves, a window on every other layer and soft-caps;
 * Gemma 3 has norms on q and k, one full layer in six, and a theta of its own for layers with a window. */
#include "format/gguf_keys.h"
#include "model/tensors.h"

#include <math.h>

/* Files leave out what all releases of a size share. */
static const struct release {
  int32_t n_layers, context, window;
  bool is_27b, stretched; /* stretched: rotary frequencies of full layers are divided by 8 */
} releases3[] = {{18, 32768, 512, false, false},
                 {26, 32768, 512, false, false},
                 {34, 131072, 1024, false, true},
                 {48, 131072, 1024, false, true},
                 {62, 131072, 1024, true, true}};

static const config_key layers_key = {GGUF_BLOCK_COUNT, "num_hidden_layers", NULL};

/* The release of Gemma 3 with as many layers; of another number: nothing known. */
static struct release release3(int32_t n_layers) {
  for (size_t i = 0; i < sizeof releases3 / sizeof *releases3; i++)
    if (releases3[i].n_layers == n_layers) return releases3[i];
  return (struct release){.n_layers = n_layers};
}

bool gemma3_is_stretched(int32_t n_layers) {
  return release3(n_layers).stretched;
}

static gale_status configure_common(const checkpoint *c, arena *memory, model_config *config, gale_error *error) {
  config->activation = BE_GELU_TANH;
  config->norm_eps = 1e-6f;
  if (config->head_dim == 0) config->head_dim = 256; /* transformers' default, which early files rely on */
  if (config->context == 0) config->context = 8192;
  if (c->kind == CHECKPOINT_HF) config->norm_offset = 1;
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

static const config_key final_cap = {.gguf = GGUF_FINAL_LOGIT_SOFTCAPPING, .hf = "final_logit_softcapping"};

static gale_status read_cap(const checkpoint *c, config_key key, double otherwise, float *cap, gale_error *error) {
  const setting *s = config_stated(c, key);
  double value = s && s->type == SETTING_NULL ? 0 : otherwise;
  gale_status status = config_number(c, key, 0, 1e6, &value, error);
  *cap = (float)value;
  return status;
}

/* Layers see `window` positions, but for every `period`-th one, counted from 1, which sees all; files may list them
 * layer by layer. */
static gale_status read_windows(const checkpoint *c, model_config *config, int32_t window, int32_t period,
                                gale_error *error) {
  const config_key key = {.gguf = GGUF_ATTENTION_SLIDING_WINDOW, .hf = "sliding_window"};
  gale_status status = config_int(c, key, 0, INT32_MAX, &window, error);
  if (status) return status;
  config_windows(config, window);
  bool found;
  status = config_layer_types(c, config, &found, error);
  return status || found ? status : config_window_pattern(c, config, period, error);
}

static gale_status configure_gemma2(const checkpoint *c, arena *memory, model_config *config, gale_error *error) {
  gale_status status = config_int(c, layers_key, 1, 1 << 12, &config->n_layers, error);
  if (status) return status;
  bool is_27b = config->n_layers == 46;
  if (is_27b && c->kind == CHECKPOINT_GGUF) config->head_dim = 128;
  status = configure_common(c, memory, config, error);
  if (status) return status;
  config->post_norms = true;
  /* GGUF has no key for the scale: 27B uses dim / n_heads. */
  status = read_query_scale(c, config,
                            c->kind == CHECKPOINT_HF ? 256
                            : is_27b                 ? (double)config->dim / config->n_heads
                                                     : config->head_dim,
                            error);
  if (!status)
    status = read_cap(c, (config_key){.gguf = GGUF_ATTN_LOGIT_SOFTCAPPING, .hf = "attn_logit_softcapping"}, 50,
                      &config->attention_softcap, error);
  if (!status) status = read_cap(c, final_cap, 30, &config->logit_softcap, error);
  return status ? status : read_windows(c, config, 4096, 2, error);
}

/* theta of the layers with a window; most GGUF files don't state it. */
static gale_status read_local_rope(const checkpoint *c, arena *memory, model_config *config, gale_error *error) {
  double theta = 10000;
  const config_key key = {.gguf = "rope.freq_base_swa|rope.local.freq_base",
                          .hf = "rope_local_base_freq|rope_parameters.sliding_attention.rope_theta"};
  gale_status status = config_number(c, key, 1e-3, 1e15, &theta, error);
  const char *const prefixes[] = {"rope_parameters.sliding_attention", NULL};
  if (!status) status = config_rope(c, memory, config, 1, theta, c->kind == CHECKPOINT_HF ? prefixes : NULL, error);
  for (int32_t l = 0; l < config->n_layers; l++) config_layers(config)[l].rope = config->layers[l].window > 0;
  return status;
}

/* Some GGUF files of the larger releases do not state their scaling. */
static void stretch(const checkpoint *c, model_config *config) {
  const config_key key = {.gguf = GGUF_ROPE_SCALING_FACTOR "|rope.scale_linear|" GGUF_ROPE_SCALING_TYPE};
  if (c->kind != CHECKPOINT_GGUF || !gemma3_is_stretched(config->n_layers) || config_find(c, key)) return;
  double *frequency = (double *)config->rope[0].frequency;
  for (int i = 0; i < config->head_dim / 2; i++) frequency[i] /= 8;
  config->note = "the rotary scaling of 8 that Gemma 3 has from 4B on is used, which the file does not state";
}

static gale_status configure_gemma3(const checkpoint *c, arena *memory, model_config *config, gale_error *error) {
  gale_status status = config_int(c, layers_key, 1, 1 << 12, &config->n_layers, error);
  if (status) return status;
  const struct release known = release3(config->n_layers);
  config->rope[0].theta = 1e6;
  config->context = 131072;
  if (c->kind == CHECKPOINT_HF) { /* what text_config leaves out in the multimodal releases */
    config->n_heads = 8;
    config->n_kv_heads = 4;
  } else {
    if (known.context) config->context = known.context;
    if (known.is_27b) config->head_dim = 128;
  }
  status = configure_common(c, memory, config, error);
  if (status) return status;
  config->post_norms = config->qk_norms = true;
  /* GGUF has no key for the scale: 27B uses dim / n_heads. */
  status = read_query_scale(c, config,
                            c->kind == CHECKPOINT_HF ? 256
                            : known.is_27b           ? (double)config->dim / config->n_heads
                                                     : config->head_dim,
                            error);
  if (!status) status = read_cap(c, final_cap, 0, &config->logit_softcap, error);
  if (!status) status = read_windows(c, config, c->kind == CHECKPOINT_HF ? 4096 : known.window, 6, error);
  if (status) return status;
  stretch(c, config);
  return read_local_rope(c, memory, config, error);
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
static const char *const types1[] = {"gemma", NULL}, *const types2[] = {"gemma2", NULL};
static const char *const types3[] = {"gemma3", "gemma3_text", NULL};
const family family_gemma = {
    .name = "gemma", .gguf = gguf1, .hf = hf1, .hf_types = types1, .configure = configure_gemma};
const family family_gemma2 = {
    .name = "gemma2", .gguf = gguf2, .hf = hf2, .hf_types = types2, .configure = configure_gemma2, .names = names};
const family family_gemma3 = {
    .name = "gemma3", .gguf = gguf3, .hf = hf3, .hf_types = types3, .configure = configure_gemma3, .names = names};
