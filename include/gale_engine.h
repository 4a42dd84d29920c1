/* gale_engine.h - many requests at once over one model: they share steps, memory and what prompts have in common, and
 * each gets the answer that it would get alone, to the byte. docs/ENGINE.md has the design.
 *
 *   gale_engine   a session, a queue, and a thread that runs steps; shared freely between threads
 *   gale_request  one prompt and its n answers; shared freely between threads, but for gale_request_next()
 *
 * Conventions are those of gale.h. */
#ifndef GALE_ENGINE_H
#define GALE_ENGINE_H

#include "gale.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gale_engine gale_engine;

typedef struct gale_engine_options {
  size_t size; /* of this struct, as the caller knows it: gale_engine_defaults() sets it */
  /* Of the session that the engine opens: max_sequences is the most answers that are computed together, kv_bytes the
   * budget of pages, chunk the most tokens of a step. NULL: the defaults, with 8 sequences. */
  const gale_session_options *session;
  int32_t queue_requests; /* most requests that wait; default 256 */
  int64_t queue_tokens;   /* most tokens of their prompts together; default 1048576 */
  /* Prompts are computed in the steps of answers that stream, in parts that make a step take at most so many times as
   * long as without, by what steps took before; default 2; 0: as many tokens as a step may have. */
  double slowdown;
  /* Texts that are kept when their answers are over, for those that begin alike, as far as the budget of pages goes;
   * default 256; 0: none. Sequences of the session beside those of answers. */
  int32_t kept_texts;
  /* 0 to 32: generation->speculate of requests that leave it at 0. How many tokens are computed on trial is decided for
   * the step as a whole; their prompts are looked at, whatever generation->prompt says. */
  int32_t speculate;
  /* A smaller model with the same tokens, which drafts what answers go on with, where that is worth its time; NULL:
   * none. It must outlive the engine. It changes no bit of what comes out. GALE_E_ARGUMENT where tokens differ. */
  const gale_model *draft;
  /* A directory in which whole pages of texts are kept for other engines of this user, also of other processes and
   * later ones; made if need be. NULL, the default: none. Files in it are checked when they are read; nothing that is
   * wrong with them, or with the disk, fails a request. */
  const char *cache_dir;
  uint64_t cache_limit; /* most bytes of all files in it, whoever wrote them; default 8 GiB */
} gale_engine_options;

#define gale_engine_defaults(options) gale_engine_defaults_sized(options, sizeof *(options))
GALE_API void gale_engine_defaults_sized(gale_engine_options *options, size_t size);

/* Opens a session on the model, which must outlive the engine, and starts the thread. options NULL: the defaults.
 * GALE_E_IO if cache_dir cannot be used. */
GALE_API gale_status gale_engine_open(const gale_model *model, const gale_engine_options *options, gale_engine **engine,
                                      gale_error *error);

/* Cancels what is not over, waits for the step that runs, and ends the thread. Requests stay readable. Not to be called
 * from a callback, nor while another thread is in a call with the engine. */
GALE_API void gale_engine_close(gale_engine **engine);

/* Takes no more requests from now on, and waits until all are over, at most so many seconds; below 0: without limit.
 * True if they are. Not to be called from a callback. */
GALE_API bool gale_engine_drain(gale_engine *engine, double seconds);

/* As of the beginning of the step that runs; of an idle engine, as it is. */
typedef struct gale_engine_stats {
  size_t size;             /* of this struct, as the caller knows it: gale_engine_get_stats() sets it */
  int32_t n_waiting;       /* answers that wait, those that were preempted too */
  int32_t n_running;       /* answers that have a sequence */
  int32_t queued_requests; /* requests none of whose answers has begun, */
  int64_t queued_tokens;   /* and the tokens of their prompts */
  uint64_t steps, tokens;  /* computed so far */
  uint64_t shared_tokens;  /* of prompts, not computed since an answer that ran had them, */
  uint64_t cached_tokens;  /* or the prefix cache */
  uint64_t evicted_pages;  /* cut off texts of the prefix cache */
  int32_t kept_texts;
  uint64_t preemptions;   /* answers whose pages were taken away, to be computed again later */
  uint64_t recomputed;    /* tokens that had to be, for that */
  uint64_t kv_page_bytes; /* of pages in use, those of kept texts too */
  uint64_t kv_reserved_bytes;
  uint64_t kv_page_size;                                   /* bytes of a page */
  int32_t kv_active_pages, kv_cached_pages, kv_free_pages; /* that answers hold; that only kept texts do; the others */
  uint64_t lookup_right, lookup_wrong; /* tokens computed on trial, as generation->speculate has it, */
  uint64_t draft_right, draft_wrong;   /* and as the draft model says */
  uint64_t step_sizes[17];             /* steps so far, by tokens: [i] of at most 2^i that are more than 2^(i-1) */
  uint64_t disk_tokens;                /* of prompts, read from cache_dir instead of being computed */
  uint64_t disk_bytes;                 /* in its files, when this engine last looked */
  uint64_t disk_evictions;             /* files that this engine removed to make room */
  double mask_seconds;                 /* that masks of constraints took, of answers that are over */
} gale_engine_stats;
#define gale_engine_get_stats(engine, stats) gale_engine_get_stats_sized(engine, stats, sizeof *(stats))
GALE_API void gale_engine_get_stats_sized(gale_engine *engine, gale_engine_stats *stats, size_t size);

/* Forgets what is kept of texts in memory; waits for the step that runs. Not to be called from a callback. */
GALE_API void gale_engine_forget(gale_engine *engine);

/* ---- Requests ----------------------------------------------------------------------------- */

typedef enum gale_event_kind {
  GALE_EVENT_TOKEN,     /* a token was taken, with its log-probabilities if they were asked for; its pieces follow */
  GALE_EVENT_PIECE,     /* text that is sure */
  GALE_EVENT_END,       /* of one answer: its last event */
  GALE_EVENT_PROMPT,    /* a token of the prompt, with its log-probabilities */
  GALE_EVENT_EMBEDDING, /* of the prompt */
} gale_event_kind;

typedef struct gale_event {
  gale_event_kind kind;
  int32_t choice;               /* of which answer: 0 to n - 1 */
  int32_t token;                /* TOKEN, PROMPT */
  const gale_logprob *logprobs; /* TOKEN, PROMPT: [n_logprobs], as gale_generation_logprobs() gives them */
  size_t n_logprobs;
  gale_piece piece; /* PIECE */
  /* END: why it ended, as in gale_generation_result. error->code is GALE_OK unless the answer failed; finish is then
   * GALE_FINISH_CANCELLED. */
  gale_finish finish;
  int32_t stop, n_tokens, n_thinking;
  int32_t n_cached; /* TOKEN, END: tokens of the prompt that were not computed, since they were there */
  double waited;    /* END: seconds from submission until the answer first had a sequence, or ended without */
  const gale_error *error;
  int32_t position;       /* PROMPT: the token's place in the prompt */
  const float *embedding; /* EMBEDDING: [n_embedding], as gale_embed() gives it */
  size_t n_embedding;
} gale_event;

/* Called with each event, in order, by the engine's thread, which does nothing else meanwhile. It may submit and cancel
 * requests, and close its own. */
typedef void (*gale_event_fn)(void *user, const gale_event *event);

/* Called by the engine's thread when there are events for gale_request_next(), and then not again before that call has
 * found none: so an event loop may be woken, which then takes all there are without waiting. It may do what a
 * gale_event_fn may. */
typedef void (*gale_notify_fn)(void *user);

typedef struct gale_request_options {
  size_t size;           /* of this struct, as the caller knows it: gale_request_defaults() sets it */
  const int32_t *prompt; /* [n_prompt], at least 1 */
  size_t n_prompt;
  /* As for gale_generation_open(); NULL: the defaults. The constraint must outlive the request. Penalties know of the
   * prompt what generation->prompt says. */
  const gale_generation_options *generation;
  int32_t n;              /* 1 to 1024 answers; the i-th draws with the seed + i; default 1 */
  int32_t priority;       /* of more than one that could go on, those of higher priority do; default 0 */
  const char *cache_salt; /* only requests with equal ones share what is computed; NULL: as "" */
  double deadline;        /* seconds from now, after which it ends with GALE_FINISH_CANCELLED; 0: none */
  gale_event_fn event;    /* NULL: events are kept for gale_request_next() */
  void *user;             /* of event and notify */
  gale_notify_fn notify;  /* NULL: none; only without event */
  /* Log-probabilities of the prompt: a GALE_EVENT_PROMPT with choice 0 for each of its tokens from this place on,
   * before any answer's first token. The token's is by the logits of the tokens before it, so the first has none. 0: of
   * none; 1 to n_prompt. What comes before the token in front of that place may be found in the prefix cache; the rest
   * is computed. With generation->max_tokens 0 nothing else is. */
  int32_t prompt_logprobs_from;
  int32_t prompt_top_logprobs; /* 0 to 1024: of so many of the likeliest tokens too */
  /* The prompt's embedding is wanted, and no answer: a GALE_EVENT_EMBEDDING, then GALE_EVENT_END. generation is not
   * looked at; n is 1. */
  bool embed;
  gale_pooling pooling;
} gale_request_options;

#define gale_request_defaults(options) gale_request_defaults_sized(options, sizeof *(options))
GALE_API void gale_request_defaults_sized(gale_request_options *options, size_t size);

/* Puts a request into the queue and returns at once; all that options point at is copied. *request is the caller's to
 * close; events may come before the call returns. GALE_E_CONTEXT if the prompt can never fit; GALE_E_BUSY if the queue
 * is full or the engine is drained; else as gale_generation_open(). */
typedef struct gale_request gale_request;
GALE_API gale_status gale_engine_submit(gale_engine *engine, const gale_request_options *options,
                                        gale_request **request, gale_error *error);

/* The next event, for which it waits at most so many seconds (0: not at all; below 0: without limit). False if none
 * came in time, or if the last answer's end was given. What the event points at is the request's, until the next call.
 * One caller at a time. */
GALE_API bool gale_request_next(gale_request *request, double seconds, gale_event *event);

/* Ends what has not ended with GALE_FINISH_CANCELLED, after the step that runs. */
GALE_API void gale_request_cancel(gale_request *request);

/* Cancels, and gives the request back. Afterwards its callbacks are not called any more: where another thread is in
 * one, this waits. It may come before or after the engine's close. */
GALE_API void gale_request_close(gale_request **request);

#ifdef __cplusplus
}
#endif
#endif
