/* Which texts are JSON, where those are wrong that are not, and what a tree holds. */
#include "json_cases.h"

/* ---- Strict ---- */

#define BAD(text, at, why)                                                                                             \
  { SLICE(text), at, why }
typedef struct bad_text {
  slice text;
  size_t at;
  const char *why;
} bad_text;

static void strict_refuses(void **state) {
  (void)state;
  static const bad_text BAD_TEXTS[] = {
      BAD("", 0, "a value"),
      BAD(" \n", 2, "a value"),
      BAD("nul", 0, "a value"),
      BAD("[tru]", 1, "a value"),
      BAD("{\"a\":1,\"a\":2}", 7, "duplicate key"),
      BAD("{\"a\":{\"b\":0,\"c\":[{\"d\":1, \"d\":2}]}}", 25, "duplicate key"),
      BAD("{\"a\":1,\"\\u0061\":2}", 7, "duplicate key"),
      BAD("[NaN]", 1, "a value"),
      BAD("[Infinity]", 1, "a value"),
      BAD("[-Infinity]", 1, "a value"),
      BAD("[1, 1e400]", 4, "range of a double"),
      BAD("-1E+309", 0, "range of a double"),
      BAD("1.7976931348623159e308", 0, "range of a double"),
      BAD("\xEF\xBB\xBF{}", 0, "byte order mark"),
      BAD("[\xEF\xBB\xBF]", 1, "a value"),
      BAD("[\"\\ud83d\"]", 2, "half of a surrogate pair"),
      BAD("[\"ab\\ude00\"]", 4, "half of a surrogate pair"),
      BAD("[\"\\ud83d\\u0041\"]", 2, "half of a surrogate pair"),
      BAD("[\"\\ud83d\\ud83d\\ude00\"]", 2, "half of a surrogate pair"),
      BAD("{\"\\udfff\":1}", 2, "half of a surrogate pair"),
      BAD("\"a\xC3\"", 2, "not UTF-8"),
      BAD("\"0123456789\x80\"", 11, "not UTF-8"),
      BAD("\"\xC0\x80\"", 1, "not UTF-8"),
      BAD("\"\xED\xA0\x80\"", 1, "not UTF-8"),
      BAD("\"\xF4\x90\x80\x80\"", 1, "not UTF-8"),
      BAD("\"\xE2\x82", 1, "not UTF-8"),
      BAD("{\"\xFF\":1}", 2, "not UTF-8"),
      BAD("{} x", 3, "behind the value"),
      BAD("{}{}", 2, "behind the value"),
      BAD("[1] ]", 4, "behind the value"),
      BAD("1 2", 2, "behind the value"),
      BAD("{}\0", 2, "behind the value"),
      BAD("01", 1, "behind the value"),
      BAD("-", 1, "a digit"),
      BAD("-a", 1, "a digit"),
      BAD("+1", 0, "a value"),
      BAD(".5", 0, "a value"),
      BAD("1.", 2, "a digit"),
      BAD("[1.e2]", 3, "a digit"),
      BAD("1e", 2, "a digit"),
      BAD("1e+", 3, "a digit"),
      BAD("[1,]", 3, "a value"),
      BAD("[1", 2, "comma or ]"),
      BAD("[1 2]", 3, "comma or ]"),
      BAD("[", 1, "a value"),
      BAD("]", 0, "a value"),
      BAD("{\"a\":1,}", 7, "a key"),
      BAD("{\"a\"}", 4, "a colon"),
      BAD("{\"a\" 1}", 5, "a colon"),
      BAD("{a:1}", 1, "a key"),
      BAD("{1:1}", 1, "a key"),
      BAD("{\"a\":1", 6, "comma or }"),
      BAD("{\"a\":", 5, "a value"),
      BAD("\"", 1, "without an end"),
      BAD("\"\\", 1, "escape"),
      BAD("\"\\x\"", 1, "escape"),
      BAD("\"\\u12g4\"", 5, "hexadecimal"),
      BAD("\"\\u12", 5, "hexadecimal"),
      BAD("\"a\nb\"", 2, "control character 0x0A"),
      BAD("\"\0\"", 1, "control character 0x00"),
      BAD("\"\x1F\"", 1, "control character 0x1F"),
      BAD("'a'", 0, "a value"),
      BAD("[1] // a", 4, "behind the value"),
      BAD("\v1", 0, "a value"),
      BAD("\xC2\xA0", 0, "a value"),
  };
  for (size_t i = 0; i < sizeof BAD_TEXTS / sizeof *BAD_TEXTS; i++)
    read_bad(BAD_TEXTS[i].text, VALUE_REQUEST, VALUE_SYNTAX, BAD_TEXTS[i].at, BAD_TEXTS[i].why);
}

static void strict_takes(void **state) {
  (void)state;
  static const char *const GOOD[] = {
      "null",
      " \t\r\n[ ] ",
      "{ \"a\" : [ 1 , { } ] , \"\" : \"\" }",
      "-0.0e-0",
      "1e308",
      "1.7976931348623157e308",
      "1e-400",
      "123456789012345678901234567890",
      "\"\\u0000\x7F\\ud83d\\ude00\"",
      "{\"a\":{\"a\":{\"a\":1}},\"A\":2}",
  };
  for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++) read_good(slice_of(GOOD[i]), VALUE_REQUEST);
}

/* A key is shown in whole characters. */
static void long_duplicate(void **state) {
  (void)state;
  char text[256], shown[96] = "duplicate key \"";
  for (int i = 0; i < 40; i++) {
    memcpy(text + 2 + 2 * i, "\xC3\xA9", 2);
    memcpy(text + 88 + 2 * i, "\xC3\xA9", 2);
    if (i < 23) strcat(shown, "\xC3\xA9");
  }
  memcpy(text, "{\"", 2);
  memcpy(text + 82, "x\":1,\"", 6);
  memcpy(text + 168, "x\":1}", 5);
  strcat(shown, "\xC3\xA9\"");
  read_bad((slice){text, 173}, VALUE_REQUEST, VALUE_SYNTAX, 87, shown);
  text[2] = text[88] = 'x';
  text[3] = text[89] = 'y';
  memmove(text + 2, text + 3, 170);
  memmove(text + 87, text + 88, 85);
  shown[15] = 0;
  strcat(shown, "y");
  for (int i = 0; i < 23; i++) strcat(shown, "\xC3\xA9");
  strcat(shown, "\"");
  read_bad((slice){text, 171}, VALUE_REQUEST, VALUE_SYNTAX, 86, shown);
}

/* Every prefix of a document is refused at its end or before. */
static void cut_off(void **state) {
  (void)state;
  static const char TEXT[] = "{\"a\":[1.5e3,\"\\u00e9\\ud83d\\ude00 \xE2\x82\xAC\",true],\"b\":{\"c\":null}}";
  read_good(slice_of(TEXT), VALUE_REQUEST);
  for (size_t n = 0; n < sizeof TEXT - 1; n++) {
    value *root = NULL;
    value_report report;
    arena unused = {0};
    slice copy = exact((slice){TEXT, n});
    assert_int_equal(value_read(&unused, copy, VALUE_REQUEST, &root, &report), VALUE_SYNTAX);
    assert_true(report.at <= n && *report.why);
    arena_free(&unused);
    free((char *)copy.s);
  }
}

/* ---- What the other forms take and refuse ---- */

static void prompts_take_more(void **state) {
  (void)state;
  const value *v = read_good(SLICE("{\"a\":1,\"b\":[2],\"a\":{\"c\":null},\"b\":3,\"a\":\"x\"}"), VALUE_PROMPT);
  assert_int_equal(v->count, 2);
  assert_true(value_says(value_get(v, "a"), "x") && slice_is(v->first->key, "a"));
  assert_int_equal(value_get(v, "b")->kind, VALUE_INTEGER);
  assert_null(v->first->next->next);
  v = read_good(SLICE("[NaN,Infinity,-Infinity,1e400,-1e400]"), VALUE_PROMPT);
  double x = value_double(v->first);
  assert_true(x != x);
  for (size_t i = 1; i < 5; i++) assert_true(value_double(value_item(v, i)) == (i % 2 ? 1 : -1) * (1 / 0.0));
  value *root;
  value_report report;
  arena_free(&memory);
  slice halves = SLICE("[\"\\ud83d\",\"a\\ude00b\",\"\\ud83d\\u0041\",\"\\ud83d\\ud83d\\ude00\"]");
  assert_int_equal(value_read(&memory, halves, VALUE_PROMPT, &root, &report), VALUE_OK);
  assert_true(report.half);
  assert_true(value_says(value_item(root, 0), "\xEF\xBF\xBD") && value_says(value_item(root, 1), "a\xEF\xBF\xBD"
                                                                                                 "b"));
  assert_true(value_says(value_item(root, 2), "\xEF\xBF\xBD"
                                              "A"));
  assert_true(value_says(value_item(root, 3), "\xEF\xBF\xBD\xF0\x9F\x98\x80"));
  assert_int_equal(value_read(&memory, SLICE("\"\\ud83d\\ude00\""), VALUE_PROMPT, &root, &report), VALUE_OK);
  assert_false(report.half);
  read_bad(SLICE("\"\xC3\""), VALUE_PROMPT, VALUE_SYNTAX, 1, "not UTF-8");
  read_bad(SLICE("\xEF\xBB\xBF"
                 "1"),
           VALUE_PROMPT, VALUE_SYNTAX, 0, "byte order mark");
  read_bad(SLICE("-Inf"), VALUE_PROMPT, VALUE_SYNTAX, 0, "a value");
}

static void files_refuse_more(void **state) {
  (void)state;
  const value_form keys = {.flags = VALUE_NO_NUL_KEY, .depth = 64}, all = {.flags = VALUE_NO_NUL, .depth = 64};
  const value_form integers = {.flags = VALUE_INT64, .depth = 64};
  assert_int_equal(read_good(SLICE("{\"a\":\"\\u0000\"}"), keys)->first->text.n, 1);
  read_bad(SLICE("{\"a\\u0000\":1}"), keys, VALUE_SYNTAX, 3, "NUL byte");
  read_bad(SLICE("{\"a\\u0000\":1}"), all, VALUE_SYNTAX, 3, "NUL byte");
  read_bad(SLICE("[\"ab\\u0000\"]"), all, VALUE_SYNTAX, 4, "NUL byte");
  read_good(SLICE("[9223372036854775807,-9223372036854775808,9223372036854775808.0,1e300]"), integers);
  read_bad(SLICE("[9223372036854775808]"), integers, VALUE_SYNTAX, 1, "beyond 64 bits");
  read_bad(SLICE("[-9223372036854775809]"), integers, VALUE_SYNTAX, 1, "beyond 64 bits");
}

/* ---- Limits ---- */

static void depth(void **state) {
  (void)state;
  enum { DEEP = 100000 };
  char *text = malloc(8 * DEEP);
  assert_non_null(text);
  memset(text, '[', DEEP);
  read_bad((slice){text, DEEP}, VALUE_REQUEST, VALUE_LIMIT, 400, "nested deeper than 400");
  read_bad((slice){text, DEEP}, VALUE_PROMPT, VALUE_LIMIT, 400, "nested deeper than 400");
  for (size_t i = 0; i < DEEP; i++) memcpy(text + 6 * i, "{\"k\":\n", 6);
  read_bad((slice){text, 6 * DEEP}, VALUE_REQUEST, VALUE_LIMIT, 2400, "nested deeper than 400");
  memset(text, '[', 400);
  memset(text + 400, ']', 400);
  const value *v = read_good((slice){text, 800}, VALUE_REQUEST);
  for (int i = 1; i < 400; i++) v = v->first;
  assert_true(v->kind == VALUE_ARRAY && v->count == 0);
  const value_form flat = {.depth = 0};
  read_good(SLICE("1"), flat);
  read_bad(SLICE(" []"), flat, VALUE_LIMIT, 1, "nested");
  free(text);
}

static void many_values(void **state) {
  (void)state;
  enum { MOST = 1 << 20, N = 3 << 20 };
  char *text = malloc(2 * N + 1);
  assert_non_null(text);
  for (size_t i = 0; i < N; i++) memcpy(text + 2 * i, i ? ",0" : "[0", 2);
  /* With the list itself: 2^20 values and a quarter of the length. */
  read_bad((slice){text, 2 * N}, VALUE_REQUEST, VALUE_LIMIT, 2 * (MOST + N / 2 - 1) + 1, "more values");
  text[2 * MOST - 2] = ']';
  assert_int_equal(read_good((slice){text, 2 * MOST - 1}, VALUE_REQUEST)->count, MOST - 1);
  free(text);
}

static void long_numbers(void **state) {
  (void)state;
  enum { N = 100000 };
  char *text = malloc(N + 8);
  assert_non_null(text);
  memset(text, '9', N);
  read_good((slice){text, 308}, VALUE_REQUEST);
  read_bad((slice){text, 309}, VALUE_REQUEST, VALUE_SYNTAX, 0, "range of a double");
  read_bad((slice){text, N}, VALUE_REQUEST, VALUE_SYNTAX, 0, "range of a double");
  assert_int_equal(read_good((slice){text, 4300}, VALUE_PROMPT)->text.n, 4300);
  read_bad((slice){text, 4301}, VALUE_PROMPT, VALUE_LIMIT, 0, "4300 digits");
  text[1] = '.';
  assert_true(value_double(read_good((slice){text, N}, VALUE_REQUEST)) == 10);
  memset(text, '0', N);
  text[1] = '.';
  memcpy(text + N, "1e99998", 7);
  assert_true(value_double(read_good((slice){text, N + 7}, VALUE_REQUEST)) == 0.1);
  free(text);
}

/* ---- Many keys ---- */

enum { KEYS = 1000000 };

static char *many_keys(size_t *n) {
  char *text = malloc(KEYS * 24 + 64);
  assert_non_null(text);
  *n = 0;
  for (int i = 0; i < KEYS; i++) *n += (size_t)sprintf(text + *n, "%c\"key %d\":%d", i ? ',' : '{', i, i);
  text[(*n)++] = '}';
  return text;
}

static void a_million_keys(void **state) {
  (void)state;
  size_t n;
  char *text = many_keys(&n), key[32];
  const value *root = read_good((slice){text, n}, VALUE_REQUEST);
  assert_int_equal(root->count, KEYS);
  const value *m = root->first;
  for (int64_t i = 0, number; i < KEYS; i++, m = m->next) {
    snprintf(key, sizeof key, "key %lld", (long long)i);
    if (value_get(root, key) != m || !value_int64(m, &number) || number != i) fail_msg("%s", key);
  }
  assert_null(m);
  assert_null(value_get(root, "key 1000000"));
  assert_null(value_get(root, ""));
  /* The last key is that of the 500000th member. */
  text[n - 1] = ',';
  n += (size_t)sprintf(text + n, " \"key 500000\":[]}");
  read_bad((slice){text, n}, VALUE_REQUEST, VALUE_SYNTAX, n - 16, "duplicate key \"key 500000\"");
  root = read_good((slice){text, n}, VALUE_PROMPT);
  assert_int_equal(root->count, KEYS);
  assert_int_equal(value_get(root, "key 500000")->kind, VALUE_ARRAY);
  assert_true(slice_is(value_get(root, "key 500000")->next->key, "key 500001"));
  free(text);
}

/* Objects with and without a table find the same. */
static void few_keys(void **state) {
  (void)state;
  char text[4096], key[16];
  for (int count = 0; count < 70; count++) {
    size_t n = (size_t)sprintf(text, "{");
    for (int i = 0; i < count; i++) n += (size_t)sprintf(text + n, "%s\"k%d\":%d", i ? "," : "", i * i, i);
    text[n++] = '}';
    const value *root = read_good((slice){text, n}, VALUE_REQUEST);
    for (int i = 0, found = 0; i < 70 * 70; i++) {
      snprintf(key, sizeof key, "k%d", i);
      const value *m = value_get(root, key);
      assert_int_equal(m != NULL, found < count && i == found * found);
      found += m != NULL;
    }
  }
}

/* ---- The tree ---- */

static void tree(void **state) {
  (void)state;
  const value *root = read_good(
      SLICE("{\"a\":[1,-2.50e1,\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"],\"b\":null,\"c\":true}"), VALUE_REQUEST);
  const value *list = value_get(root, "a");
  assert_int_equal(root->count, 3);
  assert_int_equal(list->count, 3);
  assert_true(slice_is(value_item(list, 0)->text, "1") && slice_is(value_item(list, 1)->text, "-2.50e1"));
  assert_true(value_says(value_item(list, 2), "\"\\/\b\f\n\r\t\xC3\xA9"));
  assert_null(value_item(list, 3));
  assert_null(value_item(value_get(root, "c"), 0));
  assert_null(value_given(root, "b"));
  assert_non_null(value_get(root, "b"));
  assert_null(value_get(list, "a"));
  assert_null(value_get(NULL, "a"));
  assert_true(value_is_bool(value_get(root, "c")) && !value_is_number(value_get(root, "c")));
  assert_true(value_find(root, (slice){"abc", 1}) == list);
}

static int free_memory(void **state) {
  (void)state;
  arena_free(&memory);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(strict_refuses), cmocka_unit_test(strict_takes),      cmocka_unit_test(long_duplicate),
      cmocka_unit_test(cut_off),        cmocka_unit_test(prompts_take_more), cmocka_unit_test(files_refuse_more),
      cmocka_unit_test(depth),          cmocka_unit_test(many_values),       cmocka_unit_test(long_numbers),
      cmocka_unit_test(a_million_keys), cmocka_unit_test(few_keys),          cmocka_unit_test(tree),
  };
  return cmocka_run_group_tests(tests, NULL, free_memory);
}
