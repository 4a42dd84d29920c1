/* Regular expressions, choices, any JSON: which texts fit. */
#include "constraint_cases.h"

#include "base/random.h"

static void patterns(void **state) {
  (void)state;
  static const constraint_case CASES[] = {
      {"abc", {"abc"}, {"ab", "abcd", ""}},
      {"a|bc|", {"a", "bc", ""}, {"b", "abc"}},
      {"(a|b)*c+?", {"c", "abbac", "ccc"}, {"ab", ""}},
      {"a{2,3}", {"aa", "aaa"}, {"a", "aaaa"}},
      {"(ab){0,2}x", {"x", "abx", "ababx"}, {"abababx"}},
      {"[a-c]{10000}", {NULL}, {"abc"}},
      {"\\d+(\\.\\d{1,2})?", {"1", "12.5", "0.25"}, {".5", "1.", "1.234"}},
      {"[^a-z\\d]", {"A", "\xC3\xA9", "\xF0\x9F\x98\x80", "\n"}, {"a", "5", "\xC3", "AA"}},
      {".", {"x", "\xE2\x82\xAC"}, {"\n", "", "\xE2\x82"}},
      {"\\u00e9\\x41",
       {"\xC3\xA9"
        "A"},
       {"eA"}},
      {"^(?:a|b)$", {"a", "b"}, {"ab"}},
      {"(^a|b$)", {"a", "b"}, {"c"}},
      {"[]a]", {"]", "a"}, {"b"}},
      {"[a-]x{", {"ax{", "-x{"}, {"x{"}},
      {"(?<name>a)(?P<other>b)", {"ab"}, {"a"}},
      {"(a*)*b", {"b", "aaab"}, {"a"}},
      {"(a|aa){3}", {"aaa", "aaaaaa"}, {"aa", "aaaaaaa"}},
  };
  check_cases(GALE_CONSTRAINT_REGEX, CASES, COUNT(CASES));
}

static void refused_patterns(void **state) {
  (void)state;
  static const error_case CASES[] = {
      {"a(", "byte 1"},     {"a)", "byte 1"},     {"[a", "byte 0"},    {"*a", "byte 0"},   {"a{3,2}", "byte 1"},
      {"a{10001}", "byte"}, {"(?=a)", "byte 2"},  {"(?!a)", "byte 2"}, {"(?<=a)", "byte"}, {"\\1", "byte 0"},
      {"\\bx", "byte 0"},   {"\\p{L}", "byte 0"}, {"(?i)a", "byte 2"}, {"^+x", "byte 1"},  {"a^b", "byte 0"},
      {"[b-a]", "byte"},    {"a\\", "byte 1"},    {"\\uD800", "byte"}, {"a**", "byte"},    {"\xFF", "byte 0"},
  };
  check_errors(GALE_CONSTRAINT_REGEX, CASES, COUNT(CASES));
}

static void any_json(void **state) {
  (void)state;
  static const constraint_case CASES[] = {
      {NULL,
       {"{}", "{\"a\": [1, -2.5e+10, true, false, null, \"x\\n\\u00e9\"]}", " {\n  \"k\" : {}\n}\n",
        "{\"\":\"\\uD83D\\uDE00\"}"},
       {"", "[]", "{", "{\"a\"}", "{\"a\":01}", "{\"a\":1,}", "{\"a\":\"\n\"}", "{\"a\":\"\\uD83D\"}", "{  \"a\":1}",
        "{\"a\":tru}", "{\"a\":1e1234}", "{'a':1}", "{\"a\":\"\xFF\"}", "{}  "}},
  };
  check_cases(GALE_CONSTRAINT_JSON, CASES, COUNT(CASES));
}

/* What grows without bound where states are not kept few. */
static void hostile(void **state) {
  (void)state;
  gale_tokenizer *t = byte_tokenizer();
  gale_mask_table *table = NULL;
  gale_error error = {0};
  assert_int_equal(gale_mask_table_open(t, &table, &error), GALE_OK);
  gale_constraint *c = open_constraint(table, GALE_CONSTRAINT_REGEX, "(x+x+)+y", &error);
  assert_non_null(c);
  char many[5001];
  memset(many, 'x', 5000);
  many[4999] = 'y';
  many[5000] = 0;
  assert_true(fits(c, many));
  gale_constraint_close(&c);
  c = open_constraint(table, GALE_CONSTRAINT_REGEX, "(a?){1000}a{1000}", &error);
  assert_non_null(c);
  memset(many, 'a', 1500);
  many[1500] = 0;
  assert_true(fits(c, many));
  gale_constraint_close(&c);
  c = open_constraint(table, GALE_CONSTRAINT_REGEX, "(((([ab]{0,1000}){0,1000}){0,1000}){0,1000}){0,1000}", &error);
  assert_non_null(c);
  assert_true(fits(c, many));
  gale_constraint_close(&c);
  /* Here the states are as many as there are subsets. */
  c = open_constraint(table, GALE_CONSTRAINT_REGEX, "[ab]*a[ab]{300}", &error);
  assert_non_null(c);
  enum { LETTERS = 3000 };
  char letters[LETTERS];
  for (int i = 0; i < LETTERS; i++) letters[i] = random_at(1, (uint64_t)i) & 1 ? 'a' : 'b';
  bool complete;
  assert_int_equal(fitting(c, letters, LETTERS, &complete), LETTERS);
  assert_int_equal(complete, letters[LETTERS - 301] == 'a');
  gale_constraint_close(&c);
  char deep[4096];
  memset(deep, '(', 4000);
  deep[4000] = 0;
  assert_null(open_constraint(table, GALE_CONSTRAINT_REGEX, deep, &error));
  gale_mask_table_close(&table);
  gale_tokenizer_close(&t);
}

static void choices(void **state) {
  (void)state;
  gale_tokenizer *t = byte_tokenizer();
  gale_mask_table *table = NULL;
  gale_error error = {0};
  assert_int_equal(gale_mask_table_open(t, &table, &error), GALE_OK);
  const char *texts[] = {"yes", "yesterday", "no \"way\"", "\xC3\xA9t\xC3\xA9"};
  gale_constraint_options o;
  gale_constraint_defaults(&o);
  o.kind = GALE_CONSTRAINT_CHOICE;
  o.choices = texts;
  o.n_choices = 4;
  gale_constraint *c = NULL;
  assert_int_equal(gale_constraint_open(table, &o, &c, &error), GALE_OK);
  for (int i = 0; i < 4; i++) assert_true(fits(c, texts[i]));
  assert_false(fits(c, "yest"));
  gale_constraint_state *s = NULL;
  assert_int_equal(gale_constraint_begin(c, &s, NULL), GALE_OK);
  size_t n;
  const char *forced;
  assert_int_equal(gale_constraint_forced(s, &forced, &n, NULL), GALE_OK);
  assert_int_equal(n, 0);
  assert_int_equal(gale_constraint_accept_bytes(s, "n", 1, &n, NULL), GALE_OK);
  assert_int_equal(gale_constraint_forced(s, &forced, &n, NULL), GALE_OK);
  assert_int_equal(n, 7);
  assert_memory_equal(forced, "o \"way\"", 7);
  assert_int_equal(gale_constraint_accept_bytes(s, "o \"way\"", 7, &n, NULL), GALE_OK);
  assert_true(gale_constraint_complete(s) && gale_constraint_final(s));
  gale_constraint_end(&s);
  gale_constraint_close(&c);
  const char *twice[] = {"a", "b", "a"};
  o.choices = twice;
  o.n_choices = 3;
  assert_int_equal(gale_constraint_open(table, &o, &c, &error), GALE_E_ARGUMENT);
  o.n_choices = 0;
  assert_int_equal(gale_constraint_open(table, &o, &c, &error), GALE_E_ARGUMENT);
  gale_mask_table_close(&table);
  gale_tokenizer_close(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(patterns), cmocka_unit_test(refused_patterns), cmocka_unit_test(any_json),
      cmocka_unit_test(hostile),  cmocka_unit_test(choices),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
