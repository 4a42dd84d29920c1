/* Structs that grow: a caller and a library of different versions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/sized.h"

typedef struct older {
  size_t size;
  int a;
} older;

typedef struct newer {
  size_t size;
  int a, unused;
  double b;
} newer;

static void older_caller(void **state) {
  (void)state;
  const newer defaults = {.a = 1, .b = 2};
  struct {
    older s;
    unsigned char guard[64];
  } caller;
  memset(&caller, 0xA5, sizeof caller);
  sized_write(&caller.s, sizeof caller.s, &defaults, sizeof defaults);
  assert_int_equal(caller.s.size, sizeof caller.s);
  assert_int_equal(caller.s.a, 1);
  for (size_t i = 0; i < sizeof caller.guard; i++) assert_int_equal(caller.guard[i], 0xA5);
  caller.s.a = 7;
  newer mine = defaults;
  assert_int_equal(sized_read(&mine, sizeof mine, &caller.s, "options", NULL), GALE_OK);
  assert_int_equal(mine.size, sizeof mine);
  assert_int_equal(mine.a, 7);
  assert_true(mine.b == 2);
}

static void newer_caller(void **state) {
  (void)state;
  const older defaults = {.a = 1};
  newer caller;
  memset(&caller, 0xA5, sizeof caller);
  sized_write(&caller, sizeof caller, &defaults, sizeof defaults);
  assert_int_equal(caller.size, sizeof caller);
  assert_int_equal(caller.a, 1);
  assert_true(caller.b == 0);
  older mine = defaults;
  assert_int_equal(sized_read(&mine, sizeof mine, &caller, "options", NULL), GALE_OK);
  caller.b = 3;
  gale_error error = {0};
  assert_int_equal(sized_read(&mine, sizeof mine, &caller, "options", &error), GALE_E_UNSUPPORTED);
  assert_non_null(strstr(error.message, "options"));
}

static void not_set_up(void **state) {
  (void)state;
  newer mine = {.a = 1}, caller = {0};
  gale_error error = {0};
  const size_t sizes[] = {0, 7, SIZE_MAX, (size_t)1 << 20};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    caller.size = sizes[i];
    assert_int_equal(sized_read(&mine, sizeof mine, &caller, "options", &error), GALE_E_ARGUMENT);
    assert_int_equal(mine.a, 1);
  }
  unsigned char small[4] = {1, 2, 3, 4};
  sized_write(small, sizeof small, &mine, sizeof mine);
  assert_int_equal(small[0], 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(older_caller),
      cmocka_unit_test(newer_caller),
      cmocka_unit_test(not_set_up),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
