/* Sampling as docs/NUMERICS.md defines it, the plain way: doubles, whole sorts and sums, nothing kept from step to
 * step. */
#ifndef TESTS_DIRECT_SAMPLING_H
#define TESTS_DIRECT_SAMPLING_H

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "gale.h"

enum { DIRECT_MAX = 4096 };

/* The text so far; generated[i] tells an answer's token from the prompt's. */
typedef struct direct_text {
  int32_t token[256];
  bool generated[256];
  int n;
} direct_text;

typedef struct direct_row {
  int n;
  float logit[DIRECT_MAX];
  double p[DIRECT_MAX]; /* 0 where a token is out */
  int order[DIRECT_MAX];
} direct_row;

static double direct_key[DIRECT_MAX];

static int direct_by_key(const void *a, const void *b) {
  int i = *(const int *)a, j = *(const int *)b;
  if (direct_key[i] != direct_key[j]) return direct_key[i] < direct_key[j] ? -1 : 1;
  return i - j;
}

/* Orders all tokens by direct_key, ascending. */
static void direct_sort(direct_row *r) {
  for (int i = 0; i < r->n; i++) r->order[i] = i;
  qsort(r->order, (size_t)r->n, sizeof *r->order, direct_by_key);
}

static bool direct_has(const int32_t *list, size_t n, int32_t token) {
  for (size_t i = 0; i < n; i++)
    if (list[i] == token) return true;
  return false;
}

/* ---- Steps on logits ---- */

/* The author's own way: every earlier place of the last token, and from there backwards. */
static int direct_repeat(const gale_sampler_options *o, const direct_text *t, int32_t token) {
  int first = o->dry_last >= 0 && o->dry_last < t->n ? t->n - o->dry_last : 0, longest = 0;
  for (int i = first + 1; i < t->n; i++) {
    if (t->token[i] != token) continue;
    int length = 0;
    while (i - 1 - length >= first && t->token[i - 1 - length] == t->token[t->n - 1 - length] &&
           !direct_has(o->dry_breakers, o->n_dry_breakers, t->token[i - 1 - length]))
      length++;
    if (length > longest) longest = length;
  }
  return direct_has(o->dry_breakers, o->n_dry_breakers, token) ? 0 : longest;
}

static float direct_penalised(const gale_sampler_options *o, const direct_text *t, int32_t token, float logit) {
  int recent = 0, generated = 0;
  bool seen = false;
  for (int i = 0; i < t->n; i++) {
    if (t->token[i] != token) continue;
    seen = true;
    if (o->repeat_last < 0 || i >= t->n - o->repeat_last) recent++;
    if (t->generated[i]) generated++;
  }
  double x = logit;
  if (recent > 0) x = x > 0 ? x / o->repeat_penalty : x * o->repeat_penalty;
  if (generated > 0) x -= o->presence_penalty + o->frequency_penalty * generated;
  logit = (float)x;
  if (o->dry_multiplier == 0 || !seen) return logit;
  int length = direct_repeat(o, t, token);
  if (length == 0 || length < o->dry_allowed_length) return logit;
  return (float)((double)logit - fmin(1e30, o->dry_multiplier * pow(o->dry_base, length - o->dry_allowed_length)));
}

static void direct_logits(direct_row *r, const gale_sampler_options *o, const direct_text *t, int64_t position,
                          const uint32_t *mask) {
  bool no_end = o->ignore_end || position < o->min_tokens, forced = false, force[DIRECT_MAX] = {false};
  for (int i = 0; i < r->n; i++) {
    for (size_t b = 0; b < o->n_bias; b++) {
      if (o->bias[b].token != i) continue;
      r->logit[i] = o->bias[b].bias == -100 ? -INFINITY : (float)((double)r->logit[i] + o->bias[b].bias);
      force[i] = o->bias[b].bias == 100;
    }
    r->logit[i] = direct_penalised(o, t, i, r->logit[i]);
    if (no_end && direct_has(o->ends, o->n_ends, i)) r->logit[i] = -INFINITY;
    if (mask && !(mask[i / 32] >> i % 32 & 1)) r->logit[i] = -INFINITY;
    forced |= force[i] && isfinite(r->logit[i]);
  }
  for (int i = 0; i < r->n; i++)
    if (forced && !force[i]) r->logit[i] = -INFINITY;
}

/* ---- Steps on probabilities ---- */

static void direct_normalise(direct_row *r) {
  double sum = 0;
  for (int i = 0; i < r->n; i++) sum += r->p[i];
  for (int i = 0; i < r->n; i++) r->p[i] /= sum;
}

static void direct_rank(direct_row *r) {
  for (int i = 0; i < r->n; i++) direct_key[i] = r->p[i] > 0 ? -(double)r->logit[i] : INFINITY;
  direct_sort(r);
}

/* Drops what is behind the first whose probabilities add up to share. */
static void direct_keep_share(direct_row *r, double share) {
  double sum = 0;
  for (int i = 0; i < r->n; i++) {
    double p = r->p[r->order[i]];
    if (i > 0 && sum >= share) r->p[r->order[i]] = 0;
    sum += p;
  }
}

static void direct_sigma(direct_row *r, double n_sigma) {
  double mean = 0, variance = 0, top = -INFINITY;
  int count = 0;
  for (int i = 0; i < r->n; i++)
    if (isfinite(r->logit[i])) count++, mean += (double)r->logit[i], top = fmax(top, (double)r->logit[i]);
  mean /= count;
  for (int i = 0; i < r->n; i++)
    if (isfinite(r->logit[i])) variance += ((double)r->logit[i] - mean) * ((double)r->logit[i] - mean) / count;
  for (int i = 0; i < r->n; i++)
    if ((double)r->logit[i] < top - n_sigma * sqrt(variance)) r->logit[i] = -INFINITY;
}

static void direct_typical(direct_row *r, double share) {
  double entropy = 0;
  for (int i = 0; i < r->n; i++)
    if (r->p[i] > 0) entropy -= r->p[i] * log(r->p[i]);
  for (int i = 0; i < r->n; i++) direct_key[i] = r->p[i] > 0 ? fabs(-log(r->p[i]) - entropy) : INFINITY;
  direct_sort(r);
  direct_keep_share(r, share);
}

static void direct_min_p(direct_row *r, double least) {
  double most = 0;
  for (int i = 0; i < r->n; i++) most = fmax(most, r->p[i]);
  for (int i = 0; i < r->n; i++)
    if (r->p[i] < least * most) r->p[i] = 0;
}

static void direct_xtc(direct_row *r, double threshold) {
  direct_rank(r);
  int above = 0;
  while (above < r->n && r->p[r->order[above]] >= threshold) above++;
  for (int i = 0; i < above - 1; i++) r->p[r->order[i]] = 0;
}

static double direct_random(const gale_sampler_options *o, uint64_t purpose, int64_t position) {
  return (double)random_for(o->seed, purpose, (uint64_t)position) * 0x1p-64;
}

static void direct_truncate(direct_row *r, const gale_sampler_options *o, int64_t position) {
  if (o->top_k > 0) {
    direct_rank(r);
    for (int i = o->top_k; i < r->n; i++) r->p[r->order[i]] = 0;
    direct_normalise(r);
  }
  if (o->typical_p < 1) direct_typical(r, o->typical_p);
  direct_normalise(r);
  if (o->top_p < 1) {
    direct_rank(r);
    direct_keep_share(r, o->top_p);
  }
  if (o->min_p > 0) direct_min_p(r, o->min_p);
  direct_normalise(r);
  if (direct_random(o, 1, position) < o->xtc_probability && o->xtc_threshold <= 0.5) direct_xtc(r, o->xtc_threshold);
}

static void direct_softmax(direct_row *r, double temperature) {
  double top = -INFINITY;
  for (int i = 0; i < r->n; i++)
    if (isfinite(r->logit[i])) top = fmax(top, (double)r->logit[i]);
  for (int i = 0; i < r->n; i++) r->p[i] = isfinite(r->logit[i]) ? exp(((double)r->logit[i] - top) / temperature) : 0;
  direct_normalise(r);
}

/* Keeps tokens of at most `most` bits of surprise, or the likeliest. Probabilities stay those of all. */
static void direct_mirostat(direct_row *r, double most) {
  direct_rank(r);
  for (int i = 1; i < r->n; i++)
    if (-log2(r->p[r->order[i]]) > most) r->p[r->order[i]] = 0;
}

/* The token drawn; *distance becomes how near its share the random number is to that of another. -1: none is left. */
static int32_t direct_draw(const direct_row *r, double random, double *distance) {
  double sum = 0, at = 0;
  for (int i = 0; i < r->n; i++) sum += r->p[i];
  for (int i = 0; i < r->n; i++) {
    double p = r->p[i] / sum;
    if (random < at + p) {
      *distance = fmin(random - at, at + p - random);
      return i;
    }
    at += p;
  }
  *distance = 0;
  return -1;
}

#endif
