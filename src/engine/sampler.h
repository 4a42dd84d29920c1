/* Choosing tokens from rows of logits, and the log-probabilities of tokens.
 *
 * A sampler is small, so that there may be one for each of many answers. What a row of logits needs while a token is
 * chosen from it is in a scratch, which all samplers of one caller share. */
#ifndef ENGINE_SAMPLER_H
#define ENGINE_SAMPLER_H

#include "gale.h"

/* Settings, history and state of one answer. One caller at a time. */
typedef struct sampler sampler;

/* Memory for one row, about 20 bytes for each token of the vocabulary. One caller at a time. */
typedef struct sampler_scratch sampler_scratch;

/* isa: the highest instruction set to use, by its name; NULL: the best. */
gale_status sampler_scratch_open(int32_t vocab_size, const char *isa, sampler_scratch **scratch, gale_error *error);
void sampler_scratch_close(sampler_scratch **scratch);
size_t sampler_scratch_bytes(int32_t vocab_size);

/* Room for a mask of so many words, in memory of the scratch; NULL when out of memory. */
uint32_t *sampler_scratch_mask(sampler_scratch *scratch, size_t words);

/* Tokens are 0 .. n_tokens - 1: rows may be longer, and what is beyond is never drawn. The scratch must have been
 * opened for at least as many. o NULL: the defaults. */
gale_status sampler_open(const gale_sampler_options *o, int32_t n_tokens, sampler **opened, gale_error *error);
void sampler_close(sampler **opened);

/* Adds a token to the history that penalties look at: one of the prompt, or one that was generated. */
gale_status sampler_accept(sampler *s, int32_t token, bool generated, gale_error *error);

/* The token at `position` of the answer (0: its first). Settings, history, logits, mask and position decide it; it is
 * not yet part of the history. mask has bit t % 32 of word t / 32 set where token t is allowed; NULL: all are.
 * GALE_E_NUMERIC if no logit is finite; GALE_E_ARGUMENT if none that is finite is left by bans and mask. */
gale_status sampler_choose(sampler *s, sampler_scratch *c, const float *logits, int64_t position, const uint32_t *mask,
                           int32_t *token, gale_error *error);

/* Log-softmax of the logits as they are: chosen->logprob of chosen->token, unless chosen is NULL, and the k best, the
 * likeliest first and of equal ones the smaller token. *n_best, at most k, is how many tokens have finite logits; best
 * and n_best may be NULL where k is 0. GALE_E_NUMERIC if there is none. */
gale_status sampler_logprobs(sampler_scratch *c, const float *logits, int32_t n_tokens, gale_logprob *chosen, size_t k,
                             gale_logprob *best, size_t *n_best, gale_error *error);

#endif
