/* An owner that is woken by notify, and then takes what there is without waiting, misses nothing and is not woken more
 * often than it looks. */
#include "schedule/random_requests.h"

#include <pthread.h>

enum { N_REQUESTS = 24 };

/* What an event loop sleeps on. */
typedef struct loop {
  pthread_mutex_t lock;
  pthread_cond_t woken;
  int n_due; /* requests with events */
  bool due[N_REQUESTS];
  int calls[N_REQUESTS], looks[N_REQUESTS];
} loop;

typedef struct member {
  loop *of;
  int index;
} member;

static void on_notify(void *user) {
  const member *m = user;
  loop *l = m->of;
  pthread_mutex_lock(&l->lock);
  l->calls[m->index]++;
  l->n_due += !l->due[m->index];
  l->due[m->index] = true;
  pthread_cond_signal(&l->woken);
  pthread_mutex_unlock(&l->lock);
}

static int next_due(loop *l) {
  pthread_mutex_lock(&l->lock);
  while (l->n_due == 0) pthread_cond_wait(&l->woken, &l->lock);
  int i = 0;
  while (!l->due[i]) i++;
  l->due[i] = false;
  l->n_due--;
  pthread_mutex_unlock(&l->lock);
  return i;
}

static bool is_over(const asked *a) {
  for (int32_t i = 0; i < a->request.n; i++)
    if (!a->got[i].ended) return false;
  return true;
}

static void open_all(gale_model **model, gale_engine **engine, gale_session **session, int32_t sequences) {
  gale_error error = {0};
  expect_ok(gale_model_open("shape:tiny@q8_0", NULL, model, &error), &error);
  gale_session_options so = session_options(GALE_KV_F16, 64);
  so.context = 256;
  so.max_sequences = sequences;
  gale_engine_options eo;
  gale_engine_defaults(&eo);
  eo.session = &so;
  expect_ok(gale_engine_open(*model, &eo, engine, &error), &error);
  *session = session_open(*model, &so);
}

static void test_loop(void **state) {
  (void)state;
  static asked all[N_REQUESTS];
  static member members[N_REQUESTS];
  static loop l;
  gale_model *model = NULL;
  gale_engine *engine = NULL;
  gale_session *session = NULL;
  gale_error error = {0};
  uint64_t random = 4711;
  open_all(&model, &engine, &session, 4);
  pthread_mutex_init(&l.lock, NULL);
  pthread_cond_init(&l.woken, NULL);
  for (int i = 0; i < N_REQUESTS; i++) {
    ask(&all[i], &random);
    ask_alone(model, session, &all[i]);
    members[i] = (member){&l, i};
    all[i].request.notify = on_notify;
    all[i].request.user = &members[i];
    expect_ok(gale_engine_submit(engine, &all[i].request, &all[i].handle, &error), &error);
  }
  for (int n_over = 0; n_over < N_REQUESTS;) {
    int i = next_due(&l);
    gale_event event;
    bool was_over = is_over(&all[i]);
    while (gale_request_next(all[i].handle, 0, &event)) record_event(&all[i], &event);
    l.looks[i]++;
    n_over += is_over(&all[i]) && !was_over;
  }
  assert_true(gale_engine_drain(engine, -1));
  uint64_t steps = 0;
  gale_engine_stats stats = stats_of(engine);
  for (int i = 0; i < 17; i++) steps += stats.step_sizes[i];
  assert_true(steps == stats.steps);
  gale_engine_close(&engine);
  for (int i = 0; i < N_REQUESTS; i++) {
    /* The last call may come when its events were taken already. */
    assert_in_range(l.calls[i] - l.looks[i], 0, 1);
    expect_as_alone(&all[i], "woken");
    asked_free(&all[i]);
  }
  pthread_cond_destroy(&l.woken);
  pthread_mutex_destroy(&l.lock);
  gale_session_close(&session);
  gale_model_close(&model);
}

typedef struct closing {
  gale_request *request;
  int calls;
} closing;

static void close_own(void *user) {
  closing *c = user;
  c->calls++;
  gale_request_close(&c->request);
}

static void ignore_event(void *user, const gale_event *event) {
  (void)user;
  (void)event;
}

/* The callback may close the request, and comes without event alone. */
static void test_closed(void **state) {
  (void)state;
  gale_model *model = NULL;
  gale_engine *engine = NULL;
  gale_session *session = NULL;
  gale_error error = {0};
  asked a;
  closing c = {0};
  uint64_t random = 1;
  open_all(&model, &engine, &session, 1);
  ask(&a, &random);
  a.request.notify = close_own;
  a.request.user = &c;
  expect_ok(gale_engine_submit(engine, &a.request, &c.request, &error), &error);
  assert_true(gale_engine_drain(engine, -1));
  assert_int_equal(c.calls, 1);
  assert_null(c.request);
  a.request.event = ignore_event;
  assert_int_equal(gale_engine_submit(engine, &a.request, &c.request, &error), GALE_E_ARGUMENT);
  assert_null(c.request);
  gale_engine_close(&engine);
  gale_session_close(&session);
  gale_model_close(&model);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_loop), cmocka_unit_test(test_closed)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
