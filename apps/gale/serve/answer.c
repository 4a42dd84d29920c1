#include "gale/serve/answer.h"

#include "gale/serve/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

struct answering {
  constraints *constraints;
  reply *first;
};

gale_status answering_open(const gale_tokenizer *tokenizer, answering **opened, gale_error *error) {
  answering *a = calloc(1, sizeof *a);
  if (!a) {
    *error = (gale_error){GALE_E_MEMORY, "out of memory"};
    return GALE_E_MEMORY;
  }
  gale_status status = tokenizer ? constraints_open(tokenizer, &a->constraints, error) : GALE_OK;
  if (status)
    free(a);
  else
    *opened = a;
  return status;
}

constraints *answering_constraints(serving *s) {
  return s->answering->constraints;
}

/* ---- Replies ---- */

static void close_requests(reply *r) {
  for (size_t i = 0; r->requests && i < r->question->n_prompts; i++) gale_request_close(&r->requests[i]);
}

static void choice_free(choice *c) {
  for (size_t i = 0; i < c->n_calls; i++) {
    free(c->calls[i].id.bytes);
    free(c->calls[i].name.bytes);
    free(c->calls[i].arguments.bytes);
  }
  free(c->calls);
  free(c->content.bytes);
  free(c->thinking.bytes);
  free(c->tokens);
  free(c->embedding);
  arena_free(&c->memory);
}

static void reply_close(reply *r) {
  close_requests(r);
  if (r->link) *r->link = r->next;
  if (r->next) r->next->link = r->link;
  for (size_t i = 0; r->choices && i < r->n_choices; i++) choice_free(&r->choices[i]);
  free(r->requests);
  free(r->choices);
  free(r->out.bytes);
  question_close(&r->question);
  free(r);
}

void answering_close(answering **opened) {
  answering *a = *opened;
  if (!a) return;
  while (a->first) reply_close(a->first);
  constraints_close(&a->constraints);
  free(a);
  *opened = NULL;
}

static bool make_id(const char *identity, char id[40]) {
  static const char DIGITS[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  unsigned char random[32];
  for (size_t i = 0; identity && i < sizeof random; i++)
    random[i] = (unsigned char)(identity_number(identity, 1 + i / 8) >> (8 * (i % 8)));
  if (!identity && getrandom(random, sizeof random, 0) != sizeof random) return false;
  for (size_t i = 0; i < sizeof random; i++) id[i] = DIGITS[random[i] % (sizeof DIGITS - 1)];
  id[sizeof random] = 0;
  return true;
}

static reply *reply_new(question *q, const view *v) {
  reply *r = calloc(1, sizeof *r);
  if (!r) return NULL;
  const char *identity = http_identity(q->exchange);
  *r = (reply){.question = q, .view = v, .created = identity ? 0 : (int64_t)time(NULL)};
  r->n_choices = r->n_left = q->n_prompts * (size_t)q->n;
  r->requests = calloc(q->n_prompts, sizeof *r->requests);
  r->choices = calloc(r->n_choices, sizeof *r->choices);
  bool good = r->requests && r->choices && make_id(identity, r->id);
  for (size_t i = 0; good && i < r->n_choices; i++) {
    r->choices[i].index = (int32_t)i;
    r->choices[i].prompt = (int32_t)(i / (size_t)q->n);
    if (q->prefix_given) bytes_add(&r->choices[i].content, q->prefix);
    good = !r->choices[i].content.failed;
  }
  if (good) return r;
  free(r->requests);
  free(r->choices);
  free(r);
  return NULL;
}

/* Gives out what the view has written. */
static void flush(reply *r) {
  if (r->out.n > 0) http_write(r->question->exchange, r->out.bytes, r->out.n);
  r->out.n = 0;
}

/* Ends the exchange with an error, and the reply. */
/* Counts the answers that are not over. */
static void count_rest(const reply *r, finish_reason reason) {
  for (size_t i = 0; i < r->n_choices; i++)
    if (r->choices[i].ended == ENDING_NONE) metrics_finished(r->question->serving->metrics, reason);
}

static void reply_fail(reply *r, failure why, const char *message) {
  count_rest(r, REASON_ERROR);
  question *q = r->question;
  http_exchange *x = q->exchange;
  http_set_user(x, NULL);
  if (r->streaming) {
    if (r->view->failed) r->view->failed(r, why, message);
    flush(r);
    http_end(x);
  } else {
    serve_fail(q->serving, x, why, *q->fields.param ? q->fields.param : NULL, "%s", message);
  }
  reply_close(r);
}

/* ---- Beginning ---- */

static void wake(void *http) {
  http_wake(http);
}

static gale_status submit(reply *r, size_t prompt, gale_error *error) {
  question *q = r->question;
  gale_sampler_options sampling = q->sampling;
  sampling.seed += prompt * (uint64_t)q->n;
  gale_generation_options generation;
  gale_generation_defaults(&generation);
  generation.sampling = &sampling;
  generation.prompt = q->prompts[prompt].ids;
  generation.n_prompt = q->prompts[prompt].n;
  generation.form = q->form;
  generation.generic_tools = true;
  generation.no_calls = q->no_calls;
  generation.continued = q->continued;
  generation.begun = q->prefix.s;
  generation.n_begun = q->prefix.n;
  generation.stop = q->stop;
  generation.n_stop = q->n_stop;
  generation.max_tokens = q->max_tokens;
  generation.logprobs = q->logprobs;
  generation.top_logprobs = q->top_logprobs;
  generation.constraint = q->constraint ? compiled_get(q->constraint) : NULL;
  gale_request_options o;
  gale_request_defaults(&o);
  o.prompt = q->prompts[prompt].ids;
  o.n_prompt = q->prompts[prompt].n;
  o.generation = &generation;
  o.n = q->n;
  o.cache_salt = q->cache_salt;
  o.user = q->serving->http;
  o.notify = wake;
  o.prompt_logprobs_from = q->prompt_logprobs;
  o.prompt_top_logprobs = q->prompt_logprobs ? q->top_logprobs : 0;
  o.embed = q->embed;
  o.pooling = q->pooling;
  return gale_engine_submit(q->serving->engine, &o, &r->requests[prompt], error);
}

static void add_seed(const question *q) {
  char seed[24];
  if (q->seed_negative)
    snprintf(seed, sizeof seed, "%" PRId64, (int64_t)q->sampling.seed);
  else
    snprintf(seed, sizeof seed, "%" PRIu64, q->sampling.seed);
  http_add_header(q->exchange, "x-gale-seed", seed);
}

static void link_reply(reply *r, answering *a) {
  r->next = a->first;
  r->link = &a->first;
  if (r->next) r->next->link = &r->next;
  a->first = r;
}

void answer_start(question *q, const view *v) {
  reply *r = q->fields.refused ? NULL : reply_new(q, v);
  if (!r) {
    if (!q->fields.refused) fields_memory(&q->fields);
    question_fail(q);
    question_close(&q);
    return;
  }
  gale_error error = {0};
  for (size_t i = 0; i < q->n_prompts; i++) {
    if (!submit(r, i, &error)) continue;
    reply_fail(r, failure_of(error.code), error.message);
    return;
  }
  if (!q->embed) add_seed(q);
  http_set_user(q->exchange, r);
  link_reply(r, q->serving->answering);
  if (!q->stream) return;
  r->streaming = true;
  http_stream(q->exchange, 200, v->stream_type);
  if (v->begin) v->begin(r);
  flush(r);
}

/* ---- What has come ---- */

static void out_of_memory(reply *r) {
  r->failed = true;
}

static void add_token(reply *r, choice *c, const gale_event *e) {
  if (c->n_tokens == c->room) {
    size_t room = c->room ? 2 * c->room : 16;
    told_token *more = realloc(c->tokens, room * sizeof *more);
    if (!more) {
      out_of_memory(r);
      return;
    }
    c->tokens = more;
    c->room = room;
  }
  gale_logprob *entries = NULL;
  if (e->n_logprobs) {
    entries = arena_array(&c->memory, e->n_logprobs, sizeof *entries);
    if (!entries) {
      out_of_memory(r);
      return;
    }
    memcpy(entries, e->logprobs, e->n_logprobs * sizeof *entries);
  }
  c->tokens[c->n_tokens++] = (told_token){e->token, entries, e->n_logprobs};
}

/* A token that ends answers, and is no part of one. */
static bool is_end(const question *q, int32_t token) {
  for (size_t i = 0; i < q->sampling.n_ends; i++)
    if (q->sampling.ends[i] == token) return true;
  return gale_tokenizer_is_end(q->serving->tokenizer, token);
}

/* A prompt's log-probabilities come once, and without its first token. Other choices get copies. */
static void begin_prompt(reply *r, choice *c) {
  const prompt_ids *p = &r->question->prompts[c->prompt];
  const choice *first = &r->choices[(size_t)c->prompt * (size_t)r->question->n];
  if (!r->question->prompt_logprobs) return;
  if (c == first && c->n_tokens == 0) add_token(r, c, &(gale_event){.token = p->ids[0]});
  for (size_t i = 0; c != first && i < first->n_prompt; i++)
    add_token(r, c,
              &(gale_event){.token = first->tokens[i].token,
                            .logprobs = first->tokens[i].entries,
                            .n_logprobs = first->tokens[i].n_entries});
  c->n_prompt = c->n_tokens;
}

static void begin(reply *r, choice *c, int32_t n_cached) {
  if (c->begun) return;
  begin_prompt(r, c);
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  c->begun = true;
  c->begun_at = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
  c->n_cached = n_cached;
  if (r->streaming && r->view->choice_begin) r->view->choice_begin(r, c);
}

static void keep_piece(reply *r, choice *c, const gale_piece *p) {
  slice text = {p->text, p->length};
  byte_list *to = p->kind == GALE_PIECE_THINKING ? &c->thinking : &c->content;
  if (p->kind == GALE_PIECE_THINKING) c->thinking_end = c->n_tokens;
  if (p->kind == GALE_PIECE_CONTENT) c->content_end = c->n_tokens;
  if (p->kind == GALE_PIECE_CALL) {
    told_call *calls = realloc(c->calls, (c->n_calls + 1) * sizeof *calls);
    if (!calls) {
      out_of_memory(r);
      return;
    }
    c->calls = calls;
    calls[c->n_calls++] = (told_call){0};
    bytes_add(&calls[c->n_calls - 1].id, slice_of(p->id));
    to = &calls[c->n_calls - 1].name;
  } else if (p->kind == GALE_PIECE_ARGUMENTS) {
    if (p->call >= c->n_calls) return;
    to = &c->calls[p->call].arguments;
  }
  bytes_add(to, text);
  if (to->failed) out_of_memory(r);
}

static void take_piece(reply *r, choice *c, const gale_piece *p) {
  keep_piece(r, c, p);
  if (p->kind == GALE_PIECE_THINKING && r->question->no_thinking) return;
  if (r->streaming && !r->failed && r->view->piece) r->view->piece(r, c, p);
}

static ending ending_of(const choice *c, gale_finish finish) {
  switch (finish) {
  case GALE_FINISH_STOP:
    return ENDING_STOP_TEXT;
  case GALE_FINISH_LENGTH:
    return ENDING_LENGTH;
  case GALE_FINISH_CONTEXT:
    return ENDING_CONTEXT;
  default:
    return c->n_calls ? ENDING_CALLS : ENDING_STOP;
  }
}

static void take_end(reply *r, choice *c, const gale_event *e) {
  begin(r, c, e->n_cached);
  c->ended = ending_of(c, e->finish);
  c->stop = e->stop;
  c->n_completion = (int32_t)(c->n_tokens - c->n_prompt);
  c->n_thinking = e->n_thinking;
  c->n_cached = e->n_cached;
  r->n_left--;
  if (r->streaming && r->view->choice_end) r->view->choice_end(r, c);
}

static void take_embedding(reply *r, choice *c, const gale_event *e) {
  c->embedding = malloc(e->n_embedding * sizeof *c->embedding);
  if (!c->embedding) {
    out_of_memory(r);
    return;
  }
  memcpy(c->embedding, e->embedding, e->n_embedding * sizeof *c->embedding);
  c->n_embedding = e->n_embedding;
}

/* Counts a token, and when it came. */
static void count_token(const reply *r, choice *c) {
  double now = http_seconds(r->question->exchange);
  metrics_token(r->question->serving->metrics, c->told_at <= 0, now - c->told_at);
  c->told_at = now;
}

static void count_answer(const reply *r, const choice *c, const gale_event *e) {
  metrics *m = r->question->serving->metrics;
  int64_t n_prompt = c->index % r->question->n ? 0 : (int64_t)r->question->prompts[c->prompt].n;
  metrics_answer(m, e->waited, n_prompt - e->n_cached);
  bool cut = c->ended == ENDING_LENGTH || c->ended == ENDING_CONTEXT;
  metrics_finished(m, cut ? REASON_LENGTH : c->ended == ENDING_CALLS ? REASON_CALLS : REASON_STOP);
}

static void take_event(reply *r, choice *c, const gale_event *e) {
  switch (e->kind) {
  case GALE_EVENT_PROMPT:
    if (c->n_tokens == 0) add_token(r, c, &(gale_event){.token = r->question->prompts[c->prompt].ids[0]});
    add_token(r, c, e);
    c->n_prompt = c->n_tokens;
    break;
  case GALE_EVENT_TOKEN:
    count_token(r, c);
    begin(r, c, e->n_cached);
    if (!is_end(r->question, e->token)) add_token(r, c, e);
    break;
  case GALE_EVENT_PIECE:
    take_piece(r, c, &e->piece);
    break;
  case GALE_EVENT_EMBEDDING:
    take_embedding(r, c, e);
    break;
  case GALE_EVENT_END:
    take_end(r, c, e);
    count_answer(r, c, e);
    break;
  }
}

/* What an answer failed of. */
static failure failure_of_end(const gale_error *error) {
  switch (error->code) {
  case GALE_E_MEMORY:
    return FAILURE_MEMORY;
  case GALE_E_CONTEXT:
    return FAILURE_CONTEXT;
  case GALE_E_ARGUMENT:
  case GALE_E_UNSUPPORTED:
    return FAILURE_DEAD_END;
  default:
    return FAILURE_NUMERIC;
  }
}

static void finish(reply *r) {
  http_exchange *x = r->question->exchange;
  http_set_user(x, NULL);
  if (r->streaming) {
    if (r->view->end) r->view->end(r);
    flush(r);
    http_end(x);
  } else {
    r->view->whole(r);
    if (r->out.failed) {
      reply_fail(r, FAILURE_MEMORY, "out of memory");
      return;
    }
    http_respond(x, 200, "application/json", r->out.bytes, r->out.n);
  }
  reply_close(r);
}

static void poll_reply(reply *r) {
  question *q = r->question;
  for (size_t i = 0; i < q->n_prompts; i++) {
    gale_event e;
    while (gale_request_next(r->requests[i], 0, &e)) {
      if (e.kind == GALE_EVENT_END && (e.error->code || e.finish == GALE_FINISH_CANCELLED)) {
        e.error->code ? reply_fail(r, failure_of_end(e.error), e.error->message)
                      : reply_fail(r, FAILURE_DRAINING, "the server is ending");
        return;
      }
      take_event(r, &r->choices[i * (size_t)q->n + (size_t)e.choice], &e);
      if (r->failed || r->out.failed) {
        reply_fail(r, FAILURE_MEMORY, "out of memory");
        return;
      }
    }
  }
  if (r->n_left == 0)
    finish(r);
  else
    flush(r);
}

void answering_woken(serving *s) {
  for (reply *r = s->answering->first, *next; r; r = next) {
    next = r->next;
    poll_reply(r);
  }
}

void answering_fail(serving *s, failure why, const char *message) {
  while (s->answering->first) reply_fail(s->answering->first, why, message);
}

/* ---- The exchange ---- */

void answer_gone(serving *s, http_exchange *x) {
  (void)s;
  reply *r = http_user(x);
  if (!r) return;
  count_rest(r, REASON_CANCELLED);
  reply_close(r);
}

void answer_quiet(serving *s, http_exchange *x) {
  (void)s;
  reply *r = http_user(x);
  if (!r || !r->view->quiet) return;
  r->view->quiet(r);
  flush(r);
}

usage reply_usage(const reply *r) {
  usage u = {0};
  for (size_t i = 0; i < r->n_choices; i++) {
    const choice *c = &r->choices[i];
    u.completion += c->n_completion;
    u.thinking += c->n_thinking;
    if (i % (size_t)r->question->n) continue;
    u.prompt += (int64_t)r->question->prompts[c->prompt].n;
    u.cached += c->n_cached;
  }
  /* What an answer without a client says is to depend on nothing else. */
  if (http_identity(r->question->exchange)) u.cached = 0;
  return u;
}
