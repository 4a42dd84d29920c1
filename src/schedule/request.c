#include "schedule/request.h"

#include "base/error.h"
#include "base/sized.h"
#include "engine/generation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_ANSWERS = 1024, MOST_LOGPROBS = 1024 };

/* ---- Time ---- */

static const double NANOSECONDS = 1e9;

int64_t time_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t time_after(int64_t now, double seconds) {
  return now + (int64_t)(fmin(seconds, 4e9) * NANOSECONDS);
}

void time_condition(pthread_cond_t *changed) {
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(changed, &attributes);
  pthread_condattr_destroy(&attributes);
}

bool time_wait(pthread_cond_t *changed, pthread_mutex_t *lock, int64_t until) {
  if (until == 0) {
    pthread_cond_wait(changed, lock);
    return true;
  }
  if (time_now() >= until) return false;
  const struct timespec t = {.tv_sec = until / 1000000000, .tv_nsec = until % 1000000000};
  pthread_cond_timedwait(changed, lock, &t);
  return true;
}

/* ---- Opening ---- */

void gale_request_defaults_sized(gale_request_options *options, size_t size) {
  const gale_request_options defaults = {.n = 1};
  sized_write(options, size, &defaults, sizeof defaults);
}

static gale_status check_options(const gale_model *m, const gale_request_options *o, gale_error *error) {
  gale_model_info info;
  gale_model_get_info(m, &info);
  if (o->n_prompt < 1 || !o->prompt) return error_set(error, GALE_E_ARGUMENT, "a prompt without tokens");
  if (o->n_prompt > 1 << 28)
    return error_set(error, GALE_E_CONTEXT, "a prompt of %zu tokens: at most %d are accepted", o->n_prompt, 1 << 28);
  if (o->n < 1 || o->n > MOST_ANSWERS)
    return error_set(error, GALE_E_ARGUMENT, "n is %d: 1 to %d is accepted", o->n, MOST_ANSWERS);
  if (o->event && o->notify) return error_set(error, GALE_E_ARGUMENT, "event and notify: only one of them is accepted");
  if (!(o->deadline >= 0))
    return error_set(error, GALE_E_ARGUMENT, "deadline is %g: 0 and more is accepted", o->deadline);
  if (o->prompt_logprobs_from < 0 || (size_t)o->prompt_logprobs_from > o->n_prompt)
    return error_set(error, GALE_E_ARGUMENT, "prompt_logprobs_from is %d: 0 (none) to %zu is accepted",
                     o->prompt_logprobs_from, o->n_prompt);
  if (o->prompt_top_logprobs < 0 || o->prompt_top_logprobs > MOST_LOGPROBS ||
      (o->prompt_top_logprobs > 0 && o->prompt_logprobs_from == 0))
    return error_set(error, GALE_E_ARGUMENT, "prompt_top_logprobs is %d: 0 to %d is accepted, 0 without logprobs",
                     o->prompt_top_logprobs, MOST_LOGPROBS);
  if (o->embed && (o->n != 1 || o->prompt_logprobs_from > 0))
    return error_set(error, GALE_E_ARGUMENT, "an embedding with answers: n is 1, and there are no logprobs");
  if (o->embed && o->pooling != GALE_POOLING_MEAN && o->pooling != GALE_POOLING_LAST)
    return error_set(error, GALE_E_ARGUMENT, "pooling is %d: GALE_POOLING_MEAN and _LAST are accepted",
                     (int)o->pooling);
  for (size_t i = 0; i < o->n_prompt; i++)
    if (o->prompt[i] < 0 || o->prompt[i] >= info.vocab_size)
      return error_set(error, GALE_E_ARGUMENT, "token %zu of the prompt is %d: 0 to %d is accepted", i, o->prompt[i],
                       info.vocab_size - 1);
  return GALE_OK;
}

/* Drafts look at all of the prompt, whatever penalties know of it. */
static gale_status open_generation(const gale_model *model, const gale_request_options *o,
                                   const gale_generation_options *generation, answering *a, gale_error *error) {
  gale_generation_options without = *generation;
  without.speculate = 0;
  gale_status status = gale_generation_open(model, NULL, &without, &a->generation, error);
  if (status) return status;
  return generation_speculate(a->generation, generation->speculate, o->prompt, o->n_prompt, error);
}

static gale_status open_answer(const gale_model *model, const gale_request_options *o,
                               const gale_generation_options *generation, answering *a, gale_error *error) {
  a->room = (int32_t)o->n_prompt + 64;
  a->text = malloc((size_t)a->room * sizeof *a->text);
  if (!a->text) return error_memory(error, (size_t)a->room * sizeof *a->text);
  memcpy(a->text, o->prompt, o->n_prompt * sizeof *a->text);
  a->length = (int32_t)o->n_prompt;
  a->row = a->length - 1;
  if (a->index == 0 && o->prompt_logprobs_from > 0) a->row = o->prompt_logprobs_from - 1;
  if (!o->embed) return open_generation(model, o, generation, a, error);
  gale_model_info info;
  gale_model_get_info(model, &info);
  a->of->pooling = o->pooling;
  if (o->pooling == GALE_POOLING_MEAN) a->row = 0;
  a->pooled = calloc((size_t)info.dim, sizeof *a->pooled);
  a->of->embedding = malloc((size_t)info.dim * sizeof *a->of->embedding);
  return a->pooled && a->of->embedding ? GALE_OK : error_memory(error, (size_t)info.dim * sizeof *a->pooled);
}

static gale_status open_answers(const gale_model *model, int32_t speculate, const gale_request_options *o,
                                gale_request *r, gale_error *error) {
  gale_generation_options generation;
  gale_sampler_options sampling;
  gale_generation_defaults(&generation);
  gale_sampler_defaults(&sampling);
  gale_status status = GALE_OK;
  if (o->generation)
    status = sized_read(&generation, sizeof generation, o->generation, "gale_generation_options", error);
  if (!status && generation.sampling)
    status = sized_read(&sampling, sizeof sampling, generation.sampling, "gale_sampler_options", error);
  generation.sampling = &sampling;
  if (generation.speculate == 0) generation.speculate = speculate;
  if (!status && o->prompt_logprobs_from > 0) {
    r->n_best = o->prompt_top_logprobs;
    r->logprobs = malloc((1 + (size_t)r->n_best) * sizeof *r->logprobs);
    if (!r->logprobs) return error_memory(error, (1 + (size_t)r->n_best) * sizeof *r->logprobs);
  }
  for (int32_t i = 0; i < o->n && !status; i++, sampling.seed++) {
    r->answers[i].of = r;
    r->answers[i].index = i;
    r->answers[i].sequence = r->answers[i].draft_sequence = -1;
    status = open_answer(model, o, &generation, &r->answers[i], error);
  }
  return status;
}

static void request_free(gale_request *r) {
  for (kept_event *e = r->first, *next; e; e = next) {
    next = e->next;
    if (e->event.kind != GALE_EVENT_END) free(e);
  }
  if (r->given && r->given->event.kind != GALE_EVENT_END) free(r->given);
  for (int32_t i = 0; r->answers && i < r->n; i++) {
    gale_generation_close(&r->answers[i].generation);
    free(r->answers[i].text);
    free(r->answers[i].pooled);
  }
  free(r->embedding);
  free(r->logprobs);
  free(r->answers);
  free(r->salt);
  pthread_cond_destroy(&r->changed);
  pthread_mutex_destroy(&r->lock);
  free(r);
}

gale_status request_open(const gale_model *model, int32_t speculate, const gale_request_options *options,
                         gale_request **request, gale_error *error) {
  gale_request_options o;
  gale_request_defaults(&o);
  gale_status status = sized_read(&o, sizeof o, options, "gale_request_options", error);
  if (!status) status = check_options(model, &o, error);
  if (status) return status;
  gale_request *r = calloc(1, sizeof *r);
  if (!r) return error_memory(error, sizeof *r);
  atomic_init(&r->holders, 2);
  atomic_init(&r->cancelled, false);
  r->n_prompt = (int32_t)o.n_prompt;
  r->n = r->n_left = o.n;
  r->priority = o.priority;
  r->submitted = time_now();
  r->deadline = o.deadline > 0 ? time_after(r->submitted, o.deadline) : 0;
  r->event = o.event;
  r->notify = o.notify;
  r->user = o.user;
  r->last = &r->first;
  pthread_mutex_init(&r->lock, NULL);
  time_condition(&r->changed);
  r->answers = calloc((size_t)o.n, sizeof *r->answers);
  r->salt = strdup(o.cache_salt ? o.cache_salt : "");
  status = r->answers && r->salt ? open_answers(model, speculate, &o, r, error)
                                 : error_memory(error, (size_t)o.n * sizeof *r->answers);
  if (status)
    request_free(r);
  else
    *request = r;
  return status;
}

void request_release(gale_request *r) {
  if (atomic_fetch_sub(&r->holders, 1) == 1) request_free(r);
}

/* ---- Events: the engine's side ---- */

gale_status answering_reserve(answering *a, int32_t n, gale_error *error) {
  if (n <= a->room - a->length) return GALE_OK;
  int32_t room = a->room <= 1 << 29 ? 2 * a->room : INT32_MAX;
  int32_t *text = realloc(a->text, (size_t)room * sizeof *text);
  if (!text) return error_memory(error, (size_t)room * sizeof *text);
  a->text = text;
  a->room = room;
  return GALE_OK;
}

gale_status answering_append(answering *a, int32_t token, gale_error *error) {
  gale_status status = answering_reserve(a, 1, error);
  if (!status) a->text[a->length++] = token;
  return status;
}

/* Gives an event to the callback; NULL: tells the owner of those in the list, unless it knows. */
static void call(gale_request *r, const gale_event *event) {
  pthread_mutex_lock(&r->lock);
  bool unwanted = r->closed || (!event && (r->notified || !r->first));
  if (!unwanted) {
    r->calling = true;
    r->caller = pthread_self();
    r->notified = true;
  }
  pthread_mutex_unlock(&r->lock);
  if (unwanted) return;
  if (event)
    r->event(r->user, event);
  else
    r->notify(r->user);
  pthread_mutex_lock(&r->lock);
  r->calling = false;
  pthread_cond_broadcast(&r->changed);
  pthread_mutex_unlock(&r->lock);
}

static void put(gale_request *r, kept_event *e) {
  e->next = NULL;
  pthread_mutex_lock(&r->lock);
  *r->last = e;
  r->last = &e->next;
  pthread_cond_broadcast(&r->changed);
  pthread_mutex_unlock(&r->lock);
}

static void *copy_behind(char **to, const void *from, size_t n) {
  void *copy = memcpy(*to, from, n);
  *to += n;
  return copy;
}

/* A copy of an event, with what it points at behind it. */
static kept_event *keep(const gale_event *event) {
  const gale_piece *p = &event->piece;
  size_t n_logprobs = event->n_logprobs * sizeof *event->logprobs, n_id = p->id ? strlen(p->id) + 1 : 0;
  size_t n_embedding = event->n_embedding * sizeof *event->embedding;
  kept_event *e = malloc(sizeof *e + n_logprobs + n_embedding + p->length + n_id);
  if (!e) return NULL;
  char *behind = (char *)(e + 1);
  e->event = *event;
  if (n_logprobs) e->event.logprobs = copy_behind(&behind, event->logprobs, n_logprobs);
  if (n_embedding) e->event.embedding = copy_behind(&behind, event->embedding, n_embedding);
  if (p->length) e->event.piece.text = copy_behind(&behind, p->text, p->length);
  if (p->id) e->event.piece.id = copy_behind(&behind, p->id, n_id);
  return e;
}

gale_status request_tell(gale_request *r, const gale_event *event, gale_error *error) {
  if (r->event) {
    call(r, event);
    return GALE_OK;
  }
  kept_event *e = keep(event);
  if (!e) return error_memory(error, sizeof *e);
  put(r, e);
  return GALE_OK;
}

void request_notify(gale_request *r) {
  if (r->notify) call(r, NULL);
}

gale_status answering_tell(answering *a, int32_t token, gale_error *error) {
  gale_event event = {.kind = GALE_EVENT_TOKEN, .choice = a->index, .token = token, .n_cached = a->n_cached};
  if (token >= 0) event.n_logprobs = gale_generation_logprobs(a->generation, &event.logprobs);
  gale_status status = token >= 0 ? request_tell(a->of, &event, error) : GALE_OK;
  for (const gale_piece *p; !status && (p = gale_generation_next(a->generation));) {
    event = (gale_event){.kind = GALE_EVENT_PIECE, .choice = a->index, .piece = *p};
    status = request_tell(a->of, &event, error);
  }
  return status;
}

gale_finish answering_finish(const answering *a) {
  if (a->finish || !a->generation || answering_scores(a)) return a->finish;
  gale_generation_result result;
  gale_generation_get_result(a->generation, &result);
  return result.finish;
}

bool answering_end(answering *a, const gale_error *error) {
  gale_request *r = a->of;
  gale_generation_result result = {.stop = -1};
  if (a->generation) gale_generation_get_result(a->generation, &result);
  if (error) a->error = *error;
  a->ended = true;
  a->end.event = (gale_event){.kind = GALE_EVENT_END,
                              .choice = a->index,
                              .finish = error       ? GALE_FINISH_CANCELLED
                                        : a->finish ? a->finish
                                                    : result.finish,
                              .stop = result.stop,
                              .n_tokens = result.n_tokens,
                              .n_thinking = result.n_thinking,
                              .n_cached = a->n_cached,
                              .waited = (double)((a->begun ? a->begin : time_now()) - r->submitted) / NANOSECONDS,
                              .error = &a->error};
  bool last = --r->n_left == 0;
  if (r->event)
    call(r, &a->end.event);
  else
    put(r, &a->end);
  request_notify(r);
  return last;
}

/* ---- Events: the owner's side ---- */

bool gale_request_next(gale_request *r, double seconds, gale_event *event) {
  int64_t until = seconds < 0 ? 0 : time_after(time_now(), seconds);
  pthread_mutex_lock(&r->lock);
  bool waits = !r->event && r->n_ends < r->n;
  while (waits && !r->first) waits = time_wait(&r->changed, &r->lock, until);
  kept_event *e = r->first;
  if (e) {
    r->first = e->next;
    if (!r->first) r->last = &r->first;
    r->n_ends += e->event.kind == GALE_EVENT_END;
  } else {
    r->notified = false;
  }
  pthread_mutex_unlock(&r->lock);
  if (!e) return false;
  if (r->given && r->given->event.kind != GALE_EVENT_END) free(r->given);
  r->given = e;
  *event = e->event;
  return true;
}

void gale_request_cancel(gale_request *r) {
  atomic_store(&r->cancelled, true);
}

void gale_request_close(gale_request **request) {
  gale_request *r = request ? *request : NULL;
  if (!r) return;
  gale_request_cancel(r);
  pthread_mutex_lock(&r->lock);
  r->closed = true;
  while (r->calling && !pthread_equal(r->caller, pthread_self())) pthread_cond_wait(&r->changed, &r->lock);
  pthread_mutex_unlock(&r->lock);
  request_release(r);
  *request = NULL;
}
