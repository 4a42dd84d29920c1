/* Opening the device for each instruction set: those that the processor has, and the refusal of the others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "backend/backend.h"
#include "base/cpu.h"

static void sets_have_names(void **state) {
  (void)state;
  for (int l = 0; l < CPU_ISAS; l++) {
    cpu_isa isa;
    assert_true(cpu_isa_from_name(cpu_isa_name((cpu_isa)l), &isa));
    assert_int_equal(isa, l);
  }
  cpu_isa isa;
  assert_false(cpu_isa_from_name("", &isa));
  assert_false(cpu_isa_from_name("AVX2", &isa));
}

static void best_set_is_the_highest(void **state) {
  (void)state;
  cpu_isa best = cpu_detect();
  assert_true(cpu_supports(CPU_GENERIC));
  assert_true(cpu_supports(best));
  for (int l = (int)best + 1; l < CPU_ISAS; l++) assert_false(cpu_supports((cpu_isa)l));
  be_device *d = NULL;
  assert_int_equal(be_open(NULL, &d, NULL), GALE_OK);
  assert_string_equal(d->ops->name(d), cpu_isa_name(best));
  d->ops->close(d);
}

static void lacking_set_is_refused(void **state) {
  (void)state;
  int refused = 0;
  for (int l = 0; l < CPU_ISAS; l++) {
    const char *name = cpu_isa_name((cpu_isa)l);
    be_device *d = NULL;
    gale_error error = {0};
    gale_status status = be_open(name, &d, &error);
    if (cpu_supports((cpu_isa)l)) {
      assert_int_equal(status, GALE_OK);
      assert_string_equal(d->ops->name(d), name);
      d->ops->close(d);
      continue;
    }
    refused++;
    assert_int_equal(status, GALE_E_UNSUPPORTED);
    const char *has = strstr(error.message, "has generic");
    assert_non_null(strstr(error.message, name));
    assert_non_null(has);
    for (int other = 0; other < CPU_ISAS; other++)
      if (cpu_supports((cpu_isa)other)) assert_non_null(strstr(has, cpu_isa_name((cpu_isa)other)));
    assert_null(strstr(has, name));
  }
  assert_true(refused > 0); /* no processor has both AMX and NEON */
}

static void unknown_level_is_refused(void **state) {
  (void)state;
  be_device *d = NULL;
  gale_error error = {0};
  assert_int_equal(be_open("sse", &d, &error), GALE_E_ARGUMENT);
  for (int l = 0; l < CPU_ISAS; l++) assert_non_null(strstr(error.message, cpu_isa_name((cpu_isa)l)));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(sets_have_names),
      cmocka_unit_test(best_set_is_the_highest),
      cmocka_unit_test(lacking_set_is_refused),
      cmocka_unit_test(unknown_level_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
