/* A constraint on an answer's content: what it lets be sampled, and where it is. */
#ifndef ENGINE_CONSTRAINED_H
#define ENGINE_CONSTRAINED_H

#include "chat/answer.h"
#include "engine/sampler.h"
#include "gale_constraint.h"

typedef struct constrained {
  gale_constraint_state *state; /* NULL: nothing constrains */
  const gale_mask_table *table;
  const gale_tokenizer *tokenizer;
  const int32_t *ends; /* [n_ends] that end an answer, beside the tokenizer's; not owned */
  size_t n_ends;
  bool begun; /* thinking or content has come: thinking may not begin any more */
} constrained;

/* The constraint must be of this tokenizer, and outlive c. A text that the answer goes on
 * within has `begun` as the beginning of what is constrained. */
gale_status constrained_open(const gale_generation_options *o, const gale_tokenizer *tokenizer, constrained *c,
                             gale_error *error);
void constrained_close(constrained *c);

/* *mask becomes the mask of tokens that may come next, in memory of the scratch, or NULL where nothing constrains.
 * While the model thinks it may write anything but an end. */
gale_status constrained_mask(const constrained *c, const answer *a, sampler_scratch *scratch, const uint32_t **mask,
                             gale_error *error);

/* A token comes next; is_end: it ends the answer. GALE_E_ARGUMENT, with nothing changed, where it may not. */
gale_status constrained_accept(constrained *c, const answer *a, int32_t token, bool is_end, gale_error *error);

/* The bytes that must follow, as gale_constraint_forced() gives them; *n is 0 too where thinking may come. */
gale_status constrained_forced(constrained *c, const answer *a, const char **text, size_t *n, gale_error *error);

/* How many of n tokens may come next, one after the other. While the model thinks, and where it may begin to, this is
 * not looked at: all. */
gale_status constrained_fit(const constrained *c, const answer *a, const int32_t *tokens, size_t n, size_t *fit,
                            gale_error *error);

/* Whether nothing can follow but an end. */
bool constrained_over(const constrained *c, const answer *a);

#endif
