/* The steps of sampling that change logits: bias, penalties, bans of ends, and the mask. Each rounds to float. */
#include "engine/sampler_state.h"

#include <math.h>
#include <string.h>

static void add_bias(const sampler *s, float *row) {
  for (size_t i = 0; i < s->options.n_bias; i++) {
    const gale_logit_bias *b = &s->options.bias[i];
    row[b->token] = b->bias <= -100 ? -INFINITY : (float)((double)row[b->token] + b->bias);
  }
}

static float penalised(const gale_sampler_options *o, float logit, const history_count *c) {
  double x = logit;
  if (c->recent > 0) x = x > 0 ? x / o->repeat_penalty : x * o->repeat_penalty;
  if (c->generated > 0) x -= o->presence_penalty + o->frequency_penalty * c->generated;
  return (float)x;
}

static void add_penalties(const sampler *s, float *row) {
  for (size_t i = 0; i < s->history.slots; i++) {
    const history_count *c = &s->history.counts[i];
    if (c->used && (c->recent > 0 || c->generated > 0)) row[c->token] = penalised(&s->options, row[c->token], c);
  }
}

/* ---- DRY: "Don't repeat yourself" by its author p-e-w (text-generation-webui, pull request 5677) ---- */

/* At most 1e30: repetitions are to be avoided, not forbidden. */
static double repeat_cost(const gale_sampler_options *o, int32_t length) {
  const double most = 1e30;
  double cost = o->dry_multiplier;
  for (int32_t i = o->dry_allowed_length; i < length && cost < most && o->dry_base > 1; i++) cost *= o->dry_base;
  return cost < most ? cost : most;
}

/* Of the repetitions that a token would make longer the longest counts. */
static void add_dry(sampler *s, int32_t *longest, float *row) {
  const gale_sampler_options *o = &s->options;
  const int32_t *tokens, *length;
  size_t n = history_repeats(&s->history, o->dry_breakers, o->n_dry_breakers, &tokens, &length);
  for (size_t i = 1; i < n; i++) longest[tokens[i]] = 0;
  for (size_t i = 1; i < n; i++)
    if (length[i] > longest[tokens[i]]) longest[tokens[i]] = length[i];
  for (size_t i = 1; i < n; i++) {
    int32_t t = tokens[i], most = longest[t];
    longest[t] = 0;
    if (most < o->dry_allowed_length || most == 0 || tokens_have(o->dry_breakers, o->n_dry_breakers, t)) continue;
    row[t] = (float)((double)row[t] - repeat_cost(o, most));
  }
}

/* ---- Bans ---- */

static void ban_ends(const sampler *s, float *row) {
  for (size_t i = 0; i < s->options.n_ends; i++) row[s->options.ends[i]] = -INFINITY;
}

/* Bans all tokens but those with a bias of 100, if one of these can be drawn. */
static void apply_force(const sampler *s, float *row) {
  const gale_logit_bias *b = s->options.bias, *end = b + s->options.n_bias;
  bool any = false;
  for (size_t i = 0; i < s->options.n_bias; i++) any |= b[i].bias >= 100 && isfinite(row[b[i].token]);
  if (!any) return;
  for (int32_t t = 0; t < s->n_tokens; t++) {
    while (b < end && b->token < t) b++;
    if (b == end || b->token != t || b->bias < 100) row[t] = -INFINITY;
  }
}

const float *sampler_adjust(sampler *s, sampler_scratch *scratch, const float *logits, int64_t position,
                            const uint32_t *mask) {
  const gale_sampler_options *o = &s->options;
  bool no_end = o->n_ends > 0 && (o->ignore_end || position < o->min_tokens);
  bool repeats = s->history.repeat_last != 0 && s->history.length > 1;
  if (o->n_bias == 0 && s->history.n_counts == 0 && !repeats && !no_end && !mask) return logits;
  float *row = scratch->row;
  memcpy(row, logits, (size_t)s->n_tokens * sizeof *row);
  add_bias(s, row);
  add_penalties(s, row);
  if (repeats) add_dry(s, scratch->token, row);
  if (no_end) ban_ends(s, row);
  if (mask) scratch->scan->mask(row, (size_t)s->n_tokens, mask);
  if (s->forces) apply_force(s, row);
  return row;
}
