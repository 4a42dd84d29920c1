#include "gale/chat/sampling.h"

#include "gale/cli/console.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- --logit-bias ---- */

/* ID+BIAS or ID-BIAS, e.g. 15043-1.5. */
static bool read_bias(const char *text, int32_t n_drawable, gale_logit_bias *bias) {
  size_t digits = strspn(text, "0123456789");
  const char *rest = text + digits;
  if (digits == 0 || digits > 9 || (*rest != '+' && *rest != '-')) return false;
  if (rest[1] == 0 || rest[1 + strspn(rest + 1, "0123456789.eE-")]) return false;
  char *end = NULL;
  bias->token = (int32_t)strtol(text, NULL, 10);
  bias->bias = strtod(rest, &end);
  return !*end && bias->token < n_drawable && fabs(bias->bias) <= 100;
}

static int read_biases(sampling *s, const options *o, int32_t n_drawable) {
  for (size_t i = 0; i < o->logit_bias.length; i++) {
    if (!read_bias(o->logit_bias.items[i], n_drawable, &s->bias[i]))
      return fail(
          "--logit-bias: '%s' is not an id from 0 to %d with a bias from -100 to +100 behind it, as in 15043-1.5",
          o->logit_bias.items[i], n_drawable - 1);
  }
  s->settings.bias = s->bias;
  s->settings.n_bias = o->logit_bias.length;
  return 0;
}

/* ---- --dry-sequence-breaker ---- */

static bool contains(const char *text, size_t length, const char *part) {
  return memmem(text, length, part, strlen(part)) != NULL;
}

static bool contains_any(const char *text, size_t length, const text_list *parts) {
  for (size_t i = 0; i < parts->length; i++)
    if (contains(text, length, parts->items[i])) return true;
  return false;
}

/* A token is a breaker if its text contains one, or if it is the last of those that a breaker is made of. */
static gale_status mark_last_tokens(const gale_tokenizer *t, const text_list *breakers, int32_t n, bool *is_breaker,
                                    gale_error *error) {
  for (size_t i = 0; i < breakers->length; i++) {
    int32_t *ids;
    size_t n_ids;
    gale_status status = gale_tokenize(t, breakers->items[i], strlen(breakers->items[i]), false, &ids, &n_ids, error);
    if (status) return status;
    if (n_ids > 0 && ids[n_ids - 1] < n) is_breaker[ids[n_ids - 1]] = true;
    gale_free(ids);
  }
  return GALE_OK;
}

static gale_status mark_breakers(const gale_tokenizer *t, const text_list *breakers, int32_t n, bool *is_breaker,
                                 gale_error *error) {
  for (int32_t id = 0; id < n; id++) {
    char *text;
    size_t length;
    gale_status status = gale_detokenize(t, &id, 1, false, &text, &length, error);
    if (status) return status;
    is_breaker[id] = contains_any(text, length, breakers);
    gale_free(text);
  }
  return mark_last_tokens(t, breakers, n, is_breaker, error);
}

static int read_breakers(sampling *s, const options *o, const gale_tokenizer *t, int32_t n) {
  const text_list usual = {.items = {"\n", ":", "\"", "*"}, .length = 4};
  const text_list *breakers = o->dry_breakers.length ? &o->dry_breakers : &usual;
  if (o->dry_multiplier == 0 || strcmp(breakers->items[0], "none") == 0) return 0;
  gale_error error = {0};
  bool *is_breaker = calloc((size_t)n, sizeof *is_breaker);
  s->breakers = calloc((size_t)n, sizeof *s->breakers);
  if (!is_breaker || !s->breakers) {
    free(is_breaker);
    return fail_memory();
  }
  gale_status status = mark_breakers(t, breakers, n, is_breaker, &error);
  for (int32_t id = 0; id < n; id++)
    if (is_breaker[id]) s->breakers[s->settings.n_dry_breakers++] = id;
  s->settings.dry_breakers = s->breakers;
  free(is_breaker);
  return status ? fail_with(&error) : 0;
}

/* ---- All ---- */

int sampling_read(sampling *s, const options *o, const gale_tokenizer *tokenizer, int32_t n_drawable) {
  *s = (sampling){0};
  gale_sampler_options *to = &s->settings;
  gale_sampler_defaults(to);
  to->temperature = o->temp;
  to->top_k = o->top_k;
  to->top_p = o->top_p;
  to->min_p = o->min_p;
  to->repeat_penalty = o->repeat_penalty;
  to->repeat_last = o->repeat_last;
  to->presence_penalty = o->presence_penalty;
  to->frequency_penalty = o->frequency_penalty;
  to->dry_multiplier = o->dry_multiplier;
  to->dry_base = o->dry_base;
  to->dry_allowed_length = o->dry_allowed;
  to->dry_last = o->dry_last;
  to->top_n_sigma = fmax(o->top_nsigma, 0);
  to->typical_p = o->typical;
  to->xtc_probability = o->xtc_probability;
  to->xtc_threshold = o->xtc_threshold;
  to->mirostat = o->mirostat && strcmp(o->mirostat, "2") == 0 ? 2 : 0;
  to->mirostat_eta = o->mirostat_lr;
  to->mirostat_tau = o->mirostat_ent;
  to->min_tokens = o->min_tokens;
  to->ignore_end = o->ignore_eos;
  int code = read_biases(s, o, n_drawable);
  return code ? code : read_breakers(s, o, tokenizer, n_drawable);
}

void sampling_free(sampling *s) {
  free(s->breakers);
  *s = (sampling){0};
}
