/* GET /metrics, in the text form of Prometheus. */
#include "gale/serve/endpoints.h"
#include "gale/serve/metrics.h"
#include "gale/serve/question.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static void line(byte_list *to, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void line(byte_list *to, const char *format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  int n = vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  if (n > 0 && (size_t)n < sizeof text) bytes_add(to, (slice){text, (size_t)n});
}

static void head(byte_list *to, const char *name, const char *type, const char *help) {
  line(to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void one(byte_list *to, const char *name, const char *type, const char *help, double x) {
  head(to, name, type, help);
  line(to, "%s %.17g\n", name, x);
}

static void add_histogram(byte_list *to, const char *name, const char *help, const histogram *h) {
  uint64_t n = 0;
  head(to, name, "histogram", help);
  for (size_t i = 0; i < MAX_BOUNDS; i++) {
    n += h->counts[i];
    line(to, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, metrics_seconds[i], n);
  }
  n += h->counts[MAX_BOUNDS];
  line(to, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.17g\n%s_count %" PRIu64 "\n", name, n, name, h->sum, name, n);
}

static void add_steps(byte_list *to, const gale_engine_stats *stats) {
  size_t n_sizes = sizeof stats->step_sizes / sizeof *stats->step_sizes;
  uint64_t n = 0;
  head(to, "gale_step_tokens", "histogram", "Tokens computed in a step.");
  for (size_t i = 0; i < n_sizes; i++) {
    n += stats->step_sizes[i];
    line(to, "gale_step_tokens_bucket{le=\"%d\"} %" PRIu64 "\n", 1 << i, n);
  }
  line(to, "gale_step_tokens_bucket{le=\"+Inf\"} %" PRIu64 "\ngale_step_tokens_sum %" PRIu64, n, stats->tokens);
  line(to, "\ngale_step_tokens_count %" PRIu64 "\n", n);
}

static void add_requests(byte_list *to, const metrics *m) {
  head(to, "gale_requests_total", "counter", "Responses by path and status; 499: the client left first.");
  for (size_t row = 0; row < MAX_PATHS; row++)
    for (size_t code = 0; code < N_CODES; code++)
      if (m->requests[row][code])
        line(to, "gale_requests_total{path=\"%s\",code=\"%d\"} %" PRIu64 "\n",
             row == MAX_PATHS - 1 ? "other" : endpoint_table[row].path, metrics_codes[code], m->requests[row][code]);
  static const char *const reasons[N_REASONS] = {"stop", "length", "tool_calls", "cancelled", "error"};
  head(to, "gale_requests_finished_total", "counter", "Answers by how they ended.");
  for (size_t i = 0; i < N_REASONS; i++)
    line(to, "gale_requests_finished_total{reason=\"%s\"} %" PRIu64 "\n", reasons[i], m->finished[i]);
  head(to, "gale_requests_rejected_total", "counter", "Requests refused with 503.");
  line(to, "gale_requests_rejected_total{reason=\"queue_full\"} %" PRIu64 "\n", m->queue_full);
  line(to, "gale_requests_rejected_total{reason=\"loading\"} %" PRIu64 "\n", m->loading);
  line(to, "gale_requests_rejected_total{reason=\"shutting_down\"} %" PRIu64 "\n", m->draining);
  line(to, "gale_requests_rejected_total{reason=\"out_of_memory\"} %" PRIu64 "\n", m->memory);
}

static void add_engine(byte_list *to, const metrics *m, const gale_engine_stats *s) {
  one(to, "gale_requests_running", "gauge", "Answers that are computed.", s->n_running);
  one(to, "gale_requests_waiting", "gauge", "Answers that wait.", s->n_waiting);
  head(to, "gale_prompt_tokens_total", "counter", "Tokens of prompts by where they came from.");
  line(to, "gale_prompt_tokens_total{source=\"computed\"} %" PRIu64 "\n", m->computed);
  line(to, "gale_prompt_tokens_total{source=\"memory\"} %" PRIu64 "\n", s->shared_tokens + s->cached_tokens);
  line(to, "gale_prompt_tokens_total{source=\"disk\"} %" PRIu64 "\n", s->disk_tokens);
  one(to, "gale_generation_tokens_total", "counter", "Tokens generated.", (double)m->generated);
  head(to, "gale_kv_pages", "gauge", "Pages of the key/value cache.");
  line(to, "gale_kv_pages{state=\"active\"} %d\n", s->kv_active_pages);
  line(to, "gale_kv_pages{state=\"cached\"} %d\n", s->kv_cached_pages);
  line(to, "gale_kv_pages{state=\"free\"} %d\n", s->kv_free_pages);
  one(to, "gale_kv_page_bytes", "gauge", "Bytes of a page.", (double)s->kv_page_size);
  one(to, "gale_prefix_cache_disk_bytes", "gauge", "Bytes of the prefix cache on disk.", (double)s->disk_bytes);
  head(to, "gale_prefix_cache_evictions_total", "counter", "Pages in memory, and files on disk, that made room.");
  line(to, "gale_prefix_cache_evictions_total{tier=\"memory\"} %" PRIu64 "\n", s->evicted_pages);
  line(to, "gale_prefix_cache_evictions_total{tier=\"disk\"} %" PRIu64 "\n", s->disk_evictions);
  one(to, "gale_preemptions_total", "counter", "Answers whose pages were taken away.", (double)s->preemptions);
  head(to, "gale_speculative_tokens_total", "counter", "Tokens computed on trial.");
  line(to, "gale_speculative_tokens_total{source=\"lookup\",result=\"accepted\"} %" PRIu64 "\n", s->lookup_right);
  line(to, "gale_speculative_tokens_total{source=\"lookup\",result=\"rejected\"} %" PRIu64 "\n", s->lookup_wrong);
  line(to, "gale_speculative_tokens_total{source=\"draft\",result=\"accepted\"} %" PRIu64 "\n", s->draft_right);
  line(to, "gale_speculative_tokens_total{source=\"draft\",result=\"rejected\"} %" PRIu64 "\n", s->draft_wrong);
  add_steps(to, s);
}

/* ---- The process ---- */

static int open_files(void) {
  DIR *files = opendir("/proc/self/fd");
  int n = 0;
  while (files && readdir(files)) n++;
  if (files) closedir(files);
  return n > 3 ? n - 3 : 0; /* without . and .. and the folder itself */
}

static double resident_bytes(void) {
  FILE *f = fopen("/proc/self/statm", "r");
  char text[128] = "";
  if (f && !fgets(text, sizeof text, f)) text[0] = 0;
  if (f) fclose(f);
  char *end = text;
  strtoull(text, &end, 10);
  return (double)strtoull(end, NULL, 10) * (double)sysconf(_SC_PAGESIZE);
}

/* Seconds since 1970, by the clock of the system's start. */
static double process_start(void) {
  FILE *f = fopen("/proc/self/stat", "r");
  char text[1024] = "";
  if (f && !fgets(text, sizeof text, f)) text[0] = 0;
  if (f) fclose(f);
  const char *at = strrchr(text, ')');
  for (int field = 2; at && field < 22; field++) at = strchr(at + 1, ' ');
  struct timespec now, up;
  clock_gettime(CLOCK_REALTIME, &now);
  clock_gettime(CLOCK_BOOTTIME, &up);
  double ticks = at ? strtod(at, NULL) : 0;
  return (double)(now.tv_sec - up.tv_sec) + 1e-9 * (double)(now.tv_nsec - up.tv_nsec) +
         ticks / (double)sysconf(_SC_CLK_TCK);
}

static void add_process(byte_list *to) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
  one(to, "process_resident_memory_bytes", "gauge", "Resident memory.", resident_bytes());
  one(to, "process_open_fds", "gauge", "Open files.", open_files());
  one(to, "process_start_time_seconds", "gauge", "When the process began, since 1970.", process_start());
  one(to, "process_cpu_seconds_total", "counter", "Processor time.", cpu);
}

static void add_build(byte_list *to, const serving *s) {
  head(to, "gale_build_info", "gauge", "The version, and the model that is served.");
  line(to, "gale_build_info{version=\"%s\",model=", gale_version());
  bytes_add_string(to, slice_of(s->n_names ? s->names[0] : ""));
  line(to, "} 1\n");
}

void metrics_run(serving *s, http_exchange *x) {
  const metrics *m = s->metrics;
  byte_list body = {0};
  gale_engine_stats stats = {0};
  if (s->engine) gale_engine_get_stats(s->engine, &stats);
  add_build(&body, s);
  one(&body, "gale_ready", "gauge", "Whether requests are taken.", s->model && !s->draining);
  one(&body, "gale_connections", "gauge", "Open connections.", http_connections(s->http));
  add_requests(&body, m);
  add_engine(&body, m, &stats);
  if (s->answering)
    one(&body, "gale_constraint_compile_seconds", "gauge", "Spent on compiling constraints so far.",
        constraints_seconds(answering_constraints(s)));
  one(&body, "gale_constraint_mask_seconds", "gauge", "Spent on the masks of constraints by answers that are over.",
      stats.mask_seconds);
  add_histogram(&body, "gale_time_to_first_token_seconds", "From a request to its first token.", &m->first_token);
  add_histogram(&body, "gale_inter_token_seconds", "From a token of an answer to the next.", &m->inter_token);
  add_histogram(&body, "gale_request_seconds", "From a request to the end of its response.", &m->request);
  add_histogram(&body, "gale_queue_seconds", "From a request to the beginning of its answer.", &m->queue);
  add_process(&body);
  if (body.failed)
    serve_fail(s, x, FAILURE_MEMORY, NULL, "out of memory");
  else
    http_respond(x, 200, "text/plain; version=0.0.4; charset=utf-8", body.bytes, body.n);
  free(body.bytes);
}
