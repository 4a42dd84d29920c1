/* Log-probabilities of prompts and embeddings as requests: that they are what answers and gale_embed() give, what of
 * them is computed once, and what is refused. */
#include "schedule/random_requests.h"

enum { CONTEXT = 300, ANSWER = 30, CHUNK = 64 };

typedef struct bench {
  gale_model *model;
  gale_engine *engine;
} bench;

static bench bench_open(int32_t window) {
  bench b = {0};
  gale_error error = {0};
  expect_ok(gale_model_open("shape:tiny@q8_0", NULL, &b.model, &error), &error);
  gale_session_options so = session_options(GALE_KV_F16, CHUNK);
  so.context = 512;
  so.window = window;
  so.max_sequences = 5;
  gale_engine_options eo;
  gale_engine_defaults(&eo);
  eo.session = &so;
  eo.kept_texts = 16;
  expect_ok(gale_engine_open(b.model, &eo, &b.engine, &error), &error);
  return b;
}

static void bench_close(bench *b) {
  assert_true(gale_engine_drain(b->engine, -1));
  gale_engine_forget(b->engine);
  assert_int_equal(stats_of(b->engine).kv_page_bytes, 0);
  gale_engine_close(&b->engine);
  gale_model_close(&b->model);
}

static void make_text(int32_t *ids, int32_t n, uint64_t seed) {
  for (int32_t i = 0; i < n; i++) ids[i] = (int32_t)(random_at(seed, (uint64_t)i) % VOCABULARY);
}

static gale_request *submit(const bench *b, const gale_request_options *o) {
  gale_request *request = NULL;
  gale_error error = {0};
  expect_ok(gale_engine_submit(b->engine, o, &request, &error), &error);
  return request;
}

/* A token that is scored has the numbers that it had when it was drawn, to the bit. */
static void test_as_drawn(void **state) {
  (void)state;
  bench b = bench_open(GALE_WINDOW_NATIVE);
  int32_t text[CONTEXT + ANSWER];
  make_text(text, CONTEXT, 1);
  gale_sampler_options sampling;
  gale_generation_options generation;
  gale_request_options o;
  gale_sampler_defaults(&sampling);
  gale_generation_defaults(&generation);
  gale_request_defaults(&o);
  sampling.ignore_end = true;
  generation.sampling = &sampling;
  generation.max_tokens = ANSWER;
  generation.logprobs = true;
  generation.top_logprobs = 3;
  o.prompt = text;
  o.n_prompt = CONTEXT;
  o.generation = &generation;
  record drawn = {0}, scored = {0};
  gale_event event;
  int32_t n = CONTEXT;
  gale_request *request = submit(&b, &o);
  while (gale_request_next(request, -1, &event)) {
    if (event.kind != GALE_EVENT_TOKEN) continue;
    record_scored(&drawn, n, event.token, event.logprobs, event.n_logprobs);
    text[n++] = event.token;
  }
  gale_request_close(&request);
  o.n_prompt = (size_t)n;
  o.prompt_logprobs_from = CONTEXT;
  o.prompt_top_logprobs = 3;
  generation.max_tokens = 0;
  request = submit(&b, &o);
  while (gale_request_next(request, -1, &event))
    if (event.kind == GALE_EVENT_PROMPT)
      record_scored(&scored, event.position, event.token, event.logprobs, event.n_logprobs);
  gale_request_close(&request);
  assert_int_equal(n, CONTEXT + ANSWER);
  assert_int_equal(drawn.length, scored.length);
  assert_memory_equal(drawn.bytes, scored.bytes, drawn.length);
  free(drawn.bytes);
  free(scored.bytes);
  bench_close(&b);
}

/* All of a prompt is scored without what is kept of it, before any of its answers begins. */
static void test_all(void **state) {
  (void)state;
  bench b = bench_open(GALE_WINDOW_NONE);
  int32_t text[CONTEXT];
  make_text(text, CONTEXT, 2);
  gale_generation_options generation;
  gale_request_options o;
  gale_generation_defaults(&generation);
  gale_request_defaults(&o);
  o.prompt = text;
  o.n_prompt = CONTEXT;
  o.generation = &generation;
  o.prompt_logprobs_from = 1;
  o.n = 3;
  for (int32_t most = 0; most < 6; most += 5) {
    generation.max_tokens = most;
    gale_request *request = submit(&b, &o);
    gale_event event;
    int32_t next = 1, n_tokens = 0, ends = 0;
    while (gale_request_next(request, -1, &event)) {
      n_tokens += event.kind == GALE_EVENT_TOKEN;
      if (event.kind == GALE_EVENT_PROMPT) {
        assert_int_equal(event.position, next++);
        assert_int_equal(event.token, text[event.position]);
        assert_int_equal(event.n_logprobs, 1);
        assert_true(event.logprobs->token == event.token && event.logprobs->logprob < 0);
        assert_int_equal(n_tokens, 0);
      }
      if (event.kind != GALE_EVENT_END) continue;
      ends++;
      assert_string_equal(event.error->message, "");
      if (most == 0) assert_int_equal(event.finish, GALE_FINISH_LENGTH);
      if (event.choice == 0) assert_int_equal(event.n_cached, 0);
    }
    gale_request_close(&request);
    assert_int_equal(next, CONTEXT);
    assert_int_equal(ends, 3);
  }
  bench_close(&b);
}

/* Several continuations of one context, submitted together: the context is computed once. */
static void test_choices(void **state) {
  (void)state;
  enum { CHOICES = 4, LENGTH = 7 };
  for (int w = 0; w < 2; w++) {
    bench b = bench_open(w ? 70 : GALE_WINDOW_NONE);
    int32_t text[CONTEXT + LENGTH];
    make_text(text, CONTEXT, 3);
    gale_generation_options generation;
    gale_request_options o;
    gale_generation_defaults(&generation);
    generation.max_tokens = 0;
    gale_request_defaults(&o);
    o.prompt = text;
    o.n_prompt = CONTEXT + LENGTH;
    o.generation = &generation;
    o.prompt_logprobs_from = CONTEXT;
    gale_request *requests[CHOICES];
    for (int i = 0; i < CHOICES; i++) {
      make_text(text + CONTEXT, LENGTH, 10 + (uint64_t)i);
      requests[i] = submit(&b, &o);
    }
    for (int i = 0; i < CHOICES; i++) {
      gale_event event;
      int n = 0;
      while (gale_request_next(requests[i], -1, &event)) n += event.kind == GALE_EVENT_PROMPT;
      assert_int_equal(n, LENGTH);
      gale_request_close(&requests[i]);
    }
    assert_true(gale_engine_drain(b.engine, -1));
    /* Of each the context's last token, for its row, and all but the last of the continuation. */
    assert_int_equal(stats_of(b.engine).tokens, CONTEXT - 1 + CHOICES * LENGTH);
    bench_close(&b);
  }
}

static int32_t embed(const bench *b, const int32_t *ids, int32_t n, gale_pooling pooling, float *embedding,
                     size_t dim) {
  gale_request_options o;
  gale_request_defaults(&o);
  o.prompt = ids;
  o.n_prompt = (size_t)n;
  o.embed = true;
  o.pooling = pooling;
  gale_request *request = submit(b, &o);
  gale_event event;
  int32_t n_cached = -1;
  int n_embeddings = 0;
  while (gale_request_next(request, -1, &event)) {
    if (event.kind == GALE_EVENT_END) {
      n_cached = event.n_cached;
      assert_int_equal(event.finish, GALE_FINISH_END);
      continue;
    }
    n_embeddings++;
    assert_int_equal(event.kind, GALE_EVENT_EMBEDDING);
    assert_int_equal(event.n_embedding, dim);
    memcpy(embedding, event.embedding, dim * sizeof *embedding);
  }
  gale_request_close(&request);
  assert_int_equal(n_embeddings, 1);
  return n_cached;
}

/* Pooling by the last token alone uses what is kept. */
static void test_embeddings(void **state) {
  (void)state;
  bench b = bench_open(GALE_WINDOW_NONE);
  gale_model_info info;
  gale_model_get_info(b.model, &info);
  size_t dim = (size_t)info.dim, n_bytes = dim * sizeof(float);
  float *embedding = malloc(n_bytes), *alone = malloc(n_bytes);
  int32_t text[CONTEXT];
  make_text(text, CONTEXT, 4);
  gale_session_options so = session_options(GALE_KV_F16, 512);
  so.context = 512;
  so.window = GALE_WINDOW_NONE;
  gale_session *session = session_open(b.model, &so);
  for (int i = 0; i < 4; i++) {
    gale_pooling pooling = i % 2 ? GALE_POOLING_LAST : GALE_POOLING_MEAN;
    int32_t n_cached = embed(&b, text, CONTEXT, pooling, embedding, dim);
    expect_ok(gale_embed(session, text, CONTEXT, pooling, alone, NULL), NULL);
    assert_memory_equal(embedding, alone, n_bytes);
    assert_int_equal(n_cached, i % 2 ? CONTEXT - 1 : 0);
  }
  free(embedding);
  free(alone);
  gale_session_close(&session);
  bench_close(&b);
}

static void test_refused(void **state) {
  (void)state;
  bench b = bench_open(GALE_WINDOW_NONE);
  int32_t text[4] = {1, 2, 3, 4};
  const gale_request_options wrong[] = {
      {.prompt_logprobs_from = -1, .n = 1},
      {.prompt_logprobs_from = 5, .n = 1},
      {.prompt_top_logprobs = 1, .n = 1},
      {.prompt_logprobs_from = 1, .prompt_top_logprobs = 1025, .n = 1},
      {.embed = true, .n = 2},
      {.embed = true, .prompt_logprobs_from = 1, .n = 1},
      {.embed = true, .pooling = (gale_pooling)2, .n = 1},
  };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    gale_request_options o = wrong[i];
    gale_request *request = NULL;
    o.size = sizeof o;
    o.prompt = text;
    o.n_prompt = 4;
    assert_int_equal(gale_engine_submit(b.engine, &o, &request, NULL), GALE_E_ARGUMENT);
    assert_null(request);
  }
  bench_close(&b);
}

/* A draft model with other tokens, which the message names. */
static void test_other_tokens(void **state) {
  (void)state;
  gale_model *model = NULL, *other = NULL;
  gale_error error = {0};
  gale_model_options mo;
  gale_model_defaults(&mo);
  mo.metadata_only = true;
  expect_ok(gale_model_open("shape:tiny@q8_0", NULL, &model, &error), &error);
  expect_ok(gale_model_open("shape:mistral-7b:layers=1@q4_0", &mo, &other, &error), &error);
  gale_engine *engine = NULL;
  gale_engine_options eo;
  gale_engine_defaults(&eo);
  eo.draft = other;
  assert_int_equal(gale_engine_open(model, &eo, &engine, &error), GALE_E_ARGUMENT);
  assert_non_null(strstr(error.message, "draft model"));
  assert_null(engine);
  gale_model_close(&other);
  gale_model_close(&model);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_as_drawn), cmocka_unit_test(test_all),
                                     cmocka_unit_test(test_choices),  cmocka_unit_test(test_embeddings),
                                     cmocka_unit_test(test_refused),  cmocka_unit_test(test_other_tokens)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
