/* Packed weights that are kept: the same logits, whatever is wrong with what was kept or with its directory. */
#include "models/small_models.h"

#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <time.h>

#include "gale_tools.h"
#include "load/packed_file.h"

/* ---- Models: some that lie there for longer than a file system's clock ticks ---- */

static const char tiny[] = TEST_DATA "/models/gguf-f32/model.gguf";
static const char other[] = TEST_DATA "/models/gguf-q4_1-tied-q8_0/model.gguf";
static const char sharded[] = TEST_DATA "/models/llama-sharded";
static char large_directory[64], large[96]; /* 17 MiB: ten sections, two stretches */

static void settle(void) {
  sleep(4);
}

static int make_large(void **state) {
  (void)state;
  strcpy(large_directory, "/tmp/gale-large-XXXXXX");
  if (!mkdtemp(large_directory)) return -1;
  snprintf(large, sizeof large, "%s/model.gguf", large_directory);
  if (gale_synth("smollm2-135m:layers=1", "q4_0", large, NULL, NULL, NULL)) return -1;
  settle();
  return 0;
}

static int remove_large(void **state) {
  (void)state;
  return unlink(large) || rmdir(large_directory);
}

/* ---- Opening ---- */

typedef struct opening {
  const char *path, *cache, *quantize;
  uint64_t least, limit;
  int threads;
  gale_progress_fn progress;
} opening;

static gale_status open_it(const opening *o, gale_model **model, gale_error *error) {
  gale_model_options options;
  gale_model_defaults(&options);
  options.threads = o->threads ? o->threads : 2;
  options.cache = o->cache;
  options.cache_least = o->least;
  options.cache_limit = o->limit;
  options.quantize = o->quantize;
  options.progress = o->progress;
  return gale_model_open(o->path, &options, model, error);
}

enum { N_TOKENS = 5 };

/* The logits of the last of a few tokens, for the caller to free. */
static float *logits_of(gale_model *model, size_t *n) {
  static const int32_t tokens[N_TOKENS] = {1, 5, 2, 9, 3};
  gale_session_options options;
  gale_session_defaults(&options);
  options.threads = 1;
  options.context = 16;
  options.chunk = 16;
  gale_session *session = NULL;
  int32_t sequence;
  assert_int_equal(gale_session_open(model, &options, &session, NULL), GALE_OK);
  assert_int_equal(gale_sequence_open(session, &sequence, NULL), GALE_OK);
  assert_int_equal(gale_prefill(session, sequence, tokens, N_TOKENS, NULL, NULL, NULL), GALE_OK);
  gale_model_info info;
  gale_model_get_info(model, &info);
  *n = (size_t)info.vocab_size;
  float *logits = malloc(*n * sizeof *logits);
  assert_non_null(logits);
  memcpy(logits, gale_logits(session, sequence, 0), *n * sizeof *logits);
  gale_session_close(&session);
  return logits;
}

/* Opens a model and compares its logits with those without a cache. Returns whether its weights were kept; *note, of
 * 512 bytes, becomes the model's. */
static bool check_open(const opening *o, char *note) {
  opening without = *o;
  gale_model *model = NULL, *fresh = NULL;
  gale_error error = {0};
  gale_model_info info;
  size_t n, n_fresh;
  without.cache = NULL;
  if (open_it(o, &model, &error) || open_it(&without, &fresh, &error)) fail_msg("%s", error.message);
  float *is = logits_of(model, &n), *should = logits_of(fresh, &n_fresh);
  assert_int_equal(n, n_fresh);
  assert_memory_equal(is, should, n * sizeof *is);
  free(is);
  free(should);
  gale_model_get_info(fresh, &info);
  assert_null(info.cache_note);
  assert_false(info.from_cache);
  gale_model_get_info(model, &info);
  assert_non_null(info.cache_note);
  if (note) snprintf(note, 512, "%s", info.cache_note);
  bool kept = info.from_cache;
  gale_model_close(&model);
  gale_model_close(&fresh);
  return kept;
}

static void expect_kept(const opening *o) {
  char note[512];
  if (!check_open(o, note)) fail_msg("packed anew: %s", note);
}

static void expect_packed(const opening *o, const char *says) {
  char note[512];
  if (check_open(o, note)) fail_msg("taken from the cache");
  if (!strstr(note, says)) fail_msg("\"%s\" is not in: %s", says, note);
}

/* Whether the weights were kept, without looking at logits: damage has many places. */
static bool is_kept(const opening *o) {
  gale_model *model = NULL;
  gale_model_info info;
  assert_int_equal(open_it(o, &model, NULL), GALE_OK);
  gale_model_get_info(model, &info);
  assert_true(info.kept);
  gale_model_close(&model);
  return info.from_cache;
}

/* ---- The directory ---- */

static size_t count_files(const char *path) {
  size_t n = 0;
  DIR *d = opendir(path);
  if (!d) return 0;
  for (struct dirent *e; (e = readdir(d));) n += e->d_name[0] != '.';
  closedir(d);
  return n;
}

/* The path of the one entry, for the caller to free; n files are in the directory. */
static char *entry_among(size_t n_files) {
  gale_cache_entry *entries = NULL;
  size_t n = 0;
  assert_int_equal(gale_cache_list(directory, &entries, &n, NULL), GALE_OK);
  assert_int_equal(n, 1);
  assert_int_equal(count_files(directory), n_files);
  char *path = strdup(entries[0].path);
  gale_free(entries);
  return path;
}

static char *only_entry(void) {
  return entry_among(1);
}

static uint64_t size_of(const char *path) {
  struct stat st;
  assert_int_equal(lstat(path, &st), 0);
  return (uint64_t)st.st_size;
}

static void *content_of(const char *path, size_t *n) {
  *n = size_of(path);
  char *bytes = malloc(*n);
  FILE *f = fopen(path, "rb");
  assert_true(bytes && f);
  assert_int_equal(fread(bytes, 1, *n, f), *n);
  fclose(f);
  return bytes;
}

/* ---- What is right ---- */

static void test_kept(void **state) {
  (void)state;
  static const char *const paths[] = {tiny, other, sharded, large};
  for (size_t i = 0; i < 4; i++) {
    opening o = {.path = paths[i], .cache = directory};
    expect_packed(&o, "kept for the next start");
    expect_kept(&o);
    o.threads = 3;
    expect_kept(&o);
    assert_int_equal(gale_cache_prune(directory, 0, NULL, NULL), GALE_OK);
    assert_int_equal(count_files(directory), 0);
  }
}

static void test_quantised(void **state) {
  (void)state;
  opening o = {.path = tiny, .cache = directory, .quantize = "q8_0"}, plain = {.path = tiny, .cache = directory};
  expect_packed(&o, "kept for");
  expect_packed(&plain, "kept for");
  expect_kept(&o);
  expect_kept(&plain);
  o.quantize = "q4_0";
  expect_packed(&o, "kept for");
  assert_int_equal(count_files(directory), 3);
}

static void test_files_do_not_depend_on_threads(void **state) {
  (void)state;
  opening o = {.path = large, .cache = directory, .threads = 1};
  size_t n, m;
  expect_packed(&o, "kept for");
  char *path = only_entry();
  void *one = content_of(path, &n);
  unlink(path);
  o.threads = 3;
  expect_packed(&o, "kept for");
  void *three = content_of(path, &m);
  assert_int_equal(n, m);
  assert_memory_equal(one, three, n);
  free(one);
  free(three);
  free(path);
}

/* When this fails because packing gives other bytes than before, raise PACKED_VERSION in load_key.c, or else programs
 * take for theirs what older ones kept. */
static void test_bytes_of_this_version(void **state) {
  (void)state;
  static const struct {
    const char *quantize;
    uint64_t sum;
  } wanted[] = {{NULL, 0x88339b8bdda03aed},
                {"q8_0", 0xe36d8a464ac5a5b8},
                {"q4_0", 0xcd601d20bcf869b7},
                {"q5_1", 0xc202ea8a10208868},
                {"f16", 0xb34d613cd553bf2}};
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
    opening o = {.path = tiny, .cache = directory, .quantize = wanted[i].quantize};
    expect_packed(&o, "kept for");
    char *path = only_entry();
    packed_file p;
    assert_int_equal(packed_open(&p, path, NULL), GALE_OK);
    size_t n;
    char *bytes = content_of(path, &n);
    uint64_t sum = checksum(bytes, (size_t)p.about.data_bytes);
    if (sum != wanted[i].sum) fail_msg("%s: 0x%llx", wanted[i].quantize, (unsigned long long)sum);
    free(bytes);
    packed_close(&p);
    unlink(path);
    free(path);
  }
}

static void test_what_is_not_kept(void **state) {
  (void)state;
  opening o = {.path = "shape:tiny@q8_0", .cache = directory};
  expect_packed(&o, "not in files");
  o = (opening){.path = large, .cache = directory, .least = (uint64_t)1 << 30};
  expect_packed(&o, "small");
  o = (opening){.path = large, .cache = directory, .limit = 1 << 20};
  expect_packed(&o, "more than");
  assert_int_equal(count_files(directory), 0);
}

static void test_list(void **state) {
  (void)state;
  opening o = {.path = tiny, .cache = directory, .quantize = "q8_0"};
  gale_cache_entry *entries = NULL;
  size_t n = 7;
  assert_int_equal(gale_cache_list(at("nothing"), &entries, &n, NULL), GALE_OK);
  assert_int_equal(n, 0);
  gale_free(entries);
  expect_packed(&o, "kept for");
  assert_int_equal(gale_cache_list(directory, &entries, &n, NULL), GALE_OK);
  assert_int_equal(n, 1);
  char *whole = realpath(tiny, NULL);
  assert_string_equal(entries[0].source, whole);
  assert_string_equal(entries[0].quantize, "q8_0");
  assert_int_equal(entries[0].bytes, size_of(entries[0].path));
  assert_true(entries[0].sound);
  assert_true(llabs((long long)(entries[0].used - time(NULL))) < 600);
  uint64_t removed = 0;
  assert_int_equal(gale_cache_prune(directory, entries[0].bytes, &removed, NULL), GALE_OK);
  assert_int_equal(removed, 0);
  assert_int_equal(gale_cache_prune(directory, entries[0].bytes - 1, &removed, NULL), GALE_OK);
  assert_int_equal(removed, entries[0].bytes);
  free(whole);
  gale_free(entries);
}

/* ---- What is wrong with a file ---- */

static void flip(const char *path, uint64_t offset) {
  uint8_t byte;
  int fd = open(path, O_RDWR);
  assert_true(fd >= 0);
  assert_int_equal(pread(fd, &byte, 1, (off_t)offset), 1);
  byte ^= 0x10;
  assert_int_equal(pwrite(fd, &byte, 1, (off_t)offset), 1);
  close(fd);
}

static void test_damage(void **state) {
  (void)state;
  opening o = {.path = large, .cache = directory};
  expect_packed(&o, "kept for");
  char *path = only_entry();
  packed_file p;
  assert_int_equal(packed_open(&p, path, NULL), GALE_OK);
  const uint64_t size = p.file.size, data = p.about.data_bytes, section = PACKED_SECTION;
  const uint64_t meta = (data + 4095) / 4096 * 4096;
  packed_close(&p);
  const uint64_t at_bytes[] = {0,        1,    section - 1, section,   8 * section - 1, 8 * section, data / 2,
                               data - 1, meta, meta + 9,    size - 65, size - 64,       size - 40,   size - 8};
  for (size_t i = 0; i < sizeof at_bytes / sizeof *at_bytes; i++) {
    flip(path, at_bytes[i]);
    assert_false(is_kept(&o));
    assert_true(is_kept(&o));
  }
  flip(path, data / 3);
  expect_packed(&o, "kept for");
  expect_kept(&o);
  const uint64_t sizes[] = {0, 1, 63, 64, section, data, meta, size - 64, size - 1, size + 1, size + 4096, 2 * size};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    assert_int_equal(truncate(path, (off_t)sizes[i]), 0);
    assert_false(is_kept(&o));
    assert_true(is_kept(&o));
  }
  expect_kept(&o);
  assert_int_equal(count_files(directory), 1);
  free(path);
}

/* A whole file under the name of another. */
static void test_exchanged(void **state) {
  (void)state;
  opening a = {.path = tiny, .cache = directory}, b = {.path = other, .cache = directory};
  expect_packed(&a, "kept for");
  char *path = only_entry();
  assert_int_equal(rename(path, at("kept")), 0);
  expect_packed(&b, "kept for");
  char *path_b = entry_among(2);
  assert_int_equal(rename(at("kept"), path_b), 0);
  expect_packed(&b, "kept for");
  expect_kept(&b);
  free(path);
  free(path_b);
}

static void test_not_ours(void **state) {
  (void)state;
  opening o = {.path = tiny, .cache = directory};
  struct stat st;
  expect_packed(&o, "kept for");
  char *path = only_entry();
  assert_int_equal(stat(path, &st), 0);
  assert_int_equal(st.st_mode & 0777, 0600);
  chmod(path, 0620);
  expect_packed(&o, "kept for");
  expect_kept(&o);
  assert_int_equal(rename(path, at("elsewhere")), 0);
  assert_int_equal(symlink(at("elsewhere"), path), 0);
  expect_packed(&o, "kept for");
  assert_int_equal(lstat(path, &st), 0);
  assert_true(S_ISREG(st.st_mode));
  unlink(path);
  assert_int_equal(mkfifo(path, 0600), 0);
  expect_packed(&o, "kept for");
  expect_kept(&o);
  if (geteuid() == 0) {
    assert_int_equal(chown(path, 12345, (gid_t)-1), 0);
    expect_packed(&o, "kept for");
  }
  unlink(path);
  assert_int_equal(mkdir(path, 0700), 0);
  expect_packed(&o, "not kept");
  assert_int_equal(count_files(directory), 2);
  rmdir(path);
  free(path);
}

/* ---- What is wrong with the directory ---- */

static void test_directories(void **state) {
  (void)state;
  char deep[128];
  snprintf(deep, sizeof deep, "%s/a/b", directory);
  opening o = {.path = tiny, .cache = deep};
  expect_packed(&o, "kept for");
  expect_kept(&o);
  gale_cache_prune(deep, 0, NULL, NULL);
  rmdir(deep);
  write_text("file", "");
  o.cache = at("file");
  expect_packed(&o, "not kept");
  o.cache = at("file/below");
  expect_packed(&o, "not kept");
  if (geteuid() == 0) return; /* root may write everywhere */
  assert_int_equal(chmod(at("a"), 0500), 0);
  o.cache = deep;
  expect_packed(&o, "not kept");
  chmod(at("a"), 0700);
}

static void test_no_room(void **state) {
  (void)state;
  const struct rlimit small = {.rlim_cur = 1 << 20, .rlim_max = RLIM_INFINITY};
  struct rlimit before;
  opening o = {.path = large, .cache = directory};
  signal(SIGXFSZ, SIG_IGN);
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &(struct rlimit){small.rlim_cur, before.rlim_max}), 0);
  expect_packed(&o, "not kept");
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
  assert_int_equal(count_files(directory), 0);
}

static void test_least_recently_used_goes(void **state) {
  (void)state;
  opening o = {.path = tiny, .cache = directory};
  expect_packed(&o, "kept for");
  char *path = only_entry();
  const struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}}, newer[2] = {{.tv_sec = 2000}, {.tv_sec = 2000}};
  opening more = {.path = tiny, .cache = directory, .quantize = "f16"};
  assert_int_equal(rename(path, at("aside")), 0);
  expect_packed(&more, "kept for");
  char *path_more = entry_among(2);
  assert_int_equal(rename(at("aside"), path), 0);
  assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
  assert_int_equal(utimensat(AT_FDCWD, path_more, newer, 0), 0);
  free(path_more);
  expect_kept(&o); /* which makes it the last one used again */
  uint64_t first = size_of(path);
  gale_cache_prune(directory, first, NULL, NULL);
  assert_int_equal(access(path, F_OK), 0);
  assert_int_equal(count_files(directory), 1);
  assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
  more.limit = first + 100;
  more.path = other;
  more.quantize = NULL;
  expect_packed(&more, "kept for");
  assert_int_equal(access(path, F_OK), -1);
  free(path);
}

static void test_unfinished(void **state) {
  (void)state;
  opening o = {.path = tiny, .cache = directory};
  write_text("packing-dead", "x");
  int fd = open(write_text("packing-live", "x"), O_RDONLY);
  assert_int_equal(flock(fd, LOCK_EX), 0);
  write_text("packingless", "x");
  expect_packed(&o, "kept for");
  assert_int_equal(access(at("packing-dead"), F_OK), -1);
  assert_int_equal(access(at("packing-live"), F_OK), 0);
  assert_int_equal(access(at("packingless"), F_OK), 0);
  close(fd);
}

static bool cancel(void *user, double fraction, const char *stage) {
  (void)user, (void)stage;
  return fraction == 0;
}

static void test_cancelled(void **state) {
  (void)state;
  opening o = {.path = large, .cache = directory, .progress = cancel, .threads = 1};
  gale_model *model = NULL;
  assert_int_equal(open_it(&o, &model, NULL), GALE_E_CANCELLED);
  assert_null(model);
  assert_int_equal(count_files(directory), 0);
}

/* ---- The source ---- */

static void test_changed_source(void **state) {
  (void)state;
  char model[96];
  snprintf(model, sizeof model, "%s/copy.gguf", large_directory);
  size_t n;
  void *bytes = content_of(tiny, &n);
  FILE *f = fopen(model, "wb");
  assert_int_equal(fwrite(bytes, 1, n, f), n);
  fclose(f);
  free(bytes);
  opening o = {.path = model, .cache = directory};
  expect_packed(&o, "changed just now");
  settle();
  expect_packed(&o, "kept for");
  expect_kept(&o);
  struct stat st;
  assert_int_equal(stat(model, &st), 0);
  flip(model, n - 100); /* in the last weights; size and date stay */
  assert_int_equal(utimensat(AT_FDCWD, model, (struct timespec[]){st.st_atim, st.st_mtim}, 0), 0);
  expect_packed(&o, "changed just now");
  settle();
  expect_packed(&o, "kept for");
  expect_kept(&o);
  free(only_entry()); /* what is out of date is gone */
  unlink(model);
}

/* ---- Two at once ---- */

static void *open_and_close(void *argument) {
  gale_model *model = NULL;
  gale_status status = open_it(argument, &model, NULL);
  gale_model_close(&model);
  return (void *)(intptr_t)status;
}

static void test_two_writers(void **state) {
  (void)state;
  enum { WRITERS = 4 };
  opening o = {.path = large, .cache = directory};
  pthread_t threads[WRITERS];
  for (int i = 0; i < WRITERS; i++) assert_int_equal(pthread_create(&threads[i], NULL, open_and_close, &o), 0);
  for (int i = 0; i < WRITERS; i++) {
    void *status;
    assert_int_equal(pthread_join(threads[i], &status), 0);
    assert_null(status);
  }
  free(only_entry());
  expect_kept(&o);
}

/* What was mapped stays when its file is removed. */
static void test_removed_while_open(void **state) {
  (void)state;
  opening o = {.path = large, .cache = directory};
  expect_packed(&o, "kept for");
  gale_model *model = NULL;
  size_t n;
  assert_int_equal(open_it(&o, &model, NULL), GALE_OK);
  float *before = logits_of(model, &n);
  assert_int_equal(gale_cache_prune(directory, 0, NULL, NULL), GALE_OK);
  float *after = logits_of(model, &n);
  assert_memory_equal(before, after, n * sizeof *before);
  free(before);
  free(after);
  gale_model_close(&model);
}

#define IN_A_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, make_directory, remove_directory)

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_A_DIRECTORY(test_kept),
      IN_A_DIRECTORY(test_quantised),
      IN_A_DIRECTORY(test_files_do_not_depend_on_threads),
      IN_A_DIRECTORY(test_bytes_of_this_version),
      IN_A_DIRECTORY(test_what_is_not_kept),
      IN_A_DIRECTORY(test_list),
      IN_A_DIRECTORY(test_damage),
      IN_A_DIRECTORY(test_exchanged),
      IN_A_DIRECTORY(test_not_ours),
      IN_A_DIRECTORY(test_directories),
      IN_A_DIRECTORY(test_no_room),
      IN_A_DIRECTORY(test_least_recently_used_goes),
      IN_A_DIRECTORY(test_unfinished),
      IN_A_DIRECTORY(test_cancelled),
      IN_A_DIRECTORY(test_changed_source),
      IN_A_DIRECTORY(test_two_writers),
      IN_A_DIRECTORY(test_removed_while_open),
  };
  return cmocka_run_group_tests(tests, make_large, remove_large);
}
