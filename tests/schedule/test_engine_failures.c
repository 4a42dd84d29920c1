/* Requests while the N-th allocation fails, for every N until none is left to fail: what is not refused ends, as it
 * would alone or with GALE_E_MEMORY; no page, place or memory is left (the address sanitizer looks), and the engine
 * serves the next one. The linker hands the calls of gale's objects to the functions below (cmake/tests.cmake). */
#include <stdatomic.h>
#include <stddef.h>

void *__real_realloc(void *old, size_t n);
#define RECORD_REALLOC __real_realloc
#include "schedule/random_requests.h"

static atomic_long countdown; /* calls until the one that fails, which is number 1; 0 and less: none does */

static bool fails(void) {
  return atomic_load(&countdown) > 0 && atomic_fetch_sub(&countdown, 1) == 1;
}

void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_malloc(size_t n) {
  return fails() ? NULL : __real_malloc(n);
}

void *__real_calloc(size_t count, size_t n);
void *__wrap_calloc(size_t count, size_t n);
void *__wrap_calloc(size_t count, size_t n) {
  return fails() ? NULL : __real_calloc(count, n);
}

void *__wrap_realloc(void *old, size_t n);
void *__wrap_realloc(void *old, size_t n) {
  return fails() ? NULL : __real_realloc(old, n);
}

char *__real_strdup(const char *s);
char *__wrap_strdup(const char *s);
char *__wrap_strdup(const char *s) {
  return fails() ? NULL : __real_strdup(s);
}

int __real_posix_memalign(void **to, size_t alignment, size_t n);
int __wrap_posix_memalign(void **to, size_t alignment, size_t n);
int __wrap_posix_memalign(void **to, size_t alignment, size_t n) {
  return fails() ? 12 : __real_posix_memalign(to, alignment, n);
}

enum { N_KINDS = 5 };

typedef struct outcome {
  int refused, failed;
} outcome;

static void fill(asked *a, int kind, uint64_t *random) {
  ask(a, random);
  a->generation.max_tokens = 12;
  a->generation.speculate = kind == 1 ? 8 : 0;
  a->request.n = kind == 2 ? 3 : 1;
  a->request.embed = kind == 3;
  a->request.prompt_logprobs_from = kind == 4;
  a->request.prompt_top_logprobs = kind == 4 ? 2 : 0;
}

/* Reads all events of a request. */
static void read_checked(asked *a, outcome *o) {
  gale_event event;
  bool failed[MOST_N] = {0};
  int ends = 0;
  while (gale_request_next(a->handle, -1, &event)) {
    if (event.kind == GALE_EVENT_END) ends++;
    if (event.kind == GALE_EVENT_END && event.error->code) {
      assert_int_equal(event.error->code, GALE_E_MEMORY);
      assert_int_equal(event.finish, GALE_FINISH_CANCELLED);
      failed[event.choice] = true;
      continue;
    }
    record_event(a, &event);
  }
  assert_int_equal(ends, a->request.n);
  for (int32_t i = 0; i < a->request.n; i++) {
    o->failed += failed[i];
    if (failed[i]) continue;
    assert_int_equal(a->got[i].length, a->alone[i].length);
    assert_memory_equal(a->got[i].bytes, a->alone[i].bytes, a->got[i].length);
  }
}

/* One request of each kind, one after the other, with a failure at the N-th allocation of all. */
static outcome serve(gale_engine *engine, asked *all, long n) {
  outcome o = {0};
  atomic_store(&countdown, n);
  for (int i = 0; i < N_KINDS; i++) {
    gale_error error = {0};
    gale_status status = gale_engine_submit(engine, &all[i].request, &all[i].handle, &error);
    if (status) {
      assert_int_equal(status, GALE_E_MEMORY);
      assert_null(all[i].handle);
      o.refused++;
      continue;
    }
    read_checked(&all[i], &o);
    gale_request_close(&all[i].handle);
  }
  return o;
}

static void forget_got(asked *all) {
  for (int i = 0; i < N_KINDS; i++)
    for (int k = 0; k < MOST_N; k++) {
      free(all[i].got[k].bytes);
      all[i].got[k] = (record){0};
    }
}

static void test_requests(void **state) {
  (void)state;
  static asked all[N_KINDS];
  gale_model *model = NULL;
  gale_engine *engine = NULL;
  gale_error error = {0};
  uint64_t random = 42;
  expect_ok(gale_model_open("shape:tiny@q8_0", NULL, &model, &error), &error);
  gale_session_options so = session_options(GALE_KV_F16, 64);
  so.context = 256;
  so.max_sequences = 3;
  so.threads = 1;
  gale_session *session = session_open(model, &so);
  for (int i = 0; i < N_KINDS; i++) {
    fill(&all[i], i, &random);
    ask_alone(model, session, &all[i]);
  }
  gale_session_close(&session);
  gale_engine_options eo;
  gale_engine_defaults(&eo);
  eo.session = &so;
  eo.draft = model;
  eo.kept_texts = 3;
  outcome sum = {0};
  expect_ok(gale_engine_open(model, &eo, &engine, &error), &error);
  for (long n = 1, left = 0; left <= 0; n++) {
    outcome o = serve(engine, all, n);
    left = atomic_exchange(&countdown, 0);
    sum.refused += o.refused;
    sum.failed += o.failed;
    forget_got(all);
    gale_engine_forget(engine);
    gale_engine_stats stats = stats_of(engine);
    assert_int_equal(stats.kv_page_bytes, 0);
    assert_int_equal(stats.n_running + stats.n_waiting + stats.queued_requests + stats.queued_tokens, 0);
  }
  print_message("             %d requests refused, %d answers failed\n", sum.refused, sum.failed);
  assert_true(sum.refused > 20 && sum.failed > 20);
  gale_engine_close(&engine);
  for (int i = 0; i < N_KINDS; i++) asked_free(&all[i]);
  gale_model_close(&model);
}

static void test_opening(void **state) {
  (void)state;
  gale_model *model = NULL;
  gale_error error = {0};
  gale_session_options so = session_options(GALE_KV_F16, 64);
  gale_engine_options eo;
  expect_ok(gale_model_open("shape:tiny@q8_0", NULL, &model, &error), &error);
  so.context = 256;
  so.threads = 1;
  gale_engine_defaults(&eo);
  eo.session = &so;
  eo.draft = model;
  gale_status status = GALE_E_MEMORY;
  int failures = 0;
  for (long n = 1; status; n++) {
    gale_engine *engine = NULL;
    atomic_store(&countdown, n);
    status = gale_engine_open(model, &eo, &engine, &error);
    atomic_store(&countdown, 0);
    failures += status != GALE_OK;
    assert_true(status == GALE_OK || (status == GALE_E_MEMORY && !engine));
    gale_engine_close(&engine);
  }
  assert_true(failures > 10);
  gale_model_close(&model);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_requests), cmocka_unit_test(test_opening)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
