/* Texts become ids, and items the requests that compute them. */
#ifndef GALE_EVAL_INPUTS_H
#define GALE_EVAL_INPUTS_H

#include "gale/eval/run.h"
#include "gale/eval/tree.h"

/* An item's requests: one for each choice, or for each repeat. */
typedef struct item_inputs {
  request *requests; /* owned, with their ids */
  int32_t n;
  int32_t *tokens; /* [n] scored ids of each, owned */
  int32_t shots;   /* examples that were kept */
  bool truncated;
  int64_t prompt_tokens; /* lengths of the inputs that differ */
} item_inputs;

/* Of an item whose context has room for `context` positions. Thread-safe. */
gale_status inputs_make(const eval_task *t, int32_t item, const gale_tokenizer *tokenizer, int32_t context,
                        item_inputs *inputs, gale_error *error);
void inputs_free(item_inputs *inputs);

#endif
