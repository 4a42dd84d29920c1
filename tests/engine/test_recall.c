/* The longest earlier place of a text's end, against a scan of the whole text after every token. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "engine/recall.h"

enum { LONGEST = 1200, DRAFT = 9 };

/* Where the longest end of text[0 .. n - 1] that ends before n ends first, and how long it is. */
static size_t scan(const int32_t *text, size_t n, size_t *at) {
  size_t best = 0;
  for (size_t end = 1; end < n; end++) {
    size_t length = 0;
    while (length < end && text[end - 1 - length] == text[n - 1 - length]) length++;
    if (length > best) {
      best = length;
      *at = end;
    }
  }
  return best;
}

static void expect_as_scanned(const recall *r, const int32_t *text, size_t n) {
  int32_t extended[LONGEST + DRAFT], got[DRAFT];
  size_t at = 0, match = scan(text, n, &at);
  assert_int_equal(recall_match(r), match);
  assert_int_equal(recall_propose(r, got, DRAFT), match ? DRAFT : 0);
  if (!match) return;
  memcpy(extended, text, n * sizeof *text);
  for (size_t i = 0; i < DRAFT; i++) {
    extended[n + i] = extended[at + i];
    assert_int_equal(got[i], extended[n + i]);
  }
}

/* Tokens of few kinds, now and then a stretch of the text again. */
static size_t make_text(int32_t *text, size_t n, uint64_t seed, uint64_t kinds, uint64_t copies_of_16) {
  size_t have = 0;
  for (uint64_t i = 0; have < n; i += 3) {
    if (have > 0 && random_at(seed, i) % 16 < copies_of_16) {
      size_t from = random_at(seed, i + 1) % have, length = random_at(seed, i + 2) % 40;
      for (size_t j = 0; j < length && have < n; j++) text[have++] = text[from + j];
    } else {
      text[have++] = (int32_t)(random_at(seed, i + 1) % kinds);
    }
  }
  return have;
}

static recall *open_text(void) {
  recall *r = NULL;
  assert_int_equal(recall_open(&r, NULL), GALE_OK);
  return r;
}

static void test_scanned(void **state) {
  (void)state;
  static const uint64_t kinds[] = {1, 2, 3, 10, 1000, 1 << 17};
  int32_t text[LONGEST], none;
  for (uint64_t seed = 0; seed < 24; seed++) {
    size_t n = seed < 4 ? LONGEST : 300;
    make_text(text, n, seed, kinds[seed % 6], seed / 6 * 2);
    recall *r = open_text();
    assert_int_equal(recall_match(r), 0);
    assert_int_equal(recall_propose(r, &none, 1), 0);
    for (size_t i = 0; i < n; i++) {
      assert_int_equal(recall_append(r, &text[i], 1, NULL), GALE_OK);
      expect_as_scanned(r, text, i + 1);
    }
    recall_close(&r);
    assert_null(r);
  }
}

/* Texts with as many states or edges as there can be: a b b ... b, a b b ... b c, and Fibonacci's. */
static void test_extremes(void **state) {
  (void)state;
  int32_t text[LONGEST];
  for (int shape = 0; shape < 3; shape++)
    for (size_t n = 1; n < 60; n++) {
      for (size_t i = 0; i < n; i++) text[i] = i > 0;
      if (shape == 1) text[n - 1] = 2;
      for (size_t i = 2, a = 1, b = 2; shape == 2 && i < n; i++) {
        if (i == a + b) a = i - a, b = i;
        text[i] = text[i - b];
      }
      recall *r = open_text();
      assert_int_equal(recall_append(r, text, n, NULL), GALE_OK);
      expect_as_scanned(r, text, n);
      recall_close(&r);
    }
}

/* A copy goes on by itself, and its source stays what it was. */
static void test_copy(void **state) {
  (void)state;
  int32_t text[LONGEST], other[LONGEST];
  make_text(text, LONGEST, 77, 4, 3);
  make_text(other, LONGEST, 78, 4, 3);
  memcpy(other, text, 300 * sizeof *text);
  recall *r = open_text(), *copy = NULL, *empty = open_text(), *of_empty = NULL;
  assert_int_equal(recall_append(r, text, 300, NULL), GALE_OK);
  assert_int_equal(recall_copy(r, &copy, NULL), GALE_OK);
  for (size_t i = 300; i < 700; i++) {
    assert_int_equal(recall_append(r, &text[i], 1, NULL), GALE_OK);
    assert_int_equal(recall_append(copy, &other[i], 1, NULL), GALE_OK);
    expect_as_scanned(r, text, i + 1);
    expect_as_scanned(copy, other, i + 1);
  }
  assert_int_equal(recall_copy(empty, &of_empty, NULL), GALE_OK);
  assert_int_equal(recall_append(of_empty, text, 100, NULL), GALE_OK);
  expect_as_scanned(of_empty, text, 100);
  assert_int_equal(recall_match(empty), 0);
  recall_close(&r);
  recall_close(&copy);
  recall_close(&empty);
  recall_close(&of_empty);
  recall_close(&of_empty);
}

static void test_too_long(void **state) {
  (void)state;
  recall *r = open_text();
  gale_error error = {0};
  int32_t token = 1;
  assert_int_equal(recall_append(r, &token, 1, NULL), GALE_OK);
  assert_int_equal(recall_append(r, &token, 1 << 28, &error), GALE_E_MEMORY);
  assert_int_equal(recall_match(r), 0);
  recall_close(&r);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_scanned), cmocka_unit_test(test_extremes),
                                     cmocka_unit_test(test_copy), cmocka_unit_test(test_too_long)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
