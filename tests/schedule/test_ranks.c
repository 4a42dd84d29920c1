/* Who goes first: by priority, then by submission; who gives way; who is refused; who comes too late. While the
 * engine's thread is held in a callback, what is submitted waits. */
#include "schedule/random_requests.h"

#include <pthread.h>

typedef struct gate {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  bool held, opened;
} gate;

typedef struct entry {
  gate *gate; /* NULL: the callback returns at once */
  gale_request *request;
  int *n_ends;
  int place; /* by when it ended */
  int32_t n_tokens, n_cached;
  gale_finish finish;
} entry;

static void on_event(void *user, const gale_event *event) {
  entry *e = user;
  if (event->kind == GALE_EVENT_END) {
    e->place = (*e->n_ends)++;
    e->n_tokens = event->n_tokens;
    e->finish = event->finish;
    e->n_cached = event->n_cached;
    assert_int_equal(event->error->code, GALE_OK);
  }
  if (!e->gate || event->kind != GALE_EVENT_TOKEN) return;
  gate *g = e->gate;
  e->gate = NULL;
  pthread_mutex_lock(&g->lock);
  g->held = true;
  pthread_cond_broadcast(&g->changed);
  while (!g->opened) pthread_cond_wait(&g->changed, &g->lock);
  pthread_mutex_unlock(&g->lock);
}

typedef struct bench {
  gale_model *model;
  gale_engine *engine;
  gate gate;
  int n_ends;
  entry first; /* whose callback holds the thread */
} bench;

static void submit(bench *b, entry *e, int32_t priority, int32_t n_prompt, int32_t n_tokens, double deadline,
                   gale_status expected) {
  static int32_t prompt[256];
  gale_error error = {0};
  gale_request_options o;
  gale_generation_options generation;
  gale_sampler_options sampling;
  gale_request_defaults(&o);
  gale_generation_defaults(&generation);
  gale_sampler_defaults(&sampling);
  sampling.ignore_end = true;
  generation.sampling = &sampling;
  generation.max_tokens = n_tokens;
  for (int32_t i = 0; i < n_prompt; i++) prompt[i] = (int32_t)(random_at((uint64_t)e->place, (uint64_t)i) % VOCABULARY);
  o.prompt = prompt;
  o.n_prompt = (size_t)n_prompt;
  o.generation = &generation;
  o.priority = priority;
  o.deadline = deadline;
  o.event = on_event;
  o.user = e;
  e->n_ends = &b->n_ends;
  gale_status status = gale_engine_submit(b->engine, &o, &e->request, &error);
  if (status != expected) fail_msg("%d, not %d: %s", (int)status, (int)expected, error.message);
}

/* An engine with so many places, whose thread is held in the first token of a first answer. */
static void bench_open(bench *b, int32_t places, gale_engine_options *eo) {
  *b = (bench){0};
  gale_error error = {0};
  expect_ok(gale_model_open("shape:tiny@q8_0", NULL, &b->model, &error), &error);
  gale_session_options so = session_options(GALE_KV_F16, 64);
  so.context = 256;
  so.max_sequences = places;
  eo->session = &so;
  expect_ok(gale_engine_open(b->model, eo, &b->engine, &error), &error);
  eo->session = NULL;
  pthread_mutex_init(&b->gate.lock, NULL);
  pthread_cond_init(&b->gate.changed, NULL);
  b->first = (entry){.gate = &b->gate, .place = 99};
  submit(b, &b->first, 0, 5, 20, 0, GALE_OK);
  pthread_mutex_lock(&b->gate.lock);
  while (!b->gate.held) pthread_cond_wait(&b->gate.changed, &b->gate.lock);
  pthread_mutex_unlock(&b->gate.lock);
}

static void go_on(bench *b) {
  pthread_mutex_lock(&b->gate.lock);
  b->gate.opened = true;
  pthread_cond_broadcast(&b->gate.changed);
  pthread_mutex_unlock(&b->gate.lock);
  assert_true(gale_engine_drain(b->engine, -1));
}

static void bench_close(bench *b) {
  gale_request_close(&b->first.request);
  gale_engine_forget(b->engine);
  assert_int_equal(stats_of(b->engine).kv_page_bytes, 0);
  gale_engine_close(&b->engine);
  gale_model_close(&b->model);
  pthread_cond_destroy(&b->gate.changed);
  pthread_mutex_destroy(&b->gate.lock);
}

/* One place: those of higher priority first, the one that runs gives its place away, and equals keep their order. */
static void test_order(void **state) {
  (void)state;
  static const int32_t priorities[] = {-1, 0, 7, 0, 7, 3};
  static const int places[] = {6, 4, 0, 5, 1, 2};
  bench b;
  gale_engine_options eo;
  entry entries[6] = {0};
  gale_engine_defaults(&eo);
  bench_open(&b, 1, &eo);
  for (int i = 0; i < 6; i++) {
    entries[i].place = i;
    submit(&b, &entries[i], priorities[i], 30, 6, 0, GALE_OK);
  }
  go_on(&b);
  for (int i = 0; i < 6; i++) {
    assert_int_equal(entries[i].place, places[i]);
    assert_int_equal(entries[i].n_tokens, 6);
    gale_request_close(&entries[i].request);
  }
  assert_int_equal(b.first.place, 3);
  assert_int_equal(b.first.n_tokens, 20);
  assert_int_equal(stats_of(b.engine).preemptions, 1);
  bench_close(&b);
}

/* Equals get on evenly: a short prompt is not held up by a long one that came before. */
static void test_fair(void **state) {
  (void)state;
  static const int lengths[] = {150, 20, 150, 150}, places[] = {1, 0, 2, 3};
  bench b;
  gale_engine_options eo;
  entry entries[4] = {0};
  gale_engine_defaults(&eo);
  eo.slowdown = 0;
  bench_open(&b, 5, &eo);
  for (int i = 0; i < 4; i++) {
    entries[i].place = i;
    submit(&b, &entries[i], 0, lengths[i], 1, 0, GALE_OK);
  }
  go_on(&b);
  for (int i = 0; i < 4; i++) {
    assert_int_equal(entries[i].place, places[i]);
    gale_request_close(&entries[i].request);
  }
  bench_close(&b);
}

/* What is late ends without an answer, also while it waits; what exceeds the queue is refused. */
static void test_refused(void **state) {
  (void)state;
  bench b;
  gale_engine_options eo;
  entry late = {.place = 1}, waits = {.place = 2}, refused = {.place = 3};
  gale_engine_defaults(&eo);
  eo.queue_requests = 2;
  eo.queue_tokens = 100;
  bench_open(&b, 1, &eo);
  submit(&b, &late, 9, 40, 6, 1e-9, GALE_OK);
  submit(&b, &refused, 9, 61, 6, 0, GALE_E_BUSY); /* too many tokens */
  submit(&b, &waits, 0, 60, 6, 0, GALE_OK);
  submit(&b, &refused, 9, 1, 6, 0, GALE_E_BUSY); /* too many requests */
  assert_null(refused.request);
  go_on(&b);
  assert_int_equal(late.finish, GALE_FINISH_CANCELLED);
  assert_int_equal(late.n_tokens, 0);
  assert_int_equal(waits.n_tokens, 6);
  gale_request_close(&late.request);
  gale_request_close(&waits.request);
  bench_close(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_order), cmocka_unit_test(test_fair),
                                     cmocka_unit_test(test_refused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
