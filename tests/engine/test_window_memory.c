/* Past its window a sequence takes no more memory, however long it gets. */
#include <unistd.h>

#include "models/model_cases.h"

enum { WINDOW = 256, CHUNK = 512, SHORT_TEXT = 1024, LONG_TEXT = 8192 };

static const model_case MODEL = {.name = "mistral-window-4096", .model = "mistral-window-4096"};

static uint64_t resident_bytes(void) {
  FILE *f = fopen("/proc/self/statm", "r");
  if (!f) return 0;
  unsigned long total = 0, resident = 0;
  int got = fscanf(f, "%lu %lu", &total, &resident);
  fclose(f);
  return got == 2 ? (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static gale_session_stats stats_of(const gale_session *session) {
  gale_session_stats stats;
  gale_session_get_stats(session, &stats);
  return stats;
}

static void feed_repeated(gale_session *session, int32_t sequence, size_t n, size_t chunk) {
  int32_t ids[CHUNK];
  for (size_t i = 0; i < CHUNK; i++) ids[i] = (int32_t)(i * 7 % 48);
  for (size_t done = 0; done < n; done += chunk) feed(session, sequence, ids, chunk, chunk, 0, NULL);
}

/* Positions of a page, found by counting tokens until a second page is taken, and its bytes. */
static size_t page_positions(const gale_model *model, gale_kv_type kv, uint64_t *bytes) {
  gale_session_options options = session_options(kv, 1);
  options.window = GALE_WINDOW_NONE;
  options.context = 4096;
  gale_session *session = session_open(model, &options);
  int32_t sequence = sequence_open(session);
  size_t n = 0;
  feed_repeated(session, sequence, 1, 1);
  *bytes = stats_of(session).kv_page_bytes;
  while (stats_of(session).kv_page_bytes == *bytes && n < 4096) {
    feed_repeated(session, sequence, 1, 1);
    n++;
  }
  assert_int_equal(stats_of(session).kv_page_bytes, 2 * *bytes);
  gale_session_close(&session);
  return n;
}

static void check_constant(const gale_model *model, gale_kv_type kv, size_t chunk) {
  uint64_t page_bytes;
  size_t page = page_positions(model, kv, &page_bytes);
  uint64_t limit = ((WINDOW + chunk + page - 1) / page + 1) * page_bytes;
  gale_session_options options = session_options(kv, chunk);
  options.window = WINDOW;
  options.context = LONG_TEXT;
  gale_session *session = session_open(model, &options);
  int32_t sequence = sequence_open(session);
  feed_repeated(session, sequence, SHORT_TEXT, chunk);
  gale_session_stats before = stats_of(session);
  uint64_t resident_before = resident_bytes();
  for (size_t n = SHORT_TEXT; n < LONG_TEXT; n += chunk) {
    feed_repeated(session, sequence, chunk, chunk);
    assert_true(stats_of(session).kv_page_bytes <= limit);
  }
  gale_session_stats after = stats_of(session);
  uint64_t resident_after = resident_bytes();
  assert_int_equal(gale_sequence_length(session, sequence), LONG_TEXT);
  assert_int_equal(after.kv_page_bytes, before.kv_page_bytes);
  assert_int_equal(after.kv_peak_bytes, before.kv_peak_bytes);
  assert_true(after.kv_peak_bytes <= limit);
  /* After a step the pages kept hold what the next token sees, W - 1 positions, and end where the text ends. */
  assert_true(after.kv_page_bytes >= (WINDOW - 1) / page * page_bytes);
  assert_true(resident_after <= resident_before + (1u << 20));
  gale_session_close(&session);
}

static void test_memory_is_constant_past_the_window(void **state) {
  (void)state;
  static const gale_kv_type types[] = {GALE_KV_F16, GALE_KV_F32, GALE_KV_Q8};
  gale_model *model = model_open_cpu(&MODEL, NULL);
  for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) check_constant(model, types[i], CHUNK);
  check_constant(model, GALE_KV_F16, 64);
  check_constant(model, GALE_KV_F16, 1);
  gale_model_close(&model);
}

/* Closing a sequence gives everything back, and what it gave back is used again. */
static void test_close_gives_pages_back(void **state) {
  (void)state;
  gale_model *model = model_open_cpu(&MODEL, NULL);
  gale_session_options options = session_options(GALE_KV_F16, CHUNK);
  options.context = 2048;
  gale_session *session = session_open(model, &options);
  gale_error error = {0};
  uint64_t peak = 0;
  for (int round = 0; round < 3; round++) {
    int32_t sequence = sequence_open(session);
    feed_repeated(session, sequence, 2048, CHUNK);
    if (round == 0) peak = stats_of(session).kv_peak_bytes;
    expect_ok(gale_sequence_close(session, sequence, &error), &error);
    assert_int_equal(stats_of(session).kv_page_bytes, 0);
  }
  assert_int_equal(stats_of(session).kv_peak_bytes, peak);
  gale_session_close(&session);
  gale_model_close(&model);
}

/* A fork shares pages: it costs none until it is written to, and then no more than it writes. */
static void test_fork_shares_pages(void **state) {
  (void)state;
  gale_model *model = model_open_cpu(&MODEL, NULL);
  uint64_t page_bytes;
  page_positions(model, GALE_KV_F16, &page_bytes);
  gale_session_options options = session_options(GALE_KV_F16, CHUNK);
  options.context = 2048;
  options.max_sequences = 2;
  gale_session *session = session_open(model, &options);
  gale_error error = {0};
  int32_t sequence = sequence_open(session), fork = -1;
  feed_repeated(session, sequence, 1024, CHUNK);
  uint64_t alone = stats_of(session).kv_page_bytes;
  expect_ok(gale_sequence_fork(session, sequence, &fork, &error), &error);
  assert_int_equal(stats_of(session).kv_page_bytes, alone);
  feed_repeated(session, fork, 1, 1);
  assert_true(stats_of(session).kv_page_bytes <= alone + page_bytes);
  expect_ok(gale_sequence_close(session, fork, &error), &error);
  assert_int_equal(stats_of(session).kv_page_bytes, alone);
  gale_session_close(&session);
  gale_model_close(&model);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_memory_is_constant_past_the_window),
      cmocka_unit_test(test_close_gives_pages_back),
      cmocka_unit_test(test_fork_shares_pages),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
