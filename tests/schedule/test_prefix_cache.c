/* What the prefix cache finds again: the least that is promised for each kind of request, with and without windows. */
#include "schedule/random_requests.h"

enum { CONTEXT = 512, LONG = 300, ANSWER = 40 };

typedef struct bench {
  gale_model *model;
  gale_engine *engine;
} bench;

static bench bench_open(int32_t window, int32_t kept, int32_t pages) {
  bench b = {0};
  gale_error error = {0};
  gale_model_options mo;
  gale_model_defaults(&mo);
  mo.threads = 1;
  expect_ok(gale_model_open("shape:tiny@q8_0", &mo, &b.model, &error), &error);
  gale_session_options so = session_options(GALE_KV_F16, 64);
  so.context = CONTEXT;
  so.window = window;
  so.max_sequences = 2;
  if (pages)
    so.kv_bytes = (uint64_t)pages * 64 * 2 * 2 * 2 * 16 * 2; /* positions, layers, k and v, heads, size, bytes */
  gale_engine_options eo;
  gale_engine_defaults(&eo);
  eo.session = &so;
  eo.kept_texts = kept;
  expect_ok(gale_engine_open(b.model, &eo, &b.engine, &error), &error);
  return b;
}

static void bench_close(bench *b) {
  gale_engine_forget(b->engine);
  assert_int_equal(stats_of(b->engine).kv_page_bytes, 0);
  assert_int_equal(stats_of(b->engine).kept_texts, 0);
  gale_engine_close(&b->engine);
  gale_model_close(&b->model);
}

static void make_text(int32_t *ids, int32_t n, uint64_t seed) {
  for (int32_t i = 0; i < n; i++) ids[i] = (int32_t)(random_at(seed, (uint64_t)i) % VOCABULARY);
}

/* Tokens of the prompt that were found; the answer's are appended to ids unless that is NULL. */
static int32_t found(bench *b, const int32_t *prompt, int32_t n, const char *salt, int32_t max_tokens, int32_t *ids) {
  gale_request_options o;
  gale_generation_options g;
  gale_sampler_options s;
  gale_request_defaults(&o);
  gale_generation_defaults(&g);
  gale_sampler_defaults(&s);
  s.ignore_end = true;
  g.sampling = &s;
  g.max_tokens = max_tokens;
  o.prompt = prompt;
  o.n_prompt = (size_t)n;
  o.generation = &g;
  o.cache_salt = salt;
  gale_request *request = NULL;
  gale_error error = {0};
  expect_ok(gale_engine_submit(b->engine, &o, &request, &error), &error);
  gale_event event;
  int32_t n_cached = -1;
  while (gale_request_next(request, -1, &event)) {
    if (event.kind == GALE_EVENT_TOKEN && ids) *ids++ = event.token;
    if (event.kind == GALE_EVENT_END) n_cached = event.n_cached;
  }
  gale_request_close(&request);
  return n_cached;
}

static void expect_pages(int32_t n_cached, int32_t n) {
  if (n_cached < (n - 1) / 64 * 64 || n_cached > n - 1) fail_msg("%d of %d were found", n_cached, n);
}

static const int32_t WINDOWS[] = {GALE_WINDOW_NONE, GALE_WINDOW_NATIVE, 70};

static void test_again(void **state) {
  (void)state;
  for (int w = 0; w < 3; w++) {
    bench b = bench_open(WINDOWS[w], 16, 0);
    for (int32_t n = 1; n < LONG; n += 7) {
      int32_t ids[LONG];
      make_text(ids, n, (uint64_t)n);
      assert_int_equal(found(&b, ids, n, NULL, ANSWER, NULL), 0);
      expect_pages(found(&b, ids, n, NULL, ANSWER, NULL), n);
      assert_int_equal(found(&b, ids, n, "other", ANSWER, NULL), 0);
      expect_pages(found(&b, ids, n, "other", 1, NULL), n);
    }
    bench_close(&b);
  }
}

/* The next turn of a conversation: prompt, answer and more. */
static void test_turns(void **state) {
  (void)state;
  for (int w = 0; w < 3; w++) {
    bench b = bench_open(WINDOWS[w], 16, 0);
    int32_t ids[CONTEXT], n = 100;
    make_text(ids, CONTEXT, 4);
    found(&b, ids, n, NULL, ANSWER, ids + n);
    for (int turn = 0; turn < 4; turn++) {
      int32_t before = n + ANSWER - 1; /* the last token of an answer is not computed */
      n = before + 30;
      assert_int_equal(found(&b, ids, n, NULL, ANSWER, ids + n), before);
    }
    bench_close(&b);
  }
}

/* Many texts with one beginning, which with windows is found from the third on: the second shows where they part. */
static void test_common_beginning(void **state) {
  (void)state;
  for (int w = 0; w < 3; w++) {
    bench b = bench_open(WINDOWS[w], 32, 0);
    for (uint64_t i = 0; i < 6; i++) {
      int32_t ids[LONG];
      make_text(ids, LONG, 100 + i);
      make_text(ids, 200, 99);
      int32_t n = found(&b, ids, LONG, NULL, ANSWER, NULL);
      if (i > 1 || (i == 1 && w == 0)) expect_pages(n, 201);
    }
    bench_close(&b);
  }
}

/* Without room for all, what was used last is found; the ends of older texts go first. */
static void test_evicted(void **state) {
  (void)state;
  bench b = bench_open(GALE_WINDOW_NONE, 32, 13);
  int32_t ids[4][LONG];
  for (int i = 0; i < 4; i++) make_text(ids[i], LONG, (uint64_t)i + 1);
  found(&b, ids[0], 256, NULL, 8, NULL);
  found(&b, ids[1], 256, NULL, 8, NULL);
  found(&b, ids[0], 130, NULL, 8, NULL); /* its first two pages are used again */
  found(&b, ids[2], 256, NULL, 8, NULL);
  assert_int_equal(found(&b, ids[0], 257, NULL, 8, NULL) / 64, 2);
  assert_true(stats_of(b.engine).evicted_pages > 0); /* of the step before, at least */
  bench_close(&b);
  b = bench_open(GALE_WINDOW_NONE, 0, 0);
  found(&b, ids[0], 256, NULL, 8, NULL);
  assert_int_equal(found(&b, ids[0], 256, NULL, 8, NULL), 0);
  bench_close(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_again), cmocka_unit_test(test_turns),
                                     cmocka_unit_test(test_common_beginning), cmocka_unit_test(test_evicted)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
