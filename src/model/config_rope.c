/* Rotary frequencies: theta^(-2i / head_dim), and the ways in which releases scale them for longer contexts. */
#include "format/gguf_keys.h"
#include "model/config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double two_pi = 6.28318530717958647692;

/* What a file asks for; numbers are negative where it is silent. */
typedef struct scaling {
  char kind[32]; /* "default", "linear", "dynamic", "llama3", "yarn" */
  double factor, original;
  double low, high;            /* llama3 */
  double beta_fast, beta_slow; /* yarn */
  double attention_factor, mscale, mscale_all_dim, magnitude;
  bool whole_pairs; /* yarn: the ramp begins and ends at whole pairs */
  double query_beta;
} scaling;

/* ---- Reading ---- */

static bool is_false(const setting *s) {
  return s && s->type == SETTING_BOOL && !s->boolean;
}

static gale_status read_numbers(const checkpoint *c, const char *prefix, scaling *s, gale_error *error) {
  const struct {
    const char *gguf, *hf, *mistral;
    double *value;
  } numbers[] = {
      {"factor|rope.scale_linear", "factor", "factor", &s->factor},
      {"original_context_length", "original_max_position_embeddings", "original_max_position_embeddings", &s->original},
      {NULL, "low_freq_factor", NULL, &s->low},
      {NULL, "high_freq_factor", NULL, &s->high},
      {"yarn_beta_fast|rope.scaling.beta_fast", "beta_fast", "beta", &s->beta_fast},
      {"yarn_beta_slow|rope.scaling.beta_slow", "beta_slow", "alpha", &s->beta_slow},
      {"yarn_attn_factor", "attention_factor", NULL, &s->attention_factor},
      {NULL, "mscale", NULL, &s->mscale},
      {"yarn_log_multiplier|rope.scaling.mscale_all_dim", "mscale_all_dim", NULL, &s->mscale_all_dim},
      {"attn_factor", NULL, NULL, &s->magnitude},
      {NULL, "llama_4_scaling_beta", NULL, &s->query_beta},
  };
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    const char *name = c->kind == CHECKPOINT_GGUF ? numbers[i].gguf
                       : c->kind == CHECKPOINT_HF ? numbers[i].hf
                                                  : numbers[i].mistral;
    char full[128];
    if (!name) continue;
    snprintf(full, sizeof full, "%s.%s", prefix, name);
    double value = *numbers[i].value;
    const config_key key = {full, full, full};
    if (!config_find(c, key)) continue;
    value = 0;
    gale_status status = config_number(c, key, 0, 1e12, &value, error);
    if (status) return status;
    *numbers[i].value = value;
  }
  return GALE_OK;
}

/* The kind of scaling under one JSON object, or "" if it has none. */
static const char *hf_kind(const checkpoint *c, const char *prefix) {
  const char *const names[] = {"rope_type", "type"};
  for (int i = 0; i < 2; i++) {
    char full[128];
    snprintf(full, sizeof full, "%s.%s", prefix, names[i]);
    const char *kind = config_text(c, (config_key){.hf = full});
    if (*kind) return kind;
  }
  return "";
}

static gale_status read_scaling(const checkpoint *c, const char *const *hf_prefixes, scaling *s, gale_error *error) {
  const char *kind = "default", *prefix = NULL;
  if (c->kind == CHECKPOINT_GGUF) {
    const config_key type = {.gguf = GGUF_ROPE_SCALING_TYPE};
    if (!config_find(c, type)) kind = "linear";
    if (*config_text(c, type)) kind = config_text(c, type);
    prefix = "rope.scaling";
  } else if (c->kind == CHECKPOINT_MISTRAL) {
    if (checkpoint_setting(c, "yarn.factor")) kind = "yarn";
    prefix = "yarn";
  }
  for (; c->kind == CHECKPOINT_HF && *hf_prefixes && !prefix; hf_prefixes++)
    if (*hf_kind(c, *hf_prefixes)) kind = hf_kind(c, prefix = *hf_prefixes);
  snprintf(s->kind, sizeof s->kind, "%s", strcmp(kind, "none") == 0 ? "default" : kind);
  if (!prefix) return GALE_OK;
  char truncate[128];
  snprintf(truncate, sizeof truncate, "%s.truncate", prefix);
  s->whole_pairs = !is_false(config_find(c, (config_key){.hf = truncate}));
  return read_numbers(c, prefix, s, error);
}

/* ---- Scaling ---- */

static gale_status missing(const checkpoint *c, const scaling *s, const char *what, gale_error *error) {
  return error_set(error, GALE_E_FORMAT, "%s: rope scaling \"%s\" has no sound %s", c->config_path, s->kind, what);
}

/* Llama 3.1: low frequencies slow down by the whole factor, high ones not, and those between by a blend over the
 * number of turns within the original context. GGUF files hold the divisors as floats, so they are rounded here. */
static gale_status scale_llama3(const checkpoint *c, const scaling *s, double *frequency, int n, gale_error *error) {
  if (!(s->low > 0) || !(s->high > s->low)) return missing(c, s, "low_freq_factor and high_freq_factor", error);
  for (int i = 0; i < n; i++) {
    double turns = s->original * frequency[i] / two_pi, smooth = (turns - s->low) / (s->high - s->low);
    smooth = smooth < 0 ? 0 : smooth > 1 ? 1 : smooth;
    frequency[i] /= (double)(float)(1 / ((1 - smooth) / s->factor + smooth));
  }
  return GALE_OK;
}

/* YaRN: the pair whose frequency makes `turns` turns within the original context, as a real number. */
static double yarn_pair(const model_config *config, double theta, double original, double turns) {
  return config->head_dim * log(original / (turns * two_pi)) / (2 * log(theta));
}

static double yarn_magnitude(double factor, double scale) {
  return factor > 1 ? 0.1 * scale * log(factor) + 1 : 1;
}

/* YaRN (Peng et al., 2023): pairs that turn often keep their frequency, pairs that turn rarely are interpolated by the
 * factor, with a ramp between; the rotated vectors grow a little. */
static gale_status scale_yarn(const checkpoint *c, const model_config *config, const scaling *s, double theta,
                              double *frequency, double *magnitude, gale_error *error) {
  double fast = s->beta_fast > 0 ? s->beta_fast : 32, slow = s->beta_slow > 0 ? s->beta_slow : 1;
  if (!(theta > 1) || !(fast > slow)) return missing(c, s, "theta, beta_fast and beta_slow", error);
  double low = yarn_pair(config, theta, s->original, fast), high = yarn_pair(config, theta, s->original, slow);
  low = fmax(s->whole_pairs ? floor(low) : low, 0);
  high = fmin(s->whole_pairs ? ceil(high) : high, config->head_dim - 1);
  if (high == low) high += 0.001;
  for (int i = 0; i < config->head_dim / 2; i++) {
    double ramp = (i - low) / (high - low);
    ramp = ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
    frequency[i] = frequency[i] / s->factor * ramp + frequency[i] * (1 - ramp);
  }
  *magnitude = yarn_magnitude(s->factor, 1);
  if (s->mscale > 0 && s->mscale_all_dim > 0)
    *magnitude = yarn_magnitude(s->factor, s->mscale) / yarn_magnitude(s->factor, s->mscale_all_dim);
  if (s->attention_factor >= 0) *magnitude = s->attention_factor;
  *magnitude *= s->magnitude;
  return GALE_OK;
}

/* Dynamic scaling leaves positions within the trained context as they are. Beyond it theta would change with every
 * position, also for keys that are in the cache. */
static gale_status limit_context(const scaling *s, model_config *config) {
  config->most_context = (int32_t)fmin(s->original, INT32_MAX);
  if (config->context > config->most_context) config->context = config->most_context;
  return GALE_OK;
}

/* GGUF files of Llama 3.1 and later hold the divisors of the frequencies as a tensor. */
static gale_status divide_frequencies(const checkpoint *c, double *frequency, int n, arena *memory, gale_error *error) {
  const tensor *t = c->kind == CHECKPOINT_GGUF ? checkpoint_tensor(c, "rope_freqs.weight") : NULL;
  if (!t) return GALE_OK;
  if (t->type != QUANT_F32 || t->n_dims != 1 || t->shape[0] != n)
    return error_set(error, GALE_E_FORMAT, "%s: tensor rope_freqs.weight: F32 [%d] is accepted", c->path, n);
  float *divisor = arena_array(memory, (size_t)n, sizeof *divisor);
  if (!divisor) return error_memory(error, (uint64_t)n * sizeof *divisor);
  gale_status status = checkpoint_read(c, t, 0, divisor, (uint64_t)n * sizeof *divisor, error);
  for (int i = 0; i < n && !status; i++) {
    if (!(divisor[i] > 0) || isinf(divisor[i]))
      return error_set(error, GALE_E_FORMAT, "%s: rope_freqs.weight[%d] is %g: a positive number is accepted", c->path,
                       i, (double)divisor[i]);
    frequency[i] /= (double)divisor[i];
  }
  return status;
}

/* Mistral's own files and GGUF spell two things elsewhere: whether YaRN scales the vectors, and how queries grow. */
static gale_status read_elsewhere(const checkpoint *c, scaling *s, model_config *config, gale_error *error) {
  if (is_false(config_find(c, (config_key){.mistral = "yarn.apply_scale"}))) s->attention_factor = 1;
  if (c->kind == CHECKPOINT_GGUF) s->mscale = 1; /* it has a key for mscale_all_dim only */
  const config_key beta = {.gguf = GGUF_ATTENTION_TEMPERATURE_SCALE "|rope.scaling_beta",
                           .mistral = "llama_4_scaling.beta"};
  const config_key original = {.mistral = "llama_4_scaling.original_max_position_embeddings"};
  double context = s->original;
  if (s->query_beta < 0) s->query_beta = 0;
  gale_status status = config_number(c, beta, 0, 100, &s->query_beta, error);
  if (!status) status = config_number(c, original, 1, INT32_MAX, &context, error);
  if (!status && s->query_beta > 0)
    config->attention_temperature = (be_attention_temperature){s->query_beta, (int32_t)fmin(context, INT32_MAX)};
  return status;
}

gale_status config_rope(const checkpoint *c, arena *memory, model_config *config, int index, double theta,
                        const char *const *hf_prefixes, gale_error *error) {
  int n = config->head_dim / 2;
  double *frequency = arena_array(memory, (size_t)n, sizeof *frequency);
  if (!frequency) return error_memory(error, (uint64_t)n * sizeof *frequency);
  for (int i = 0; i < n; i++) frequency[i] = pow(theta, -2.0 * i / config->head_dim);
  rope_config *rope = &config->rope[index];
  *rope = (rope_config){.theta = theta, .frequency = frequency, .magnitude = 1};
  if (config->n_ropes <= index) config->n_ropes = index + 1;

  scaling s = {.factor = -1,
               .original = -1,
               .low = -1,
               .high = -1,
               .beta_fast = -1,
               .beta_slow = -1,
               .attention_factor = -1,
               .mscale = -1,
               .mscale_all_dim = -1,
               .magnitude = 1,
               .query_beta = -1};
  if (!hf_prefixes) return GALE_OK;
  gale_status status = read_scaling(c, hf_prefixes, &s, error);
  if (!(s.original > 0)) s.original = config->context;
  if (!status) status = read_elsewhere(c, &s, config, error);
  if (!status) status = divide_frequencies(c, frequency, n, memory, error);
  if (status || strcmp(s.kind, "default") == 0) return status;
  /* A GGUF file without a factor scales nothing, whatever type it states. */
  if (c->kind == CHECKPOINT_GGUF && !(s.factor > 0)) return GALE_OK;
  if (!(s.factor > 0)) return missing(c, &s, "factor", error);
  if (strcmp(s.kind, "dynamic") == 0) return limit_context(&s, config);
  if (strcmp(s.kind, "llama3") == 0) return scale_llama3(c, &s, frequency, n, error);
  if (strcmp(s.kind, "yarn") == 0) return scale_yarn(c, config, &s, theta, frequency, &rope->magnitude, error);
  if (strcmp(s.kind, "linear") != 0)
    return error_set(error, GALE_E_UNSUPPORTED,
                     "%s: rope scaling \"%s\": default, none, linear, dynamic, llama3 or yarn is accepted",
                     c->config_path, s.kind);
  for (int i = 0; i < n; i++) frequency[i] /= s.factor;
  return GALE_OK;
}
