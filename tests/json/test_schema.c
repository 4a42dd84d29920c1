/* What is a schema of draft 7, and which keyword is at fault where it is none. */
#include "json_cases.h"

#include "json/schema.h"

static void good(const char *text) {
  const char *where = "";
  if (!schema_check(read_good(slice_of(text), VALUE_PROMPT), &where)) fail_msg("%s: %s", text, where);
}

static void bad(const char *text, const char *keyword) {
  const char *where = "";
  if (schema_check(read_good(slice_of(text), VALUE_PROMPT), &where)) fail_msg("%s", text);
  assert_string_equal(where, keyword);
}

static void numbers(void **state) {
  (void)state;
  static const char *const COUNTS[] = {"0", "-0", "-0.0", "3.0", "1e2", "1e300", "123456789012345678901234567890"};
  static const char *const NONE[] = {"-1",       "1.5",       "1e-1",  "-1.0",  "NaN",
                                     "Infinity", "-Infinity", "1e400", "\"1\"", "true"};
  static const char *const POSITIVE[] = {"1", "0.5", "1e-300", "1e400", "Infinity"};
  static const char *const NOT_POSITIVE[] = {"0", "-0.0", "0e5", "1e-400", "-1", "NaN", "-Infinity", "\"1\""};
  char text[80];
  for (size_t i = 0; i < sizeof COUNTS / sizeof *COUNTS; i++) {
    snprintf(text, sizeof text, "{\"maxLength\": %s}", COUNTS[i]);
    good(text);
  }
  for (size_t i = 0; i < sizeof NONE / sizeof *NONE; i++) {
    snprintf(text, sizeof text, "{\"maxLength\": %s}", NONE[i]);
    bad(text, "maxLength");
  }
  for (size_t i = 0; i < sizeof POSITIVE / sizeof *POSITIVE; i++) {
    snprintf(text, sizeof text, "{\"multipleOf\": %s}", POSITIVE[i]);
    good(text);
  }
  for (size_t i = 0; i < sizeof NOT_POSITIVE / sizeof *NOT_POSITIVE; i++) {
    snprintf(text, sizeof text, "{\"multipleOf\": %s}", NOT_POSITIVE[i]);
    bad(text, "multipleOf");
  }
}

static void keywords(void **state) {
  (void)state;
  good("true");
  good("{}");
  good("{\"type\": [\"string\", \"null\"], \"required\": [], \"unknown\": 5, \"pattern\": \"^a+$\"}");
  good("{\"properties\": {\"a\": {\"$ref\": \"#/definitions/a\"}}, \"definitions\": {\"a\": false}}");
  good("{\"dependencies\": {\"a\": [\"b\"], \"c\": {}}, \"items\": [{}, true], \"anyOf\": [{}]}");
  bad("5", "");
  bad("[]", "");
  bad("{\"type\": \"text\"}", "type");
  bad("{\"type\": [\"string\", \"string\"]}", "type");
  bad("{\"type\": []}", "type");
  bad("{\"required\": [\"a\", \"a\"]}", "required");
  bad("{\"pattern\": \"(\"}", "pattern");
  bad("{\"patternProperties\": {\"(\": {}}}", "patternProperties");
  bad("{\"properties\": {\"a\": {\"enum\": 5}}}", "enum");
  bad("{\"allOf\": []}", "allOf");
  bad("{\"items\": []}", "items");
  bad("{\"dependencies\": {\"a\": [\"b\", \"b\"]}}", "dependencies");
}

static int free_memory(void **state) {
  (void)state;
  arena_free(&memory);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(numbers), cmocka_unit_test(keywords)};
  return cmocka_run_group_tests(tests, NULL, free_memory);
}
