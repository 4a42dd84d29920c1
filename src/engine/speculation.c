#include "engine/speculation.h"

#include <stdlib.h>
#include <string.h>

/* Until steps with drafts were measured, each token of a draft is taken to add this much to the time of a step. */
#define TOKEN_SHARE 0.15
/* A draft must be worth so much more than none: measured shares are uncertain. */
#define LEAST_GAIN 1.05
/* A single step can be held up by other programs. */
#define MOST_CHANGE 2.0
#define MEMORY 32.0 /* tokens or steps that averages go over */

gale_status speculation_open(speculation *s, size_t most, const int32_t *prompt, size_t n_prompt, gale_error *error) {
  static const double first[SPECULATION_KINDS] = {0.9, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7};
  s->most = most;
  s->expected = -1;
  for (int i = 0; i < SPECULATION_KINDS; i++) {
    s->kinds[i].right = first[i];
    s->kinds[i].seen = 2;
  }
  gale_status status = recall_open(&s->text, error);
  return status ? status : recall_append(s->text, prompt, n_prompt, error);
}

void speculation_close(speculation *s) {
  recall_close(&s->text);
  free(s->forced);
  s->forced = NULL;
}

/* 1: a match of one token, 2: of two, 3: of three or four ... */
static int kind_of(size_t match) {
  int kind = 1;
  while (kind < SPECULATION_KINDS - 1 && match > (size_t)1 << (kind - 1)) kind++;
  return kind;
}

static void expect(speculation *s) {
  s->expected = -1;
  if (s->next_forced < s->n_forced) {
    s->expected = s->forced[s->next_forced];
    s->kind = 0;
  } else if (recall_propose(s->text, &s->expected, 1)) {
    s->kind = kind_of(recall_match(s->text));
  }
}

gale_status speculation_accept(speculation *s, int32_t token, gale_error *error) {
  bool right = token == s->expected;
  if (s->expected >= 0) {
    double *share = &s->kinds[s->kind].right, *seen = &s->kinds[s->kind].seen;
    if (*seen < MEMORY) ++*seen;
    *share += (right - *share) / *seen;
  }
  if (s->next_forced < s->n_forced && s->forced[s->next_forced++] != token) s->n_forced = 0;
  gale_status status = recall_append(s->text, &token, 1, error);
  expect(s);
  return status;
}

bool speculation_wants_forced(const speculation *s) {
  return s->next_forced >= s->n_forced;
}

void speculation_force(speculation *s, int32_t *tokens, size_t n) {
  free(s->forced);
  s->forced = tokens;
  s->n_forced = n;
  s->next_forced = 0;
  expect(s);
}

/* ---- How many ---- */

/* Where a size was never tried it is taken to cost in proportion to the nearest smaller one that was, or larger one. */
static double share_of(const speculation *s, int size) {
  int known = size;
  while (known >= 0 && s->share[known] == 0) known--;
  if (known < 0)
    for (known = size; known < SPECULATION_SIZES && s->share[known] == 0;) known++;
  double tokens = (double)(1 << size);
  if (known == SPECULATION_SIZES) return 1 + TOKEN_SHARE * tokens;
  return 1 + (s->share[known] - 1) * tokens / (double)(1 << known);
}

/* Tokens that a step is expected to give: 1 + p + p^2 + ... + p^n. */
static double expected_tokens(double p, size_t n) {
  double sum = 1, term = 1;
  for (size_t i = 0; i < n; i++) sum += term *= p;
  return sum;
}

/* Sizes are tried from the smallest up: one is a candidate when the one below it was measured. */
static size_t best_size(const speculation *s, size_t most) {
  double best = LEAST_GAIN;
  size_t n = 0;
  for (int i = 0; i < SPECULATION_SIZES && (size_t)1 << i <= most; i++) {
    if (i > 0 && s->share[i - 1] == 0) break;
    double gain = expected_tokens(s->kinds[s->kind].right, (size_t)1 << i) / share_of(s, i);
    if (gain <= best) continue;
    best = gain;
    n = (size_t)1 << i;
  }
  return n;
}

size_t speculation_draft(const speculation *s, size_t most, int32_t *tokens) {
  if (!s->text || s->expected < 0 || s->plain == 0) return 0;
  size_t left = s->kind == 0 ? s->n_forced - s->next_forced : s->most;
  if (left > s->most) left = s->most;
  size_t n = best_size(s, most < left ? most : left);
  if (s->kind != 0) return recall_propose(s->text, tokens, n);
  memcpy(tokens, s->forced + s->next_forced, n * sizeof *tokens);
  return n;
}

/* An average that begins with the first value. */
static void average(double *mean, double value) {
  if (*mean == 0) *mean = value;
  if (value > MOST_CHANGE * *mean) value = MOST_CHANGE * *mean;
  *mean += (value - *mean) / 8;
}

void speculation_timed(speculation *s, size_t n, double seconds) {
  if (!s->text || seconds <= 0) return;
  if (n == 0) average(&s->plain, seconds);
  int size = 0;
  while (size < SPECULATION_SIZES - 1 && (size_t)1 << size < n) size++;
  if (n > 0 && n == (size_t)1 << size && s->plain > 0) average(&s->share[size], seconds / s->plain);
}
