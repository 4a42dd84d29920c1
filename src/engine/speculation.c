#include "engine/speculation.h"

#include <stdlib.h>
#include <string.h>

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

/* ---- Drafts ---- */

draft_outlook speculation_outlook(const speculation *s) {
  if (!s->text || s->expected < 0) return (draft_outlook){0};
  size_t left = s->kind == 0 ? s->n_forced - s->next_forced : s->most;
  return (draft_outlook){.right = s->kinds[s->kind].right, .most = left < s->most ? left : s->most};
}

void speculation_propose(const speculation *s, size_t n, int32_t *tokens) {
  if (s->kind == 0)
    memcpy(tokens, s->forced + s->next_forced, n * sizeof *tokens);
  else
    recall_propose(s->text, tokens, n);
}

size_t speculation_size(const speculation *s, size_t most) {
  draft_outlook outlook = speculation_outlook(s);
  drafts_choose(&s->times, 1, most, &outlook, 1);
  return outlook.n;
}

void speculation_timed(speculation *s, size_t n, double seconds) {
  if (s->text) step_times_note(&s->times, 1 + n, seconds);
}
