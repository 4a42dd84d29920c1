/* Engines over a directory of the test's own, and what they find of texts. */
#ifndef SCHEDULE_DISK_TEXTS_H
#define SCHEDULE_DISK_TEXTS_H

#include "models/small_models.h"

#include "schedule/random_requests.h"

enum { CONTEXT = 512, LONG = 330, ANSWER = 24 };

static char cache_directory[64];

static inline void empty_cache(void) {
  DIR *d = opendir(cache_directory);
  assert_non_null(d);
  for (struct dirent *e; (e = readdir(d));)
    if (e->d_name[0] != '.') assert_int_equal(unlinkat(dirfd(d), e->d_name, 0), 0);
  closedir(d);
}

/* Beside the directory for models. */
static inline int make_cache(void **state) {
  strcpy(cache_directory, "/tmp/gale-pages-XXXXXX");
  return make_directory(state) == 0 && mkdtemp(cache_directory) ? 0 : -1;
}

static inline int remove_cache(void **state) {
  empty_cache();
  return rmdir(cache_directory) == 0 ? remove_directory(state) : -1;
}

static inline const char *cache_at(const char *name) {
  static char path[512];
  snprintf(path, sizeof path, "%s/%.64s", cache_directory, name);
  return path;
}

#define WITH_A_CACHE(test) cmocka_unit_test_setup_teardown(test, make_cache, remove_cache)

/* A model of layers with a window of 6 and layers without. */
static inline const char *make_layer_windows(void) {
  empty_directory();
  copy_file("native-layer-windows/consolidated.safetensors", "consolidated.safetensors");
  copy_json("native-layer-windows/params.json", "params.json", NULL, NULL);
  write_sentencepiece("tokenizer.model.v3");
  return directory;
}

typedef struct disk_engine {
  gale_model *model;
  gale_engine *engine;
  int32_t vocabulary;
} disk_engine;

typedef struct disk_setting {
  const char *model; /* NULL: make_layer_windows() */
  gale_kv_type kv;
  int32_t window, chunk, kept;
  uint64_t limit;
} disk_setting;

static const disk_setting USUAL = {"shape:tiny@q8_0", GALE_KV_F16, GALE_WINDOW_NONE, 64, 0, 1 << 30};

static inline disk_engine disk_open(const disk_setting *t) {
  disk_engine d = {0};
  gale_error error = {0};
  gale_model_options mo;
  gale_model_info info;
  gale_model_defaults(&mo);
  mo.threads = 1;
  expect_ok(gale_model_open(t->model ? t->model : make_layer_windows(), &mo, &d.model, &error), &error);
  gale_model_get_info(d.model, &info);
  d.vocabulary = info.vocab_size;
  gale_session_options so = session_options(t->kv, (size_t)t->chunk);
  so.context = CONTEXT;
  so.window = t->window;
  so.max_sequences = 3;
  gale_engine_options eo;
  gale_engine_defaults(&eo);
  eo.session = &so;
  eo.kept_texts = t->kept;
  eo.cache_dir = cache_directory;
  eo.cache_limit = t->limit;
  expect_ok(gale_engine_open(d.model, &eo, &d.engine, &error), &error);
  return d;
}

static inline void disk_close(disk_engine *d) {
  gale_engine_forget(d->engine);
  assert_int_equal(stats_of(d->engine).kv_page_bytes, 0);
  gale_engine_close(&d->engine);
  gale_model_close(&d->model);
}

static inline void make_text(const disk_engine *d, int32_t *ids, int32_t n, uint64_t seed) {
  for (int32_t i = 0; i < n; i++) ids[i] = (int32_t)(random_at(seed, (uint64_t)i) % (uint32_t)d->vocabulary);
}

static inline gale_request *submit(disk_engine *d, const int32_t *prompt, int32_t n, const char *salt,
                                   int32_t answers) {
  gale_request_options o;
  gale_generation_options g;
  gale_sampler_options s;
  gale_request_defaults(&o);
  gale_generation_defaults(&g);
  gale_sampler_defaults(&s);
  s.ignore_end = true;
  s.seed = 7;
  g.sampling = &s;
  g.max_tokens = ANSWER;
  o.prompt = prompt;
  o.n_prompt = (size_t)n;
  o.generation = &g;
  o.cache_salt = salt;
  o.n = answers;
  gale_request *request = NULL;
  gale_error error = {0};
  expect_ok(gale_engine_submit(d->engine, &o, &request, &error), &error);
  return request;
}

/* Tokens of the prompt that were found; the first answer goes to `answer`. */
static inline int32_t collect(gale_request *request, int32_t answer[ANSWER]) {
  gale_event event;
  int32_t n_cached = -1, n = 0;
  while (gale_request_next(request, -1, &event)) {
    if (event.kind == GALE_EVENT_TOKEN && event.choice == 0) answer[n++] = event.token;
    if (event.kind == GALE_EVENT_END) assert_string_equal(event.error->message, "");
    if (event.kind == GALE_EVENT_END && event.choice == 0) n_cached = event.n_cached;
  }
  assert_int_equal(n, ANSWER);
  gale_request_close(&request);
  return n_cached;
}

static inline int32_t found(disk_engine *d, const int32_t *prompt, int32_t n, const char *salt,
                            int32_t answer[ANSWER]) {
  return collect(submit(d, prompt, n, salt, 1), answer);
}

static inline int32_t whole_pages(int32_t n) {
  return (n - 1) / 64 * 64;
}

/* Calls `look` with the name of each file of pages; returns how many there are. */
static inline int each_page(void (*look)(const char *name, void *user), void *user) {
  int n = 0;
  DIR *d = opendir(cache_directory);
  assert_non_null(d);
  for (struct dirent *e; (e = readdir(d));) {
    size_t length = strlen(e->d_name);
    if (length < 5 || strcmp(e->d_name + length - 5, ".page") != 0) continue;
    if (look) look(e->d_name, user);
    n++;
  }
  closedir(d);
  return n;
}

static inline void add_size(const char *name, void *user) {
  struct stat st;
  if (stat(cache_at(name), &st) == 0) *(uint64_t *)user += (uint64_t)st.st_size;
}

static inline uint64_t bytes_of_pages(void) {
  uint64_t bytes = 0;
  each_page(add_size, &bytes);
  return bytes;
}

#endif
