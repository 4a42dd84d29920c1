/* The keys of a GGUF file, made of a configuration. */
#include "convert/convert.h"

#include "format/gguf_keys.h"
#include "format/reader.h"

#include <math.h>
#include <string.h>

static setting text(const char *key, const char *value) {
  return (setting){.key = key, .type = SETTING_STRING, .string = {value, strlen(value)}};
}

static setting integer(const char *key, int64_t value) {
  return (setting){.key = key, .type = SETTING_INT, .integer = value};
}

/* Other engines take no 64-bit floats. */
static setting real(const char *key, double value) {
  return (setting){.key = key, .type = SETTING_FLOAT, .number = (double)(float)value};
}

static setting where(bool present, setting s) {
  return present ? s : (setting){.type = SETTING_NULL};
}

gale_status convert_add(checkpoint *to, setting s, gale_error *error) {
  setting *room = checkpoint_add_settings(to, 1);
  if (!room) return error_memory(error, sizeof *room);
  *room = s;
  return GALE_OK;
}

static bool near(double a, double b) {
  return fabs(a - b) <= 1e-6 * fabs(b);
}

/* A key that begins with a dot belongs to the architecture. */
static gale_status add_all(checkpoint *to, const char *architecture, const setting *from, size_t n, gale_error *error) {
  gale_status status = GALE_OK;
  for (size_t i = 0; i < n && !status; i++) {
    setting s = from[i];
    if (s.type == SETTING_NULL) continue;
    if (*s.key == '.') s.key = arena_printf(&to->memory, "%s%s", architecture, s.key);
    status = s.key ? convert_add(to, s, error) : error_memory(error, sizeof s);
  }
  return status;
}

/* ---- YaRN: the source's own numbers, since frequencies do not tell them ---- */

typedef struct yarn {
  double factor, original, fast, slow; /* negative: not stated */
} yarn;

static gale_status read_yarn(const checkpoint *c, arena *memory, const char *prefix, yarn *y, gale_error *error) {
  const bool native = c->kind == CHECKPOINT_MISTRAL;
  const struct {
    const char *name;
    double *value;
  } numbers[] = {{"factor", &y->factor},
                 {"original_max_position_embeddings", &y->original},
                 {native ? "beta" : "beta_fast", &y->fast},
                 {native ? "alpha" : "beta_slow", &y->slow}};
  *y = (yarn){-1, -1, -1, -1};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    const char *key = arena_printf(memory, "%s.%s", prefix, numbers[i].name);
    if (!key) return error_memory(error, 64);
    const config_key both = {.hf = key, .mistral = key};
    double value = 0;
    gale_status status = config_find(c, both) ? config_number(c, both, 0, 1e12, &value, error) : GALE_OK;
    if (status) return status;
    if (config_find(c, both)) *numbers[i].value = value;
  }
  return GALE_OK;
}

/* ---- Groups of keys ---- */

static gale_status add_sizes(const model_source *source, const quant_mix *r, checkpoint *to, const char *architecture,
                             gale_error *error) {
  const model_config *m = source->config;
  const bool experts = m->n_experts > 0;
  const setting settings[] = {
      text("general.architecture", architecture),
      text("general.name", m->name),
      integer("general.file_type", r->file_type),
      integer("general.quantization_version", 2),
      integer("." GGUF_CONTEXT_LENGTH, m->context),
      integer("." GGUF_EMBEDDING_LENGTH, m->dim),
      integer("." GGUF_BLOCK_COUNT, m->n_layers),
      integer("." GGUF_FEED_FORWARD_LENGTH, m->hidden_dim),
      integer("." GGUF_ATTENTION_HEAD_COUNT, m->n_heads),
      integer("." GGUF_ATTENTION_HEAD_COUNT_KV, m->n_kv_heads),
      integer("." GGUF_ATTENTION_KEY_LENGTH, m->head_dim),
      integer("." GGUF_ATTENTION_VALUE_LENGTH, m->head_dim),
      real("." GGUF_ATTENTION_LAYER_NORM_RMS_EPSILON, (double)m->norm_eps),
      where(m->attention_softcap > 0, real("." GGUF_ATTN_LOGIT_SOFTCAPPING, (double)m->attention_softcap)),
      where(m->logit_softcap > 0, real("." GGUF_FINAL_LOGIT_SOFTCAPPING, (double)m->logit_softcap)),
      where(experts, integer("." GGUF_EXPERT_COUNT, m->n_experts)),
      where(experts, integer("." GGUF_EXPERT_USED_COUNT, m->n_experts_per_tok)),
      integer("." GGUF_ROPE_DIMENSION_COUNT, m->head_dim),
      real("." GGUF_ROPE_FREQ_BASE, m->rope[0].theta),
      integer("." GGUF_VOCAB_SIZE, m->vocab_size),
  };
  return add_all(to, architecture, settings, sizeof settings / sizeof *settings, error);
}

/* Which layers have the window: a list in the Llama and Mistral families. */
static gale_status add_window_list(const model_config *m, checkpoint *to, const char *architecture, gale_error *error) {
  setting *windowed = arena_array(&to->memory, (size_t)m->n_layers, sizeof *windowed);
  if (!windowed) return error_memory(error, (uint64_t)m->n_layers * sizeof *windowed);
  for (int32_t l = 0; l < m->n_layers; l++)
    windowed[l] = (setting){.type = SETTING_BOOL, .boolean = m->layers[l].window > 0};
  const setting pattern = {.key = "." GGUF_ATTENTION_SLIDING_WINDOW_PATTERN,
                           .type = SETTING_ARRAY,
                           .array = {windowed, (size_t)m->n_layers}};
  return add_all(to, architecture, &pattern, 1, error);
}

/* In Gemma it is the distance of the full layers, the first of which it counts from 1. */
static gale_status add_window_period(const model_config *m, checkpoint *to, const char *architecture,
                                     gale_error *error) {
  int32_t period = 1;
  while (period <= m->n_layers && m->layers[period - 1].window > 0) period++;
  const setting pattern = integer("." GGUF_ATTENTION_SLIDING_WINDOW_PATTERN, period);
  return add_all(to, architecture, &pattern, 1, error);
}

static gale_status add_windows(const model_source *source, checkpoint *to, const char *architecture,
                               gale_error *error) {
  const model_config *m = source->config;
  const bool gemma = m->family->gguf[0] && m->post_norms;
  int32_t window = 0;
  bool same = true;
  for (int32_t l = 0; l < m->n_layers; l++) {
    if (m->layers[l].window > window) window = m->layers[l].window;
    same &= m->layers[l].window == m->layers[0].window;
  }
  /* Without the key, Mistral's GGUF files may be taken for those that forgot to state it. */
  const setting stated = where(window > 0 || !m->family->gguf[0], integer("." GGUF_ATTENTION_SLIDING_WINDOW, window));
  gale_status status = add_all(to, architecture, &stated, 1, error);
  if (status) return status;
  if (gemma) return add_window_period(m, to, architecture, error);
  return same ? GALE_OK : add_window_list(m, to, architecture, error);
}

static gale_status add_yarn(const model_source *source, checkpoint *to, const char *architecture, const char *prefix,
                            gale_error *error) {
  const model_config *m = source->config;
  yarn y;
  gale_status status = read_yarn(source->checkpoint, &to->memory, prefix, &y, error);
  if (status) return status;
  /* Rotated vectors are as long as YaRN's paper has them; a multiplier of 1 undoes that, a factor changes it. */
  const bool undone = m->rope[0].magnitude == 1;
  const double factor = m->rope[0].magnitude / (y.factor > 1 ? 0.1 * log(y.factor) + 1 : 1);
  const setting settings[] = {
      text("." GGUF_ROPE_SCALING_TYPE, "yarn"),
      real("." GGUF_ROPE_SCALING_FACTOR, y.factor),
      where(y.original > 0, integer("." GGUF_ROPE_SCALING_ORIGINAL_CONTEXT_LENGTH, (int64_t)y.original)),
      where(y.fast > 0, real("." GGUF_ROPE_SCALING_YARN_BETA_FAST, y.fast)),
      where(y.slow > 0, real("." GGUF_ROPE_SCALING_YARN_BETA_SLOW, y.slow)),
      where(undone, real("." GGUF_ROPE_SCALING_YARN_LOG_MULTIPLIER, 1)),
      where(!undone && !near(factor, 1), real("." GGUF_ROPE_SCALING_ATTN_FACTOR, factor)),
      where(m->attention_temperature.beta > 0,
            real("." GGUF_ATTENTION_TEMPERATURE_SCALE, m->attention_temperature.beta)),
  };
  return add_all(to, architecture, settings, sizeof settings / sizeof *settings, error);
}

/* Scaling of all frequencies by one factor, or that there is none where a reader would add it; that of Llama 3 is a
 * tensor. */
static gale_status add_scaling(const model_source *source, checkpoint *to, const char *architecture,
                               gale_error *error) {
  const model_config *m = source->config;
  const char *prefix = yarn_prefix(source->checkpoint);
  if (prefix) return add_yarn(source, to, architecture, prefix, error);
  if (checkpoint_tensor(to, "rope_freqs.weight")) return GALE_OK;
  const double factor = 1 / m->rope[0].frequency[0];
  const bool scaled = fabs(factor - 1) >= 1e-6;
  const bool denied = !scaled && m->family == &family_gemma3 && gemma3_is_stretched(m->n_layers);
  const setting settings[] = {
      where(scaled, text("." GGUF_ROPE_SCALING_TYPE, "linear")),
      where(scaled, real("." GGUF_ROPE_SCALING_FACTOR, factor)),
      where(denied, text("." GGUF_ROPE_SCALING_TYPE, "none")),
  };
  return add_all(to, architecture, settings, sizeof settings / sizeof *settings, error);
}

/* ---- Whether the keys say it all ---- */

static bool same_ropes(const model_config *a, const model_config *b) {
  for (int32_t l = 0; l < a->n_layers; l++) {
    const rope_config *x = &a->rope[a->layers[l].rope], *y = &b->rope[b->layers[l].rope];
    if (!near(x->magnitude, y->magnitude)) return false;
    for (int i = 0; i < a->head_dim / 2; i++)
      if (!near(x->frequency[i], y->frequency[i])) return false;
  }
  return true;
}

static bool same_windows(const model_config *a, const model_config *b) {
  for (int32_t l = 0; l < a->n_layers; l++)
    if (a->layers[l].window != b->layers[l].window) return false;
  return true;
}

/* What of the configuration is not the same when the keys are read back, or NULL. */
static const char *lost(const model_config *a, const model_config *b) {
  return !same_windows(a, b)                                             ? "windows of the layers"
         : !same_ropes(a, b)                                             ? "rotary frequencies"
         : !near((double)a->attention_scale, (double)b->attention_scale) ? "scale of the attention scores"
         : a->attention_softcap != b->attention_softcap || a->logit_softcap != b->logit_softcap ? "soft-caps"
         : !near(a->attention_temperature.beta, b->attention_temperature.beta) ||
                 a->attention_temperature.context != b->attention_temperature.context
             ? "an attention temperature"
         : a->activation != b->activation || a->post_norms != b->post_norms || a->qk_norms != b->qk_norms ||
                 a->embedding_scale != b->embedding_scale || a->norm_eps != b->norm_eps
             ? "form of the block"
         : a->n_experts != b->n_experts || a->n_experts_per_tok != b->n_experts_per_tok ? "experts"
                                                                                        : NULL;
}

static gale_status check_keys(const model_source *source, checkpoint *to, const char *architecture, gale_error *error) {
  model_config read;
  gale_status status = model_configure(to, &to->memory, &read, error);
  const char *what = status ? NULL : lost(source->config, &read);
  if (!what) return status;
  return error_set(error, GALE_E_UNSUPPORTED, "%s: a GGUF file of architecture %s has no keys for this model's %s",
                   source->checkpoint->config_path, architecture, what);
}

/* ---- All of them ---- */

/* Another type changes two keys; the others stay, in their order. */
static gale_status carry_over(const checkpoint *from, const quant_mix *r, checkpoint *to, gale_error *error) {
  const setting changed[] = {integer("general.file_type", r->file_type), integer("general.quantization_version", 2)};
  gale_status status = GALE_OK;
  for (size_t i = 0; i < from->n_settings && !status; i++) {
    setting s = from->settings[i];
    for (int k = 0; k < 2; k++)
      if (strcmp(s.key, changed[k].key) == 0) s = changed[k];
    status = convert_add(to, s, error);
  }
  for (int k = 0; k < 2 && !status; k++)
    if (!checkpoint_setting(from, changed[k].key)) status = convert_add(to, changed[k], error);
  return status ? status : checkpoint_index(to, error);
}

gale_status convert_settings(const model_source *source, const quant_mix *r, checkpoint *to, gale_error *error) {
  if (source->checkpoint->kind == CHECKPOINT_GGUF) return carry_over(source->checkpoint, r, to, error);
  const char *architecture = gguf_architecture(source);
  gale_status status = add_sizes(source, r, to, architecture, error);
  if (!status) status = add_windows(source, to, architecture, error);
  if (!status) status = add_scaling(source, to, architecture, error);
  if (!status) status = convert_vocabulary(source, to, error);
  if (!status) status = checkpoint_index(to, error);
  return status ? status : check_keys(source, to, architecture, error);
}
