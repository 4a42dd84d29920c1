/* How gale bench --serve prints its figures. */
#include "gale/bench/table.h"
#include "gale/bench/traffic.h"

#include "gale/cli/console.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- Tables ---- */

enum { MODEL, SCENARIO, REQUESTS, SPEED, RATE, FIRST, BETWEEN, DURING, CACHED, DRAFTS, COLUMNS };

/* Three digits, but for whole hundreds. */
static int decimals_of(double milliseconds) {
  return milliseconds < 9.995 ? 2 : milliseconds < 99.95 ? 1 : 0;
}

static void put_times(char cell[TABLE_CELL], const series *s) {
  if (s->n == 0) return;
  double middle = 1e3 * series_percentile(s, 50), high = 1e3 * series_percentile(s, 99);
  snprintf(cell, TABLE_CELL, "%.*f / %.*f ms", decimals_of(middle), middle, decimals_of(high), high);
}

static double cached_share(const traffic_result *t) {
  return t->prompt_tokens > 0 ? (double)t->cached_tokens / (double)t->prompt_tokens : 0;
}

static table_row row_of(const traffic_report *r, const traffic_result *t) {
  table_row to = {0};
  snprintf(to.cells[MODEL], TABLE_CELL, "%.127s", r->bench->models[t->model].argument);
  traffic_title(t->mix, to.cells[SCENARIO]);
  double speed = median_of(t->token_rate.items, t->token_rate.n);
  snprintf(to.cells[SPEED], TABLE_CELL, "%.*f tok/s", speed < 99.95 ? 2 : 0, speed);
  put_times(to.cells[BETWEEN], &t->between);
  if (t->mix->arrival == ARRIVE_BARE) return to;
  if (t->mix->arrival == ARRIVE_POISSON)
    snprintf(to.cells[REQUESTS], TABLE_CELL, "%d, %.3g a second", t->requests, t->offered);
  else
    snprintf(to.cells[REQUESTS], TABLE_CELL, "%d of %d", t->requests, t->mix->clients);
  snprintf(to.cells[RATE], TABLE_CELL, "%.3g a second", median_of(t->request_rate.items, t->request_rate.n));
  put_times(to.cells[FIRST], &t->first);
  put_times(to.cells[DURING], &t->during);
  snprintf(to.cells[CACHED], TABLE_CELL, "%.0f%%", 100 * cached_share(t));
  if (t->mix->speculate)
    snprintf(to.cells[DRAFTS], TABLE_CELL, "%lld of %lld", (long long)t->right, (long long)t->drafted);
  return to;
}

/* Under the table, since most scenarios have none. */
static void print_figures(const traffic_report *r, const char *line_end) {
  if (r->n_figures > 0) out_printf("\n");
  for (size_t i = 0; i < r->n_figures; i++) {
    const traffic_figure *f = &r->figures[i];
    const double *samples = f->samples.items;
    double least = samples[0], most = samples[0];
    for (size_t j = 1; j < f->samples.n; j++) {
      if (samples[j] < least) least = samples[j];
      if (samples[j] > most) most = samples[j];
    }
    if (r->bench->n_models > 1) out_printf("%s, ", r->bench->models[f->model].argument);
    out_printf("%s: %s: %.3g", f->is->scenario, f->is->says, median_of(samples, f->samples.n));
    if (f->samples.n > 1) out_printf(" (%.3g to %.3g)", least, most);
    out_printf("%s\n", line_end);
  }
}

static int print_table(const traffic_report *r, bool markdown) {
  table_row *rows = calloc(r->n_results + 1, sizeof *rows);
  if (!rows) return fail_memory();
  bool shown[TABLE_COLUMNS] = {0};
  for (int c = 0; c < COLUMNS; c++) shown[c] = c != MODEL || r->bench->n_models > 1;
  shown[DURING] = shown[DRAFTS] = false;
  rows[0] = (table_row){{"model", "scenario", "requests", "answers", "answered", "first token: median / p99",
                         "between tokens", "while the prompt is computed", "of cache", "right drafts"}};
  for (size_t i = 0; i < r->n_results; i++) {
    rows[i + 1] = row_of(r, &r->results[i]);
    shown[DURING] = shown[DURING] || r->results[i].during.n > 0;
    shown[DRAFTS] = shown[DRAFTS] || r->results[i].mix->speculate > 0;
  }
  bench_print_title(r->bench, markdown);
  table_print(rows, r->n_results + 1, shown, markdown);
  print_figures(r, markdown ? "  " : "");
  free(rows);
  return 0;
}

/* ---- For programs ---- */

static const char *arrival_name(const traffic_mix *mix) {
  static const char *const names[] = {"closed", "poisson", "bare"};
  return names[mix->arrival];
}

static bool is_figure_of(const traffic_figure *f, const traffic_result *t) {
  return f->model == t->model && f->is->scenario == t->mix->scenario;
}

static void print_percentiles(const series *s) {
  if (s->n > 0)
    out_printf(",%.6g,%.6g", series_percentile(s, 50), series_percentile(s, 99));
  else
    out_printf(",,");
}

/* The figures of a scenario stand as name=value in the last field of its first part, with blanks between them. */
static int print_csv(const traffic_report *r) {
  out_printf("model,scenario,part,arrival,clients,requests,offered,prompt_tokens,cached_tokens,answer_tokens,seconds,"
             "tokens_per_second,requests_per_second,stream_tokens_per_second,drafted,right,first_token_p50,first_token_"
             "p99,between_tokens_p50,"
             "between_tokens_p99,during_p50,during_p99,figures\n");
  for (size_t i = 0; i < r->n_results; i++) {
    const traffic_result *t = &r->results[i];
    bool is_first = i == 0 || t[-1].mix->scenario != t->mix->scenario || t[-1].model != t->model;
    bench_print_quoted(r->bench->models[t->model].argument);
    out_printf(",%s,%s,%s,%d,%d,", t->mix->scenario, t->mix->part, arrival_name(t->mix), t->mix->clients, t->requests);
    if (t->offered > 0) out_printf("%.6g", t->offered);
    out_printf(",%lld,%lld,%lld,%.6g,%.6g,%.6g", (long long)t->prompt_tokens, (long long)t->cached_tokens,
               (long long)t->answer_tokens, median_of(t->seconds.items, t->seconds.n),
               median_of(t->token_rate.items, t->token_rate.n), median_of(t->request_rate.items, t->request_rate.n));
    out_printf(",%.6g,%lld,%lld", median_of(t->stream_rate.items, t->stream_rate.n), (long long)t->drafted,
               (long long)t->right);
    print_percentiles(&t->first);
    print_percentiles(&t->between);
    print_percentiles(&t->during);
    const char *gap = "";
    out_printf(",");
    for (size_t j = 0; is_first && j < r->n_figures; j++) {
      const traffic_figure *f = &r->figures[j];
      if (!is_figure_of(f, t)) continue;
      out_printf("%s%s=%.6g", gap, f->is->name, median_of(f->samples.items, f->samples.n));
      gap = " ";
    }
    out_printf("\n");
  }
  return 0;
}

static json_t *samples_json(const series *s) {
  json_t *array = json_array();
  for (size_t i = 0; i < s->n; i++) json_array_append_new(array, json_real(s->items[i]));
  return array;
}

static json_t *times_json(const series *s) {
  return json_pack("{s:f, s:f, s:o}", "p50", series_percentile(s, 50), "p99", series_percentile(s, 99), "samples",
                   samples_json(s));
}

static json_t *result_json(const traffic_report *r, const traffic_result *t) {
  json_t *object = json_pack("{s:s, s:s, s:s, s:s, s:i, s:i}", "model", r->bench->models[t->model].argument, "scenario",
                             t->mix->scenario, "part", t->mix->part, "arrival", arrival_name(t->mix), "clients",
                             t->mix->clients, "requests", t->requests);
  if (t->offered > 0) json_object_set_new(object, "offered", json_real(t->offered));
  json_object_set_new(object, "prompt_tokens", json_integer(t->prompt_tokens));
  json_object_set_new(object, "cached_tokens", json_integer(t->cached_tokens));
  json_object_set_new(object, "answer_tokens", json_integer(t->answer_tokens));
  json_object_set_new(object, "seconds", samples_json(&t->seconds));
  json_object_set_new(object, "tokens_per_second", json_real(median_of(t->token_rate.items, t->token_rate.n)));
  json_object_set_new(object, "requests_per_second", json_real(median_of(t->request_rate.items, t->request_rate.n)));
  json_object_set_new(object, "stream_tokens_per_second", json_real(median_of(t->stream_rate.items, t->stream_rate.n)));
  json_object_set_new(object, "drafted", json_integer(t->drafted));
  json_object_set_new(object, "right", json_integer(t->right));
  json_object_set_new(object, "samples", samples_json(&t->token_rate));
  if (t->first.n > 0) json_object_set_new(object, "first_token", times_json(&t->first));
  if (t->between.n > 0) json_object_set_new(object, "between_tokens", times_json(&t->between));
  if (t->during.n > 0) json_object_set_new(object, "between_tokens_during", times_json(&t->during));
  return object;
}

static json_t *figure_json(const traffic_report *r, const traffic_figure *f) {
  return json_pack("{s:s, s:s, s:s, s:f, s:o}", "model", r->bench->models[f->model].argument, "scenario",
                   f->is->scenario, "figure", f->is->name, "value", median_of(f->samples.items, f->samples.n),
                   "samples", samples_json(&f->samples));
}

static int print_json(const traffic_report *r) {
  json_t *results = json_array(), *figures = json_array();
  for (size_t i = 0; i < r->n_results; i++) json_array_append_new(results, result_json(r, &r->results[i]));
  for (size_t i = 0; i < r->n_figures; i++) json_array_append_new(figures, figure_json(r, &r->figures[i]));
  return bench_print_object(
      json_pack("{s:o, s:o, s:o}", "machine", bench_machine_json(r->bench), "results", results, "figures", figures));
}

int traffic_print(const traffic_report *r, const options *o) {
  if (o->json) return print_json(r);
  return o->csv ? print_csv(r) : print_table(r, o->markdown);
}
