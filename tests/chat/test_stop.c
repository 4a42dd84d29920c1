/* The stop matcher against its definition, and what it gives out when. */
#include "tokenizer/text_cases.h"

#include "chat/stop.h"

/* stops: the index of the text that is found; -1: none. */
static void push(stop_matcher *m, const char *text, const char *expected, int stops) {
  const char *out;
  size_t n;
  int stopped;
  assert_int_equal(stop_push(m, text, strlen(text), &out, &n, &stopped, NULL), GALE_OK);
  if (n != strlen(expected) || memcmp(out, expected, n) != 0)
    fail_msg("\"%s\": got \"%.*s\", expected \"%s\"", text, (int)n, out, expected);
  assert_int_equal(stopped, stops);
}

static void finish(stop_matcher *m, const char *expected) {
  const char *out;
  size_t n;
  stop_finish(m, &out, &n);
  assert_int_equal(n, strlen(expected));
  assert_memory_equal(out, expected, n);
}

static void holds_back_what_may_stop(void **state) {
  (void)state;
  static const char *const TEXTS[] = {"\n\nUser:", "END", "ababc"};
  stop_matcher *m;
  assert_int_equal(stop_open(TEXTS, 3, &m, NULL), GALE_OK);
  push(m, "Hello\n", "Hello", -1);
  push(m, "\n", "", -1);
  push(m, "\n", "\n", -1);
  push(m, "Use", "", -1);
  push(m, "x E", "\n\nUsex ", -1);
  push(m, "N", "", -1);
  push(m, "N", "ENN", -1);
  push(m, "abab", "", -1);
  push(m, "abx",
       "ababab"
       "x",
       -1);
  push(m, "ab", "", -1);
  finish(m, "ab");
  push(m, "abc EN", "abc ", -1);
  push(m, "DE", "", 1);
  push(m, "more", "", 1);
  finish(m, "");
  push(m, "as new END", "as new ", 1);
  stop_close(&m);
  stop_close(&m);
}

static void the_first_to_end_then_the_longest(void **state) {
  (void)state;
  static const char *const TEXTS[] = {"bc", "abc", "abcd", "c\xC3\xA9"};
  stop_matcher *m;
  assert_int_equal(stop_open(TEXTS, 4, &m, NULL), GALE_OK);
  push(m, "xab", "x", -1);
  push(m, "cd", "", 1);
  finish(m, "");
  push(m, "xbcd", "x", 0);
  stop_close(&m);
  assert_int_equal(stop_open(NULL, 0, &m, NULL), GALE_OK);
  push(m, "anything", "anything", -1);
  push(m, "", "", -1);
  finish(m, "");
  stop_close(&m);
}

static void refusals(void **state) {
  (void)state;
  stop_matcher *m = NULL;
  gale_error error = {0};
  assert_int_equal(stop_open((const char *const[]){"a", ""}, 2, &m, &error), GALE_E_ARGUMENT);
  assert_non_null(strstr(error.message, "empty"));
  assert_int_equal(stop_open((const char *const[]){"a\xC3"}, 1, &m, &error), GALE_E_ARGUMENT);
  assert_null(m);
}

/* Length of the longest suffix of s that begins one of the texts without being whole. */
static size_t held_by_definition(const char *const *texts, size_t n, const char *s, size_t length) {
  for (size_t hold = length; hold > 0; hold--)
    for (size_t i = 0; i < n; i++)
      if (strlen(texts[i]) > hold && memcmp(texts[i], s + length - hold, hold) == 0) return hold;
  return 0;
}

static void random_streams(void **state) {
  (void)state;
  static const char *const TEXTS[] = {"aab", "abaaba", "bbbb", "babab", "aaaaaa"};
  uint32_t random = 7;
  for (int round = 0; round < 3000; round++) {
    stop_matcher *m;
    assert_int_equal(stop_open(TEXTS, 5, &m, NULL), GALE_OK);
    char text[64], given[64];
    size_t n = 0, n_given = 0;
    int stopped = -1;
    while (n < 60 && stopped < 0) {
      random = random * 1664525 + 1013904223;
      char piece[3];
      size_t length = random >> 30 & 3;
      if (length > sizeof piece) length = 0;
      for (size_t i = 0; i < length; i++) piece[i] = random >> (20 + i) & 1 ? 'a' : 'b';
      const char *out;
      size_t n_out;
      memcpy(text + n, piece, length);
      n += length;
      assert_int_equal(stop_push(m, piece, length, &out, &n_out, &stopped, NULL), GALE_OK);
      memcpy(given + n_given, out, n_out);
      n_given += n_out;
      assert_memory_equal(text, given, n_given);
      if (stopped < 0) assert_int_equal(n - n_given, held_by_definition(TEXTS, 5, text, n));
      bool inside = false;
      text[n] = 0;
      for (int i = 0; i < 5; i++) inside |= strstr(text, TEXTS[i]) != NULL;
      assert_int_equal(inside, stopped >= 0);
      if (inside) assert_memory_equal(text + n_given, TEXTS[stopped], strlen(TEXTS[stopped]));
    }
    stop_close(&m);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(holds_back_what_may_stop),
      cmocka_unit_test(the_first_to_end_then_the_longest),
      cmocka_unit_test(refusals),
      cmocka_unit_test(random_streams),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
