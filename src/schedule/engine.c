/* The engine: a queue that any thread fills, and the thread that empties it. */
#include "gale_engine.h"

#include "base/error.h"
#include "base/sized.h"
#include "base/thread.h"
#include "engine/speculation.h"
#include "schedule/schedule.h"

#include <stdlib.h>
#include <string.h>

enum {
  SEQUENCES = 8,
  MOST_SEQUENCES = 1 << 15, /* of answers, and of kept texts */
  STACK = 1 << 20,          /* gale_step() needs 256 KiB, and several times that with sanitizers */
};

static const uint64_t CACHE_LIMIT = (uint64_t)8 << 30;

struct gale_engine {
  const gale_model *model;
  gale_engine_options options;
  scheduler scheduler; /* of the thread */
  pthread_t thread;
  bool started;

  pthread_mutex_t lock; /* of what follows */
  pthread_cond_t changed;
  answering *submitted, **last; /* the first answer of each request that the thread has not seen, linked by next */
  uint64_t order;
  bool draining, closing, forgetting, idle;
  gale_engine_stats stats;
};

void gale_engine_defaults_sized(gale_engine_options *options, size_t size) {
  const gale_engine_options defaults = {
      .queue_requests = 256, .queue_tokens = 1 << 20, .slowdown = 2, .kept_texts = 256, .cache_limit = CACHE_LIMIT};
  sized_write(options, size, &defaults, sizeof defaults);
}

/* ---- The thread ---- */

static void note_stats(gale_engine *e) {
  const scheduler *s = &e->scheduler;
  gale_session_stats session;
  gale_session_get_stats(s->session, &session);
  const cache *c = &s->session->cache;
  int32_t active = (int32_t)scheduler_active_pages(s);
  e->stats = (gale_engine_stats){.n_waiting = s->n_waiting,
                                 .n_running = s->n_running,
                                 .steps = session.steps,
                                 .tokens = session.tokens,
                                 .shared_tokens = s->shared_tokens,
                                 .cached_tokens = s->cached_tokens,
                                 .evicted_pages = s->prefixes.evicted,
                                 .kept_texts = s->prefixes.n,
                                 .preemptions = s->preemptions,
                                 .recomputed = s->recomputed,
                                 .kv_page_bytes = session.kv_page_bytes,
                                 .kv_reserved_bytes = session.kv_reserved_bytes,
                                 .kv_page_size = c->page_bytes,
                                 .lookup_right = s->lookup_right,
                                 .lookup_wrong = s->lookup_wrong,
                                 .draft_right = s->draft_right,
                                 .draft_wrong = s->draft_wrong,
                                 .kv_active_pages = active,
                                 .kv_cached_pages = c->n_pages - c->n_free - active,
                                 .kv_free_pages = c->n_free,
                                 .disk_tokens = s->disk_tokens,
                                 .mask_seconds = s->mask_seconds};
  memcpy(e->stats.step_sizes, s->step_sizes, sizeof s->step_sizes);
}

/* Waits for something to do and takes over what was submitted. False: the engine is closed. */
static bool next_round(gale_engine *e) {
  pthread_mutex_lock(&e->lock);
  for (;;) {
    if (e->forgetting) {
      prefix_cache_clear(&e->scheduler.prefixes);
      e->forgetting = false;
      pthread_cond_broadcast(&e->changed);
    }
    note_stats(e);
    if (!scheduler_idle(&e->scheduler) || e->submitted || e->closing) break;
    e->idle = true;
    pthread_cond_broadcast(&e->changed);
    pthread_cond_wait(&e->changed, &e->lock);
  }
  e->idle = false;
  answering *submitted = e->submitted;
  e->submitted = NULL;
  e->last = &e->submitted;
  bool goes_on = !e->closing;
  pthread_mutex_unlock(&e->lock);
  for (answering *a = submitted, *next; a; a = next) {
    next = a->next;
    scheduler_add(&e->scheduler, a->of);
  }
  return goes_on;
}

static void *engine_main(void *user) {
  gale_engine *e = user;
  while (next_round(e)) scheduler_round(&e->scheduler);
  scheduler_cancel(&e->scheduler);
  return NULL;
}

static gale_status start_thread(gale_engine *e, gale_error *error) {
  gale_status status = thread_start(&e->thread, STACK, engine_main, e, error);
  e->started = status == GALE_OK;
  return status;
}

/* ---- Opening and closing ---- */

static gale_status open_scheduler(gale_engine *e, gale_error *error) {
  gale_session_options o;
  gale_session_defaults(&o);
  o.max_sequences = SEQUENCES;
  const gale_session_options *asked = e->options.session;
  gale_status status = asked ? sized_read(&o, sizeof o, asked, "gale_session_options", error) : GALE_OK;
  gale_session *session = NULL;
  scheduler_options so = {o.max_sequences, e->options.kept_texts, e->options.slowdown, e->options.cache_dir,
                          e->options.cache_limit};
  if (!status && o.max_sequences > 0 && o.max_sequences <= MOST_SEQUENCES) o.max_sequences += so.most_kept;
  if (!status) status = gale_session_open(e->model, &o, &session, error);
  if (!status) status = scheduler_open(&e->scheduler, session, &so, error);
  if (status || !e->options.draft) return status;
  const gale_session_options *like = &session->options;
  return draft_model_open(&e->scheduler.drafting, e->options.draft, e->model, like, e->scheduler.most_running, error);
}

gale_status gale_engine_open(const gale_model *model, const gale_engine_options *options, gale_engine **engine,
                             gale_error *error) {
  gale_engine_options o;
  gale_engine_defaults(&o);
  gale_status status = options ? sized_read(&o, sizeof o, options, "gale_engine_options", error) : GALE_OK;
  if (status) return status;
  if (o.queue_requests < 1 || o.queue_tokens < 1)
    return error_set(error, GALE_E_ARGUMENT, "a queue of %d requests and %lld tokens: at least 1 of each is accepted",
                     o.queue_requests, (long long)o.queue_tokens);
  if (!(o.slowdown == 0 || o.slowdown >= 1))
    return error_set(error, GALE_E_ARGUMENT, "slowdown is %g: 0 (no limit) and 1 or more is accepted", o.slowdown);
  if (o.kept_texts < 0 || o.kept_texts > MOST_SEQUENCES)
    return error_set(error, GALE_E_ARGUMENT, "kept_texts is %d: 0 to %d is accepted", o.kept_texts, MOST_SEQUENCES);
  if (o.speculate < 0 || o.speculate > SPECULATION_MOST)
    return error_set(error, GALE_E_ARGUMENT, "speculate is %d: 0 to %d is accepted", o.speculate, SPECULATION_MOST);
  gale_engine *e = calloc(1, sizeof *e);
  if (!e) return error_memory(error, sizeof *e);
  e->model = model;
  e->options = o;
  e->last = &e->submitted;
  pthread_mutex_init(&e->lock, NULL);
  time_condition(&e->changed);
  status = open_scheduler(e, error);
  if (!status) status = start_thread(e, error);
  e->options.session = NULL;
  e->options.cache_dir = NULL;
  if (status)
    gale_engine_close(&e);
  else
    *engine = e;
  return status;
}

void gale_engine_close(gale_engine **engine) {
  gale_engine *e = engine ? *engine : NULL;
  if (!e) return;
  pthread_mutex_lock(&e->lock);
  e->draining = e->closing = true;
  pthread_cond_broadcast(&e->changed);
  pthread_mutex_unlock(&e->lock);
  if (e->started) pthread_join(e->thread, NULL);
  scheduler_close(&e->scheduler);
  pthread_cond_destroy(&e->changed);
  pthread_mutex_destroy(&e->lock);
  free(e);
  *engine = NULL;
}

bool gale_engine_drain(gale_engine *e, double seconds) {
  int64_t until = seconds < 0 ? 0 : time_after(time_now(), seconds);
  pthread_mutex_lock(&e->lock);
  e->draining = true;
  bool in_time = true;
  while (in_time && !(e->idle && !e->submitted)) in_time = time_wait(&e->changed, &e->lock, until);
  bool idle = e->idle && !e->submitted;
  pthread_mutex_unlock(&e->lock);
  return idle;
}

void gale_engine_forget(gale_engine *e) {
  pthread_mutex_lock(&e->lock);
  e->forgetting = true;
  pthread_cond_broadcast(&e->changed);
  while (e->forgetting) pthread_cond_wait(&e->changed, &e->lock);
  pthread_mutex_unlock(&e->lock);
}

void gale_engine_get_stats_sized(gale_engine *e, gale_engine_stats *stats, size_t size) {
  pthread_mutex_lock(&e->lock);
  gale_engine_stats all = e->stats;
  pthread_mutex_unlock(&e->lock);
  all.queued_requests = atomic_load(&e->scheduler.queued_requests);
  all.queued_tokens = atomic_load(&e->scheduler.queued_tokens);
  if (e->scheduler.disk.session) {
    all.disk_bytes = atomic_load(&e->scheduler.disk.store.bytes);
    all.disk_evictions = atomic_load(&e->scheduler.disk.store.removed);
  }
  sized_write(stats, size, &all, sizeof all);
}

/* ---- Submitting ---- */

/* Under the lock. */
static gale_status check_queue(const gale_engine *e, const gale_request *r, gale_error *error) {
  const gale_engine_options *o = &e->options;
  const scheduler *s = &e->scheduler;
  if (e->draining) return error_set(error, GALE_E_BUSY, "the engine takes no more requests");
  int32_t requests = atomic_load(&s->queued_requests);
  if (requests >= o->queue_requests)
    return error_set(error, GALE_E_BUSY, "%d requests wait, which is the most", requests);
  int64_t tokens = atomic_load(&s->queued_tokens);
  if (tokens > 0 && tokens + r->n_prompt > o->queue_tokens)
    return error_set(error, GALE_E_BUSY, "requests with %lld tokens wait, and %lld is the most", (long long)tokens,
                     (long long)o->queue_tokens);
  return GALE_OK;
}

/* *request is set before the first event. */
static gale_status enqueue(gale_engine *e, gale_request *r, gale_request **request, gale_error *error) {
  pthread_mutex_lock(&e->lock);
  gale_status status = check_queue(e, r, error);
  if (!status) {
    atomic_fetch_add(&e->scheduler.queued_requests, 1);
    atomic_fetch_add(&e->scheduler.queued_tokens, r->n_prompt);
    r->order = e->order++;
    *request = r;
    *e->last = &r->answers[0];
    e->last = &r->answers[0].next;
    pthread_cond_broadcast(&e->changed);
  }
  pthread_mutex_unlock(&e->lock);
  return status;
}

gale_status gale_engine_submit(gale_engine *engine, const gale_request_options *options, gale_request **request,
                               gale_error *error) {
  gale_request *r = NULL;
  gale_status status = request_open(engine->model, engine->options.speculate, options, &r, error);
  if (status) return status;
  status = scheduler_check(&engine->scheduler, r->n_prompt, error);
  if (!status) status = enqueue(engine, r, request, error);
  if (!status) return GALE_OK;
  request_release(r);
  request_release(r);
  return status;
}
