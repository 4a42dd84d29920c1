/* What the prefix cache on disk finds again after a restart, and that answers are the same with it: types of cache,
 * windows, salts, several engines over one directory, and the bound of its size. */
#include "schedule/disk_texts.h"

#include <sys/wait.h>

static const disk_setting SETTINGS[] = {
    {"shape:tiny@q8_0", GALE_KV_F16, GALE_WINDOW_NONE, 64, 0, 1 << 30},
    {"shape:tiny@q8_0", GALE_KV_Q8, GALE_WINDOW_NONE, 17, 8, 1 << 30},
    {"shape:tiny@q8_0", GALE_KV_F32, GALE_WINDOW_NATIVE, 512, 0, 1 << 30},
    {"shape:tiny@q8_0", GALE_KV_F16, 70, 512, 0, 1 << 30},
    {"shape:tiny@q8_0", GALE_KV_Q8, 1, 100, 4, 1 << 30},
    {NULL, GALE_KV_F16, GALE_WINDOW_NATIVE, 128, 0, 1 << 30},
    {NULL, GALE_KV_F32, GALE_WINDOW_NATIVE, 60, 4, 1 << 30},
};
enum { N_SETTINGS = sizeof SETTINGS / sizeof *SETTINGS };

static uint64_t tokens_of(disk_engine *d) {
  gale_engine_drain(d->engine, -1);
  return stats_of(d->engine).tokens;
}

/* The same prompt, and shorter and longer ones, after a restart: pages are read instead of computed. */
static void restart(const disk_setting *t) {
  static const int32_t LENGTHS[] = {LONG, 64, 65, 129, 200, 256};
  int32_t ids[CONTEXT], first[8][ANSWER], again[ANSWER];
  disk_engine d = disk_open(t);
  make_text(&d, ids, CONTEXT, 11);
  for (int i = 0; i < 6; i++) found(&d, ids, LENGTHS[i], NULL, first[i]);
  disk_close(&d);
  for (int i = 5; i >= 0; i--) {
    d = disk_open(t);
    int32_t n = LENGTHS[i];
    if (found(&d, ids, n, NULL, again) != whole_pages(n))
      fail_msg("window %d, chunk %d: prompt of %d", t->window, t->chunk, n);
    assert_memory_equal(first[i], again, sizeof again);
    assert_int_equal(stats_of(d.engine).disk_tokens, whole_pages(n));
    assert_int_equal(tokens_of(&d), n - whole_pages(n) + ANSWER - 1);
    disk_close(&d);
  }
}

static void test_restart(void **state) {
  (void)state;
  for (int i = 0; i < N_SETTINGS; i++) {
    empty_cache();
    restart(&SETTINGS[i]);
  }
}

/* The next turn of a conversation after a restart: the earlier answer's pages are there too. */
static void test_turns(void **state) {
  (void)state;
  for (int i = 0; i < N_SETTINGS; i++) {
    int32_t ids[CONTEXT], n = 100, alone[ANSWER];
    empty_cache();
    for (int turn = 0; turn < 6; turn++) {
      disk_engine d = disk_open(&SETTINGS[i]);
      if (turn == 0) make_text(&d, ids, CONTEXT, 4);
      int32_t before = turn ? n - 30 - 1 : 0; /* the last token of an answer is not computed */
      int32_t got = found(&d, ids, n, NULL, ids + n);
      if (got != before / 64 * 64) fail_msg("setting %d, turn %d: %d", i, turn, got);
      disk_close(&d);
      n += ANSWER + 30;
    }
    n -= ANSWER + 30;
    empty_cache();
    disk_engine d = disk_open(&SETTINGS[i]);
    assert_int_equal(found(&d, ids, n, NULL, alone), 0);
    assert_memory_equal(ids + n, alone, sizeof alone);
    disk_close(&d);
  }
}

static void test_salts(void **state) {
  (void)state;
  int32_t ids[LONG], answer[ANSWER];
  disk_engine d = disk_open(&USUAL);
  make_text(&d, ids, LONG, 1);
  assert_int_equal(found(&d, ids, LONG, NULL, answer), 0);
  assert_int_equal(found(&d, ids, LONG, "a", answer), 0);
  assert_int_equal(found(&d, ids, LONG, "b", answer), 0);
  disk_close(&d);
  d = disk_open(&USUAL);
  assert_int_equal(found(&d, ids, LONG, "c", answer), 0);
  assert_int_equal(found(&d, ids, LONG, "a", answer), whole_pages(LONG));
  assert_int_equal(found(&d, ids, LONG, "b", answer), whole_pages(LONG));
  assert_int_equal(found(&d, ids, LONG, "", answer), whole_pages(LONG));
  disk_close(&d);
}

/* What differs in model, type of cache or windows shares nothing. */
static void test_keys(void **state) {
  (void)state;
  disk_setting t = USUAL;
  int32_t ids[LONG], answer[ANSWER];
  for (int i = 0; i < 5; i++) {
    t.kv = i == 1 ? GALE_KV_F32 : GALE_KV_F16;
    t.window = i == 2 ? 300 : GALE_WINDOW_NONE;
    t.model = i == 3 ? "shape:tiny@q4_0" : "shape:tiny@q8_0";
    disk_engine d = disk_open(&t);
    make_text(&d, ids, LONG, 1);
    assert_int_equal(found(&d, ids, LONG, NULL, answer), i == 4 ? whole_pages(LONG) : 0);
    disk_close(&d);
  }
}

/* Two engines that run at once find each other's pages; n answers of one prompt read it once. */
static void test_two_engines(void **state) {
  (void)state;
  int32_t ids[2][LONG], answers[4][ANSWER], turned[ANSWER];
  disk_engine a = disk_open(&USUAL), b = disk_open(&USUAL);
  for (int i = 0; i < 2; i++) make_text(&a, ids[i], LONG, 20 + (uint64_t)i);
  gale_request *both[2] = {submit(&a, ids[0], LONG, NULL, 1), submit(&b, ids[1], LONG, NULL, 1)};
  for (int i = 0; i < 2; i++) collect(both[i], answers[i]);
  gale_engine_close(&a.engine); /* what it has is written then */
  gale_model_close(&a.model);
  assert_int_equal(found(&b, ids[0], LONG, NULL, turned), whole_pages(LONG));
  assert_memory_equal(turned, answers[0], sizeof turned);
  disk_close(&b);
  a = disk_open(&USUAL);
  assert_int_equal(collect(submit(&a, ids[1], LONG, NULL, 3), turned), whole_pages(LONG));
  assert_memory_equal(turned, answers[1], sizeof turned);
  assert_int_equal(stats_of(a.engine).disk_tokens, whole_pages(LONG));
  disk_close(&a);
}

/* More texts than may be kept, by two engines in turn: the bound holds all the time, and what was used last is there,
 * from its beginning on. */
static void test_bound(void **state) {
  (void)state;
  int32_t ids[LONG], answer[ANSWER];
  disk_setting t = USUAL;
  disk_engine d = disk_open(&USUAL);
  make_text(&d, ids, LONG, 1);
  found(&d, ids, LONG, NULL, answer);
  disk_close(&d);
  uint64_t page = bytes_of_pages() / (LONG / 64);
  empty_cache();
  t.limit = 21 * page / 2;
  disk_engine two[2] = {disk_open(&t), disk_open(&t)};
  for (uint64_t i = 0; i < 14; i++) {
    make_text(&two[0], ids, LONG, 100 + i);
    assert_int_equal(found(&two[i % 2], ids, LONG, NULL, answer), 0);
    assert_true(bytes_of_pages() <= t.limit);
  }
  while (stats_of(two[0].engine).disk_evictions + stats_of(two[1].engine).disk_evictions < 40) usleep(1000);
  disk_close(&two[0]);
  disk_close(&two[1]);
  assert_true(bytes_of_pages() <= t.limit);
  assert_true(bytes_of_pages() >= t.limit / 2);
  d = disk_open(&t);
  assert_int_equal(found(&d, ids, LONG, NULL, answer), whole_pages(LONG));
  assert_true(stats_of(d.engine).disk_bytes <= t.limit);
  disk_close(&d);
  t.limit = 5 * page / 2; /* a smaller one is met when the directory is opened */
  d = disk_open(&t);
  assert_true(bytes_of_pages() <= t.limit);
  assert_int_equal(found(&d, ids, LONG, NULL, answer), 128);
  disk_close(&d);
  t.limit = 100;
  d = disk_open(&t);
  assert_int_equal(bytes_of_pages(), 0);
  assert_int_equal(found(&d, ids, LONG, NULL, answer), 0);
  disk_close(&d);
  assert_int_equal(bytes_of_pages(), 0);
}

/* With memory for one text only, others come from disk while it runs; those that are cancelled while they are read
 * leave nothing. */
static void test_cancelled(void **state) {
  (void)state;
  int32_t ids[6][LONG], answer[ANSWER], again[ANSWER];
  disk_engine d = disk_open(&USUAL);
  for (int i = 0; i < 6; i++) {
    make_text(&d, ids[i], LONG, 300 + (uint64_t)i);
    found(&d, ids[i], LONG, NULL, answer);
  }
  disk_close(&d);
  d = disk_open(&USUAL);
  for (int round = 0; round < 40; round++) {
    gale_request *r[6];
    for (int i = 0; i < 6; i++) r[i] = submit(&d, ids[i], LONG, NULL, 2);
    for (int i = 0; i < 5; i++) {
      if (round % 3 == 0) usleep(50u * (unsigned)(round % 7));
      gale_request_close(&r[(i + round) % 5]);
    }
    assert_int_equal(collect(r[5], again), whole_pages(LONG));
    assert_memory_equal(answer, again, sizeof again);
  }
  disk_close(&d);
}

/* A directory that cannot be made, or is a file, is said to be so. */
static void test_no_directory(void **state) {
  (void)state;
  gale_model *model = NULL;
  gale_engine *engine = NULL;
  gale_error error = {0};
  gale_engine_options o;
  gale_engine_defaults(&o);
  o.cache_dir = write_text("file", "");
  expect_ok(gale_model_open("shape:tiny@q8_0", NULL, &model, &error), &error);
  assert_int_equal(gale_engine_open(model, &o, &engine, &error), GALE_E_IO);
  assert_non_null(strstr(error.message, o.cache_dir));
  gale_model_close(&model);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      WITH_A_CACHE(test_restart),   WITH_A_CACHE(test_turns),        WITH_A_CACHE(test_salts),
      WITH_A_CACHE(test_keys),      WITH_A_CACHE(test_two_engines),  WITH_A_CACHE(test_bound),
      WITH_A_CACHE(test_cancelled), WITH_A_CACHE(test_no_directory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
