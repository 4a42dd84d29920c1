/* gale's own exp and ln in double against the C library's in long double. */
#include "base/exponential.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/random.h"

enum { POINTS = 1000000 };

static double uniform(uint64_t i) {
  return (double)(random_at(1, i) >> 11) * 0x1p-53;
}

/* How far a result is off, in units of the last place of the double nearest to the exact one. */
static double units_off(double result, long double exact) {
  int exponent;
  if (exact == 0) return result == 0 ? 0 : INFINITY;
  frexpl(fabsl(exact), &exponent);
  return (double)(fabsl((long double)result - exact) / ldexpl(1, exponent - 53));
}

/* long double has to be longer than double for that. */
static void skip_without_long_double(void) {
  if (sizeof(long double) == sizeof(double) || 1.0L + 0x1p-60L == 1.0L) skip();
}

static void test_exp(void **state) {
  (void)state;
  skip_without_long_double();
  double worst = 0;
  for (uint64_t i = 0; i < POINTS; i++) {
    double x = i % 2 ? -44 * uniform(i) : 1400 * uniform(i) - 700, off = units_off(double_exp(x), expl((long double)x));
    if (off > worst) worst = off;
  }
  if (worst > 1) fail_msg("%.3f units in the last place", worst);
}

static void test_log(void **state) {
  (void)state;
  skip_without_long_double();
  double worst = 0;
  for (uint64_t i = 0; i < POINTS; i++) {
    double x = i % 2 ? 0.5 + uniform(i) : double_exp(1400 * uniform(i) - 700);
    double off = units_off(double_log(x), logl((long double)x));
    if (off > worst) worst = off;
  }
  if (worst > 2) fail_msg("%.3f units in the last place", worst);
}

static void test_exact(void **state) {
  (void)state;
  assert_true(double_exp(0) == 1);
  assert_true(double_log(1) == 0);
  for (int k = -40; k < 40; k++) assert_true(fabs(double_log(ldexp(1, k)) - k * 0.693147180559945309) <= 0x1p-47);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_exp),
      cmocka_unit_test(test_log),
      cmocka_unit_test(test_exact),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
