/* What the prefix cache on disk saves and costs.
 *
 *   bench_disk_cache [MODEL] [DIRECTORY] [TOKENS] [ROUNDS]
 *
 * Each round takes a prompt of its own through: an engine without a cache on disk, one that writes it there, the same
 * again from its memory, an engine that is opened anew (files in the system's memory), and one after the files were
 * dropped from there. Times are seconds to the first token, medians of the rounds with the least and the most; ratios
 * are of one round. Then answers that stream while a prompt is computed, with and without writing; and reading and
 * writing of files with one and with more pages in each. DIRECTORY is made, and emptied at the end. */
#include "base/random.h"
#include "base/summed_file.h"
#include "gale_engine.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MOST_ROUNDS = 15, STREAMS = 4, STREAM_TOKENS = 160, MOST_GAPS = STREAMS * STREAM_TOKENS };

static const char *model_name, *directory;
static int32_t n_prompt;
static int n_rounds;
static gale_model *model;
static gale_model_info info;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void check(gale_status status, const gale_error *error) {
  if (status == GALE_OK) return;
  fprintf(stderr, "bench_disk_cache: %s\n", error->message);
  exit(1);
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void report(const char *what, double *values, int n, const char *unit) {
  qsort(values, (size_t)n, sizeof *values, ascending);
  printf("%-58s %10.4f (%.4f to %.4f) %s\n", what, values[n / 2], values[0], values[n - 1], unit);
}

/* ---- Engines ---- */

static gale_engine *engine_open(const char *cache) {
  gale_session_options so;
  gale_engine_options eo;
  gale_engine *engine;
  gale_error error;
  gale_session_defaults(&so);
  so.context = n_prompt + 512;
  so.max_sequences = STREAMS + 1;
  gale_engine_defaults(&eo);
  eo.session = &so;
  eo.cache_dir = cache;
  check(gale_engine_open(model, &eo, &engine, &error), &error);
  return engine;
}

static gale_request *ask(gale_engine *engine, const int32_t *prompt, int32_t n, int32_t tokens) {
  gale_request_options o;
  gale_generation_options g;
  gale_sampler_options s;
  gale_request *request;
  gale_error error;
  gale_request_defaults(&o);
  gale_generation_defaults(&g);
  gale_sampler_defaults(&s);
  s.temperature = 0;
  s.ignore_end = true;
  g.sampling = &s;
  g.max_tokens = tokens;
  o.prompt = prompt;
  o.n_prompt = (size_t)n;
  o.generation = &g;
  check(gale_engine_submit(engine, &o, &request, &error), &error);
  return request;
}

/* Seconds until the answer of one token is over. */
static double first_token(gale_engine *engine, const int32_t *prompt, int32_t n, int32_t *n_cached) {
  double begin = now();
  gale_request *r = ask(engine, prompt, n, 1);
  gale_event e;
  while (gale_request_next(r, -1, &e))
    if (e.kind == GALE_EVENT_END) *n_cached = e.n_cached;
  double end = now();
  gale_request_close(&r);
  return end - begin;
}

static void make_prompt(int32_t *ids, int32_t n, uint64_t seed) {
  for (int32_t i = 0; i < n; i++) ids[i] = (int32_t)(random_at(seed, (uint64_t)i) % (uint64_t)info.vocab_size);
}

/* ---- Files ---- */

/* Calls look for each file of the directory; returns the bytes of all. */
static uint64_t each_file(void (*look)(int fd)) {
  uint64_t bytes = 0;
  DIR *d = opendir(directory);
  for (struct dirent *e; d && (e = readdir(d));) {
    int fd = e->d_name[0] == '.' ? -1 : openat(dirfd(d), e->d_name, O_RDONLY);
    if (fd < 0) continue;
    bytes += (uint64_t)lseek(fd, 0, SEEK_END);
    look(fd);
    close(fd);
  }
  if (d) closedir(d);
  return bytes;
}

static char buffer[1 << 21];

static void read_file(int fd) {
  for (off_t at = 0, n; (n = pread(fd, buffer, sizeof buffer, at)) > 0; at += n) {
  }
}

static void drop_file(int fd) {
  fsync(fd);
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

static void empty_directory(void) {
  DIR *d = opendir(directory);
  for (struct dirent *e; d && (e = readdir(d));)
    if (e->d_name[0] != '.') unlinkat(dirfd(d), e->d_name, 0);
  if (d) closedir(d);
}

/* ---- The same prompt again ---- */

static void bench_again(int32_t *ids) {
  enum { COLD, WRITING, MEMORY, RESTARTED, DROPPED, PLAIN, PLAIN_DROPPED, KINDS };
  static const char *const names[KINDS] = {"to the first token, computed",
                                           "computed, and written behind",
                                           "again, from memory",
                                           "after a restart, from files in the system's memory",
                                           "after a restart, from the disk",
                                           "plain reading of all files, in the system's memory",
                                           "plain reading of all files, from the disk"};
  static double times[KINDS][MOST_ROUNDS], share[KINDS][MOST_ROUNDS];
  uint64_t bytes = 0;
  int32_t cached[KINDS] = {0};
  for (int i = 0; i < n_rounds; i++) {
    empty_directory();
    make_prompt(ids, n_prompt, (uint64_t)i);
    gale_engine *e;
    for (int k = 0; k < 2; k++) {
      bool writes = (i + k) % 2;
      e = engine_open(writes ? directory : NULL);
      times[writes ? WRITING : COLD][i] = first_token(e, ids, n_prompt, &cached[writes ? WRITING : COLD]);
      if (writes) times[MEMORY][i] = first_token(e, ids, n_prompt, &cached[MEMORY]);
      gale_engine_close(&e);
    }
    for (int kind = RESTARTED; kind <= DROPPED; kind++) {
      e = engine_open(directory);
      if (kind == DROPPED) each_file(drop_file);
      times[kind][i] = first_token(e, ids, n_prompt, &cached[kind]);
      gale_engine_close(&e);
    }
    for (int kind = PLAIN; kind <= PLAIN_DROPPED; kind++) {
      if (kind == PLAIN_DROPPED) each_file(drop_file);
      double begin = now();
      bytes = each_file(read_file);
      times[kind][i] = now() - begin;
    }
    for (int kind = 0; kind < KINDS; kind++) share[kind][i] = times[kind][i] / times[COLD][i];
  }
  printf("%s: a prompt of %d tokens, %d rounds; files of %.1f MB\n", model_name, n_prompt, n_rounds,
         (double)bytes / 1e6);
  for (int kind = 0; kind < KINDS; kind++) report(names[kind], times[kind], n_rounds, "s");
  for (int kind = WRITING; kind <= DROPPED; kind++) {
    char what[128];
    snprintf(what, sizeof what, "%s: %d tokens found, over computed", names[kind], cached[kind]);
    report(what, share[kind], n_rounds, "");
  }
}

/* ---- Answers that stream meanwhile ---- */

typedef struct gaps {
  double last, all[MOST_GAPS];
  int n;
} gaps;

static void on_event(void *user, const gale_event *e) {
  gaps *g = user;
  double t = now();
  if (e->kind != GALE_EVENT_TOKEN) return;
  if (g->last > 0 && g->n < MOST_GAPS) g->all[g->n++] = t - g->last;
  g->last = t;
}

static gale_request *stream(gale_engine *engine, const int32_t *prompt, gaps *g) {
  gale_request_options o;
  gale_generation_options go;
  gale_sampler_options s;
  gale_request *request;
  gale_error error;
  gale_request_defaults(&o);
  gale_generation_defaults(&go);
  gale_sampler_defaults(&s);
  s.temperature = 0;
  s.ignore_end = true;
  go.sampling = &s;
  go.max_tokens = STREAM_TOKENS;
  o.prompt = prompt;
  o.n_prompt = 32;
  o.generation = &go;
  o.event = on_event;
  o.user = g;
  check(gale_engine_submit(engine, &o, &request, &error), &error);
  return request;
}

/* Median and 99th percentile between tokens of answers, while a prompt of 500 tokens is computed beside them. */
static void stream_once(const char *cache, int32_t *ids, uint64_t seed, double *median, double *high) {
  static gaps all[STREAMS];
  static double together[MOST_GAPS];
  gale_request *requests[STREAMS];
  gale_engine *e = engine_open(cache);
  int32_t cached;
  int n = 0;
  for (int i = 0; i < STREAMS; i++) {
    memset(&all[i], 0, sizeof all[i]);
    make_prompt(ids, 32, seed + (uint64_t)i);
    requests[i] = stream(e, ids, &all[i]);
  }
  make_prompt(ids, n_prompt, seed);
  first_token(e, ids, n_prompt < 500 ? n_prompt : 500, &cached);
  gale_engine_drain(e, -1);
  for (int i = 0; i < STREAMS; i++) {
    gale_request_close(&requests[i]);
    for (int k = 0; k < all[i].n && n < MOST_GAPS; k++) together[n++] = all[i].all[k];
  }
  gale_engine_close(&e);
  qsort(together, (size_t)n, sizeof *together, ascending);
  *median = together[n / 2];
  *high = together[n * 99 / 100];
}

static void bench_streams(int32_t *ids) {
  static double median[2][MOST_ROUNDS], high[2][MOST_ROUNDS], over[MOST_ROUNDS];
  for (int i = 0; i < n_rounds; i++) {
    empty_directory();
    for (int k = 0; k < 2; k++) {
      int writes = (i + k) % 2;
      stream_once(writes ? directory : NULL, ids, 1000 * (uint64_t)(i + 1), &median[writes][i], &high[writes][i]);
    }
    over[i] = median[1][i] / median[0][i];
  }
  printf("%d answers of %d tokens stream, a prompt of 500 comes\n", STREAMS, STREAM_TOKENS);
  report("median between tokens, without writing", median[0], n_rounds, "s");
  report("median between tokens, with writing", median[1], n_rounds, "s");
  report("99th percentile, without writing", high[0], n_rounds, "s");
  report("99th percentile, with writing", high[1], n_rounds, "s");
  report("median with over median without", over, n_rounds, "");
}

/* ---- Pages in a file ---- */

static void write_files(const char *page, size_t page_bytes, int n_pages, int per_file) {
  const digest key = {{1, 2}};
  gale_error error;
  for (int i = 0; i < n_pages; i += per_file) {
    char path[4096];
    summed_writer w;
    snprintf(path, sizeof path, "%s/%d", directory, i);
    check(summed_create(&w, directory, "bench-", &error), &error);
    for (int k = 0; k < per_file; k++) check(summed_put(&w, page, page_bytes, &error), &error);
    check(summed_finish(&w, 1, &key, NULL, 0, &error), &error);
    check(fresh_commit(&w.file, path, &error), &error);
    summed_writer_close(&w);
  }
}

static void read_files(int n_pages, int per_file) {
  gale_error error;
  for (int i = 0; i < n_pages; i += per_file) {
    char path[4096];
    summed_file f;
    snprintf(path, sizeof path, "%s/%d", directory, i);
    check(summed_open(&f, path, true, 1, &error), &error);
    for (size_t k = 0; k < f.n_sections; k++) check(summed_read(&f, k, buffer, &error), &error);
    summed_close(&f);
  }
}

static uint64_t page_size(void) {
  gale_engine_stats stats;
  gale_engine *e = engine_open(NULL);
  gale_engine_drain(e, -1); /* until then there may be no figures */
  gale_engine_get_stats(e, &stats);
  gale_engine_close(&e);
  return stats.kv_page_size;
}

static void bench_files(void) {
  static const int counts[] = {1, 2, 4, 16};
  enum { KINDS = sizeof counts / sizeof *counts };
  static double writing[KINDS][MOST_ROUNDS], reading[KINDS][MOST_ROUNDS];
  size_t bytes = (size_t)page_size();
  int n_pages = (n_prompt / 64 + 15) / 16 * 16;
  char *page = calloc(1, bytes);
  if (!page) exit(1);
  for (int i = 0; i < n_rounds; i++)
    for (int k = 0; k < KINDS; k++) {
      int kind = i % 2 ? KINDS - 1 - k : k;
      empty_directory();
      double begin = now();
      write_files(page, bytes, n_pages, counts[kind]);
      double written = now();
      read_files(n_pages, counts[kind]);
      writing[kind][i] = (double)n_pages * (double)bytes / 1e9 / (written - begin);
      reading[kind][i] = (double)n_pages * (double)bytes / 1e9 / (now() - written);
    }
  printf("%d pages of %zu bytes in files\n", n_pages, bytes);
  for (int k = 0; k < KINDS; k++) {
    char what[64];
    snprintf(what, sizeof what, "%d in a file: written", counts[k]);
    report(what, writing[k], n_rounds, "GB/s");
    snprintf(what, sizeof what, "%d in a file: read and checked", counts[k]);
    report(what, reading[k], n_rounds, "GB/s");
  }
  free(page);
}

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  model_name = argc > 1 ? argv[1] : "shape:mistral-7b:layers=8@q4_0";
  directory = argc > 2 ? argv[2] : "bench-pages";
  n_prompt = argc > 3 ? (int32_t)strtol(argv[3], NULL, 10) : 4000;
  n_rounds = argc > 4 ? (int)strtol(argv[4], NULL, 10) : 3;
  if (n_prompt < 64 || n_prompt > 1 << 20 || n_rounds < 1 || n_rounds > MOST_ROUNDS) {
    fprintf(stderr, "usage: bench_disk_cache [MODEL] [DIRECTORY] [TOKENS, at least 64] [ROUNDS, 1 to %d]\n",
            MOST_ROUNDS);
    return 2;
  }
  gale_error error;
  int32_t *ids = malloc((size_t)n_prompt * sizeof *ids);
  check(gale_model_open(model_name, NULL, &model, &error), &error);
  check(directory_make(directory, &error), &error);
  gale_model_get_info(model, &info);
  if (!ids) return 1;
  bench_files();
  bench_again(ids);
  bench_streams(ids);
  empty_directory();
  rmdir(directory);
  gale_model_close(&model);
  free(ids);
  return 0;
}
