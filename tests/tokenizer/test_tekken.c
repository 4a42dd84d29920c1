/* A tekken.json with one thing changed: what is no JSON is told from what is just as jansson does, and named with its
 * place in the file. */
#include "text_cases.h"

static json_t *root;
static char *text;
static size_t n, list_begin;

static int open_file(void **state) {
  (void)state;
  root = load_json(TEST_DATA "/text", "tekken.json");
  text = json_dumps(root, JSON_PRESERVE_ORDER | JSON_INDENT(1));
  n = strlen(text);
  list_begin = (size_t)(strstr(text, "\"vocab\"") - text);
  return 0;
}

static int close_file(void **state) {
  (void)state;
  json_decref(root);
  free(text);
  return 0;
}

static gale_status open_text(const char *bytes, size_t length, gale_error *error) {
  gale_tokenizer *t = NULL;
  *error = (gale_error){0};
  gale_status status = tokenizer_from_json("made/tekken.json", bytes, length, NULL, &t, error);
  gale_tokenizer_close(&t);
  return status;
}

static bool is_json(const char *bytes, size_t length, json_error_t *problem) {
  json_t *read = json_loadb(bytes, length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, problem);
  json_decref(read);
  return read != NULL;
}

static void check_like_jansson(const char *bytes, size_t length) {
  gale_error error;
  json_error_t problem;
  gale_status status = open_text(bytes, length, &error);
  bool json = is_json(bytes, length, &problem);
  if (!json && status != GALE_E_FORMAT) fail_msg("taken, but: %s at %d", problem.text, problem.position);
  if (json && strstr(error.message, ", byte ")) fail_msg("JSON, but: %s", error.message);
  if (status && !strstr(error.message, "made/tekken.json")) fail_msg("\"%s\"", error.message);
}

/* One byte changed, anywhere in the first word, and behind it here and there. */
static void changed_bytes(void **state) {
  (void)state;
  static const char CHANGES[] = "\"\\{],: 0-u\n\x80\xC3";
  char *copy = malloc(n + 1);
  memcpy(copy, text, n + 1);
  size_t count = 0;
  for (size_t i = list_begin; i < n; i += i - list_begin < 90 ? 1 : 997) {
    for (const char *c = CHANGES; *c; c++, count++) {
      copy[i] = *c;
      check_like_jansson(copy, n);
    }
    copy[i] = text[i];
  }
  free(copy);
  assert_true(count > 1000);
}

static void cut_off(void **state) {
  (void)state;
  gale_error error;
  for (size_t length = 0; length < n; length += 61) {
    char *copy = malloc(length ? length : 1); /* so that the address sanitizer sees the end */
    memcpy(copy, text, length);
    assert_int_equal(open_text(copy, length, &error), GALE_E_FORMAT);
    check_like_jansson(copy, length);
    free(copy);
  }
}

/* Puts `with` in the place of what stands first behind `after`. */
static void check_changed(const char *after, const char *what, const char *with, const char *says) {
  const char *at = strstr(strstr(text, after), what);
  char *changed = NULL;
  int length = asprintf(&changed, "%.*s%s%s", (int)(at - text), text, with, at + strlen(what));
  gale_error error;
  gale_status status = open_text(changed, (size_t)length, &error);
  if (says ? !status || !strstr(error.message, says) : status != GALE_OK)
    fail_msg("%s: \"%s\", expected \"%s\"", with, error.message, says ? says : "");
  free(changed);
}

static void forms_of_json(void **state) {
  (void)state;
  gale_error error;
  assert_int_equal(open_text(text, n, &error), GALE_OK);
  check_changed("\"vocab\"", "\"AA==\"", "\"\\u0041A=\\u003D\"", NULL);
  check_changed("\"vocab\"", "\"AA==\"", "\"A\\nA=\"", "vocab[0].token_bytes");
  check_changed("\"vocab\"", "\"rank\": 0", "\"x\": [{\"rank\": [[], null, true, -1.5e3]}], \"rank\": 0", NULL);
  check_changed("\"vocab\"", "\"rank\": 0", "\"rank\": 0, \"rank\": 0", ": duplicate key");
  check_changed("\"vocab\"", "\"rank\": 0", "\"rank\": 0.0", "vocab[0].rank is -1");
  check_changed("\"vocab\"", "\"rank\": 0", "\"rank\": 99999999999999999999", "vocab[0].rank is -1");
  check_changed("\"vocab\"", "\"rank\": 0", "\"rank\": null", "vocab[0].rank is -1");
  check_changed("\"vocab\"", "\"\\u0000\"", "\"\\uD83D\\uDE00\"", NULL);
  check_changed("\"vocab\"", "\"\\u0000\"", "\"\\uD83D\"", "half of a surrogate pair");
  check_changed("\"vocab\"", "\"\\u0000\"", "\"\\uDE00\"", "half of a surrogate pair");
  check_changed("{", "\"vocab\": [", "\"vocab\": [], \"vocab\": [", "duplicate");
  check_changed("{", "\"vocab\": [", "\"vocab\": [7, ", "vocab[0].rank is -1");
  check_changed("{", "\"vocab\": [", "\"vocab\": [[], ", "vocab[0].rank is -1");
  check_changed("{", "\"vocab\": [", "\"vocab\": [{}, ", "vocab[0].rank is -1");
}

/* Line and byte of what is wrong; jansson tells the byte behind it. */
static void places_of_errors(void **state) {
  (void)state;
  char *copy = strdup(text), *special = strstr(copy, "\"special_tokens\"");
  assert_true(special > strstr(copy, "\"vocab\""));
  special[16] = ';';
  json_error_t problem;
  assert_false(is_json(copy, n, &problem));
  char place[64];
  snprintf(place, sizeof place, "line %d, byte %d:", problem.line, problem.position - 1);
  gale_error error;
  assert_int_equal(open_text(copy, n, &error), GALE_E_FORMAT);
  if (!strstr(error.message, place)) fail_msg("\"%s\", expected %s", error.message, place);
  free(copy);
}

/* Nesting takes no stack that a file could ask for. */
static void deep_values(void **state) {
  (void)state;
  enum { DEPTH = 1000000 };
  static const char START[] = "{\"vocab\": [{\"x\": ";
  size_t length = sizeof START - 1 + DEPTH;
  char *deep = malloc(length);
  memcpy(deep, START, sizeof START - 1);
  memset(deep + sizeof START - 1, '[', DEPTH);
  gale_error error;
  assert_int_equal(open_text(deep, length, &error), GALE_E_FORMAT);
  assert_non_null(strstr(error.message, "nested deeper than 64"));
  free(deep);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(changed_bytes),    cmocka_unit_test(cut_off),     cmocka_unit_test(forms_of_json),
      cmocka_unit_test(places_of_errors), cmocka_unit_test(deep_values),
  };
  return cmocka_run_group_tests(tests, open_file, close_file);
}
