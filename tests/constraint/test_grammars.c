/* Grammars in GBNF: which texts fit. */
#include "constraint_cases.h"

static void grammars(void **state) {
  (void)state;
  static const constraint_case CASES[] = {
      {"root ::= \"a\" b*\nb ::= [x-z] | \"\\\"\" # comment\n", {"a", "axyz\"x"}, {"", "ab", "x"}},
      {"root ::= (\n \"a\" |\n \"b\"\n){2,3}", {"ab", "bba"}, {"a", "abab"}},
      {"root ::= expr\nexpr ::= term (\"+\" term)*\nterm ::= [0-9]+ | \"(\" expr \")\"",
       {"1", "1+2+33", "((1)+2)"},
       {"", "1+", "(1", "1)", "()"}},
      {"root ::= \"x\" root \"y\" | \"x\" root \"z\" | \"\"", {"", "xy", "xxzy", "xxxyzy"}, {"x", "xyy", "y"}},
      {"root ::= . [^\\n\\x41-\\x43]?", {"a", "\n", "\xE2\x82\xAC\xC3\xA9", "aD"}, {"", "aA", "a\n"}},
      {"root ::= [\\u00e9\\U0001F600\\]-]", {"\xC3\xA9", "\xF0\x9F\x98\x80", "]", "-"}, {"e"}},
      {"root ::= a_1 b-2\na_1 ::= \"1\"?\nb-2 ::= \"2\"{0,2}", {"", "1", "122", "2"}, {"222", "11"}},
      {"root ::= dead | \"ok\"\ndead ::= \"x\" dead", {"ok"}, {"", "x"}},
      {"root ::= ws \"a\" ws\nws ::= [ \\t]*", {"a", "  a\t"}, {" "}},
      {"root ::= ((\"a\"?)*)*\n", {"", "aaa"}, {"b"}},
  };
  check_cases(GALE_CONSTRAINT_GRAMMAR, CASES, COUNT(CASES));
}

static void refused(void **state) {
  (void)state;
  static const error_case CASES[] = {
      {"a ::= \"b\"", "byte 0: there is no rule"},
      {"root ::= x", "byte 9: the rule is not defined"},
      {"root ::= root \"a\" | \"b\"", "byte 0: left recursion"},
      {"root ::= a\na ::= b? \"x\"\nb ::= a", "byte 11: left recursion"},
      {"root ::= \"a", "byte 9"},
      {"root ::= \"\\\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "byte 9"},
      {"root ::= (\"a\"", "byte"},
      {"root ::= [a", "byte"},
      {"root ::= \"a\"{0,1000000000}", "byte"},
      {"root ::= \"a\"{3,2}", "byte 12"},
      {"root ::= <think>", "byte 9"},
      {"root ::= !x", "byte 9"},
      {"root = \"a\"", "byte 5"},
      {"root ::= \"a\"\nroot ::= \"b\"", "byte 13"},
      {"root ::= \"\\q\"", "byte 10"},
      {"root ::= \"a\" )", "byte 13"},
      {"root ::= \"x\" root", "byte 0: no text"},
      {"", "byte 0"},
      {"root ::= \"\\uD800\"", "byte"},
  };
  check_errors(GALE_CONSTRAINT_GRAMMAR, CASES, COUNT(CASES));
}

static void add(char *text, size_t *n, const char *s) {
  size_t length = strlen(s);
  memcpy(text + *n, s, length);
  *n += length;
  text[*n] = 0;
}

static void hostile(void **state) {
  (void)state;
  gale_tokenizer *t = byte_tokenizer();
  gale_mask_table *table = NULL;
  gale_error error = {0};
  assert_int_equal(gale_mask_table_open(t, &table, &error), GALE_OK);
  enum { ROOM = 250000 };
  char *text = malloc(ROOM), rule[64];
  assert_non_null(text);
  size_t n = 0;
  add(text, &n, "root ::= ");
  for (int i = 0; i < 60000; i++) add(text, &n, "(");
  assert_null(open_constraint(table, GALE_CONSTRAINT_GRAMMAR, text, &error));
  for (int rules = 4000; rules <= 5000;
       rules += 1000) { /* chains, of which one is too long for a step and one at all */
    n = 0;
    add(text, &n, "root ::= r0\n");
    for (int i = 0; i < rules; i++) {
      snprintf(rule, sizeof rule, "r%d ::= r%d\n", i, i + 1);
      add(text, &n, rule);
    }
    snprintf(rule, sizeof rule, "r%d ::= \"a\"\n", rules);
    add(text, &n, rule);
    assert_null(open_constraint(table, GALE_CONSTRAINT_GRAMMAR, text, &error));
  }
  /* Ambiguous beyond counting. */
  gale_constraint *c =
      open_constraint(table, GALE_CONSTRAINT_GRAMMAR, "root ::= \"a\" | \"a\" root | \"a\" root root", &error);
  assert_non_null(c);
  memset(text, 'a', 400);
  text[400] = 0;
  assert_true(fits(c, text));
  gale_constraint_close(&c);
  free(text);
  gale_mask_table_close(&table);
  gale_tokenizer_close(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(grammars), cmocka_unit_test(refused), cmocka_unit_test(hostile)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
