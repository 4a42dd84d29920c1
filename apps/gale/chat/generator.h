/* One text that grows: a model, its session, and what is in the session's sequence. Shared by the
 * one-shot run and the chat. */
#ifndef GALE_CHAT_GENERATOR_H
#define GALE_CHAT_GENERATOR_H

#include "gale/chat/sampling.h"
#include "gale/cli/input.h"
#include "gale_constraint.h"

typedef struct generator {
  const options *o;
  gale_model *model;
  const gale_tokenizer *tokenizer; /* the model's */
  sampling sampling;
  gale_mask_table *masks; /* of the constraint, if there is one */
  gale_constraint *constraint;
  gale_session *session;
  int32_t sequence;
  bool raw;     /* without a template: answers have content only */
  int32_t *ids; /* what is in the sequence */
  size_t n_ids;
  size_t capacity;  /* of ids: a whole context */
  uint64_t seed;    /* of the first answer; each further one takes the next number */
  uint64_t answers; /* given so far */
} generator;

/* An answer, and what it took. */
typedef struct answer {
  gale_generation *generation; /* owned */
  text content, thinking;      /* owned; bytes NULL: none */
  const gale_tool_call *calls; /* n_calls, of the generation */
  size_t n_calls;
  gale_finish finish;
  size_t prompt_tokens, reused_tokens; /* of the prompt: all, and those that were in the sequence */
  size_t computed_tokens;              /* and those that were computed: fewer than the others where it was stopped */
  int32_t answer_tokens;
  double prompt_seconds, answer_seconds;
} answer;

/* Both return 0, or an exit status after saying what is wrong. */
int generator_open(generator *g, const options *o);

/* Answers the prompt ids[n_ids], n_ids >= 1, on standard output; only what is not in the sequence
 * already is computed. A signal ends the answer with GALE_FINISH_CANCELLED and status 0; the caller
 * looks at signals_caught(). The caller calls answer_free(), also after a failure. */
int generator_answer(generator *g, const int32_t *ids, size_t n_ids, answer *a);

void answer_free(answer *a);

void generator_close(generator *g);

/* The statistics of an answer, on standard error. */
void answer_report(const generator *g, const answer *a);

#endif
