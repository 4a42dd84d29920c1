/* Generations inside the library, for whoever drives them with drafts: tokens that are computed on trial, as if they
 * had been chosen. Their rows are taken one by one as long as each gives the draft's next token; so an answer is the
 * same whatever its drafts. */
#ifndef ENGINE_GENERATION_H
#define ENGINE_GENERATION_H

#include "engine/speculation.h"

/* What generation_options.speculate asks for, with the text of the prompt. At most once, where that is 0. */
gale_status generation_speculate(gale_generation *g, int32_t most, const int32_t *prompt, size_t n_prompt,
                                 gale_error *error);

/* What a draft of at most `most` tokens promises that may follow the last one taken; none, if drafts are not wanted. */
gale_status generation_outlook(gale_generation *g, size_t most, draft_outlook *outlook, gale_error *error);

/* How many of at most `most` tokens a draft may have. */
size_t generation_room(const gale_generation *g, size_t most);

/* How many of n tokens of a draft can be computed. */
gale_status generation_fit(gale_generation *g, size_t n, const int32_t *tokens, size_t *fit, gale_error *error);

/* What the answer's sampler would choose `ahead` tokens from now, from the first row that a sequence of another model's
 * session has; n_drawable of that is at least the model's own. */
gale_status generation_guess(gale_generation *g, gale_session *session, int32_t sequence, size_t ahead, int32_t *token);

/* A draft of n tokens, at most what generation_outlook() says, into tokens; the first *fit of them can be computed. */
gale_status generation_propose(gale_generation *g, size_t n, int32_t *tokens, size_t *fit, gale_error *error);

/* For a step that computes nothing else: a draft of at most `most` tokens that may follow the last one taken, all fit
 * to be computed, into tokens [SPECULATION_MOST]; *n is 0 where none is worth it, or the generation drafts nothing. */
gale_status generation_draft(gale_generation *g, size_t most, int32_t *tokens, size_t *n, gale_error *error);

/* A step of one token and a draft of n, and nothing else, took so long. */
void generation_timed(gale_generation *g, size_t n, double seconds);

/* So many tokens of a draft of n were right. */
void generation_judged(gale_generation *g, size_t n, size_t right);

/* Log-probabilities by a row of the session's logits: of a token and then of the `top` likeliest, best first, into
 * logprobs [1 + top]; *n is how many there are. GALE_E_NUMERIC if no logit is finite. */
gale_status generation_score(const gale_generation *g, gale_session *session, const float *logits, int32_t token,
                             size_t top, gale_logprob *logprobs, size_t *n, gale_error *error);

#endif
