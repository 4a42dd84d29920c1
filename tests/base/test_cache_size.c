/* Sizes of caches as Linux tells them, and on a system whose sysconf() has no names for them, as with musl. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#undef _SC_LEVEL2_CACHE_SIZE
#undef _SC_LEVEL3_CACHE_SIZE
#undef _SC_LEVEL4_CACHE_SIZE
#include "base/cache_size.c"

static char folder[64];

static void write_file(int index, const char *name, const char *text) {
  char path[128];
  snprintf(path, sizeof path, "%s/index%d/%s", folder, index, name);
  FILE *f = fopen(path, "w");
  assert_non_null(f);
  fputs(text, f);
  assert_int_equal(fclose(f), 0);
}

static void write_cache(int index, const char *level, const char *type, const char *size) {
  char path[128];
  snprintf(path, sizeof path, "%s/index%d", folder, index);
  mkdir(path, 0700);
  write_file(index, "level", level);
  write_file(index, "type", type);
  write_file(index, "size", size);
}

static int make_folder(void **state) {
  (void)state;
  snprintf(folder, sizeof folder, "/tmp/gale-cache-XXXXXX");
  return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
  (void)state;
  static const char *const names[] = {"level", "type", "size", ""};
  char path[128];
  for (int i = 0; i < 4; i++)
    for (int n = 0; n < 4; n++) {
      snprintf(path, sizeof path, "%s/index%d/%s", folder, i, names[n]);
      n < 3 ? unlink(path) : rmdir(path);
    }
  return rmdir(folder);
}

static void test_levels(void **state) {
  (void)state;
  assert_int_equal(cache_bytes_in(folder), 0);
  assert_int_equal(cache_bytes_in("/nowhere"), 0);
  write_cache(0, "1\n", "Data\n", "32K\n");
  write_cache(1, "1\n", "Instruction\n", "64K\n");
  assert_int_equal(cache_bytes_in(folder), 32 << 10);
  write_cache(3, "3\n", "Unified\n", "8M\n");
  write_cache(2, "2\n", "Unified\n", "1024K\n");
  assert_int_equal(cache_bytes_in(folder), 8 << 20);
}

static void test_strange_sizes(void **state) {
  (void)state;
  static const struct {
    const char *text;
    long bytes;
  } sizes[] = {{"512", 512}, {"1G\n", 1L << 30}, {"", 0},    {"K", 0},
               {"-4K", 0},   {"0K", 0},          {"4KB", 0}, {"99999999999999999999K", 0},
               {"4T", 0},    {"9999999999", 0},  {" 4K", 0}, {"2000000000K", 0}};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    write_cache(0, "2\n", "Unified\n", sizes[i].text);
    assert_int_equal(cache_bytes_in(folder), sizes[i].bytes);
  }
  write_cache(0, "two\n", "Unified\n", "4K");
  assert_int_equal(cache_bytes_in(folder), 0);
}

static void test_without_names(void **state) {
  (void)state;
  assert_int_equal(cache_bytes(), cache_bytes_in("/sys/devices/system/cpu/cpu0/cache"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_levels, make_folder, remove_folder),
      cmocka_unit_test_setup_teardown(test_strange_sizes, make_folder, remove_folder),
      cmocka_unit_test(test_without_names),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
