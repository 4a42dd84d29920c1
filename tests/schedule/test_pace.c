/* On machines of known speed, disturbed at times, steps come to take about as long as they may. */
#include "schedule/pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

static void test_learned(void **state) {
  (void)state;
  static const double byte_times[] = {1e-12, 1e-10, 5e-9}, op_times[] = {1e-14, 3e-11, 1e-9}, limits[] = {1.5, 2, 4};
  const double bytes = 4e9;
  for (int i = 0; i < 27; i++) {
    pace p = {.most = limits[i / 9]};
    double byte_time = byte_times[i % 3], op_time = op_times[i / 3 % 3], ops = 0, alone = bytes * byte_time;
    pace_note(&p, 0, 0, 1e9, 1e9 * op_time);
    for (int step = 0; step < 60; step++) {
      ops = step % 4 ? pace_room(&p, 8, bytes) : 0;
      double seconds = alone + ops * op_time;
      pace_note(&p, 8, bytes, ops, step == 20 ? 2 * seconds : seconds);
    }
    double took = (alone + pace_room(&p, 8, bytes) * op_time) / alone;
    assert_true(took > 0.95 * p.most && took < 1.05 * p.most);
  }
}

/* Where prompts cost nothing that shows, there is no limit in the end; and none where none is asked for. */
static void test_no_limit(void **state) {
  (void)state;
  pace p = {.most = 2};
  double before = pace_room(&p, 8, 1e9);
  assert_true(before > 0 && isfinite(before));
  pace_note(&p, 8, 1e9, 0, 0.1);
  for (int i = 0; i < 50; i++) pace_note(&p, 8, 1e9, pace_room(&p, 8, 1e9), 0.1);
  assert_true(pace_room(&p, 8, 1e9) > 100 * before);
  p.most = 0;
  assert_true(isinf(pace_room(&p, 8, 1e9)));
  p.most = 1;
  assert_true(pace_room(&p, 8, 1e9) == 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_learned), cmocka_unit_test(test_no_limit)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
