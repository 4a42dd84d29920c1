/* gale bench: what is measured, in which order. */
#include "gale/bench/bench.h"
#include "gale/bench/traffic.h"

#include "gale/cli/console.h"
#include "gale/cli/opening.h"
#include "gale/cli/units.h"
#include "gale/commands/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- The figures ---- */

double bench_of_limit(const bench_result *r) {
  return r->of_memory > r->of_arithmetic ? r->of_memory : r->of_arithmetic;
}

bool bench_by_memory(const bench_result *r) {
  return r->of_memory > r->of_arithmetic;
}

static bool same_test(const bench_test *a, const bench_test *b) {
  return a->kind == b->kind && a->tokens == b->tokens && a->batch == b->batch && a->depth == b->depth &&
         a->without_window == b->without_window && a->kept == b->kept;
}

const bench_result *bench_first(const bench_report *b, const bench_result *r) {
  for (size_t i = 0; i < b->n_results && b->results[i].model == 0; i++)
    if (same_test(&b->results[i].test, &r->test)) return r->model == 0 ? NULL : &b->results[i];
  return NULL;
}

double bench_ratio(const bench_result *first, const bench_result *r) {
  return r->test.kind == BENCH_LOAD ? first->median / r->median : r->median / first->median;
}

void bench_title(const bench_result *r, char title[96]) {
  static const char *const names[] = {"load", "prefill", "decode"};
  const bench_test *t = &r->test;
  size_t n = (size_t)snprintf(title, 96, "%s", names[t->kind]);
  if (t->kept) snprintf(title + n, 96 - n, " from cache");
  if (t->kind == BENCH_LOAD) return;
  n += (size_t)snprintf(title + n, 96 - n, " %d", t->tokens);
  if (t->batch > 1) n += (size_t)snprintf(title + n, 96 - n, " x %d", t->batch);
  if (t->depth > 0) n += (size_t)snprintf(title + n, 96 - n, " at depth %.16s", with_commas((uint64_t)t->depth).text);
  if (t->depth > 0 && r->window > 0)
    snprintf(title + n, 96 - n, ", window %.16s", with_commas((uint64_t)r->window).text);
  else if (t->without_window)
    snprintf(title + n, 96 - n, ", no window");
}

bench_model *bench_add_model(bench_report *b, const char *argument) {
  bench_model *m = &b->models[b->n_models++];
  *m = (bench_model){.argument = argument};
  return m;
}

void bench_describe_model(bench_model *m, const gale_model_info *info) {
  m->packed_bytes = info->packed_bytes;
  snprintf(m->types, sizeof m->types, "%s", info->types);
}

/* ---- The machine ---- */

static bool value_of(const char *line, const char *key, char *value, size_t size) {
  if (strncmp(line, key, strlen(key)) != 0) return false;
  const char *colon = strchr(line, ':');
  if (!colon) return false;
  colon += 1 + strspn(colon + 1, " ");
  snprintf(value, size, "%.*s", (int)strcspn(colon, "\n"), colon);
  return true;
}

/* What Linux says about the first processor; nothing depends on it. */
static void name_processor(char name[128]) {
  char line[512], model[80] = "", family[16] = "";
  FILE *f = fopen("/proc/cpuinfo", "r");
  while (f && fgets(line, sizeof line, f) && line[0] != '\n') {
    if (!value_of(line, "model name", model, sizeof model)) value_of(line, "cpu family", family, sizeof family);
  }
  if (f) fclose(f);
  snprintf(name, 128, "%s%s%s", *model ? model : "unknown processor", *family ? ", family " : "", family);
}

/* ---- The tests ---- */

/* A test beyond the window is run again without it, so that what the window gains can be seen. */
static int measure_both(const bench_setting *s, bench_test t) {
  gale_model_info info;
  gale_model_get_info(s->model, &info);
  if (t.tokens == 0) return 0;
  int code = bench_measure(s, &t);
  bool beyond = s->o->window == GALE_WINDOW_NATIVE && info.sliding_window > 0 && t.depth > info.sliding_window;
  t.without_window = true;
  return code || !beyond ? code : bench_measure(s, &t);
}

/* Each list is varied while the others stay at their first numbers; sizes: of prompts or of answers. */
static int measure_kind(const bench_setting *s, bench_kind kind, const int_list *sizes) {
  const int_list *depths = &s->o->n_depth, *batches = &s->o->batch;
  bench_test first = {.kind = kind, .tokens = sizes->items[0], .batch = 1, .depth = depths->items[0]};
  if (kind == BENCH_DECODE) first.batch = batches->items[0];
  int code = 0;
  for (size_t i = 0; !code && i < sizes->length; i++) {
    bench_test t = first;
    t.tokens = sizes->items[i];
    code = measure_both(s, t);
  }
  for (size_t i = 1; !code && kind == BENCH_DECODE && i < batches->length; i++) {
    bench_test t = first;
    t.batch = batches->items[i];
    code = measure_both(s, t);
  }
  for (size_t i = 1; !code && i < depths->length; i++) {
    bench_test t = first;
    t.depth = depths->items[i];
    code = measure_both(s, t);
  }
  return code;
}

static int add_load(bench_report *b, bool kept, double seconds) {
  bench_result *r = bench_add_result(b);
  if (!r) return EXIT_INPUT;
  r->test.kept = kept;
  r->samples = malloc(sizeof *r->samples);
  if (!r->samples) return fail_memory();
  r->samples[r->n_samples++] = r->median = seconds;
  return 0;
}

/* Opens a model and says how many seconds that took. */
static int open_timed(const options *o, bool no_cache, gale_model **model, gale_model_info *info, double *seconds) {
  options one = *o;
  one.no_cache |= no_cache;
  double start = seconds_now();
  int code = open_model(&one, false, model);
  *seconds = seconds_now() - start;
  if (!code) gale_model_get_info(*model, info);
  return code;
}

/* Loads as a first start does, which packs the weights, and if they are kept also as the next one does. One model is
 * open at a time: two need not fit into memory. */
static int measure_load(const options *o, bench_report *b, gale_model **model) {
  gale_model_info info, other;
  double first, next;
  int code = open_timed(o, false, model, &info, &first);
  if (code) return code;
  if (!info.kept) return add_load(b, false, first);
  gale_model_close(model);
  next = first;
  if (info.from_cache) {
    code = open_timed(o, true, model, &other, &first);
    gale_model_close(model);
  }
  if (!code) code = open_timed(o, false, model, &other, info.from_cache ? &(double){0} : &next);
  if (!code) code = add_load(b, false, first);
  if (!code && other.from_cache) code = add_load(b, true, next);
  return code;
}

static int measure_model(bench_report *b, gale_probe *probe, const options *all, int index) {
  options o = *all;
  o.arguments[0] = all->arguments[index];
  gale_model *model = NULL;
  gale_model_info info;
  bench_model *m = bench_add_model(b, o.arguments[0]);
  int code = measure_load(&o, b, &model);
  if (code) return code;
  gale_model_get_info(model, &info);
  bench_describe_model(m, &info);
  bench_setting s = {&o, model, probe, b};
  code = measure_kind(&s, BENCH_PREFILL, &o.n_prompt);
  if (!code) code = measure_kind(&s, BENCH_DECODE, &o.n_gen);
  gale_model_close(&model);
  return code;
}

/* ---- The command ---- */

static void use_default(int_list *list, int_list value) {
  if (list->length == 0) *list = value;
}

static int check_usage(const options *o) {
  if (o->json + o->csv + o->markdown > 1) return usage_error(o, "one of --json, --csv and --markdown is wanted");
  for (size_t i = 0; i < o->batch.length; i++)
    for (size_t j = 0; j < o->n_gen.length; j++)
      if ((int64_t)o->batch.items[i] * o->n_gen.items[j] > INT32_MAX)
        return usage_error(o, "%d texts of %d tokens are too many", o->batch.items[i], o->n_gen.items[j]);
  return traffic_check_usage(o);
}

static int print(const bench_report *b, const options *o) {
  if (o->json) return bench_print_json(b);
  if (o->csv) return bench_print_csv(b);
  return o->markdown ? bench_print_markdown(b) : bench_print_text(b);
}

static int measure_all(bench_report *b, gale_probe *probe, const options *all) {
  int code = 0;
  for (int i = 0; !code && i < all->n_arguments; i++) code = measure_model(b, probe, all, i);
  if (!code) code = print(b, all);
  return code || !all->plot ? code : bench_plot(b, all->plot);
}

int bench_main(const options *o) {
  options all = *o;
  int code = check_usage(&all);
  if (code) return code;
  use_default(&all.n_prompt, (int_list){{512}, 1});
  use_default(&all.n_gen, (int_list){{64}, 1});
  use_default(&all.batch, (int_list){{1, 4, 8}, 3});
  use_default(&all.n_depth, (int_list){{0, 8192}, 2});
  gale_probe_options settings;
  gale_probe_defaults(&settings);
  settings.cpu = all.cpu;
  settings.threads = all.threads;
  gale_probe *probe = NULL;
  gale_error error = {0};
  if (gale_probe_open(&settings, &probe, &error)) return fail_with(&error);
  bench_report b = {0};
  name_processor(b.processor);
  code = bench_add_probe(&b, probe);
  if (!code) code = all.serve ? traffic_bench(&all, &b) : measure_all(&b, probe, &all);
  gale_probe_close(&probe);
  for (size_t i = 0; i < b.n_results; i++) free(b.results[i].samples);
  free(b.results);
  free(b.probes);
  return code;
}
