/* Random requests to a tiny model, what each of their answers is alone, and what an engine gives. */
#ifndef SCHEDULE_RANDOM_REQUESTS_H
#define SCHEDULE_RANDOM_REQUESTS_H

#include "base/random.h"
#include "engine/generation.h"
#include "gale_constraint.h"
#include "gale_engine.h"
#include "models/model_cases.h"

/* A test in which allocations fail has one that does not. */
#ifndef RECORD_REALLOC
#define RECORD_REALLOC realloc
#endif

enum { MOST_PROMPT = 200, MOST_N = 3, VOCABULARY = 320 };

/* Everything that an answer gave, one after the other. */
typedef struct record {
  char *bytes;
  size_t length, room;
  bool ended;
} record;

typedef struct asked {
  int32_t prompt[MOST_PROMPT];
  gale_sampler_options sampling;
  gale_generation_options generation;
  gale_request_options request;
  record alone[MOST_N], got[MOST_N];
  gale_request *handle;
} asked;

static const gale_constraint *binding; /* of some of the answers; NULL: of none */

static const char *const STOPS[] = {"e", "th", "\n"};

static inline void record_add(record *r, const void *bytes, size_t n) {
  if (r->length + n > r->room) {
    r->room = 2 * (r->length + n);
    r->bytes = RECORD_REALLOC(r->bytes, r->room);
    assert_non_null(r->bytes);
  }
  if (n) memcpy(r->bytes + r->length, bytes, n);
  r->length += n;
}

static inline void record_token(record *r, int32_t token, const gale_logprob *logprobs, size_t n) {
  record_add(r, &token, sizeof token);
  for (size_t i = 0; i < n; i++) {
    record_add(r, &logprobs[i].token, sizeof logprobs[i].token);
    record_add(r, &logprobs[i].logprob, sizeof logprobs[i].logprob);
  }
}

static inline void record_piece(record *r, const gale_piece *piece) {
  record_add(r, &piece->kind, sizeof piece->kind);
  record_add(r, piece->text, piece->length);
}

static inline void record_end(record *r, int32_t finish, int32_t stop, int32_t n_tokens) {
  const int32_t end[] = {finish, stop, n_tokens};
  assert_false(r->ended);
  record_add(r, end, sizeof end);
  r->ended = true;
}

static inline void record_scored(record *r, int32_t position, int32_t token, const gale_logprob *logprobs, size_t n) {
  record_add(r, &position, sizeof position);
  record_token(r, token, logprobs, n);
}

static inline void record_event(asked *a, const gale_event *e) {
  record *r = &a->got[e->choice];
  if (e->kind == GALE_EVENT_TOKEN) record_token(r, e->token, e->logprobs, e->n_logprobs);
  if (e->kind == GALE_EVENT_PROMPT) record_scored(r, e->position, e->token, e->logprobs, e->n_logprobs);
  if (e->kind == GALE_EVENT_EMBEDDING) record_add(r, e->embedding, e->n_embedding * sizeof *e->embedding);
  if (e->kind == GALE_EVENT_PIECE) record_piece(r, &e->piece);
  if (e->kind != GALE_EVENT_END) return;
  assert_string_equal(e->error->message, "");
  record_end(r, e->finish, e->stop, e->n_tokens);
}

static inline uint32_t roll(uint64_t *random, uint32_t below) {
  return (uint32_t)(random_at(20261128, (*random)++) % below);
}

/* Many of the prompts begin alike, and some are equal. */
static inline void ask(asked *a, uint64_t *random) {
  memset(a, 0, sizeof *a);
  uint32_t text = roll(random, 3), same = roll(random, MOST_PROMPT), n = 1 + roll(random, MOST_PROMPT);
  for (uint32_t i = 0; i < n; i++)
    a->prompt[i] = (int32_t)(i < same ? random_at(text, i) % VOCABULARY : roll(random, VOCABULARY));
  gale_sampler_defaults(&a->sampling);
  a->sampling.seed = roll(random, 1000);
  a->sampling.temperature = roll(random, 3);
  a->sampling.ignore_end = roll(random, 2);
  a->sampling.presence_penalty = roll(random, 2);
  if (roll(random, 4) == 0) a->sampling.mirostat = 2;
  gale_generation_defaults(&a->generation);
  a->generation.sampling = &a->sampling;
  a->generation.speculate = (int32_t)roll(random, 2) * (int32_t)roll(random, 33);
  a->generation.max_tokens = roll(random, 8) ? (int32_t)roll(random, 40) : -1;
  a->generation.special = true;
  a->generation.logprobs = roll(random, 2);
  a->generation.top_logprobs = a->generation.logprobs ? (int32_t)roll(random, 4) : 0;
  a->generation.stop = STOPS;
  a->generation.n_stop = roll(random, 4);
  if (roll(random, 3) == 0) a->generation.constraint = binding;
  gale_request_defaults(&a->request);
  a->request.prompt = a->prompt;
  a->request.n_prompt = n;
  a->request.generation = &a->generation;
  a->request.n = 1 + (int32_t)roll(random, MOST_N);
  a->request.priority = (int32_t)roll(random, 3);
  uint32_t other = roll(random, 8);
  if (other == 0) {
    a->request.prompt_logprobs_from = (int32_t)(roll(random, 2) ? 1 : 1 + roll(random, n));
    a->request.prompt_top_logprobs = (int32_t)roll(random, 4);
    if (roll(random, 2)) a->generation.max_tokens = 0;
  } else if (other == 1) {
    a->request.embed = true;
    a->request.pooling = roll(random, 2) ? GALE_POOLING_MEAN : GALE_POOLING_LAST;
    a->request.n = 1;
  }
}

/* Log-probabilities of the prompt, which is computed token by token in a sequence of its own. */
static inline void score_alone(gale_generation *g, gale_session *session, const asked *a, record *r) {
  gale_error error = {0};
  int32_t sequence = sequence_open(session);
  for (int32_t i = 0; i + 1 < (int32_t)a->request.n_prompt; i++) {
    gale_input in = {sequence, a->prompt + i, 1, GALE_LOGITS_LAST};
    gale_logprob logprobs[8];
    size_t n;
    expect_ok(gale_step(session, &in, 1, &error), &error);
    if (i + 1 < a->request.prompt_logprobs_from) continue;
    expect_ok(generation_score(g, session, gale_logits(session, sequence, 0), a->prompt[i + 1],
                               (size_t)a->request.prompt_top_logprobs, logprobs, &n, &error),
              &error);
    record_scored(r, i + 1, a->prompt[i + 1], logprobs, n);
  }
  expect_ok(gale_sequence_close(session, sequence, &error), &error);
}

static inline void embed_alone(const gale_model *model, gale_session *session, const asked *a, record *r) {
  gale_error error = {0};
  gale_model_info info;
  float embedding[1024];
  gale_model_get_info(model, &info);
  assert_true(info.dim <= 1024);
  expect_ok(gale_embed(session, a->prompt, a->request.n_prompt, a->request.pooling, embedding, &error), &error);
  record_add(r, embedding, (size_t)info.dim * sizeof *embedding);
  record_end(r, GALE_FINISH_END, -1, 0);
}

/* gale_generate()'s loop, with tokens and their log-probabilities. */
static inline void answer_alone(const gale_model *model, gale_session *session, const asked *a, int32_t choice,
                                record *r) {
  gale_generation *g = NULL;
  gale_error error = {0};
  gale_sampler_options sampling = a->sampling;
  gale_generation_options options = a->generation;
  sampling.seed += (uint64_t)choice;
  options.sampling = &sampling;
  expect_ok(gale_generation_open(model, NULL, &options, &g, &error), &error);
  if (a->request.prompt_logprobs_from > 0 && choice == 0) score_alone(g, session, a, r);
  int32_t sequence = sequence_open(session);
  gale_generation_result result;
  gale_generation_get_result(g, &result);
  expect_ok(gale_prefill(session, sequence, a->prompt, a->request.n_prompt, NULL, NULL, &error), &error);
  while (!result.finish) {
    int32_t token;
    const gale_logprob *logprobs;
    expect_ok(gale_generation_take(g, session, sequence, 0, &token, &error), &error);
    size_t n = gale_generation_logprobs(g, &logprobs);
    record_token(r, token, logprobs, n);
    for (const gale_piece *p; (p = gale_generation_next(g));) record_piece(r, p);
    gale_generation_get_result(g, &result);
    gale_input in = {sequence, &token, 1, GALE_LOGITS_LAST};
    if (!result.finish && gale_step(session, &in, 1, &error)) {
      assert_int_equal(error.code, GALE_E_CONTEXT);
      expect_ok(gale_generation_end(g, GALE_FINISH_CONTEXT, &error), &error);
      for (const gale_piece *p; (p = gale_generation_next(g));) record_piece(r, p);
      gale_generation_get_result(g, &result);
    }
  }
  record_end(r, result.finish, result.stop, result.n_tokens);
  expect_ok(gale_sequence_close(session, sequence, &error), &error);
  gale_generation_close(&g);
}

static inline void ask_alone(const gale_model *model, gale_session *session, asked *a) {
  for (int32_t i = 0; i < a->request.n; i++)
    if (a->request.embed)
      embed_alone(model, session, a, &a->alone[i]);
    else
      answer_alone(model, session, a, i, &a->alone[i]);
}

static inline void read_all(asked *a) {
  gale_event event;
  while (gale_request_next(a->handle, -1, &event)) record_event(a, &event);
}

static inline void expect_as_alone(const asked *a, const char *what) {
  for (int32_t i = 0; i < a->request.n; i++) {
    const record *alone = &a->alone[i], *got = &a->got[i];
    if (!got->ended) fail_msg("%s: answer %d has no end", what, i);
    if (got->length != alone->length || memcmp(got->bytes, alone->bytes, got->length) != 0)
      fail_msg("%s: answer %d of a prompt of %zu differs from the one alone: %zu bytes, not %zu", what, i,
               a->request.n_prompt, got->length, alone->length);
  }
}

static inline void asked_free(asked *a) {
  gale_request_close(&a->handle);
  for (int i = 0; i < MOST_N; i++) {
    free(a->alone[i].bytes);
    free(a->got[i].bytes);
  }
}

static inline gale_engine_stats stats_of(gale_engine *engine) {
  gale_engine_stats stats;
  gale_engine_get_stats(engine, &stats);
  return stats;
}

#endif
