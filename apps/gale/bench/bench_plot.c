/* gale bench --plot: an SVG of decoding speed over depth, and of each test's share of its limit. */
#include "gale/bench/bench.h"
#include "gale/bench/svg.h"

#include "gale/cli/atomic.h"
#include "gale/cli/console.h"
#include "gale/cli/units.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Sizes in pixels. */
enum { WIDTH = 900, LEFT = 80, RIGHT = 30, CURVES_TOP = 70, CURVES_HEIGHT = 300, BAR = 22, NAME_WIDTH = 420 };
enum { LEGEND_ROW = 20, MAX_LINES = 2 * MAX_ARGUMENTS };

/* Decoding of one model, with its window or without. */
typedef struct line {
  int model;
  bool without_window;
} line;

typedef struct drawing {
  const bench_report *b;
  FILE *to;
  line lines[MAX_LINES];
  int n_lines;
  double top_speed, top_depth;
} drawing;

/* 1, 2 or 5 times a power of ten: a step that divides `top` into about five. */
static double nice_step(double top) {
  double unit = pow(10, floor(log10(top / 5))), n = top / 5 / unit;
  return unit * (n <= 1 ? 1 : n <= 2 ? 2 : n <= 5 ? 5 : 10);
}

/* ---- Speed over depth ---- */

/* A test that does not reach the window's end is the same with the window and without. */
static bool on_line(const bench_result *r, const line *l) {
  bool inside = r->test.depth + r->test.tokens <= r->window;
  return r->test.without_window == l->without_window || (l->without_window && inside);
}

/* All tests of a line have the batch and the number of tokens of the model's first decoding test. */
static const bench_result *point(const drawing *d, const line *l, size_t *at) {
  const bench_result *first = NULL;
  for (size_t i = 0; i < d->b->n_results; i++) {
    const bench_result *r = &d->b->results[i];
    if (r->test.kind != BENCH_DECODE || r->model != l->model) continue;
    if (!first) first = r;
    bool wanted = r->test.tokens == first->test.tokens && r->test.batch == first->test.batch;
    if (i < *at || !wanted || !on_line(r, l)) continue;
    *at = i + 1;
    return r;
  }
  return NULL;
}

static void find_lines(drawing *d) {
  for (int m = 0; m < d->b->n_models; m++)
    for (int without = 0; without < 2; without++) {
      line l = {m, without != 0};
      size_t at = 0;
      bool own = false;
      for (const bench_result *r; (r = point(d, &l, &at));) {
        own = own || r->test.without_window == l.without_window;
        if (r->median > d->top_speed) d->top_speed = r->median;
        if (r->test.depth > d->top_depth) d->top_depth = r->test.depth;
      }
      if (own) d->lines[d->n_lines++] = l;
    }
  d->top_speed = d->top_speed > 0 ? d->top_speed * 1.08 : 1;
  if (d->top_depth <= 0) d->top_depth = 1;
}

static double place_x(const drawing *d, double depth) {
  return (double)LEFT + depth / d->top_depth * (WIDTH - LEFT - RIGHT);
}
static double place_y(const drawing *d, double speed) {
  return CURVES_TOP + CURVES_HEIGHT - speed / d->top_speed * (double)CURVES_HEIGHT;
}

static void put_axes(const drawing *d) {
  char label[64];
  double step = nice_step(d->top_speed);
  for (double v = 0; v <= d->top_speed; v += step) {
    svg_rule(d->to, (double)LEFT, place_y(d, v), WIDTH - RIGHT, place_y(d, v), v > 0 ? "#dddddd" : "#333333");
    if (v < 1000)
      snprintf(label, sizeof label, "%g", v);
    else
      snprintf(label, sizeof label, "%.32s", with_commas((uint64_t)(v + 0.5)).text);
    svg_text(d->to, LEFT - 8, place_y(d, v) + 4, "end", label);
  }
  /* Depths are powers of two more often than of ten. */
  double least = d->top_depth / 8, unit = 1;
  while (unit < least) unit *= 2;
  for (double v = 0; v <= d->top_depth; v += unit) {
    svg_rule(d->to, place_x(d, v), CURVES_TOP + CURVES_HEIGHT, place_x(d, v), CURVES_TOP + CURVES_HEIGHT + 5,
             "#333333");
    svg_text(d->to, place_x(d, v), CURVES_TOP + CURVES_HEIGHT + 20, "middle", with_commas((uint64_t)v).text);
  }
  svg_text(d->to, (WIDTH + LEFT - RIGHT) / 2.0, CURVES_TOP + CURVES_HEIGHT + 40, "middle",
           "positions in the cache before the first decoded token");
}

/* Points are joined in the order of their depth. */
static void put_curve(const drawing *d, const line *l, const char *colour) {
  double from = -1;
  const bench_result *last = NULL;
  for (;;) {
    const bench_result *next = NULL;
    size_t at = 0;
    for (const bench_result *r; (r = point(d, l, &at));)
      if (r->test.depth > from && (!next || r->test.depth < next->test.depth)) next = r;
    if (!next) return;
    double x = place_x(d, next->test.depth), y = place_y(d, next->median);
    if (last)
      fprintf(d->to, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" stroke-width=\"2\"%s/>\n",
              place_x(d, last->test.depth), place_y(d, last->median), x, y, colour,
              l->without_window ? " stroke-dasharray=\"7 4\"" : "");
    fprintf(d->to, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"%s\"/>\n", x, y, colour);
    last = next;
    from = next->test.depth;
  }
}

static int32_t window_of(const drawing *d, const line *l) {
  int32_t window = 0;
  size_t at = 0;
  for (const bench_result *r; (r = point(d, l, &at));)
    if (r->window > window) window = r->window;
  return window;
}

static void put_legend(const drawing *d, double top) {
  for (int i = 0; i < d->n_lines; i++) {
    const line *l = &d->lines[i];
    int32_t window = window_of(d, l);
    char label[200];
    snprintf(label, sizeof label, "%.120s%s%.20s", d->b->models[l->model].argument,
             l->without_window ? ", without its window"
             : window          ? ", window "
                               : "",
             window && !l->without_window ? with_commas((uint64_t)window).text : "");
    double y = top + i * LEGEND_ROW;
    fprintf(d->to, "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"%s\" stroke-width=\"2\"%s/>\n", LEFT,
            y - 4, LEFT + 40, y - 4, svg_colours[l->model % SVG_COLOURS],
            l->without_window ? " stroke-dasharray=\"7 4\"" : "");
    svg_text(d->to, LEFT + 50, y, "start", label);
  }
}

/* ---- Share of the limit ---- */

static void put_bars(const drawing *d, double top) {
  const double full = WIDTH - RIGHT - NAME_WIDTH - 60;
  double y = top;
  for (size_t i = 0; i < d->b->n_results; i++) {
    const bench_result *r = &d->b->results[i];
    if (r->test.kept) continue;
    if (r->test.kind == BENCH_LOAD) {
      svg_text(d->to, LEFT - 50, y + 16, "start", d->b->models[r->model].argument);
      y += (double)BAR;
      continue;
    }
    char title[96], label[64];
    double share = bench_of_limit(r);
    bench_title(r, title);
    svg_text(d->to, NAME_WIDTH - 10, y + 15, "end", title);
    svg_bar(d->to, NAME_WIDTH, y + 2, full, BAR - 5, "#eeeeee");
    svg_bar(d->to, NAME_WIDTH, y + 2, full * (share < 1 ? share : 1), BAR - 5,
            bench_by_memory(r) ? svg_colours[0] : svg_colours[1]);
    snprintf(label, sizeof label, "%.0f%%", 100 * share);
    svg_text(d->to, (double)NAME_WIDTH + full + 8, y + 15, "start", label);
    y += (double)BAR;
  }
}

static void put_all(drawing *d) {
  find_lines(d);
  const double legend = CURVES_TOP + CURVES_HEIGHT + 70, bars = legend + d->n_lines * LEGEND_ROW + 50;
  double height = bars + (double)d->b->n_results * (double)BAR + 30;
  svg_begin(d->to, WIDTH, height);
  char title[256];
  bench_machine(d->b, title);
  svg_text(d->to, 30, 24, "start", title);
  svg_title(d->to, 30, CURVES_TOP - 20, "Decoding, tokens a second");
  put_axes(d);
  for (int i = 0; i < d->n_lines; i++) put_curve(d, &d->lines[i], svg_colours[d->lines[i].model % SVG_COLOURS]);
  put_legend(d, legend);
  svg_title(d->to, 30, bars - 24, "Share of the machine's limit");
  fprintf(d->to,
          "<text x=\"%d\" y=\"%.1f\"><tspan fill=\"%s\">memory</tspan> or <tspan fill=\"%s\">arithmetic</tspan>"
          ", whichever binds</text>\n",
          NAME_WIDTH, bars - 24, svg_colours[0], svg_colours[1]);
  put_bars(d, bars - 12);
  svg_end(d->to);
}

int bench_plot(const bench_report *b, const char *path) {
  atomic_file file;
  int code = atomic_open(&file, path);
  if (code) return code;
  drawing d = {.b = b, .to = file.stream};
  put_all(&d);
  if (ferror(file.stream)) code = fail("%s: writing failed", path);
  if (!code) code = atomic_commit(&file);
  atomic_abandon(&file);
  return code;
}
