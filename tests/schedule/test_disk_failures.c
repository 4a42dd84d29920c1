/* Answers of an engine whose calls for files fail, the N-th alone or all from the N-th on, for every N until none is
 * left to fail: each is what it is without a cache on disk, and nothing stays open.
 *
 * The linker hands the calls of gale's objects to the functions below (cmake/tests.cmake). */
#include "schedule/disk_texts.h"

#include <errno.h>
#include <stdatomic.h>

static atomic_long countdown; /* calls until the failing one, which is number 1; 0 and less: none fails */
static bool ever_after;       /* those behind it fail too */

static bool fails(int reason) {
  if (atomic_load(&countdown) == 0) return false;
  long left = atomic_fetch_sub(&countdown, 1);
  if (left > 1 || (left < 1 && !ever_after)) return false;
  errno = reason;
  return true;
}

ssize_t __real_pread(int fd, void *to, size_t n, off_t offset);
ssize_t __wrap_pread(int fd, void *to, size_t n, off_t offset);
ssize_t __wrap_pread(int fd, void *to, size_t n, off_t offset) {
  return fails(EIO) ? -1 : __real_pread(fd, to, n, offset);
}

ssize_t __real_pwrite(int fd, const void *from, size_t n, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *from, size_t n, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *from, size_t n, off_t offset) {
  return fails(ENOSPC) ? -1 : __real_pwrite(fd, from, n, offset);
}

int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to) {
  return fails(EACCES) ? -1 : __real_rename(from, to);
}

int __real_fallocate(int fd, int mode, off_t offset, off_t n);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t n);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t n) {
  return fails(ENOSPC) ? -1 : __real_fallocate(fd, mode, offset, n);
}

int __real_mkostemp(char *path, int flags);
int __wrap_mkostemp(char *path, int flags);
int __wrap_mkostemp(char *path, int flags) {
  return fails(EMFILE) ? -1 : __real_mkostemp(path, flags);
}

int __real_utimensat(int directory_fd, const char *name, const struct timespec times[2], int flags);
int __wrap_utimensat(int directory_fd, const char *name, const struct timespec times[2], int flags);
int __wrap_utimensat(int directory_fd, const char *name, const struct timespec times[2], int flags) {
  return fails(ENOENT) ? -1 : __real_utimensat(directory_fd, name, times, flags);
}

int __real_flock(int fd, int operation);
int __wrap_flock(int fd, int operation);
int __wrap_flock(int fd, int operation) {
  return fails(ENOLCK) ? -1 : __real_flock(fd, operation);
}

static int open_files(void) {
  int n = 0;
  DIR *d = opendir("/proc/self/fd");
  assert_non_null(d);
  while (readdir(d)) n++;
  closedir(d);
  return n;
}

/* One engine for a text that is partly there, and another for it again. Calls fail once the first is open. Returns
 * whether the failing one was reached. */
static bool run(long n, const int32_t *ids, const int32_t right[ANSWER]) {
  int32_t answer[ANSWER];
  int files = open_files();
  empty_cache();
  disk_engine d = disk_open(&USUAL);
  found(&d, ids, 130, NULL, answer);
  disk_close(&d);
  d = disk_open(&USUAL);
  disk_engine other = disk_open(&USUAL);
  atomic_store(&countdown, n);
  found(&d, ids, LONG, NULL, answer);
  assert_memory_equal(answer, right, sizeof answer);
  disk_close(&d);
  found(&other, ids, LONG, NULL, answer);
  assert_memory_equal(answer, right, sizeof answer);
  disk_close(&other);
  bool reached = atomic_load(&countdown) <= 0;
  atomic_store(&countdown, 0);
  assert_int_equal(open_files(), files);
  d = disk_open(&USUAL);
  found(&d, ids, LONG, NULL, answer);
  assert_memory_equal(answer, right, sizeof answer);
  disk_close(&d);
  d = disk_open(&USUAL); /* by now all is as it would be */
  assert_int_equal(found(&d, ids, LONG, NULL, answer), whole_pages(LONG));
  disk_close(&d);
  return reached;
}

static void fail_each(bool all) {
  int32_t ids[LONG], right[ANSWER];
  disk_engine d = disk_open(&USUAL);
  make_text(&d, ids, LONG, 8);
  found(&d, ids, LONG, NULL, right);
  disk_close(&d);
  ever_after = all;
  long n = 1;
  while (run(n, ids, right)) n += n < 20 || !all ? 1 : 3;
  print_message("             %ld calls\n", n - 1);
  assert_true(n > 40);
}

static void test_one(void **state) {
  (void)state;
  fail_each(false);
}

static void test_all(void **state) {
  (void)state;
  fail_each(true);
}

int main(void) {
  const struct CMUnitTest tests[] = {WITH_A_CACHE(test_one), WITH_A_CACHE(test_all)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
