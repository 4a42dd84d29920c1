#include "engine/history.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

void history_free(history *h) {
  free(h->counts);
  free(h->tokens);
  free(h->repeat_length);
  *h = (history){0};
}

/* ---- Counts ---- */

/* Tokens are their own hash: of those below 2^24 no more than 2^24 / slots can begin at one slot. */
static history_count *find_slot(history_count *counts, size_t slots, int32_t token) {
  size_t i = (size_t)token & (slots - 1);
  while (counts[i].used && counts[i].token != token) i = (i + 1) & (slots - 1);
  return &counts[i];
}

static gale_status grow_counts(history *h, gale_error *error) {
  if (h->slots > 0 && 2 * (h->n_counts + 1) <= h->slots) return GALE_OK;
  size_t slots = h->slots ? 2 * h->slots : 64;
  history_count *counts = calloc(slots, sizeof *counts);
  if (!counts) return error_memory(error, slots * sizeof *counts);
  for (size_t i = 0; i < h->slots; i++)
    if (h->counts[i].used) *find_slot(counts, slots, h->counts[i].token) = h->counts[i];
  free(h->counts);
  h->counts = counts;
  h->slots = slots;
  return GALE_OK;
}

static void count(history *h, int32_t token, bool generated) {
  history_count *c = find_slot(h->counts, h->slots, token);
  if (!c->used) h->n_counts++;
  c->used = true;
  c->token = token;
  if (h->recent_last != 0 && c->recent < INT32_MAX) c->recent++;
  if (h->generated && generated && c->generated < INT32_MAX) c->generated++;
}

/* ---- Tokens in order ---- */

/* The number of last tokens that must be kept in order; -1: all. */
static int32_t needed(const history *h) {
  if (h->repeat_last < 0) return -1;
  return h->repeat_last > h->recent_last ? h->repeat_last : h->recent_last > 0 ? h->recent_last : 0;
}

static gale_status grow_tokens(history *h, gale_error *error) {
  if (h->length < h->room) return GALE_OK;
  size_t room = h->room ? 2 * h->room : 64;
  int32_t *tokens = realloc(h->tokens, room * sizeof *tokens);
  if (tokens) h->tokens = tokens;
  int32_t *repeat_length = h->repeat_last && tokens ? realloc(h->repeat_length, room * sizeof *tokens) : NULL;
  if (repeat_length) h->repeat_length = repeat_length;
  if (!tokens || (h->repeat_last && !repeat_length)) return error_memory(error, room * sizeof *tokens);
  h->room = room;
  return GALE_OK;
}

static void append(history *h, int32_t token) {
  if (h->recent_last > 0 && h->length >= (size_t)h->recent_last)
    find_slot(h->counts, h->slots, h->tokens[h->length - (size_t)h->recent_last])->recent--;
  h->tokens[h->length++] = token;
}

/* Drops the tokens before the last `keep`, once they are half of all. */
static void trim(history *h, size_t keep) {
  if (h->length < 2 * keep) return;
  memmove(h->tokens, h->tokens + h->length - keep, keep * sizeof *h->tokens);
  h->length = keep;
}

gale_status history_add(history *h, int32_t token, bool generated, gale_error *error) {
  int32_t keep = needed(h);
  bool counted = h->recent_last != 0 || (h->generated && generated);
  gale_status status = keep ? grow_tokens(h, error) : GALE_OK;
  if (!status && counted) status = grow_counts(h, error);
  if (status) return status;
  if (keep) append(h, token);
  if (counted) count(h, token, generated);
  if (keep > 0) trim(h, (size_t)keep);
  return GALE_OK;
}

/* ---- Repetitions ---- */

static int by_token(const void *a, const void *b) {
  int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
  return (x > y) - (x < y);
}

bool tokens_have(const int32_t *tokens, size_t n, int32_t token) {
  return n > 0 && bsearch(&token, tokens, n, sizeof *tokens, by_token) != NULL;
}

size_t history_repeats(history *h, const int32_t *breakers, size_t n_breakers, const int32_t **tokens,
                       const int32_t **length) {
  size_t n = h->repeat_last >= 0 && h->length > (size_t)h->repeat_last ? (size_t)h->repeat_last : h->length;
  const int32_t *text = h->tokens + h->length - n;
  size_t most = 0;
  while (most < n && !tokens_have(breakers, n_breakers, text[n - 1 - most])) most++;
  int32_t *z = h->repeat_length;
  /* The Z algorithm (Gusfield 1997) on the text read backwards, j tokens from its end: `from` is where the match that
   * reaches furthest begins, and `reach` where it ends. */
  size_t reach = 0, from = 0;
  for (size_t j = 1; j < n; j++) {
    size_t same = 0;
    if (j < reach) {
      same = (size_t)z[n - (j - from)];
      if (same > reach - j) same = reach - j;
    }
    while (j + same < n && text[n - 1 - same] == text[n - 1 - j - same]) same++;
    z[n - j] = (int32_t)same;
    if (j + same > reach) {
      reach = j + same;
      from = j;
    }
  }
  for (size_t i = 1; i < n; i++)
    if ((size_t)z[i] > most) z[i] = (int32_t)most;
  *tokens = text;
  *length = z;
  return n;
}
