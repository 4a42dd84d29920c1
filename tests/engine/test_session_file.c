/* Sequences in files: what is loaded goes on as what was saved, to the bit, and whatever is wrong with a file is an
 * error that leaves the sequence empty and the file as it is. */
#include "models/small_models.h"

#include "models/model_cases.h"

#include "base/random.h"
#include "gale_tools.h"

enum { MOST = 200, MORE = 7, VOCABULARY = 64 };

typedef struct setting_of_session {
  const char *model;
  gale_kv_type kv;
  int32_t window, n;
} setting_of_session;

static const setting_of_session SETTINGS[] = {
    {"shape:tiny@q8_0", GALE_KV_F16, GALE_WINDOW_NONE, 64},
    {"shape:tiny@q8_0", GALE_KV_F32, GALE_WINDOW_NONE, 1},
    {"shape:tiny@q8_0", GALE_KV_Q8, GALE_WINDOW_NONE, 150},
    {"shape:tiny@q8_0", GALE_KV_F16, 70, 199},
    {"shape:tiny@q8_0", GALE_KV_Q8, 1, 100},
    {MODELS "native-layer-windows", GALE_KV_F32, GALE_WINDOW_NATIVE, 131},
    {"shape:tiny@q8_0", GALE_KV_F16, GALE_WINDOW_NONE, 0},
};
enum { N_SETTINGS = sizeof SETTINGS / sizeof *SETTINGS };

static int32_t ids[MOST + MORE];
static const char TEXT[] = "any bytes\0of the caller's";

static gale_session *open_session(const gale_model *model, const setting_of_session *t) {
  gale_session_options o = session_options(t->kv, 32);
  o.window = t->window;
  o.context = 256;
  return session_open(model, &o);
}

static uint64_t bytes_held(const gale_session *s) {
  gale_session_stats stats;
  gale_session_get_stats(s, &stats);
  return stats.kv_page_bytes;
}

/* A session with n tokens in its sequence 0, which are saved as "saved". */
static gale_session *save(const gale_model *model, const setting_of_session *t) {
  gale_error error = {0};
  gale_session *s = open_session(model, t);
  assert_int_equal(sequence_open(s), 0);
  for (int i = 0; i < MOST + MORE; i++) ids[i] = (int32_t)(random_at(3, (uint64_t)i) % VOCABULARY);
  feed(s, 0, ids, (size_t)t->n, 32, 0, NULL);
  expect_ok(gale_sequence_save(s, 0, ids, TEXT, sizeof TEXT, at("saved"), &error), &error);
  return s;
}

static void round_trip(const setting_of_session *t) {
  gale_error error = {0};
  gale_model *model = NULL;
  expect_ok(gale_model_open(t->model, NULL, &model, &error), &error);
  gale_session *one = save(model, t), *other = open_session(model, t);
  int32_t sequence = sequence_open(other), *loaded;
  size_t vocabulary = model_vocab(model), n_text;
  char *text;
  expect_ok(gale_sequence_load(other, sequence, at("saved"), &loaded, &text, &n_text, &error), &error);
  assert_int_equal(gale_sequence_length(other, sequence), t->n);
  assert_memory_equal(loaded, ids, (size_t)t->n * sizeof *ids);
  assert_int_equal(n_text, sizeof TEXT);
  assert_memory_equal(text, TEXT, sizeof TEXT);
  assert_int_equal(text[n_text], 0);
  gale_free(loaded);
  gale_free(text);
  float *a = malloc(MORE * vocabulary * sizeof *a), *b = malloc(MORE * vocabulary * sizeof *b);
  assert_true(a && b);
  feed(one, 0, ids + t->n, MORE, 3, vocabulary, a);
  feed(other, sequence, ids + t->n, MORE, MORE, vocabulary, b);
  assert_memory_equal(a, b, MORE * vocabulary * sizeof *a);
  assert_int_equal(bytes_held(one), bytes_held(other));
  free(a);
  free(b);
  assert_int_equal(gale_sequence_load(other, sequence, at("saved"), &loaded, &text, &n_text, &error), GALE_E_ARGUMENT);
  gale_session_close(&one);
  gale_session_close(&other);
  gale_model_close(&model);
}

static void test_round_trip(void **state) {
  (void)state;
  for (int i = 0; i < N_SETTINGS; i++) round_trip(&SETTINGS[i]);
}

/* Loading must fail with that status and these words, and leave nothing. */
static void expect_refused(gale_session *s, const char *path, gale_status status, const char *says) {
  gale_error error = {0};
  int32_t *loaded = NULL, sequence = sequence_open(s);
  char *text = NULL;
  size_t n_text;
  gale_status got = gale_sequence_load(s, sequence, path, &loaded, &text, &n_text, &error);
  if (got != status) fail_msg("status %d, %s; %d was expected", got, error.message, status);
  if (!strstr(error.message, path) || !strstr(error.message, says)) fail_msg("%s, without %s", error.message, says);
  assert_null(loaded);
  assert_null(text);
  assert_int_equal(gale_sequence_length(s, sequence), 0);
  assert_int_equal(bytes_held(s), 0);
  assert_int_equal(gale_sequence_close(s, sequence, NULL), GALE_OK);
}

static void test_damaged(void **state) {
  (void)state;
  static char bytes[1 << 17];
  gale_model *model = NULL;
  expect_ok(gale_model_open("shape:tiny@q8_0", NULL, &model, NULL), NULL);
  gale_session *one = save(model, &SETTINGS[2]), *s = open_session(model, &SETTINGS[2]);
  FILE *f = fopen(at("saved"), "rb");
  size_t n = fread(bytes, 1, sizeof bytes, f);
  fclose(f);
  assert_true(n > 1000 && n < sizeof bytes);
  for (size_t i = 0; i < n; i += i + 1500 < n ? 97 : 1) {
    bytes[i] = (char)(bytes[i] ^ 1 << i % 8);
    expect_refused(s, write_bytes("damaged", bytes, n), GALE_E_FORMAT, "");
    bytes[i] = (char)(bytes[i] ^ 1 << i % 8);
  }
  for (size_t i = 0; i < n; i += 501) expect_refused(s, write_bytes("damaged", bytes, i), GALE_E_FORMAT, "");
  expect_refused(s,
                 write_text("damaged", "something else that is long enough for the end of a file of this kind, "
                                       "which is eighty bytes"),
                 GALE_E_FORMAT, "not a whole file");
  gale_session_close(&s);
  gale_session_close(&one);
  gale_model_close(&model);
}

/* What fits another session only. */
static void test_foreign(void **state) {
  (void)state;
  gale_model *model = NULL, *other = NULL;
  gale_model_options mo;
  expect_ok(gale_model_open("shape:tiny@q8_0", NULL, &model, NULL), NULL);
  gale_session *one = save(model, &SETTINGS[2]);
  expect_ok(gale_model_open("shape:tiny@q4_0", NULL, &other, NULL), NULL);
  gale_session *s = open_session(other, &SETTINGS[2]);
  expect_refused(s, at("saved"), GALE_E_FORMAT, "another model");
  gale_session_close(&s);
  gale_model_close(&other);
  static const char *const theta[] = {"llama.rope.freq_base=20000"};
  gale_model_defaults(&mo);
  mo.overrides = theta;
  mo.n_overrides = 1;
  expect_ok(gale_model_open("shape:tiny@q8_0", &mo, &other, NULL), NULL);
  s = open_session(other, &SETTINGS[2]);
  expect_refused(s, at("saved"), GALE_E_FORMAT, "another model");
  gale_session_close(&s);
  gale_model_close(&other);
  setting_of_session t = SETTINGS[2];
  t.kv = GALE_KV_F32;
  s = open_session(model, &t);
  expect_refused(s, at("saved"), GALE_E_FORMAT, "type q8, and this session's of f32");
  gale_session_close(&s);
  t = SETTINGS[2];
  t.window = 99;
  s = open_session(model, &t);
  expect_refused(s, at("saved"), GALE_E_FORMAT, "other windows");
  gale_session_close(&s);
  gale_session_options o = session_options(GALE_KV_Q8, 32);
  o.window = GALE_WINDOW_NONE;
  o.context = 149;
  s = session_open(model, &o);
  expect_refused(s, at("saved"), GALE_E_CONTEXT, "the context of 149");
  gale_session_close(&s);
  o.context = 256;
  o.kv_bytes = 36000; /* two pages */
  s = session_open(model, &o);
  expect_refused(s, at("saved"), GALE_E_CONTEXT, "pages");
  gale_session_close(&s);
  gale_session_close(&one);
  gale_model_close(&model);
}

/* Where a file cannot be written, nothing is lost and nothing is left. */
static void test_not_written(void **state) {
  (void)state;
  gale_error error = {0};
  gale_model *model = NULL;
  expect_ok(gale_model_open("shape:tiny@q8_0", NULL, &model, NULL), NULL);
  gale_session *s = save(model, &SETTINGS[2]);
  assert_int_equal(gale_sequence_save(s, 0, ids, "", 0, directory, &error), GALE_E_IO);
  assert_non_null(strstr(error.message, directory));
  assert_int_equal(gale_sequence_save(s, 0, ids, "", 0, at("none/saved"), &error), GALE_E_IO);
  assert_int_equal(gale_sequence_save(s, 0, ids, "", 0, "/dev/null", &error), GALE_E_IO);
  assert_int_equal(gale_sequence_save(s, 1, ids, "", 0, at("saved"), &error), GALE_E_ARGUMENT);
  expect_ok(gale_sequence_save(s, 0, ids, NULL, 0, at("saved"), &error), &error);
  int n = 0;
  DIR *d = opendir(directory);
  for (struct dirent *e; (e = readdir(d));) n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
  closedir(d);
  assert_int_equal(n, 1);
  gale_session_close(&s);
  gale_model_close(&model);
}

#define IN_A_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, make_directory, remove_directory)

int main(void) {
  const struct CMUnitTest tests[] = {IN_A_DIRECTORY(test_round_trip), IN_A_DIRECTORY(test_damaged),
                                     IN_A_DIRECTORY(test_foreign), IN_A_DIRECTORY(test_not_written)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
