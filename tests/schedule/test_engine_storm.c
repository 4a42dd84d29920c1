/* Threads that submit, read, cancel and close as it comes, with few pages: what was not cancelled is what it is alone,
 * and afterwards no page, no place in the queue and no answer is left. The thread sanitizer watches. */
#include "format/files.h"
#include "schedule/random_requests.h"

#include <pthread.h>

#ifdef __SANITIZE_THREAD__
#define ROUNDS_OF_A_THREAD 700
#else
#define ROUNDS_OF_A_THREAD 3400
#endif

enum { N_THREADS = 3, N_KINDS = 24, ROUNDS = ROUNDS_OF_A_THREAD, AT_A_TIME = 6 };

static const char *cache_dir; /* of the engines */

typedef struct storm {
  const gale_model *model;
  gale_engine *engine;
  asked kinds[N_KINDS]; /* with what each is alone */
  uint64_t seed;
  int submitted, refused, failed, whole, wrong;
} storm;

/* A request of a thread, and what came of it. */
typedef struct wave {
  asked a;
  bool cancelled;
} wave;

static void on_event(void *user, const gale_event *event) {
  wave *w = user;
  if (event->kind == GALE_EVENT_END && event->finish == GALE_FINISH_CANCELLED)
    w->cancelled = true;
  else
    record_event(&w->a, event);
}

/* Compares the answers that came to their end with what they are alone. Whether all did. */
static bool look_at(storm *s, const wave *w, const asked *kind) {
  bool whole = true;
  for (int32_t i = 0; i < kind->request.n; i++) {
    const record *alone = &kind->alone[i], *got = &w->a.got[i];
    s->wrong += got->ended && (got->length != alone->length || memcmp(got->bytes, alone->bytes, got->length) != 0);
    whole = whole && got->ended;
  }
  return whole;
}

static void drop(wave *w) {
  for (int i = 0; i < MOST_N; i++) free(w->a.got[i].bytes);
  memset(w, 0, sizeof *w);
}

static void end_wave(storm *s, wave *w, const asked *kind, uint64_t *random) {
  if (roll(random, 3) == 0) gale_request_cancel(w->a.handle);
  gale_event event;
  if (!w->a.request.event && roll(random, 4))
    while (gale_request_next(w->a.handle, -1, &event)) on_event(w, &event);
  gale_request_close(&w->a.handle);
  s->whole += look_at(s, w, kind);
  drop(w);
}

static void *storm_main(void *user) {
  storm *s = user;
  static _Thread_local wave waves[AT_A_TIME];
  const asked *kinds[AT_A_TIME] = {0};
  uint64_t random = s->seed;
  for (int round = 0; round < ROUNDS; round++) {
    uint32_t i = roll(&random, AT_A_TIME);
    wave *w = &waves[i];
    if (kinds[i]) end_wave(s, w, kinds[i], &random);
    kinds[i] = &s->kinds[roll(&random, N_KINDS)];
    w->a.request = kinds[i]->request;
    w->a.request.deadline = roll(&random, 10) ? 0 : 1e-3;
    w->a.request.event = roll(&random, 2) ? on_event : NULL;
    w->a.request.user = w;
    gale_error error = {0};
    gale_status status = gale_engine_submit(s->engine, &w->a.request, &w->a.handle, &error);
    s->submitted += status == GALE_OK;
    s->refused += status == GALE_E_BUSY;
    s->failed += status && status != GALE_E_BUSY;
    if (status) kinds[i] = NULL;
    if (roll(&random, 8) == 0) stats_of(s->engine);
    if (roll(&random, 64) == 0) gale_engine_forget(s->engine);
  }
  for (uint32_t i = 0; i < AT_A_TIME; i++)
    if (kinds[i]) end_wave(s, &waves[i], kinds[i], &random);
  return NULL;
}

static gale_session_options few_pages(void) {
  gale_session_options so = session_options(GALE_KV_F16, 32);
  so.context = 256;
  so.max_sequences = 4;
  so.window = GALE_WINDOW_NONE;
  so.kv_bytes = 1 << 16;
  return so;
}

static void open_storm(storm *s, const gale_model *model, int32_t queue) {
  gale_session_options so = few_pages();
  gale_session *session = session_open(model, &so);
  uint64_t random = 77;
  for (int i = 0; i < N_KINDS; i++) {
    ask(&s->kinds[i], &random);
    ask_alone(model, session, &s->kinds[i]);
  }
  gale_session_close(&session);
  gale_engine_options eo;
  gale_engine_defaults(&eo);
  eo.session = &so;
  eo.queue_requests = queue;
  eo.kept_texts = 8;
  eo.cache_dir = cache_dir;
  eo.cache_limit = 1 << 19;
  gale_error error = {0};
  s->model = model;
  expect_ok(gale_engine_open(model, &eo, &s->engine, &error), &error);
}

static void close_storm(storm *s) {
  gale_engine_close(&s->engine);
  for (int i = 0; i < N_KINDS; i++) asked_free(&s->kinds[i]);
}

static gale_model *tiny(void) {
  gale_model *model = NULL;
  gale_error error = {0};
  gale_model_options o;
  gale_model_defaults(&o);
  o.threads = 1;
  expect_ok(gale_model_open("shape:tiny@q8_0", &o, &model, &error), &error);
  return model;
}

static void nothing_is_left(void **state) {
  (void)state;
  static storm s, each[N_THREADS];
  gale_model *model = tiny();
  open_storm(&s, model, 14);
  pthread_t threads[N_THREADS];
  int submitted = 0, refused = 0, whole = 0;
  for (int i = 0; i < N_THREADS; i++) {
    each[i] = s;
    each[i].seed = (uint64_t)(i + 1) << 32;
    assert_int_equal(pthread_create(&threads[i], NULL, storm_main, &each[i]), 0);
  }
  for (int i = 0; i < N_THREADS; i++) {
    pthread_join(threads[i], NULL);
    submitted += each[i].submitted;
    refused += each[i].refused;
    whole += each[i].whole;
    assert_int_equal(each[i].wrong + each[i].failed, 0);
  }
  assert_int_equal(submitted + refused, N_THREADS * ROUNDS);
  assert_true(submitted > ROUNDS);
  assert_true(whole > 100);
  assert_true(gale_engine_drain(s.engine, -1));
  gale_engine_forget(s.engine);
  gale_engine_stats stats = stats_of(s.engine);
  assert_int_equal(stats.kv_page_bytes, 0);
  assert_int_equal(stats.kv_active_pages + stats.kv_cached_pages, 0);
  assert_true(stats.kv_free_pages * stats.kv_page_size == stats.kv_reserved_bytes);
  assert_int_equal(stats.n_running + stats.n_waiting + stats.queued_requests + stats.queued_tokens, 0);
  assert_true(stats.preemptions > 0);
  if (cache_dir) assert_true(stats.disk_tokens > 0 && stats.disk_evictions > 0);
  gale_request *request = NULL;
  assert_int_equal(gale_engine_submit(s.engine, &s.kinds[0].request, &request, NULL), GALE_E_BUSY);
  assert_null(request);
  close_storm(&s);
  gale_model_close(&model);
}

/* The same with a cache on disk that has room for a part of it. */
static void nothing_is_left_with_disk(void **state) {
  cache_dir = directory;
  nothing_is_left(state);
  cache_dir = NULL;
}

/* An engine that is closed in the midst of its work ends every answer; events stay readable. */
static void closed_early(void **state) {
  (void)state;
  static storm s;
  gale_model *model = tiny();
  open_storm(&s, model, 256);
  gale_error error = {0};
  for (int i = 0; i < N_KINDS; i++)
    expect_ok(gale_engine_submit(s.engine, &s.kinds[i].request, &s.kinds[i].handle, &error), &error);
  assert_false(gale_engine_drain(s.engine, 0));
  gale_engine_close(&s.engine);
  int cancelled = 0;
  for (int i = 0; i < N_KINDS; i++) {
    gale_event event;
    int ends = 0;
    while (gale_request_next(s.kinds[i].handle, 0, &event)) {
      ends += event.kind == GALE_EVENT_END;
      cancelled += event.kind == GALE_EVENT_END && event.finish == GALE_FINISH_CANCELLED;
    }
    assert_int_equal(ends, s.kinds[i].request.n);
  }
  assert_true(cancelled > 0);
  close_storm(&s);
  gale_model_close(&model);
}

/* What can never be computed is refused at once. */
static void never_fits(void **state) {
  (void)state;
  static storm s;
  gale_model *model = tiny();
  open_storm(&s, model, 1);
  static int32_t prompt[257];
  gale_request_options o;
  gale_request_defaults(&o);
  o.prompt = prompt;
  o.n_prompt = 257;
  gale_request *request = NULL;
  gale_error error = {0};
  assert_int_equal(gale_engine_submit(s.engine, &o, &request, &error), GALE_E_CONTEXT);
  o.n_prompt = 0;
  assert_int_equal(gale_engine_submit(s.engine, &o, &request, &error), GALE_E_ARGUMENT);
  o.n_prompt = 4;
  o.n = 0;
  assert_int_equal(gale_engine_submit(s.engine, &o, &request, &error), GALE_E_ARGUMENT);
  o.n = 1;
  prompt[2] = VOCABULARY;
  assert_int_equal(gale_engine_submit(s.engine, &o, &request, &error), GALE_E_ARGUMENT);
  assert_null(request);
  assert_int_equal(stats_of(s.engine).queued_requests, 0);
  close_storm(&s);
  gale_session_options so = few_pages();
  so.kv_bytes = 1 << 14;
  gale_engine_options eo;
  gale_engine_defaults(&eo);
  eo.session = &so;
  gale_engine *engine = NULL;
  expect_ok(gale_engine_open(model, &eo, &engine, &error), &error);
  prompt[2] = 0;
  o.n_prompt = 256;
  assert_int_equal(gale_engine_submit(engine, &o, &request, &error), GALE_E_CONTEXT);
  assert_non_null(strstr(error.message, "pages"));
  gale_engine_close(&engine);
  gale_model_close(&model);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(nothing_is_left),
      cmocka_unit_test_setup_teardown(nothing_is_left_with_disk, make_directory, remove_directory),
      cmocka_unit_test(closed_early), cmocka_unit_test(never_fits)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
