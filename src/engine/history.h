/* The tokens so far, as far as penalties look at them. */
#ifndef ENGINE_HISTORY_H
#define ENGINE_HISTORY_H

#include "gale.h"

typedef struct history_count {
  int32_t token;
  int32_t recent;    /* how often it is among the last `recent_last` tokens, prompt and answer */
  int32_t generated; /* how often it was generated */
  bool used;         /* false: a free slot */
} history_count;

/* The first four fields are set before the first token; the rest is zero then. */
typedef struct history {
  int32_t recent_last; /* 0: none is counted; -1: all are */
  bool generated;      /* whether generated tokens are counted */
  int32_t repeat_last; /* tokens in which repetitions are looked for; 0: none; -1: all */

  history_count *counts; /* [slots]: a hash table with open addressing; slots is 0 or a power of two */
  size_t slots, n_counts;
  int32_t *tokens;        /* [room]: the last `length`, at least all that are needed in order */
  int32_t *repeat_length; /* [room], where repetitions are looked for */
  size_t length, room;
} history;

void history_free(history *h);

/* On failure nothing has changed. */
gale_status history_add(history *h, int32_t token, bool generated, gale_error *error);

/* Finds the repetitions that the next token could make longer, in time linear in the n tokens that it looks at: those
 * before tokens[i], 0 < i < n, end with the same length[i] tokens as the text, none of them a breaker. Breakers are
 * ascending. The arrays are the history's, until it changes. */
size_t history_repeats(history *h, const int32_t *breakers, size_t n_breakers, const int32_t **tokens,
                       const int32_t **length);

/* Whether an ascending list has the token. */
bool tokens_have(const int32_t *tokens, size_t n, int32_t token);

#endif
