/* Computes requests on a session: prompts that begin alike share what is computed, and many are in a step together.
 * Functions that return int return 0, or an exit status after saying what is wrong. */
#ifndef GALE_EVAL_RUNNER_H
#define GALE_EVAL_RUNNER_H

#include "base/team.h"
#include "gale/eval/tree.h"

typedef struct runner {
  const gale_model *model;
  gale_session *session;
  team *team; /* takes sums over rows of logits */
  int32_t vocab_size;
  int32_t chunk, max_sequences;
  uint64_t budget, page_bytes; /* of the cache; page_bytes is the most that 64 positions take */
  int32_t lanes;               /* most requests computed at a time */
  bool share;
  /* Of answers. */
  int32_t max_tokens;
  const char *const *stops;
  gale_sampler_options sampling;                     /* but for the seed */
  uint64_t (*seed)(const request *r, uint64_t seed); /* of one answer */
  uint64_t base_seed;
  /* Called when a request is done; returns 0, or an exit status, which ends the run. */
  int (*done)(void *user, request *r);
  void *user;
  int64_t computed, generated; /* ids so far */
} runner;

/* Opens a session by the settings, whose max_sequences is set here. */
int runner_open(runner *r, const gale_model *model, const gale_session_options *settings, int32_t lanes);
void runner_close(runner *r);

/* Computes n requests, whose items ascend. */
int runner_run(runner *r, request *requests, int32_t n);

#endif
