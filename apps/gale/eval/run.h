/* What a run of gale eval is about: models, settings, tasks. */
#ifndef GALE_EVAL_RUN_H
#define GALE_EVAL_RUN_H

#include "gale/eval/scores.h"

typedef struct eval_task {
  eval_data data;
  int32_t repeats;    /* answers to each question */
  int32_t tokens;     /* most generated for one */
  double temp, top_p; /* of the draws, where there are several */
} eval_task;

/* The name of a task's protocol. */
static inline const char *protocol_of(const eval_task *t) {
  return t->data.original ? "original" : "lm-eval";
}

typedef struct eval_settings {
  bool known;      /* bos and context are those of a model */
  bool bos;        /* the tokenizer puts BOS in front */
  int32_t context; /* positions */
  const char *kv;
  int32_t window; /* the largest of the layers' windows; 0: none */
  uint64_t seed;
} eval_settings;

/* Texts are borrowed; name NULL: no model. */
typedef struct eval_model {
  const char *name, *path, *types;
  int64_t n_parameters;
} eval_model;

typedef struct eval_work {
  int64_t prompt_tokens, computed_tokens, generated_tokens;
  double seconds;
} eval_work;

#endif
