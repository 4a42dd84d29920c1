/* Generations inside the library, for whoever drives them with drafts: tokens that are computed on trial, as if they
 * had been chosen. Their rows are taken one by one as long as each gives the draft's next token; so an answer is the
 * same whatever its drafts. */
#ifndef ENGINE_GENERATION_H
#define ENGINE_GENERATION_H

#include "engine/speculation.h"

/* A draft of at most `most` tokens that may follow the last one taken, all fit to be computed, into tokens
 * [SPECULATION_MOST]; *n is 0 where none is worth it, or the generation drafts nothing. */
gale_status generation_draft(gale_generation *g, size_t most, int32_t *tokens, size_t *n, gale_error *error);

/* A step of one token and a draft of n took so long. */
void generation_timed(gale_generation *g, size_t n, double seconds);

/* So many tokens of a draft of n were right. */
void generation_judged(gale_generation *g, size_t n, size_t right);

/* Log-probabilities by a row of the session's logits: of a token and then of the `top` likeliest, best first, into
 * logprobs [1 + top]; *n is how many there are. GALE_E_NUMERIC if no logit is finite. */
gale_status generation_score(const gale_generation *g, gale_session *session, const float *logits, int32_t token,
                             size_t top, gale_logprob *logprobs, size_t *n, gale_error *error);

#endif
