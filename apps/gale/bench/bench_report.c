/* How gale bench prints its figures. */
#include "gale/bench/bench.h"
#include "gale/bench/table.h"

#include "gale/cli/console.h"
#include "gale/cli/units.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Tables ---- */

enum { MODEL, TEST, SPEED, SPREAD, LIMIT, SUSTAINED, BOUND, RATIO, COLUMNS };

static double percent(double share) {
  return 100 * share;
}

static void speed_cells(const bench_result *r, table_row *to) {
  bool load = r->test.kind == BENCH_LOAD;
  double least = r->samples[0], most = r->samples[0];
  for (size_t i = 1; i < r->n_samples; i++) {
    if (r->samples[i] < least) least = r->samples[i];
    if (r->samples[i] > most) most = r->samples[i];
  }
  int decimals = load && most < 1 ? 4 : load || most < 99.95 ? 2 : 0;
  snprintf(to->cells[SPEED], 128, load ? "%.*f s" : "%.*f tok/s", decimals, r->median);
  if (r->n_samples > 1) snprintf(to->cells[SPREAD], 128, "%.*f to %.*f", decimals, least, decimals, most);
}

static table_row row_of(const bench_report *b, const bench_result *r) {
  table_row to = {0};
  snprintf(to.cells[MODEL], TABLE_CELL, "%.127s", b->models[r->model].argument);
  bench_title(r, to.cells[TEST]);
  speed_cells(r, &to);
  const bench_result *first = bench_first(b, r);
  if (first) snprintf(to.cells[RATIO], 128, "%.2f", bench_ratio(first, r));
  if (r->test.kind == BENCH_LOAD) return to;
  snprintf(to.cells[LIMIT], 128, "%.0f%%", percent(bench_of_limit(r)));
  snprintf(to.cells[SUSTAINED], 128, "%.0f%%", percent(r->of_sustained));
  snprintf(to.cells[BOUND], 128, "%s", bench_by_memory(r) ? "memory" : "arithmetic");
  return to;
}

static table_row heading(const bench_report *b) {
  table_row to = {{"model", "test", "speed", "lowest to highest", "of limit", "of sustained", "limit", ""}};
  snprintf(to.cells[RATIO], 128, "times %.100s", b->models[0].argument);
  return to;
}

/* With one model its name is in the title, and there is nothing to compare. */
static bool column_shown(const bench_report *b, int column) {
  return b->n_models > 1 || (column != MODEL && column != RATIO);
}

void bench_machine(const bench_report *b, char line[256]) {
  const gale_rates *limits = &b->limits.best;
  snprintf(line, 256, "%s, %s, %d threads: reads %.1f GB/s, int8 %.0f GOPS, float %.0f GFLOPS", b->processor,
           b->limits.cpu, b->limits.threads, limits->read_bytes_per_second * 1e-9, limits->int8_ops_per_second * 1e-9,
           limits->float_ops_per_second * 1e-9);
}

void bench_print_title(const bench_report *b, bool markdown) {
  const char *line_end = markdown ? "  " : "";
  const gale_rates *l = &b->limits.best, *low = &b->lowest, *kept = &b->limits.sustained;
  out_printf("%s, %s, %d threads%s\n", b->processor, b->limits.cpu, b->limits.threads, line_end);
  out_printf(
      "reads %.1f GB/s (%.1f to %.1f in %zu probes), int8 %.0f GOPS (from %.0f), float %.0f GFLOPS (from %.0f)%s\n",
      l->read_bytes_per_second * 1e-9, low->read_bytes_per_second * 1e-9, l->read_bytes_per_second * 1e-9, b->n_probes,
      l->int8_ops_per_second * 1e-9, low->int8_ops_per_second * 1e-9, l->float_ops_per_second * 1e-9,
      low->float_ops_per_second * 1e-9, line_end);
  out_printf("sustained: %.1f GB/s, int8 %.0f GOPS, float %.0f GFLOPS%s\n", kept->read_bytes_per_second * 1e-9,
             kept->int8_ops_per_second * 1e-9, kept->float_ops_per_second * 1e-9, line_end);
  for (int i = 0; i < b->n_models; i++)
    out_printf("%s: %s, %s packed%s\n", b->models[i].argument, b->models[i].types,
               about_bytes(b->models[i].packed_bytes).text, line_end);
  out_printf("\n");
}

static int print_table(const bench_report *b, bool markdown) {
  table_row *rows = calloc(b->n_results + 1, sizeof *rows);
  if (!rows) return fail_memory();
  bool shown[TABLE_COLUMNS] = {0};
  for (int c = 0; c < COLUMNS; c++) shown[c] = column_shown(b, c);
  rows[0] = heading(b);
  for (size_t i = 0; i < b->n_results; i++) rows[i + 1] = row_of(b, &b->results[i]);
  bench_print_title(b, markdown);
  table_print(rows, b->n_results + 1, shown, markdown);
  free(rows);
  return 0;
}

int bench_print_text(const bench_report *b) {
  return print_table(b, false);
}

int bench_print_markdown(const bench_report *b) {
  return print_table(b, true);
}

/* ---- For programs ---- */

static const char *test_name(const bench_test *t) {
  static const char *const kinds[] = {"load", "prefill", "decode"};
  return t->kept ? "load_from_cache" : kinds[t->kind];
}

void bench_print_quoted(const char *text) {
  out_printf("\"");
  for (; *text; text++) out_printf(*text == '"' ? "\"\"" : "%c", *text);
  out_printf("\"");
}

/* Fields that a test does not have are empty. The samples are the last field, with blanks between them. */
int bench_print_csv(const bench_report *b) {
  const gale_rates *limits = &b->limits.best;
  out_printf("model,test,tokens,batch,depth,window,seconds,tokens_per_second,of_limit,of_sustained,limit,"
             "read_bytes_per_second,int8_ops_per_second,float_ops_per_second,samples\n");
  for (size_t i = 0; i < b->n_results; i++) {
    const bench_result *r = &b->results[i];
    bench_print_quoted(b->models[r->model].argument);
    out_printf(",%s,", test_name(&r->test));
    if (r->test.kind == BENCH_LOAD)
      out_printf(",,,,%.6g,,,,", r->median);
    else
      out_printf("%d,%d,%d,%d,,%.6g,%.4f,%.4f,%s", r->test.tokens, r->test.batch, r->test.depth, r->window, r->median,
                 bench_of_limit(r), r->of_sustained, bench_by_memory(r) ? "memory" : "arithmetic");
    out_printf(",%.6g,%.6g,%.6g,", limits->read_bytes_per_second, limits->int8_ops_per_second,
               limits->float_ops_per_second);
    for (size_t j = 0; j < r->n_samples; j++) out_printf("%s%.6g", j ? " " : "", r->samples[j]);
    out_printf("\n");
  }
  return 0;
}

static json_t *rates_json(const gale_rates *r) {
  return json_pack("{s:f, s:f, s:f}", "read_bytes_per_second", r->read_bytes_per_second, "int8_ops_per_second",
                   r->int8_ops_per_second, "float_ops_per_second", r->float_ops_per_second);
}

static json_t *limits_json(const gale_limits *l) {
  json_t *object = rates_json(&l->best);
  json_object_set_new(object, "sustained", rates_json(&l->sustained));
  return object;
}

json_t *bench_machine_json(const bench_report *b) {
  json_t *object = limits_json(&b->limits), *probes = json_array();
  json_object_set_new(object, "processor", json_string(b->processor));
  json_object_set_new(object, "cpu", json_string(b->limits.cpu));
  json_object_set_new(object, "threads", json_integer(b->limits.threads));
  for (size_t i = 0; i < b->n_probes; i++) json_array_append_new(probes, limits_json(&b->probes[i]));
  json_object_set_new(object, "probes", probes);
  return object;
}

static json_t *result_json(const bench_report *b, const bench_result *r) {
  const bench_test *t = &r->test;
  json_t *object = json_pack("{s:s, s:s}", "model", b->models[r->model].argument, "test", test_name(t));
  json_t *samples = json_array();
  for (size_t i = 0; i < r->n_samples; i++) json_array_append_new(samples, json_real(r->samples[i]));
  if (t->kind == BENCH_LOAD) {
    json_object_set_new(object, "seconds", json_real(r->median));
    json_object_set_new(object, "bytes", json_integer((json_int_t)b->models[r->model].packed_bytes));
  } else {
    json_object_set_new(object, "tokens", json_integer(t->tokens));
    json_object_set_new(object, "batch", json_integer(t->batch));
    json_object_set_new(object, "depth", json_integer(t->depth));
    json_object_set_new(object, "window", json_integer(r->window));
    json_object_set_new(object, "tokens_per_second", json_real(r->median));
    json_object_set_new(object, "of_limit", json_real(bench_of_limit(r)));
    json_object_set_new(object, "of_sustained", json_real(r->of_sustained));
    json_object_set_new(object, "limit", json_string(bench_by_memory(r) ? "memory" : "arithmetic"));
    json_object_set_new(object, "of_memory_limit", json_real(r->of_memory));
    json_object_set_new(object, "of_arithmetic_limit", json_real(r->of_arithmetic));
  }
  json_object_set_new(object, "samples", samples);
  const bench_result *first = bench_first(b, r);
  if (first) json_object_set_new(object, "ratio", json_real(bench_ratio(first, r)));
  return object;
}

int bench_print_object(json_t *object) {
  char *text = object ? json_dumps(object, JSON_INDENT(2) | JSON_REAL_PRECISION(7)) : NULL;
  json_decref(object);
  if (!text) return fail("a model's name is not valid UTF-8, a figure is not finite, or out of memory");
  out_printf("%s\n", text);
  free(text);
  return 0;
}

int bench_print_json(const bench_report *b) {
  json_t *results = json_array();
  for (size_t i = 0; i < b->n_results; i++) json_array_append_new(results, result_json(b, &b->results[i]));
  return bench_print_object(json_pack("{s:o, s:o}", "machine", bench_machine_json(b), "results", results));
}
