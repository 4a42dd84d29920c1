/* What a step computes, of answers that share a session: who has a sequence, who waits, and whose turn it is. The
 * engine's thread alone calls it.
 *
 * Answers rank by priority, then by submission. Whatever is decided here changes when a token is computed, never which
 * one. */
#ifndef SCHEDULE_SCHEDULE_H
#define SCHEDULE_SCHEDULE_H

#include "engine/drafting.h"
#include "engine/session.h"
#include "schedule/disk_cache.h"
#include "schedule/draft_model.h"
#include "schedule/pace.h"
#include "schedule/prefix_cache.h"
#include "schedule/request.h"

enum { N_STEP_SIZES = sizeof((gale_engine_stats){0}.step_sizes) / sizeof(uint64_t) };

typedef struct scheduler {
  gale_session *session;
  int32_t most_running;
  answering *waiting, *running; /* by rank */
  gale_input *inputs;           /* [most_running]: of a step */
  answering **of;               /* [most_running]: whose they are, */
  int32_t *drafts;              /* [most_running]: and how many of their last tokens are a draft */
  draft_outlook *outlooks;      /* [most_running]: scratch */
  bool *marks;                  /* [pages of the session]: scratch */
  size_t n_inputs;
  int32_t n_planned;               /* tokens of the inputs, */
  int32_t n_singles, n_drafted;    /* of these, single ones, and those of drafts behind them */
  double single_bytes, prompt_ops; /* what they cost, as pace_note() takes it */
  pace pace;
  prefix_cache prefixes;
  disk_cache disk;
  draft_model drafting;
  size_t *wanted, *fit; /* [most_running]: tokens of the draft model's drafts; scratch */
  int32_t *kept_back;   /* [most_running]: of a step's inputs, tokens behind which windows let go of nothing yet */
  int32_t n_waiting, n_running;
  uint64_t starts; /* sequences given out so far */
  uint64_t shared_tokens, cached_tokens, disk_tokens, preemptions, recomputed;
  double mask_seconds;                                           /* of constraints */
  uint64_t lookup_right, lookup_wrong, draft_right, draft_wrong; /* tokens of drafts */
  uint64_t step_sizes[N_STEP_SIZES];                             /* as in gale_engine_stats */
  atomic_int queued_requests; /* none of whose answers has begun; whoever submits adds */
  atomic_llong queued_tokens;
} scheduler;

typedef struct scheduler_options {
  int32_t most_running,
      most_kept;   /* answers, and texts of the prefix cache: together at most the session's sequences */
  double slowdown; /* as in gale_engine_options, as what follows */
  const char *cache_dir;
  uint64_t cache_limit;
} scheduler_options;

/* The session is the scheduler's from now on. s must be zeroed; on failure scheduler_close() releases what there is. */
gale_status scheduler_open(scheduler *s, gale_session *session, const scheduler_options *options, gale_error *error);
void scheduler_close(scheduler *s);

/* GALE_E_CONTEXT if a prompt of so many tokens cannot be computed, even alone. Thread-safe. */
gale_status scheduler_check(const scheduler *s, int32_t n_prompt, gale_error *error);

/* Adds all answers of a request. */
void scheduler_add(scheduler *s, gale_request *r);

/* Ends what is cancelled or late, gives out sequences, computes a step, and tells owners what came of it. */
void scheduler_round(scheduler *s);

/* Pages that running answers hold. */
int32_t scheduler_active_pages(const scheduler *s);

/* Ends all that there is with GALE_FINISH_CANCELLED. */
void scheduler_cancel(scheduler *s);

static inline bool scheduler_idle(const scheduler *s) {
  return !s->waiting && !s->running;
}

#endif
