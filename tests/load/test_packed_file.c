/* Files of packed weights: written and read back; what they say of themselves cannot be trusted. */
#include "format/files.h"

#include "load/packed_file.h"

#include <sys/mman.h>

enum { DATA = PACKED_SECTION + 12345 };

static char *data;

static const char *write_file(void) {
  const packed_about about = {.key = {{1, 2}}, .data_bytes = DATA, .source = "/a/model", .mix = "q4_0"};
  packed_writer w;
  gale_error error = {0};
  if (packed_create(&w, directory, DATA, &error)) fail_msg("%s", error.message);
  for (size_t i = 0; i < 2; i++) assert_int_equal(packed_put(&w, i, data + i * PACKED_SECTION, NULL), GALE_OK);
  assert_int_equal(packed_commit(&w, &about, at("file"), NULL), GALE_OK);
  packed_writer_close(&w);
  return at("file");
}

static void test_read_back(void **state) {
  (void)state;
  packed_file p;
  gale_error error = {0};
  if (packed_open(&p, write_file(), &error)) fail_msg("%s", error.message);
  assert_int_equal(p.about.data_bytes, DATA);
  assert_int_equal(p.n_sections, 2);
  assert_string_equal(p.about.source, "/a/model");
  assert_string_equal(p.about.mix, "q4_0");
  assert_true(p.about.key.half[0] == 1 && p.about.key.half[1] == 2);
  assert_int_equal(packed_section_bytes(DATA, 0), PACKED_SECTION);
  assert_int_equal(packed_section_bytes(DATA, 1), 12345);
  void *mapping;
  size_t mapping_bytes;
  const char *mapped = packed_map(p.file.fd, DATA, &mapping, &mapping_bytes);
  assert_non_null(mapped);
  assert_int_equal((uintptr_t)mapped % PACKED_SECTION, 0);
  assert_memory_equal(mapped, data, DATA);
  (void)packed_in_large_pages(mapped, DATA);
  for (size_t i = 0; i < 2; i++) assert_true(packed_check(&p, i, mapped + i * PACKED_SECTION));
  assert_false(packed_check(&p, 0, mapped + 1));
  assert_int_equal(munmap(mapping, mapping_bytes), 0);
  packed_close(&p);
}

/* Every number of the footer, by values that sums and products of sizes stumble over. */
static void test_hostile_footers(void **state) {
  (void)state;
  static const uint64_t values[] = {0,
                                    1,
                                    63,
                                    65536,
                                    65537,
                                    DATA + 1,
                                    UINT64_MAX,
                                    UINT64_MAX - 1,
                                    UINT64_MAX - 4095,
                                    (uint64_t)1 << 63,
                                    ((uint64_t)1 << 63) - 1,
                                    (uint64_t)1 << 32,
                                    UINT32_MAX};
  enum { NUMBERS = 8 };
  const char *path = write_file();
  struct stat st;
  assert_int_equal(stat(path, &st), 0);
  int fd = open(path, O_RDWR);
  assert_true(fd >= 0);
  for (int i = 0; i < NUMBERS; i++)
    for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
      off_t offset = st.st_size - (NUMBERS - i) * (off_t)sizeof(uint64_t);
      uint64_t before;
      packed_file p;
      gale_error error = {0};
      assert_int_equal(pread(fd, &before, sizeof before, offset), sizeof before);
      if (before == values[v]) continue;
      assert_int_equal(pwrite(fd, &values[v], sizeof before, offset), sizeof before);
      assert_int_equal(packed_open(&p, path, &error), GALE_E_FORMAT);
      assert_non_null(strstr(error.message, path));
      assert_int_equal(p.file.fd, -1);
      assert_int_equal(pwrite(fd, &before, sizeof before, offset), sizeof before);
    }
  close(fd);
  packed_file p;
  assert_int_equal(packed_open(&p, path, NULL), GALE_OK);
  packed_close(&p);
}

static void test_abandoned(void **state) {
  (void)state;
  packed_writer w;
  assert_int_equal(packed_create(&w, directory, DATA, NULL), GALE_OK);
  char *path = strdup(w.file.path);
  assert_int_equal(access(path, F_OK), 0);
  packed_writer_close(&w);
  assert_int_equal(access(path, F_OK), -1);
  free(path);
  assert_int_equal(packed_create(&w, at("nothing"), DATA, NULL), GALE_E_IO);
  assert_int_equal(packed_create(&w, directory, (uint64_t)1 << 46, NULL), GALE_E_IO);
  assert_int_equal(w.file.fd, -1);
}

#define IN_A_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, make_directory, remove_directory)

int main(void) {
  data = malloc(DATA);
  if (!data) return 1;
  for (size_t i = 0; i < DATA; i++) data[i] = (char)(i * 7 + i / 1000);
  const struct CMUnitTest tests[] = {
      IN_A_DIRECTORY(test_read_back),
      IN_A_DIRECTORY(test_hostile_footers),
      IN_A_DIRECTORY(test_abandoned),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  free(data);
  return failed;
}
