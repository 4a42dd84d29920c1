/* What followed before: the longest end of a text that occurs earlier in it, and the tokens that came next there.
 *
 * The text is kept as a suffix automaton (Blumer et al. 1985), which grows token by token in amortised constant time:
 * of its states the one that stands for the whole text links to the one that stands for the longest end with an earlier
 * place. It takes up to 2 states and 3 edges for each token, of 16 bytes; with the text and the hash table of the edges
 * that is at most 132 bytes for each token that there is room for, and room at most doubles. */
#ifndef ENGINE_RECALL_H
#define ENGINE_RECALL_H

#include <stddef.h>

#include "gale.h"

/* One text. Who calls recall_append() is alone with it. */
typedef struct recall recall;

gale_status recall_open(recall **text, gale_error *error);
void recall_close(recall **text);

/* A second one with the same text. */
gale_status recall_copy(const recall *text, recall **copy, gale_error *error);

/* Appends n tokens >= 0. GALE_E_MEMORY, with nothing changed, also where the text would pass 2^28 tokens. */
gale_status recall_append(recall *text, const int32_t *tokens, size_t n, gale_error *error);

/* How many tokens at the end of the text also stand earlier in it; the two places may overlap. */
size_t recall_match(const recall *text);

/* tokens[0] to [n - 1] become what followed the first of the places that recall_match() means; where that comes to the
 * end of the text, it goes on as if the text did. Returns n, or 0 if there is no such place. */
size_t recall_propose(const recall *text, int32_t *tokens, size_t n);

#endif
