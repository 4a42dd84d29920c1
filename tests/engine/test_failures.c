/* Opening a model of each form, and a session on it, while the N-th allocation or the N-th read fails, for every N
 * until none is left to fail: each time an error, nothing leaked (the address sanitizer looks), nothing left open.
 *
 * The linker hands the calls of gale's objects to the functions below (cmake/tests.cmake). Those of shared libraries
 * stay as they are. */
#include "models/small_models.h"

#include "base/error.h"
#include "engine/recall.h"
#include "gale_tools.h"

#include <errno.h>
#include <sys/mman.h>

/* ---- Calls that fail ---- */

typedef enum kind { ALLOCATION, READING, WRITING } kind;

static kind failing;
static long countdown; /* calls until the failing one, which is number 1; 0: none fails */

static bool fails(kind k) {
  return k == failing && countdown > 0 && --countdown == 0;
}

static size_t requested; /* bytes of malloc() and calloc() */

static void *out_of_memory(void) {
  errno = ENOMEM;
  return NULL;
}

void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_malloc(size_t n) {
  requested += n;
  return fails(ALLOCATION) ? out_of_memory() : __real_malloc(n);
}

void *__real_calloc(size_t count, size_t n);
void *__wrap_calloc(size_t count, size_t n);
void *__wrap_calloc(size_t count, size_t n) {
  requested += count * n;
  return fails(ALLOCATION) ? out_of_memory() : __real_calloc(count, n);
}

void *__real_realloc(void *old, size_t n);
void *__wrap_realloc(void *old, size_t n);
void *__wrap_realloc(void *old, size_t n) {
  return fails(ALLOCATION) ? out_of_memory() : __real_realloc(old, n);
}

char *__real_strdup(const char *s);
char *__wrap_strdup(const char *s);
char *__wrap_strdup(const char *s) {
  return fails(ALLOCATION) ? out_of_memory() : __real_strdup(s);
}

char *__real_strndup(const char *s, size_t n);
char *__wrap_strndup(const char *s, size_t n);
char *__wrap_strndup(const char *s, size_t n) {
  return fails(ALLOCATION) ? out_of_memory() : __real_strndup(s, n);
}

int __real_posix_memalign(void **to, size_t alignment, size_t n);
int __wrap_posix_memalign(void **to, size_t alignment, size_t n);
int __wrap_posix_memalign(void **to, size_t alignment, size_t n) {
  return fails(ALLOCATION) ? ENOMEM : __real_posix_memalign(to, alignment, n);
}

static long mapped; /* bytes */

void *__real_mmap(void *hint, size_t n, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *hint, size_t n, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *hint, size_t n, int protection, int flags, int fd, off_t offset) {
  if (fails(ALLOCATION)) {
    errno = ENOMEM;
    return MAP_FAILED;
  }
  void *memory = __real_mmap(hint, n, protection, flags, fd, offset);
  bool in_room = flags & MAP_FIXED; /* which was counted before */
  if (memory != MAP_FAILED && !in_room) mapped += (long)n;
  return memory;
}

int __real_munmap(void *memory, size_t n);
int __wrap_munmap(void *memory, size_t n);
int __wrap_munmap(void *memory, size_t n) {
  mapped -= (long)n;
  return __real_munmap(memory, n);
}

ssize_t __real_pread(int fd, void *to, size_t n, off_t offset);
ssize_t __wrap_pread(int fd, void *to, size_t n, off_t offset);
ssize_t __wrap_pread(int fd, void *to, size_t n, off_t offset) {
  if (!fails(READING)) return __real_pread(fd, to, n, offset);
  errno = EIO;
  return -1;
}

ssize_t __real_pwrite(int fd, const void *from, size_t n, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *from, size_t n, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *from, size_t n, off_t offset) {
  if (!fails(WRITING)) return __real_pwrite(fd, from, n, offset);
  errno = ENOSPC;
  return -1;
}

/* ---- Opening ---- */

static int open_files(void) {
  int n = 0;
  DIR *d = opendir("/proc/self/fd");
  assert_non_null(d);
  while (readdir(d)) n++;
  closedir(d);
  return n;
}

static gale_status open_and_close(const char *path, gale_error *error) {
  gale_model_options options;
  gale_model *model = NULL;
  gale_session_options session_options;
  gale_session *session = NULL;
  gale_model_defaults(&options);
  options.threads = 1;
  gale_session_defaults(&session_options);
  session_options.threads = 1;
  session_options.context = 64;
  session_options.chunk = 16;
  gale_status status = gale_model_open(path, &options, &model, error);
  if (!status && !gale_model_tokenizer(model)) status = error_set(error, GALE_E_FORMAT, "no tokenizer");
  if (!status) status = gale_session_open(model, &session_options, &session, error);
  gale_session_close(&session);
  gale_model_close(&model);
  return status;
}

/* A few tokens of an answer with all that a generation can have, in a session with few pages. */
static gale_status generate(const char *path, gale_error *error) {
  static gale_model *model; /* opened once: what is looked at is what comes after */
  static const char *const stops[] = {"stop", "\n\n"};
  static const int32_t prompt[] = {4, 5, 6}, ends[] = {7};
  static const gale_logit_bias bias[] = {{300, -100}};
  if (!model) return gale_model_open(path, NULL, &model, error);
  gale_session_options so;
  gale_session_defaults(&so);
  so.threads = 1;
  so.context = 256;
  so.chunk = 16;
  so.kv_bytes = 1 << 16;
  gale_sampler_options sampling;
  gale_sampler_defaults(&sampling);
  sampling.repeat_penalty = 1.1;
  sampling.frequency_penalty = 0.1;
  sampling.dry_multiplier = 0.5;
  sampling.ends = ends;
  sampling.bias = bias;
  sampling.n_ends = sampling.n_bias = 1;
  sampling.ignore_end = true;
  gale_generation_options o;
  gale_generation_defaults(&o);
  o.sampling = &sampling;
  o.form = "llama-3.1";
  o.prompt = prompt;
  o.n_prompt = 3;
  o.stop = stops;
  o.n_stop = 2;
  o.max_tokens = 20;
  o.logprobs = true;
  o.top_logprobs = 2;
  o.speculate = 4;
  gale_session *session = NULL;
  gale_generation *g = NULL;
  int32_t sequence;
  const gale_tool_call *calls;
  size_t n_calls;
  gale_status status = gale_session_open(model, &so, &session, error);
  if (!status) status = gale_sequence_open(session, &sequence, error);
  if (!status) status = gale_prefill(session, sequence, prompt, 3, NULL, NULL, error);
  if (!status) status = gale_generation_open(model, NULL, &o, &g, error);
  static const char call[] = "{\"name\": \"f\", \"parameters\": {\"a\": 1}}";
  int32_t *ids = NULL;
  size_t n_ids = 0;
  if (!status) status = gale_tokenize(gale_model_tokenizer(model), call, sizeof call - 1, false, &ids, &n_ids, error);
  for (size_t i = 0; i < n_ids && !status && i < 10; i++) status = gale_generation_accept(g, ids[i], error);
  gale_free(ids);
  if (!status) status = gale_generate(g, session, sequence, NULL, NULL, error);
  if (!status) status = gale_generation_calls(g, &calls, &n_calls, error);
  gale_generation_close(&g);
  gale_session_close(&session);
  if (path[0] == 0) gale_model_close(&model);
  return status;
}

/* A text that is searched for repetitions, and a copy. Where it cannot grow it stays what it was, and can grow later.
 */
static gale_status recall_text(const char *path, gale_error *error) {
  (void)path;
  enum { PART = 100, PARTS = 40 };
  int32_t part[PART];
  for (int32_t i = 0; i < PART; i++) part[i] = i;
  recall *text = NULL, *copy = NULL;
  gale_status status = recall_open(&text, error);
  for (size_t i = 0; i < PARTS && text; i++) {
    size_t match = recall_match(text);
    assert_int_equal(match, i > 0 ? (i - 1) * PART : 0);
    gale_status grown = recall_append(text, part, PART, status ? NULL : error);
    if (!grown) continue;
    assert_int_equal(recall_match(text), match);
    assert_int_equal(recall_append(text, part, PART, NULL), GALE_OK);
    status = grown;
  }
  if (!status) status = recall_copy(text, &copy, error);
  if (!status) assert_int_equal(recall_match(copy), (PARTS - 1) * PART);
  recall_close(&copy);
  recall_close(&text);
  return status;
}

/* Weights of 8-bit floats with scales, without a model around them. */
static gale_status open_weights(const char *path, gale_error *error) {
  checkpoint *c = NULL;
  gale_status status = checkpoint_open(path, &c, error);
  float block[16];
  if (!status) status = checkpoint_read(c, &c->tensors[0], 0, block, sizeof block, error);
  checkpoint_close(&c);
  return status;
}

/* A sequence goes to a file and comes back. */
static gale_status save_and_load(const char *path, gale_error *error) {
  static gale_model *model;
  static const int32_t prompt[] = {4, 5, 6};
  if (!model) return gale_model_open("shape:tiny@q8_0", NULL, &model, error);
  gale_session_options so;
  gale_session_defaults(&so);
  so.threads = 1;
  so.context = 64;
  so.max_sequences = 2;
  gale_session *session = NULL;
  int32_t one, other, *ids = NULL;
  char *text = NULL;
  size_t n;
  gale_status status = gale_session_open(model, &so, &session, error);
  if (!status) status = gale_sequence_open(session, &one, error);
  if (!status) status = gale_sequence_open(session, &other, error);
  if (!status) status = gale_prefill(session, one, prompt, 3, NULL, NULL, error);
  if (!status) status = gale_sequence_save(session, one, prompt, "text", 4, path, error);
  if (!status) status = gale_sequence_load(session, other, path, &ids, &text, &n, error);
  if (!status) assert_int_equal(gale_sequence_length(session, other), 3);
  gale_free(ids);
  gale_free(text);
  gale_session_close(&session);
  if (path[0] == 0) gale_model_close(&model);
  return status;
}

typedef gale_status (*opener)(const char *path, gale_error *error);

/* Returns how many calls there are that can fail. */
static long fail_each(kind k, opener open_it, const char *path) {
  failing = k;
  for (long n = 1;; n++) {
    gale_error error = {0};
    int files = open_files();
    countdown = n;
    gale_status status = open_it(path, &error);
    bool reached = countdown == 0;
    countdown = 0;
    assert_int_equal(open_files(), files);
    assert_int_equal(mapped, 0);
    if (!reached && status) fail_msg("%s: %s", path, error.message);
    if (!reached) return n - 1;
    if (!status) fail_msg("%s: call %ld failed and nobody noticed", path, n);
    if (status != (k == ALLOCATION ? GALE_E_MEMORY : GALE_E_IO)) fail_msg("%s: call %ld: %s", path, n, error.message);
    assert_int_equal(error.code, status);
    assert_int_not_equal(error.message[0], 0);
  }
}

static void fail_all(const char *path) {
  char kept[512];
  snprintf(kept, sizeof kept, "%s", path);
  long allocations = fail_each(ALLOCATION, open_and_close, kept), reads = fail_each(READING, open_and_close, kept);
  print_message("             %ld allocations, %ld reads\n", allocations, reads);
  assert_true(allocations > 20 && reads > 5);
}

static void test_gguf(void **state) {
  (void)state;
  fail_all(make_gguf(NULL));
}

static void test_gguf_shards(void **state) {
  (void)state;
  fail_all(make_gguf_shards());
}

static void test_hf(void **state) {
  (void)state;
  fail_all(make_hf(NULL, NULL));
}

static void test_hf_shards(void **state) {
  (void)state;
  fail_all(make_hf_shards());
}

static void test_mistral(void **state) {
  (void)state;
  fail_all(make_mistral(NULL, NULL));
}

static void test_fp8(void **state) {
  (void)state;
  write_text("config.json", "{}");
  copy_file("../../../fuzz/corpus/safetensors/fp8_grid", "model.safetensors");
  assert_true(fail_each(ALLOCATION, open_weights, directory) > 10);
  assert_true(fail_each(READING, open_weights, directory) > 3);
}

static void test_recall(void **state) {
  (void)state;
  assert_true(fail_each(ALLOCATION, recall_text, "text") > 20);
}

static void test_generation(void **state) {
  (void)state;
  assert_int_equal(generate("shape:tiny@q8_0", NULL), GALE_OK);
  long before = mapped;
  mapped = 0;
  long allocations = fail_each(ALLOCATION, generate, "shape:tiny@q8_0");
  print_message("             %ld allocations\n", allocations);
  assert_true(allocations > 40);
  assert_int_equal(generate("", NULL), GALE_OK);
  mapped += before;
  assert_int_equal(mapped, 0);
}

static void test_session_file(void **state) {
  (void)state;
  char path[512];
  snprintf(path, sizeof path, "%s", at("saved"));
  assert_int_equal(save_and_load(path, NULL), GALE_OK);
  long before = mapped;
  mapped = 0;
  assert_true(fail_each(ALLOCATION, save_and_load, path) > 20);
  assert_int_equal(fail_each(READING, save_and_load, path), 3);
  assert_int_equal(fail_each(WRITING, save_and_load, path), 2);
  assert_int_equal(save_and_load("", NULL), GALE_E_IO);
  mapped += before;
  assert_int_equal(mapped, 0);
}

/* A scheduler holds hundreds of generations: one takes little, whatever the vocabulary's size. */
static void test_small_generation(void **state) {
  (void)state;
  static const char *const stops[] = {"\n\nUser:", "</end>"};
  gale_model *model = NULL;
  gale_generation *g = NULL;
  gale_generation_options o;
  assert_int_equal(gale_model_open("shape:tiny@q8_0", NULL, &model, NULL), GALE_OK);
  gale_generation_defaults(&o);
  o.form = "llama-3.1";
  o.stop = stops;
  o.n_stop = 2;
  requested = 0;
  assert_int_equal(gale_generation_open(model, NULL, &o, &g, NULL), GALE_OK);
  assert_in_range(requested, 1, 4096);
  gale_generation_close(&g);
  gale_model_close(&model);
}

/* Opening with a cache, which has the weights already or not: a failing call may cost the cache, but not the model's
 * soundness. What was written, if anything, can be used. */
static void fail_each_cached(kind k, bool kept) {
  static const char path[] = TEST_DATA "/models/gguf-f32/model.gguf";
  gale_model_options options;
  gale_model_defaults(&options);
  options.threads = 1;
  options.cache = directory;
  options.cache_least = 0;
  failing = k;
  for (long n = 1;; n++) {
    gale_error error = {0};
    gale_model *model = NULL;
    gale_model_info info;
    assert_int_equal(gale_cache_prune(directory, 0, NULL, NULL), GALE_OK);
    if (kept) assert_int_equal(gale_model_open(path, &options, &model, NULL), GALE_OK);
    gale_model_close(&model);
    int files = open_files();
    countdown = n;
    gale_status status = gale_model_open(path, &options, &model, &error);
    bool reached = countdown == 0;
    countdown = 0;
    if (status && status != (k == READING ? GALE_E_IO : GALE_E_MEMORY)) fail_msg("call %ld: %s", n, error.message);
    gale_model_close(&model);
    assert_int_equal(open_files(), files);
    assert_int_equal(mapped, 0);
    if (reached) assert_true(k != WRITING || !status);
    assert_int_equal(gale_model_open(path, &options, &model, NULL), GALE_OK);
    gale_model_close(&model);
    assert_int_equal(gale_model_open(path, &options, &model, NULL), GALE_OK);
    gale_model_get_info(model, &info);
    assert_true(info.from_cache);
    gale_model_close(&model);
    if (!reached) break;
    assert_true(n < 10000);
  }
}

static void test_cache(void **state) {
  (void)state;
  for (kind k = ALLOCATION; k <= WRITING; k++) {
    fail_each_cached(k, false);
    fail_each_cached(k, true);
  }
}

#define IN_A_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, make_directory, remove_directory)

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_A_DIRECTORY(test_gguf),      IN_A_DIRECTORY(test_gguf_shards),  IN_A_DIRECTORY(test_hf),
      IN_A_DIRECTORY(test_hf_shards), IN_A_DIRECTORY(test_mistral),      IN_A_DIRECTORY(test_fp8),
      IN_A_DIRECTORY(test_cache),     cmocka_unit_test(test_generation), cmocka_unit_test(test_small_generation),
      cmocka_unit_test(test_recall),  IN_A_DIRECTORY(test_session_file),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
