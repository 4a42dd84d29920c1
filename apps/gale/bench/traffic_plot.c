/* gale bench --serve --plot: an SVG with bars of throughput, and of times with their medians and 99th percentiles. */
#include "gale/bench/svg.h"
#include "gale/bench/traffic.h"

#include "gale/cli/atomic.h"
#include "gale/cli/console.h"

#include <stdio.h>

/* Sizes in pixels. */
enum { WIDTH = 900, LEFT = 30, NAMES = 320, RIGHT = 150, TOP = 70, BAR = 22, PANEL_GAP = 60 };

/* One row of bars for each result. Each takes a result's values, and returns how many there are: none, one, or a median
 * and a 99th percentile. */
typedef struct panel {
  const char *title, *unit;
  int (*values)(const traffic_result *t, double values[2]);
} panel;

static int speed(const traffic_result *t, double values[2]) {
  values[0] = median_of(t->token_rate.items, t->token_rate.n);
  return 1;
}

static int times(const series *s, double values[2]) {
  values[0] = 1e3 * series_percentile(s, 50);
  values[1] = 1e3 * series_percentile(s, 99);
  return s->n > 0 ? 2 : 0;
}

static int first(const traffic_result *t, double values[2]) {
  return times(&t->first, values);
}

static int between(const traffic_result *t, double values[2]) {
  return times(&t->between, values);
}

static int during(const traffic_result *t, double values[2]) {
  return times(&t->during, values);
}

static const panel panels[] = {
    {"Tokens of answers, a second", "", speed},
    {"Time to the first token: median and 99th percentile", " ms", first},
    {"Between tokens: median and 99th percentile", " ms", between},
    {"Between tokens while a long prompt is computed", " ms", during},
};
enum { PANELS = sizeof panels / sizeof *panels };

/* How many rows it has; *most becomes the largest value. */
static int count_rows(const traffic_report *r, const panel *p, double *most) {
  int rows = 0;
  *most = 0;
  for (size_t i = 0; i < r->n_results; i++) {
    double values[2] = {0};
    int n = p->values(&r->results[i], values);
    rows += n > 0;
    for (int j = 0; j < n; j++)
      if (values[j] > *most) *most = values[j];
  }
  return rows;
}

static void put_row(FILE *to, const traffic_report *r, const traffic_result *t, const double *values, int n,
                    double scale, const char *unit, double y) {
  char name[256], label[96], title[64];
  traffic_title(t->mix, title);
  snprintf(name, sizeof name, "%s%s%.160s", title, r->bench->n_models > 1 ? ", " : "",
           r->bench->n_models > 1 ? r->bench->models[t->model].argument : "");
  const char *colour = svg_colours[t->model % SVG_COLOURS];
  svg_text(to, NAMES - 10, y + 15, "end", name);
  svg_bar(to, NAMES, y + 2, values[0] * scale, BAR - 5, colour);
  if (n == 2) svg_rule(to, NAMES, y + BAR / 2.0, NAMES + values[1] * scale, y + BAR / 2.0, colour);
  if (n == 2)
    snprintf(label, sizeof label, "%.3g, %.3g%s", values[0], values[1], unit);
  else
    snprintf(label, sizeof label, "%.4g%s", values[0], unit);
  svg_text(to, NAMES + values[n - 1] * scale + 8, y + 15, "start", label);
}

static double put_panel(FILE *to, const traffic_report *r, const panel *p, double y) {
  double most;
  if (count_rows(r, p, &most) == 0) return y;
  double scale = most > 0 ? (WIDTH - NAMES - RIGHT) / most : 0;
  svg_title(to, LEFT, y, p->title);
  y += 10;
  for (size_t i = 0; i < r->n_results; i++) {
    double values[2] = {0};
    int n = p->values(&r->results[i], values);
    if (n == 0) continue;
    put_row(to, r, &r->results[i], values, n, scale, p->unit, y);
    y += BAR;
  }
  return y + PANEL_GAP - 10;
}

int traffic_plot(const traffic_report *r, const char *path) {
  atomic_file file;
  int code = atomic_open(&file, path);
  if (code) return code;
  double height = TOP, most;
  for (int i = 0; i < PANELS; i++) {
    int rows = count_rows(r, &panels[i], &most);
    if (rows > 0) height += rows * BAR + PANEL_GAP;
  }
  svg_begin(file.stream, WIDTH, height);
  char line[256];
  bench_machine(r->bench, line);
  svg_text(file.stream, LEFT, 24, "start", line);
  double y = TOP;
  for (int i = 0; i < PANELS; i++) y = put_panel(file.stream, r, &panels[i], y);
  svg_end(file.stream);
  if (ferror(file.stream)) code = fail("%s: writing failed", path);
  if (!code) code = atomic_commit(&file);
  atomic_abandon(&file);
  return code;
}
