/* Choosing the next token from its logits, step by step as docs/NUMERICS.md defines it. */
#include "base/exponential.h"
#include "base/random.h"
#include "base/sized.h"
#include "engine/sampler_state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Opening ---- */

static gale_status check_ranges(const gale_sampler_options *o, gale_error *error) {
  const struct {
    const char *name, *range;
    double value;
    bool accepted;
  } checks[] = {
      {"repeat_penalty", "above 0 up to 100", o->repeat_penalty, o->repeat_penalty > 0 && o->repeat_penalty <= 100},
      {"repeat_last", "-1 (all) to 1048576", o->repeat_last, o->repeat_last >= -1 && o->repeat_last <= 1 << 20},
      {"presence_penalty", "-100 to 100", o->presence_penalty, fabs(o->presence_penalty) <= 100},
      {"frequency_penalty", "-100 to 100", o->frequency_penalty, fabs(o->frequency_penalty) <= 100},
      {"dry_multiplier", "0 (off) to 100", o->dry_multiplier, o->dry_multiplier >= 0 && o->dry_multiplier <= 100},
      {"dry_base", "1 to 100", o->dry_base, o->dry_base >= 1 && o->dry_base <= 100},
      {"dry_allowed_length", "1 or more", o->dry_allowed_length, o->dry_allowed_length >= 1},
      {"dry_last", "-1 (all) to 1048576", o->dry_last, o->dry_last >= -1 && o->dry_last <= 1 << 20},
      {"min_tokens", "0 or more", o->min_tokens, o->min_tokens >= 0},
      {"top_n_sigma", "0 (off) to 1000", o->top_n_sigma, o->top_n_sigma >= 0 && o->top_n_sigma <= 1000},
      {"temperature", "0 to 100", o->temperature, o->temperature >= 0 && o->temperature <= 100},
      {"mirostat", "0 (off) or 2", o->mirostat, o->mirostat == 0 || o->mirostat == 2},
      {"mirostat_tau", "above 0 up to 100", o->mirostat_tau, o->mirostat_tau > 0 && o->mirostat_tau <= 100},
      {"mirostat_eta", "0 to 1", o->mirostat_eta, o->mirostat_eta >= 0 && o->mirostat_eta <= 1},
      {"top_k", "0 (off) or more", o->top_k, o->top_k >= 0},
      {"typical_p", "above 0 up to 1", o->typical_p, o->typical_p > 0 && o->typical_p <= 1},
      {"top_p", "0 to 1", o->top_p, o->top_p >= 0 && o->top_p <= 1},
      {"min_p", "0 to 1", o->min_p, o->min_p >= 0 && o->min_p <= 1},
      {"xtc_probability", "0 to 1", o->xtc_probability, o->xtc_probability >= 0 && o->xtc_probability <= 1},
      {"xtc_threshold", "0 to 1", o->xtc_threshold, o->xtc_threshold >= 0 && o->xtc_threshold <= 1},
  };
  for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
    if (!checks[i].accepted)
      return error_set(error, GALE_E_ARGUMENT, "%s is %g: %s is accepted", checks[i].name, checks[i].value,
                       checks[i].range);
  return GALE_OK;
}

void gale_sampler_defaults_sized(gale_sampler_options *options, size_t size) {
  const gale_sampler_options defaults = {
      .repeat_penalty = 1.0,
      .repeat_last = 64,
      .dry_base = 1.75,
      .dry_allowed_length = 2,
      .dry_last = -1,
      .temperature = 0.8,
      .mirostat_tau = 5.0,
      .mirostat_eta = 0.1,
      .top_k = 40,
      .typical_p = 1.0,
      .top_p = 0.95,
      .min_p = 0.05,
      .xtc_threshold = 0.1,
  };
  sized_write(options, size, &defaults, sizeof defaults);
}

static gale_status check_token(const char *what, int32_t token, int32_t n_tokens, gale_error *error) {
  if (token >= 0 && token < n_tokens) return GALE_OK;
  return error_set(error, GALE_E_ARGUMENT, "%s is %d: 0 to %d is accepted", what, token, n_tokens - 1);
}

static int by_value(const void *a, const void *b) {
  int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
  return (x > y) - (x < y);
}

static int by_token(const void *a, const void *b) {
  return by_value(&((const gale_logit_bias *)a)->token, &((const gale_logit_bias *)b)->token);
}

/* A sorted copy of n tokens. */
static gale_status copy_tokens(const char *what, int32_t n_tokens, const int32_t *from, size_t n, const int32_t **to,
                               gale_error *error) {
  *to = NULL;
  if (n == 0) return GALE_OK;
  gale_status status = GALE_OK;
  for (size_t i = 0; i < n && !status; i++) status = check_token(what, from[i], n_tokens, error);
  if (status) return status;
  int32_t *copy = calloc(n, sizeof *copy);
  if (!copy) return error_memory(error, n * sizeof *copy);
  memcpy(copy, from, n * sizeof *copy);
  qsort(copy, n, sizeof *copy, by_value);
  *to = copy;
  return GALE_OK;
}

static gale_status check_bias(sampler *s, gale_error *error) {
  const gale_logit_bias *b = s->options.bias;
  int32_t bans = 0;
  for (size_t i = 0; i < s->options.n_bias; i++) {
    gale_status status = check_token("a token of logit_bias", b[i].token, s->n_tokens, error);
    if (status) return status;
    if (!isfinite(b[i].bias))
      return error_set(error, GALE_E_ARGUMENT, "logit_bias of token %d is not a finite number", b[i].token);
    if (i > 0 && b[i].token == b[i - 1].token)
      return error_set(error, GALE_E_ARGUMENT, "logit_bias has token %d twice", b[i].token);
    bans += b[i].bias <= -100;
    s->forces |= b[i].bias >= 100;
  }
  if (bans == s->n_tokens) return error_set(error, GALE_E_ARGUMENT, "logit_bias bans every token");
  return GALE_OK;
}

static gale_status copy_arrays(sampler *s, const gale_sampler_options *from, gale_error *error) {
  gale_sampler_options *o = &s->options;
  gale_status status = copy_tokens("an end", s->n_tokens, from->ends, from->n_ends, &o->ends, error);
  if (!status)
    status =
        copy_tokens("a DRY breaker", s->n_tokens, from->dry_breakers, from->n_dry_breakers, &o->dry_breakers, error);
  if (status || from->n_bias == 0) return status;
  gale_logit_bias *bias = calloc(from->n_bias, sizeof *bias);
  if (!bias) return error_memory(error, from->n_bias * sizeof *bias);
  memcpy(bias, from->bias, from->n_bias * sizeof *bias);
  qsort(bias, from->n_bias, sizeof *bias, by_token);
  o->bias = bias;
  return check_bias(s, error);
}

gale_status sampler_open(const gale_sampler_options *o, int32_t n_tokens, sampler **opened, gale_error *error) {
  gale_sampler_options known;
  gale_sampler_defaults(&known);
  gale_status status = o ? sized_read(&known, sizeof known, o, "gale_sampler_options", error) : GALE_OK;
  o = &known;
  if (!status) status = check_ranges(o, error);
  if (status) return status;
  if (n_tokens < 1) return error_set(error, GALE_E_ARGUMENT, "the vocabulary has %d tokens", n_tokens);
  sampler *s = calloc(1, sizeof *s);
  if (!s) return error_memory(error, sizeof *s);
  s->options = *o;
  s->options.bias = NULL;
  s->options.ends = s->options.dry_breakers = NULL;
  s->n_tokens = n_tokens;
  s->history.recent_last = o->repeat_penalty == 1 ? 0 : o->repeat_last;
  s->history.generated = o->presence_penalty != 0 || o->frequency_penalty != 0;
  s->history.repeat_last = o->dry_multiplier == 0 ? 0 : o->dry_last;
  s->most_surprise = 2 * o->mirostat_tau;
  s->chosen = -1;
  status = copy_arrays(s, o, error);
  if (status)
    sampler_close(&s);
  else
    *opened = s;
  return status;
}

void sampler_close(sampler **opened) {
  sampler *s = *opened;
  if (!s) return;
  free((void *)s->options.bias);
  free((void *)s->options.ends);
  free((void *)s->options.dry_breakers);
  history_free(&s->history);
  free(s);
  *opened = NULL;
}

gale_status sampler_accept(sampler *s, int32_t token, bool generated, gale_error *error) {
  gale_status status = check_token("token", token, s->n_tokens, error);
  if (!status) status = history_add(&s->history, token, generated, error);
  if (status) return status;
  if (generated && s->options.mirostat && token == s->chosen)
    s->most_surprise -= s->options.mirostat_eta * (s->chosen_surprise - s->options.mirostat_tau);
  s->chosen = -1;
  return GALE_OK;
}

/* ---- Choosing ---- */

enum { FOR_TOKEN, FOR_XTC }; /* purposes of random numbers */

static uint64_t random_number(const sampler *s, uint64_t purpose, int64_t position) {
  return random_for(s->options.seed, purpose, (uint64_t)position);
}

/* The standard deviation of the finite logits of a row. */
static double deviation(const sampler_scratch *c, const float *row, size_t n) {
  double sum, squares;
  double count = (double)c->scan->moments(row, n, c->by.top, &sum, &squares), mean = sum / count;
  double variance = squares / count - mean * mean;
  return variance > 0 ? sqrt(variance) : 0;
}

/* A logit so low that those below it have at most the given weight; slightly lower, since ln and e^x are rounded. */
static double logit_of_weight(const scan_scale *by, double weight) {
  const double margin = 1e-9;
  return by->top + (double_log(weight / by->one) - margin) / by->scale;
}

static bool truncates(const gale_sampler_options *o, int32_t n_tokens) {
  bool xtc = o->xtc_probability > 0 && o->xtc_threshold <= 0.5;
  return (o->top_k > 0 && o->top_k < n_tokens) || o->top_n_sigma > 0 || o->typical_p < 1 || o->top_p < 1 ||
         o->min_p > 0 || xtc;
}

/* Takes the likeliest tokens, enough to have `share` of the total weight: those of at least 2^-10 of the total each,
 * and while these are too few those of a sixteenth of that, down to a weight below which all tokens together are less
 * than the rest. */
static void take_share(sampler_scratch *c, const float *row, size_t n, double share, uint64_t total) {
  uint64_t target = candidates_share(total, share);
  double all = (double)total, least = (1 - share) * all / (double)n * 0.999;
  if (least < 0.25) least = 0.25;
  for (double weight = all * 0x1p-10;; weight *= 0x1p-4) {
    candidates_take(c, row, n, logit_of_weight(&c->by, weight > least ? weight : least));
    candidates_weigh(c);
    if (weight <= least || c->total >= target) return;
  }
}

/* Takes the candidates that the first steps can keep. *total becomes the weight of all tokens to which the first step
 * by probability applies. */
static void take_candidates(const gale_sampler_options *o, sampler_scratch *c, const float *row, size_t n,
                            uint64_t *total) {
  double floor = logit_of_weight(&c->by, 0.25), other = -INFINITY; /* below the floor weights are 0 */
  bool best = o->top_k > 0 && (size_t)o->top_k<n, sigma = o->top_n_sigma> 0, typical = o->typical_p < 1;
  if (!best && !sigma && !typical && o->top_p < 1) {
    *total = c->scan->sums(row, n, &c->by, c->sums);
    take_share(c, row, n, o->top_p, *total);
    return;
  }
  if (sigma) other = c->by.top - o->top_n_sigma * deviation(c, row, n);
  if (other > floor) floor = other;
  if (best) other = (double)candidates_reached_by(c, n, (size_t)o->top_k);
  if (!best && !typical && o->top_p == 1 && o->min_p > 0) other = logit_of_weight(&c->by, o->min_p * c->by.one * 0.999);
  if (other > floor) floor = other;
  candidates_take(c, row, n, floor);
  if (best) candidates_keep_best(c, (size_t)o->top_k);
  candidates_weigh(c);
  *total = c->total;
}

static int32_t choose_truncated(const sampler *s, sampler_scratch *c, const float *row, int64_t position) {
  const gale_sampler_options *o = &s->options;
  uint64_t total;
  take_candidates(o, c, row, (size_t)s->n_tokens, &total);
  if (o->typical_p < 1) {
    candidates_keep_typical(c, o->typical_p);
    total = c->total;
  }
  if (o->top_p < 1) candidates_keep_weight(c, candidates_share(total, o->top_p));
  if (o->min_p > 0) candidates_keep_above(c, o->min_p);
  if (o->xtc_probability > 0 && o->xtc_threshold <= 0.5 &&
      (double)(random_number(s, FOR_XTC, position) >> 11) * 0x1p-53 < o->xtc_probability)
    candidates_drop_top(c, o->xtc_threshold);
  return candidates_draw(c, random_number(s, FOR_TOKEN, position));
}

/* Mirostat 2 (Basu et al. 2021, and its authors' mirostat_v2): draws one of the tokens whose surprise is at most
 * most_surprise, or the likeliest where there is none. */
static int32_t choose_mirostat(sampler *s, sampler_scratch *c, const float *row, int64_t position) {
  const double ln2 = LN2_HIGH + LN2_LOW;
  uint64_t total = c->scan->sums(row, (size_t)s->n_tokens, &c->by, c->sums);
  double ln_total = double_log((double)total / c->by.one);
  double floor = c->by.top + (ln_total - s->most_surprise * ln2) / c->by.scale;
  candidates_take(c, row, (size_t)s->n_tokens, floor < c->by.top ? floor : c->by.top);
  candidates_weigh(c);
  if (floor > c->by.top) candidates_keep_best(c, 1);
  s->chosen = candidates_draw(c, random_number(s, FOR_TOKEN, position));
  s->chosen_surprise = (ln_total - ((double)row[s->chosen] - c->by.top) * c->by.scale) / ln2;
  return s->chosen;
}

gale_status sampler_choose(sampler *s, sampler_scratch *c, const float *logits, int64_t position, const uint32_t *mask,
                           int32_t *token, gale_error *error) {
  const gale_sampler_options *o = &s->options;
  const float *row = sampler_adjust(s, c, logits, position, mask);
  size_t n = (size_t)s->n_tokens;
  float top;
  candidates_look(c, row, n, &top);
  if (!isfinite(top)) {
    if (row != logits) candidates_look(c, logits, n, &top);
    if (isfinite(top))
      return error_set(error, GALE_E_ARGUMENT, "no token is left: logit_bias, ends and the constraint ban them all");
    return error_set(error, GALE_E_NUMERIC, "no logit is finite: the model's weights or input are unsound");
  }
  if (o->temperature == 0) {
    *token = candidates_first(c, row, n, top);
    return GALE_OK;
  }
  /* The scale is bounded so that no difference of logits times it overflows. */
  c->by =
      (scan_scale){.top = (double)top, .scale = fmin(1 / o->temperature, 1e30), .one = n < 1 << 20 ? 0x1p44 : 0x1p39};
  if (o->mirostat) {
    *token = choose_mirostat(s, c, row, position);
  } else if (truncates(o, s->n_tokens)) {
    *token = choose_truncated(s, c, row, position);
  } else {
    c->total = c->scan->sums(row, n, &c->by, c->sums);
    *token = candidates_draw_row(c, row, n, random_number(s, FOR_TOKEN, position));
  }
  return GALE_OK;
}
