/* Whatever an engine computes together, each answer is what it is alone: tokens, pieces, log-probabilities and the
 * reason of its end. Every third time with a cache on disk, which the engines share. */
#include "format/files.h"
#include "schedule/random_requests.h"

#include <stdatomic.h>
#include <time.h>

enum { N_REQUESTS = 40 };

static const gale_model *smaller; /* that drafts for some of the engines; the model itself for others */
static uint64_t by_model_right, by_model_wrong;
static uint64_t n_right, n_wrong; /* tokens of drafts */

static _Thread_local bool cheap; /* what was done last */

/* In place of the C library's: every step seems to take as long as any other, and those of a draft model, which are
 * gale_step()'s, much less, so that much is drafted. */
int clock_gettime(clockid_t clock, struct timespec *t) {
  static atomic_long milliseconds;
  (void)clock;
  long step = cheap ? 1 : 100, now = atomic_fetch_add(&milliseconds, step) + step;
  cheap = false;
  *t = (struct timespec){now / 1000, now % 1000 * 1000000};
  return 0;
}

gale_status __real_gale_step(gale_session *session, const gale_input *inputs, size_t n_inputs, gale_error *error);
gale_status __wrap_gale_step(gale_session *session, const gale_input *inputs, size_t n_inputs, gale_error *error);
gale_status __wrap_gale_step(gale_session *session, const gale_input *inputs, size_t n_inputs, gale_error *error) {
  gale_status status = __real_gale_step(session, inputs, n_inputs, error);
  cheap = true;
  return status;
}

typedef struct engine_setting {
  const char *name;
  gale_kv_type kv;
  int32_t window, threads, sequences, chunk;
  int64_t pages; /* 0: enough */
} engine_setting;

static const engine_setting SETTINGS[] = {
    {"one at a time", GALE_KV_F16, GALE_WINDOW_NONE, 1, 1, 64, 0},
    {"together", GALE_KV_F16, GALE_WINDOW_NONE, 1, 8, 256, 0},
    {"small steps, 2 threads", GALE_KV_Q8, GALE_WINDOW_NONE, 2, 6, 8, 0},
    {"3 threads, the model's window", GALE_KV_F32, GALE_WINDOW_NATIVE, 3, 5, 17, 0},
    {"a window of 70", GALE_KV_Q8, 70, 1, 8, 33, 0},
    {"few pages", GALE_KV_F16, GALE_WINDOW_NONE, 1, 8, 64, 5},
    {"few pages, a window of 70", GALE_KV_F32, 70, 2, 8, 64, 7},
    {"few pages, the model's window", GALE_KV_Q8, GALE_WINDOW_NATIVE, 1, 8, 24, 4},
};
enum { N_SETTINGS = sizeof SETTINGS / sizeof *SETTINGS };

static uint64_t page_bytes(const gale_model *m, const gale_session_options *o) {
  gale_session *s = session_open(m, o);
  int32_t token = 5, sequence = sequence_open(s);
  gale_input in = {sequence, &token, 1, GALE_LOGITS_NONE};
  expect_ok(gale_step(s, &in, 1, NULL), NULL);
  gale_session_stats stats;
  gale_session_get_stats(s, &stats);
  gale_session_close(&s);
  return stats.kv_page_bytes;
}

static uint64_t disk_tokens, preemptions;

static void on_event(void *user, const gale_event *event) {
  record_event(user, event);
}

static void test_setting(const gale_model *model, const engine_setting *t, uint64_t seed) {
  static asked all[N_REQUESTS];
  gale_session_options so = session_options(t->kv, (size_t)t->chunk);
  so.window = t->window;
  so.threads = t->threads;
  so.context = 256;
  so.max_sequences = t->sequences;
  if (t->pages) so.kv_bytes = (uint64_t)t->pages * page_bytes(model, &so);
  gale_engine_options eo;
  gale_engine_defaults(&eo);
  eo.session = &so;
  eo.kept_texts = seed % 2 ? 0 : 12;
  if (seed >= 2000000) eo.cache_dir = directory;
  if (seed / 1000000 == 1) eo.draft = t->kv == GALE_KV_F16 ? model : smaller;
  gale_engine *engine = NULL;
  gale_error error = {0};
  expect_ok(gale_engine_open(model, &eo, &engine, &error), &error);
  gale_session *session = session_open(model, &so);
  uint64_t random = seed;
  for (int i = 0; i < N_REQUESTS; i++) {
    ask(&all[i], &random);
    ask_alone(model, session, &all[i]);
    if (i % 3 == 0) {
      all[i].request.event = on_event;
      all[i].request.user = &all[i];
    }
    expect_ok(gale_engine_submit(engine, &all[i].request, &all[i].handle, &error), &error);
  }
  for (int i = 0; i < N_REQUESTS; i++)
    if (i % 3) read_all(&all[i]);
  assert_true(gale_engine_drain(engine, -1));
  gale_engine_forget(engine);
  gale_engine_stats stats = stats_of(engine);
  assert_int_equal(stats.kv_page_bytes, 0);
  disk_tokens += stats.disk_tokens;
  assert_int_equal(stats.n_running + stats.n_waiting + stats.queued_requests + stats.queued_tokens, 0);
  preemptions += stats.preemptions;
  if (t->sequences > 1 && t->window == GALE_WINDOW_NONE) assert_true(stats.shared_tokens > 0);
  by_model_right += stats.draft_right;
  by_model_wrong += stats.draft_wrong;
  n_right += stats.lookup_right;
  n_wrong += stats.lookup_wrong;
  gale_engine_close(&engine);
  gale_session_close(&session);
  for (int i = 0; i < N_REQUESTS; i++) {
    expect_as_alone(&all[i], t->name);
    asked_free(&all[i]);
  }
}

static void test_same(void **state) {
  (void)state;
  gale_model *model = NULL;
  gale_error error = {0};
  expect_ok(gale_model_open("shape:tiny@q8_0", NULL, &model, &error), &error);
  gale_model *other = NULL;
  expect_ok(gale_model_open("shape:tiny@q4_0", NULL, &other, &error), &error);
  smaller = other;
  gale_mask_table *table = NULL;
  gale_constraint *constraint = NULL;
  gale_constraint_options co;
  gale_constraint_defaults(&co);
  co.kind = GALE_CONSTRAINT_REGEX;
  co.text = "[a-z]{3,9}( [a-z0-9]+)*\\.";
  co.length = strlen(co.text);
  expect_ok(gale_mask_table_open(gale_model_tokenizer(model), &table, &error), &error);
  expect_ok(gale_constraint_open(table, &co, &constraint, &error), &error);
  binding = constraint;
  for (size_t i = 0; i < N_SETTINGS; i++)
    for (uint64_t seed = 0; seed < 3; seed++) test_setting(model, &SETTINGS[i], seed * 1000000 + i * 10000);
  print_message("             %llu tokens of drafts right, %llu wrong\n", (unsigned long long)n_right,
                (unsigned long long)n_wrong);
  print_message("             and of a model's %llu right, %llu wrong\n", (unsigned long long)by_model_right,
                (unsigned long long)by_model_wrong);
  assert_true(by_model_right > 100 && by_model_wrong > 100);
  assert_true(n_right > 100 && n_wrong > 100);
  assert_true(disk_tokens > 1000);
  assert_true(preemptions > 0);
  gale_constraint_close(&constraint);
  gale_mask_table_close(&table);
  gale_model_close(&other);
  gale_model_close(&model);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_same, make_directory, remove_directory)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
