/* The syntax of regular expressions, on cases that tools/make_pattern_cases.py has written. */
#include "tokenizer/text_cases.h"

#include "json/regex.h"

static void patterns(void **state) {
  (void)state;
  json_t *rows = load_json(TEST_DATA "/text", "patterns.json"), *row;
  size_t i;
  int wrong = 0;
  json_array_foreach(rows, i, row) {
    const json_t *text = json_array_get(row, 0);
    bool good = json_is_true(json_array_get(row, 1));
    if (regex_valid((slice){json_string_value(text), json_string_length(text)}) == good) continue;
    print_message("%s is %s\n", json_string_value(text), good ? "valid" : "not valid");
    wrong++;
  }
  assert_true(i >= 500);
  assert_int_equal(wrong, 0);
  json_decref(rows);
}

static bool valid(const char *pattern) {
  return regex_valid(slice_of(pattern));
}

/* What the letters of a pattern do not show. */
static void limits(void **state) {
  (void)state;
  enum { DEEP = 100000 };
  char *deep = malloc(DEEP + 1);
  assert_non_null(deep);
  memset(deep, '(', DEEP);
  deep[DEEP] = 0;
  assert_false(valid(deep));
  memset(deep, '[', DEEP);
  assert_false(valid(deep));
  memset(deep, 'a', DEEP);
  assert_true(valid(deep));
  free(deep);
  assert_true(valid("(?:(?:a{99999}){99999}){99999}"));
  assert_false(valid("(?<=(?:(?:(?:a{99999}){99999}){99999}){99999})"));
  assert_false(regex_valid((slice){"a\\", 2}));
  assert_true(regex_valid((slice){"\xFF\xC3", 2}));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(patterns),
      cmocka_unit_test(limits),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
