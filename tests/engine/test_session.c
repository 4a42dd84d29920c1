/* Whose the rows of logits are, and what happens where the pages of the cache run out. */
#include "models/model_cases.h"

enum { VOCABULARY = 320, STEP = 16 };

static gale_model *open_shape(const char *name) {
  gale_model *m = NULL;
  gale_error error = {0};
  expect_ok(gale_model_open(name, NULL, &m, &error), &error);
  return m;
}

static gale_session *open_with(const gale_model *m, int32_t sequences, uint64_t kv_bytes) {
  gale_session_options o = session_options(GALE_KV_F16, STEP);
  o.context = 256;
  o.max_sequences = sequences;
  o.kv_bytes = kv_bytes;
  return session_open(m, &o);
}

static void make_ids(int32_t *ids, int n, int seed) {
  for (int i = 0; i < n; i++) ids[i] = (i * 37 + seed * 11 + i * i) % 256 + 4;
}

static gale_session_stats stats_of(const gale_session *s) {
  gale_session_stats stats;
  gale_session_get_stats(s, &stats);
  return stats;
}

static gale_status step_one(gale_session *s, int32_t sequence, int32_t token, gale_error *error) {
  gale_input input = {sequence, &token, 1, GALE_LOGITS_LAST};
  return gale_step(s, &input, 1, error);
}

/* ---- Rows ---- */

static void rows_of_a_step(void **state) {
  (void)state;
  gale_model *m = open_shape("shape:tiny@q8_0");
  gale_session *s = open_with(m, 4, 0);
  const int32_t a = sequence_open(s), b = sequence_open(s), c = sequence_open(s), tokens[] = {5, 6, 7};
  gale_input inputs[] = {
      {a, tokens, 3, GALE_LOGITS_ALL}, {b, tokens, 2, GALE_LOGITS_NONE}, {c, tokens, 3, GALE_LOGITS_LAST}};
  assert_int_equal(gale_logits_rows(s, a), 0);
  expect_ok(gale_step(s, inputs, 3, NULL), NULL);
  assert_int_equal(gale_logits_rows(s, a), 3);
  assert_int_equal(gale_logits_rows(s, b), 0);
  assert_int_equal(gale_logits_rows(s, c), 1);
  assert_memory_equal(gale_logits(s, a, 2), gale_logits(s, c, 0), VOCABULARY * sizeof(float));
  assert_ptr_not_equal(gale_logits(s, a, 2), gale_logits(s, c, 0));
  assert_null(gale_logits(s, a, 3));
  assert_null(gale_logits(s, b, 0));
  assert_null(gale_logits(s, 3, 0));
  assert_null(gale_logits(s, -1, 0));
  assert_null(gale_logits(s, 4, 0));
  /* A step that is refused takes nothing away; one without the sequence does. */
  assert_int_equal(step_one(s, b, VOCABULARY, NULL), GALE_E_ARGUMENT);
  assert_int_equal(gale_logits_rows(s, a), 3);
  expect_ok(step_one(s, b, 9, NULL), NULL);
  assert_int_equal(gale_logits_rows(s, a), 0);
  assert_null(gale_logits(s, a, 0));
  assert_int_equal(gale_logits_rows(s, b), 1);
  /* Neither does a sequence that is opened anew have the rows of the one before it. */
  expect_ok(gale_sequence_close(s, b, NULL), NULL);
  assert_int_equal(gale_logits_rows(s, b), 0);
  assert_int_equal(sequence_open(s), b);
  assert_int_equal(gale_logits_rows(s, b), 0);
  gale_session_close(&s);
  gale_model_close(&m);
}

static void rows_of_forks(void **state) {
  (void)state;
  gale_model *m = open_shape("shape:tiny@q8_0");
  gale_session *s = open_with(m, 3, 0);
  const int32_t a = sequence_open(s), tokens[] = {5, 6, 7};
  int32_t b, kept;
  gale_input input = {a, tokens, 3, GALE_LOGITS_LAST};
  expect_ok(gale_step(s, &input, 1, NULL), NULL);
  expect_ok(gale_sequence_fork(s, a, &b, NULL), NULL);
  assert_ptr_equal(gale_logits(s, b, 0), gale_logits(s, a, 0));
  assert_non_null(gale_logits(s, b, 0));
  expect_ok(gale_sequence_truncate(s, a, 3, &kept, NULL), NULL);
  assert_int_equal(gale_logits_rows(s, a), 1);
  expect_ok(gale_sequence_truncate(s, a, 2, &kept, NULL), NULL);
  assert_int_equal(gale_logits_rows(s, a), 0);
  assert_int_equal(gale_logits_rows(s, b), 1);
  expect_ok(step_one(s, a, 8, NULL), NULL);
  assert_int_equal(gale_logits_rows(s, b), 0);
  gale_session_close(&s);
  gale_model_close(&m);
}

/* ---- Pages ---- */

/* What n tokens give in steps of STEP: a row of logits each; *done are those before a step that was refused. */
static gale_status feed_rows(gale_session *s, int32_t sequence, const int32_t *ids, int n, float *rows, int *done) {
  for (*done = 0; *done < n;) {
    int now = n - *done < STEP ? n - *done : STEP;
    gale_input input = {sequence, ids + *done, now, GALE_LOGITS_ALL};
    gale_error error = {0};
    uint64_t needed = 0, available = 0, before = stats_of(s).kv_page_bytes;
    expect_ok(gale_step_pages(s, &input, 1, &needed, &available, &error), &error);
    gale_status status = gale_step(s, &input, 1, &error);
    if ((status == GALE_OK) != (needed <= available)) fail_msg("%s", error.message);
    if (status) {
      assert_int_equal(status, GALE_E_CONTEXT);
      assert_non_null(strstr(error.message, "kv_bytes"));
      assert_int_equal(stats_of(s).kv_page_bytes, before);
      return status;
    }
    for (int i = 0; i < now; i++)
      memcpy(rows + (*done + i) * VOCABULARY, gale_logits(s, sequence, (size_t)i), VOCABULARY * sizeof *rows);
    *done += now;
  }
  return GALE_OK;
}

/* Three texts in a session that lacks one page for them: the step that needs it fails, nothing changes for anyone, and
 * with another text closed the same step gives what it gives where there is room. */
static void one_page_too_few(const char *shape) {
  enum { OTHER = 20, N = 150 };
  static float expected[2][N * VOCABULARY], got[N * VOCABULARY];
  gale_model *m = open_shape(shape);
  int32_t ids[2][N + 1], other[OTHER];
  int done;
  make_ids(ids[0], N + 1, 1);
  make_ids(ids[1], N + 1, 2);
  make_ids(other, OTHER, 3);
  gale_session *s = open_with(m, 3, 0);
  sequence_open(s), sequence_open(s), sequence_open(s);
  expect_ok(feed_rows(s, 2, other, OTHER, got, &done), NULL);
  for (int32_t i = 0; i < 2; i++) expect_ok(feed_rows(s, i, ids[i], N, expected[i], &done), NULL);
  uint64_t enough = stats_of(s).kv_peak_bytes;
  gale_session_close(&s);

  gale_session_options o;
  s = open_with(m, 3, enough);
  gale_session_get_options(s, &o);
  assert_int_equal(o.kv_bytes, enough);
  gale_session_close(&s);
  s = open_with(m, 3, enough - 1);
  gale_session_get_options(s, &o);
  assert_true(o.kv_bytes < enough);
  sequence_open(s), sequence_open(s), sequence_open(s);
  expect_ok(feed_rows(s, 2, other, OTHER, got, &done), NULL);
  expect_ok(feed_rows(s, 0, ids[0], N, got, &done), NULL);
  assert_memory_equal(got, expected[0], N * VOCABULARY * sizeof(float));
  assert_int_equal(feed_rows(s, 1, ids[1], N, got, &done), GALE_E_CONTEXT);
  assert_true(done >= STEP && done < N);
  assert_int_equal(gale_sequence_length(s, 1), done);
  assert_int_equal(gale_logits_rows(s, 1), STEP);
  assert_memory_equal(gale_logits(s, 1, STEP - 1), expected[1] + (done - 1) * VOCABULARY, VOCABULARY * sizeof(float));
  assert_int_equal(gale_sequence_length(s, 0), N);
  assert_int_equal(gale_sequence_length(s, 2), OTHER);
  /* The others can go on within the pages that they have. */
  expect_ok(step_one(s, 2, 7, NULL), NULL);
  expect_ok(gale_sequence_close(s, 2, NULL), NULL);
  int before = done;
  expect_ok(feed_rows(s, 1, ids[1] + done, N - done, got + done * VOCABULARY, &done), NULL);
  assert_memory_equal(got, expected[1], N * VOCABULARY * sizeof(float));
  assert_int_equal(before + done, N);
  gale_session_close(&s);
  gale_model_close(&m);
}

static void a_page_too_few(void **state) {
  (void)state;
  one_page_too_few("shape:tiny:layers=1@q8_0");
  one_page_too_few("shape:tiny-mixed@q8_0");
}

/* Of k holders of a page that go on in one step, all but the last copy it, and the last too if others hold it still. */
static void copies_are_counted(void **state) {
  (void)state;
  gale_model *m = open_shape("shape:tiny-mixed@q8_0");
  int32_t ids[STEP], tokens[] = {9, 10, 11}, b, c;
  make_ids(ids, STEP, 1);
  gale_session *s = open_with(m, 3, 0);
  int32_t a = sequence_open(s);
  gale_input whole = {a, ids, 10, GALE_LOGITS_NONE};
  expect_ok(gale_step(s, &whole, 1, NULL), NULL);
  uint64_t text = stats_of(s).kv_page_bytes, needed, available;
  gale_session_close(&s);
  for (uint64_t lacks = 0; lacks < 2; lacks++)
    for (size_t n = 1; n <= 3; n++) {
      s = open_with(m, 3, text + (n < 3 ? n : 2) * text - lacks);
      a = sequence_open(s);
      whole.sequence = a;
      expect_ok(gale_step(s, &whole, 1, NULL), NULL);
      expect_ok(gale_sequence_fork(s, a, &b, NULL), NULL);
      expect_ok(gale_sequence_fork(s, a, &c, NULL), NULL);
      gale_input inputs[] = {
          {b, tokens, 1, GALE_LOGITS_LAST}, {a, tokens + 1, 1, GALE_LOGITS_LAST}, {c, tokens + 2, 1, GALE_LOGITS_LAST}};
      expect_ok(gale_step_pages(s, inputs, n, &needed, &available, NULL), NULL);
      assert_int_equal(needed, (n < 3 ? n : 2) * text);
      assert_int_equal(needed <= available, lacks == 0);
      assert_int_equal(gale_step(s, inputs, n, NULL), lacks ? GALE_E_CONTEXT : GALE_OK);
      assert_int_equal(stats_of(s).kv_page_bytes, lacks ? text : text + needed);
      assert_int_equal(gale_sequence_length(s, b), lacks ? 10 : 11);
      gale_session_close(&s);
    }
  gale_model_close(&m);
}

static void budgets_are_checked(void **state) {
  (void)state;
  gale_model *m = open_shape("shape:tiny-mixed@q8_0");
  gale_session_options o = session_options(GALE_KV_F16, STEP);
  o.context = 256;
  o.kv_bytes = 1;
  gale_session *s = NULL;
  gale_error error = {0};
  assert_int_equal(gale_session_open(m, &o, &s, &error), GALE_E_ARGUMENT);
  assert_non_null(strstr(error.message, "kv_bytes is 1: at least"));
  assert_null(s);
  /* More than all sequences can take is not reserved. */
  o.kv_bytes = UINT64_MAX;
  expect_ok(gale_session_open(m, &o, &s, &error), &error);
  gale_session_options got;
  gale_session_get_options(s, &got);
  gale_session_close(&s);
  o.kv_bytes = 0;
  expect_ok(gale_session_open(m, &o, &s, &error), &error);
  gale_session_get_options(s, &o);
  assert_int_equal(got.kv_bytes, o.kv_bytes);
  assert_int_equal(stats_of(s).kv_reserved_bytes, o.kv_bytes);
  /* Asking is checked as a step is. */
  uint64_t needed = 1, available = 2;
  gale_input input = {0, NULL, 1, GALE_LOGITS_NONE};
  assert_int_equal(gale_step_pages(s, &input, 1, &needed, &available, &error), GALE_E_ARGUMENT);
  assert_true(needed == 1 && available == 2);
  gale_session_close(&s);
  gale_model_close(&m);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(rows_of_a_step),     cmocka_unit_test(rows_of_forks),       cmocka_unit_test(a_page_too_few),
      cmocka_unit_test(copies_are_counted), cmocka_unit_test(budgets_are_checked),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
