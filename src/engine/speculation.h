/* Which tokens an answer may go on with, and how many of them are worth computing on trial.
 *
 * A draft comes from what a constraint forces, or from what followed earlier in prompt and answer (recall.h). How often
 * the first token of such a draft turns out right is counted for every token that is accepted, whether a draft was
 * computed or not, so that a text which nothing foretells costs no trials. */
#ifndef ENGINE_SPECULATION_H
#define ENGINE_SPECULATION_H

#include "engine/drafting.h"
#include "engine/recall.h"

enum { SPECULATION_MOST = 32, SPECULATION_KINDS = 7 };

typedef struct speculation {
  recall *text; /* NULL: nothing is drafted */
  size_t most;  /* tokens of a draft */
  int32_t *forced;
  size_t n_forced, next_forced; /* forced[next_forced] .. must follow, as far as is known */
  int32_t expected;             /* the first token of a draft; -1: there is none */
  int kind;                     /* of that draft: 0 is forced, others by length of the match */
  struct {
    double right, seen; /* share of right tokens, over about so many of the last */
  } kinds[SPECULATION_KINDS];
  step_times times; /* of the text's own steps */
} speculation;

/* most in 1 .. SPECULATION_MOST. On failure speculation_close() releases what there is. */
gale_status speculation_open(speculation *s, size_t most, const int32_t *prompt, size_t n_prompt, gale_error *error);
void speculation_close(speculation *s);

/* The answer's next token. */
gale_status speculation_accept(speculation *s, int32_t token, gale_error *error);

/* True where it is not known any more what is forced. */
bool speculation_wants_forced(const speculation *s);

/* n tokens that must follow; takes the array, which is from malloc(). */
void speculation_force(speculation *s, int32_t *tokens, size_t n);

/* What a draft promises. */
draft_outlook speculation_outlook(const speculation *s);

/* A draft of n tokens, at most what speculation_outlook() says. */
void speculation_propose(const speculation *s, size_t n, int32_t *tokens);

/* How many of at most `most` tokens are worth it in a step that computes nothing else. */
size_t speculation_size(const speculation *s, size_t most);

/* A step of one token and a draft of n, and nothing else, took so long. */
void speculation_timed(speculation *s, size_t n, double seconds);

#endif
