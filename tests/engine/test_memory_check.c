/* Models and sessions that don't fit into memory are refused before anything of them is taken, with the sizes and what
 * would fit; by made-up trees of /proc, and through the public interface by shapes that no machine here can hold. */
#include "load/memory_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

static char root[] = "/tmp/gale_memory_XXXXXX";

static void put_available(uint64_t kilobytes) {
  char path[128];
  snprintf(path, sizeof path, "%s/proc/meminfo", root);
  FILE *f = fopen(path, "w");
  assert_non_null(f);
  fprintf(f, "MemTotal: 99999999 kB\nMemAvailable: %llu kB\n", (unsigned long long)kilobytes);
  assert_int_equal(fclose(f), 0);
}

static int open_root(void **state) {
  (void)state;
  char path[128];
  if (!mkdtemp(root)) return -1;
  snprintf(path, sizeof path, "%s/proc", root);
  return mkdir(path, 0700);
}

static int close_root(void **state) {
  (void)state;
  char command[64];
  snprintf(command, sizeof command, "rm -r '%s'", root);
  return system(command);
}

static gale_model *open_metadata(const char *path) {
  gale_model *m = NULL;
  gale_error error = {0};
  gale_model_options options;
  gale_model_defaults(&options);
  options.metadata_only = true;
  assert_int_equal(gale_model_open(path, &options, &m, &error), GALE_OK);
  return m;
}

#define GIB ((uint64_t)1 << 30)
#define KILOBYTES(gib) ((gib) * (GIB / 1024))

static void test_weights(void **state) {
  (void)state;
  gale_error error = {0};
  gale_model *m = open_metadata("shape:mistral-7b@f16");
  put_available(KILOBYTES(14));
  assert_int_equal(memory_check_model(root, m, 14 * GIB, NULL, &error), GALE_OK);
  assert_int_equal(memory_check_model(root, m, 14 * GIB + 1, NULL, &error), GALE_E_MEMORY);
  assert_non_null(strstr(error.message, "shape:mistral-7b@f16: the weights take 14.0 GiB, and 14.0 GiB of memory"));
  assert_non_null(strstr(error.message, "quantised to q8_0 the weights would take about 7."));
  put_available(KILOBYTES(5));
  assert_int_equal(memory_check_model(root, m, 14 * GIB, NULL, &error), GALE_E_MEMORY);
  assert_non_null(strstr(error.message, "quantised to q4_0 the weights would take about 3.8 GiB"));
  put_available(KILOBYTES(1));
  assert_int_equal(memory_check_model(root, m, 14 * GIB, NULL, &error), GALE_E_MEMORY);
  assert_non_null(strstr(error.message, "nothing smaller"));
  gale_model_close(&m);
}

/* 32 layers x 8 heads x 128 x 2 x 2 bytes: 128 KiB a position, 4 GiB for 32,768 without windows. */
static void test_context(void **state) {
  (void)state;
  gale_error error = {0};
  gale_model *m = open_metadata("shape:mistral-7b@q4_0");
  gale_session_options o;
  gale_session_defaults(&o);
  o.window = GALE_WINDOW_NONE;
  put_available(KILOBYTES(6));
  assert_int_equal(memory_check_model(root, m, 4 * GIB, &o, &error), GALE_OK); /* its cache is what is left */
  o.context = 32768;
  assert_true(memory_session_need(m, &o).cache == 4 * GIB);
  assert_int_equal(memory_check_model(root, m, 4 * GIB, &o, &error), GALE_E_MEMORY);
  assert_non_null(strstr(error.message, "the cache 4.0 GiB and the scratch "));
  const char *fits = strstr(error.message, "a context of ");
  assert_non_null(fits);
  int positions = atoi(fits + strlen("a context of "));
  assert_true(positions > 8192 && positions < 16384);
  assert_non_null(strstr(fits, "type q8"));
  o.context = positions;
  assert_int_equal(memory_check_model(root, m, 4 * GIB, &o, &error), GALE_OK);
  o.context = positions + 64;
  assert_int_equal(memory_check_model(root, m, 4 * GIB, &o, &error), GALE_E_MEMORY);
  o.window = 4096;
  o.context = 32768;
  assert_int_equal(memory_check_model(root, m, 4 * GIB, &o, &error), GALE_OK);
  o.kv_bytes = 3 * GIB;
  assert_int_equal(memory_check_model(root, m, 4 * GIB, &o, &error), GALE_E_MEMORY);
  gale_model_close(&m);
}

static void test_session(void **state) {
  (void)state;
  gale_error error = {0};
  put_available(KILOBYTES(2));
  session_need need = {.cache = GIB, .scratch = GIB};
  assert_int_equal(memory_check_session(root, &need, &error), GALE_OK);
  need.scratch++;
  assert_int_equal(memory_check_session(root, &need, &error), GALE_E_MEMORY);
  assert_non_null(strstr(error.message, "cache takes 1.0 GiB and its scratch 1.0 GiB, and 2.0 GiB of memory are"));
  need = (session_need){.cache = UINT64_MAX, .scratch = UINT64_MAX};
  assert_int_equal(memory_check_session(root, &need, &error), GALE_E_MEMORY);
}

/* 800 GiB of weights: refused at once, with hardly any memory taken. */
static void test_public_interface(void **state) {
  (void)state;
  gale_model *m = NULL;
  gale_error error = {0};
  gale_model_options options;
  gale_model_defaults(&options);
  struct rusage before, after;
  getrusage(RUSAGE_SELF, &before);
  assert_int_equal(gale_model_open("shape:mistral-large:layers=640@f32", &options, &m, &error), GALE_E_MEMORY);
  getrusage(RUSAGE_SELF, &after);
  assert_null(m);
  assert_non_null(strstr(error.message, "the weights take "));
  assert_true(after.ru_maxrss - before.ru_maxrss < 100 * 1024);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_weights),
      cmocka_unit_test(test_context),
      cmocka_unit_test(test_session),
      cmocka_unit_test(test_public_interface),
  };
  return cmocka_run_group_tests(tests, open_root, close_root);
}
