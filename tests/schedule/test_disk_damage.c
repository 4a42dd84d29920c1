/* Files of pages that are damaged, cut off, foreign, or were being written when their process was killed: each is a
 * miss, the answer is what it is without them, and the files of use stay. */
#include "schedule/disk_texts.h"

#include <signal.h>
#include <sys/wait.h>

enum { PAGES = 4, MOST_FILE = 1 << 17 };

typedef struct page_bytes {
  size_t n;
  char name[64], bytes[MOST_FILE];
} page_bytes;

static page_bytes pages[PAGES];
static int n_pages;
static int32_t ids[PAGES * 64 + 1], right[ANSWER];

static void read_page(const char *name, void *user) {
  (void)user;
  assert_true(n_pages < PAGES);
  page_bytes *p = &pages[n_pages++];
  snprintf(p->name, sizeof p->name, "%s", name);
  FILE *f = fopen(cache_at(name), "rb");
  assert_non_null(f);
  p->n = fread(p->bytes, 1, MOST_FILE, f);
  assert_true(p->n > 0 && p->n < MOST_FILE);
  fclose(f);
}

static void put_page(const char *name, const char *bytes, size_t n) {
  FILE *f = fopen(cache_at(name), "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(bytes, 1, n, f), n);
  assert_int_equal(fclose(f), 0);
}

/* Writes pages, and keeps copies of their files. */
static void fill_cache(void) {
  disk_engine d = disk_open(&USUAL);
  make_text(&d, ids, PAGES * 64 + 1, 5);
  assert_int_equal(found(&d, ids, PAGES * 64 + 1, NULL, right), 0);
  disk_close(&d);
  n_pages = 0;
  each_page(read_page, NULL);
  assert_int_equal(n_pages, PAGES);
}

/* What an engine that is opened anew finds of the text. When this returns it has written what it missed. */
static int32_t again(void) {
  disk_engine d = disk_open(&USUAL);
  int32_t answer[ANSWER], n = found(&d, ids, PAGES * 64 + 1, NULL, answer);
  disk_close(&d);
  assert_memory_equal(answer, right, sizeof answer);
  assert_int_equal(n % 64, 0);
  return n;
}

static void expect_whole(const page_bytes *p) {
  static char now[MOST_FILE];
  struct stat st;
  assert_int_equal(lstat(cache_at(p->name), &st), 0);
  assert_true(S_ISREG(st.st_mode) && (st.st_mode & 0777) == 0600);
  FILE *f = fopen(cache_at(p->name), "rb");
  assert_non_null(f);
  assert_int_equal(fread(now, 1, sizeof now, f), p->n);
  fclose(f);
  assert_memory_equal(now, p->bytes, p->n);
}

/* With any byte changed, a file counts as missing and is written anew. */
static void test_any_byte(void **state) {
  (void)state;
  fill_cache();
  uint64_t random = 0;
  assert_int_equal(again(), PAGES * 64);
  for (size_t at = 0; at < pages[0].n; at += at + 1000 < pages[0].n ? 211 : 1) {
    page_bytes *p = &pages[roll(&random, PAGES)];
    char before = p->bytes[at];
    p->bytes[at] = (char)(before ^ (1 << roll(&random, 8)));
    put_page(p->name, p->bytes, p->n);
    p->bytes[at] = before;
    if (again() == PAGES * 64) fail_msg("a change at %zu went unnoticed", at);
    expect_whole(p);
  }
  assert_int_equal(again(), PAGES * 64);
}

/* What is left of a file after the system crashed: a part of it, or zeros where data were not written. */
static void test_lost_ends(void **state) {
  (void)state;
  static char bytes[MOST_FILE];
  fill_cache();
  for (size_t part = 0; part < 40; part++) {
    page_bytes *p = &pages[part % PAGES];
    size_t left = p->n * part / 40;
    memset(bytes, 0, sizeof bytes);
    memcpy(bytes, p->bytes, left);
    put_page(p->name, bytes, part % 2 ? left : p->n);
    assert_true(again() < PAGES * 64);
    expect_whole(p);
  }
  assert_int_equal(again(), PAGES * 64);
}

/* All files at once, as after a crash: nothing is found, nothing fails. */
static void test_all_lost(void **state) {
  (void)state;
  fill_cache();
  for (int i = 0; i < PAGES; i++) put_page(pages[i].name, "", 0);
  assert_int_equal(again(), 0);
  assert_int_equal(again(), PAGES * 64);
}

/* Files that gale did not write under these names. */
static void test_foreign(void **state) {
  (void)state;
  fill_cache();
  for (int kind = 0; kind < 5; kind++)
    for (int i = 0; i < PAGES; i++) {
      const page_bytes *p = &pages[i], *other = &pages[(i + 1) % PAGES];
      const char *path = cache_at(p->name);
      assert_int_equal(unlink(path), 0);
      if (kind == 0) put_page(p->name, other->bytes, other->n);
      if (kind == 1) assert_int_equal(symlink("/dev/zero", path), 0);
      if (kind == 2) put_page(p->name, "something else", 14);
      if (kind == 3) put_page(p->name, p->bytes, p->n);
      if (kind == 3) assert_int_equal(chmod(path, 0666), 0);
      if (kind == 4) assert_int_equal(mkfifo(path, 0600), 0);
      assert_true(again() < PAGES * 64);
      expect_whole(p);
    }
  /* Of a directory in its place nothing can be made; it stays. */
  assert_int_equal(unlink(cache_at(pages[0].name)), 0);
  assert_int_equal(mkdir(cache_at(pages[0].name), 0700), 0);
  assert_true(again() < PAGES * 64);
  assert_int_equal(rmdir(cache_at(pages[0].name)), 0);
}

/* The key's file damaged: other names from then on. */
static void test_key(void **state) {
  (void)state;
  fill_cache();
  put_page("pages.key", "damaged", 7);
  assert_int_equal(again(), 0);
  assert_int_equal(again(), PAGES * 64);
}

/* The directory goes away while it is used: answers come all the same. */
static void test_removed(void **state) {
  (void)state;
  fill_cache();
  disk_engine d = disk_open(&USUAL);
  empty_cache();
  assert_int_equal(rmdir(cache_directory), 0);
  for (int i = 0; i < 2; i++) {
    int32_t answer[ANSWER];
    assert_int_equal(found(&d, ids, PAGES * 64 + 1, NULL, answer), 0);
    assert_memory_equal(answer, right, sizeof answer);
  }
  disk_close(&d);
  assert_int_equal(mkdir(cache_directory, 0700), 0);
}

static void count_unfinished(int *n) {
  DIR *d = opendir(cache_directory);
  assert_non_null(d);
  for (struct dirent *e; (e = readdir(d));) *n += strncmp(e->d_name, "paging-", 7) == 0;
  closedir(d);
}

/* A process that writes is killed at any moment; what it left is used, or removed. */
static void test_killed(void **state) {
  (void)state;
  enum { KILLS = 25 };
  disk_setting t = USUAL;
  for (int i = 0; i < KILLS; i++) {
    pid_t child = fork();
    if (child == 0) {
      disk_engine d = disk_open(&t);
      int32_t text[LONG], answer[ANSWER];
      for (uint64_t k = 0;; k++) {
        make_text(&d, text, LONG, k % 40);
        found(&d, text, LONG, NULL, answer);
      }
    }
    usleep(4000u * (unsigned)i);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
  }
  disk_engine d = disk_open(&t), without = disk_open(&USUAL);
  int unfinished = 0, pages_found = 0;
  count_unfinished(&unfinished);
  assert_int_equal(unfinished, 0);
  for (uint64_t k = 0; k < 40; k++) {
    int32_t text[LONG], answer[ANSWER], alone[ANSWER];
    make_text(&d, text, LONG, k);
    pages_found += found(&d, text, LONG, NULL, answer) / 64;
    found(&without, text, LONG, "nothing that was kept", alone);
    assert_memory_equal(answer, alone, sizeof answer);
  }
  assert_true(pages_found > 0);
  disk_close(&d);
  disk_close(&without);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      WITH_A_CACHE(test_any_byte), WITH_A_CACHE(test_lost_ends), WITH_A_CACHE(test_all_lost),
      WITH_A_CACHE(test_foreign),  WITH_A_CACHE(test_key),       WITH_A_CACHE(test_removed),
      WITH_A_CACHE(test_killed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
