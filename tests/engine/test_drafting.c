/* Which drafts a step gets, where what steps take is known. */
#include "engine/drafting.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Steps of every size took 1 and `more` for each token beyond the first. */
static step_times times(double more) {
  step_times t = {0};
  for (int round = 0; round < 3; round++)
    for (size_t n = 1; n <= STEP_TIMES; n++) step_times_note(&t, n, 1 + more * (double)(n - 1));
  return t;
}

static void test_choice(void **state) {
  (void)state;
  step_times cheap = times(0.01), dear = times(1);
  draft_outlook d[3] = {{.right = 0.9, .most = 3}, {.right = 0.2, .most = 9}, {.right = 0.6, .most = 9}};
  drafts_choose(&cheap, 3, 100, d, 3);
  assert_true(d[0].n == 3 && d[2].n > d[1].n);
  assert_true(((d[0].n + d[1].n + d[2].n) & (d[0].n + d[1].n + d[2].n - 1)) == 0);
  drafts_choose(&cheap, 3, 2, d, 3);
  assert_true(d[0].n == 2 && d[1].n + d[2].n == 0);
  drafts_choose(&cheap, 3, 0, d, 3);
  assert_int_equal(d[0].n + d[1].n + d[2].n, 0);
  drafts_choose(&dear, 1, 100, d, 1);
  assert_int_equal(d[0].n, 0);
  step_times none = {0};
  drafts_choose(&none, 3, 100, d, 3);
  assert_int_equal(d[0].n + d[1].n + d[2].n, 0);
}

/* Sizes that were never seen lie on a line between, or behind, those that were; what is old is forgotten. */
static void test_expected(void **state) {
  (void)state;
  step_times t = {0};
  assert_true(step_times_expect(&t, 5) == 0);
  for (int i = 0; i < 3; i++) step_times_note(&t, 4, 2);
  assert_true(step_times_expect(&t, 4) == 2 && step_times_expect(&t, 2) < 2 && step_times_expect(&t, 9) > 2);
  for (int i = 0; i < 3; i++) step_times_note(&t, 8, 4);
  assert_true(step_times_expect(&t, 6) == 3 && step_times_expect(&t, 10) == 5);
  for (int i = 0; i < 1000; i++) step_times_note(&t, 4, 2);
  assert_true(step_times_expect(&t, 8) < 4);
}

/* A size is not given up for one step that other programs held up. */
static void test_disturbed(void **state) {
  (void)state;
  step_times t = {0};
  draft_outlook d = {.right = 0.9, .most = 1};
  for (int i = 0; i < 3; i++) step_times_note(&t, 1, 1);
  step_times_note(&t, 2, 5);
  drafts_choose(&t, 1, 1, &d, 1);
  assert_int_equal(d.n, 1);
  for (int i = 0; i < 2; i++) step_times_note(&t, 2, 5);
  drafts_choose(&t, 1, 1, &d, 1);
  assert_int_equal(d.n, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_choice), cmocka_unit_test(test_expected),
                                     cmocka_unit_test(test_disturbed)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
