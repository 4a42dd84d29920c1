/* gale bench --serve: which scenarios are run, in which order. */
#include "gale/bench/traffic.h"

#include "gale/cli/console.h"
#include "gale/cli/opening.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A scenario at work. */
typedef struct scenario {
  const traffic_mix *mixes; /* [n] its parts */
  int n;
  traffic_stage *stages[MAX_PARTS];
  traffic_run runs[MAX_PARTS];
  traffic_result *results[MAX_PARTS];
} scenario;

static bool wanted(const options *o, const char *name) {
  for (size_t i = 0; i < o->scenarios.length; i++)
    if (strcmp(o->scenarios.items[i], name) == 0) return true;
  return o->scenarios.length == 0;
}

int traffic_check_usage(const options *o) {
  static const option_id others[] = {OPTION_N_PROMPT, OPTION_N_GEN, OPTION_BATCH, OPTION_N_DEPTH};
  static const option_id own[] = {OPTION_SCENARIO, OPTION_SCALE, OPTION_RATE, OPTION_SEED};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    if (o->serve && option_given(o, others[i]))
      return usage_error(o, "--%s goes without --serve", option_table[others[i]].name);
    if (!o->serve && option_given(o, own[i]))
      return usage_error(o, "--%s goes with --serve", option_table[own[i]].name);
  }
  for (size_t i = 0; i < o->scenarios.length; i++) {
    char known[256] = "";
    const char *last = "", *name = o->scenarios.items[i];
    bool found = false;
    for (const traffic_mix *m = traffic_mixes; m->scenario; m++) {
      size_t n = strlen(known);
      if (strcmp(m->scenario, last) != 0) snprintf(known + n, sizeof known - n, "%s%s", n ? ", " : "", m->scenario);
      last = m->scenario;
      found = found || strcmp(m->scenario, name) == 0;
    }
    if (!found) return usage_error(o, "--scenario: '%s' is not one of %s", name, known);
  }
  return 0;
}

/* ---- Results ---- */

static int add_run(traffic_result *r, const traffic_run *run) {
  bool good = series_add(&r->token_rate, run->token_rate) && series_add(&r->request_rate, run->request_rate) &&
              series_add(&r->stream_rate, run->stream_rate) && series_add(&r->seconds, run->seconds) &&
              series_append(&r->first, &run->first) && series_append(&r->between, &run->between) &&
              series_append(&r->during, &run->during);
  r->prompt_tokens += run->prompt_tokens;
  r->cached_tokens += run->cached_tokens;
  r->answer_tokens += run->answer_tokens;
  r->drafted += run->drafted;
  r->right += run->right;
  return good ? 0 : fail_memory();
}

static int compare_parts(traffic_report *report, const scenario *c, size_t first_figure) {
  size_t at = first_figure;
  for (const traffic_comparison *is = traffic_comparisons; is->scenario; is++) {
    if (strcmp(is->scenario, c->mixes->scenario) != 0) continue;
    traffic_figure *f = &report->figures[at++];
    if (at > report->n_figures) report->n_figures = at;
    f->model = report->bench->n_models - 1;
    f->is = is;
    if (!series_add(&f->samples, is->of(c->runs))) return fail_memory();
  }
  return 0;
}

/* ---- Running ---- */

static int run_part(const options *o, scenario *c, int i) {
  const traffic_mix *mix = &c->mixes[i];
  double offered = option_given(o, OPTION_RATE) ? o->rate : i > 0 ? mix->load * c->runs[i - 1].request_rate : 0;
  traffic_run_free(&c->runs[i]);
  int code = traffic_run_once(c->stages[i], offered, &c->runs[i]);
  if (code) return code;
  if (mix->arrival == ARRIVE_POISSON) c->results[i]->offered = offered;
  return add_run(c->results[i], &c->runs[i]);
}

/* Parts go to and fro, so that what changes while they run touches all alike. */
static int run_scenario(const options *o, scenario *c, traffic_report *report) {
  progress shown;
  size_t first_figure = report->n_figures;
  int code = 0, steps = o->repetitions * c->n;
  progress_start(&shown, o);
  for (int step = 0; !code && step < steps; step++) {
    int turn = step / c->n, at = step % c->n, i = turn % 2 ? c->n - 1 - at : at;
    char title[64];
    traffic_title(&c->mixes[i], title);
    progress_step(&shown, (double)step / steps, title);
    code = run_part(o, c, i);
    if (!code && at == c->n - 1) code = compare_parts(report, c, first_figure);
  }
  progress_end(&shown);
  return code;
}

static int measure_scenario(const traffic_setting *s, const traffic_mix *mixes, int n, traffic_report *report) {
  scenario c = {.mixes = mixes, .n = n};
  int code = 0;
  for (int i = 0; !code && i < n; i++) {
    traffic_result *r = c.results[i] = &report->results[report->n_results++];
    *r = (traffic_result){.model = report->bench->n_models - 1, .mix = &mixes[i]};
    code = traffic_open(s, &mixes[i], &c.stages[i]);
    if (!code) r->requests = traffic_requests(c.stages[i]);
  }
  if (!code) code = run_scenario(s->o, &c, report);
  for (int i = 0; i < n; i++) {
    traffic_close(&c.stages[i]);
    traffic_run_free(&c.runs[i]);
    if (!c.results[i]) continue;
    series_sort(&c.results[i]->first);
    series_sort(&c.results[i]->between);
    series_sort(&c.results[i]->during);
  }
  return code;
}

static int measure_model(const options *o, const gale_model *model, traffic_report *report) {
  traffic_setting s = {o, model};
  int code = 0, n;
  for (const traffic_mix *m = traffic_mixes; !code && m->scenario; m += n) {
    for (n = 1; m[n].scenario && strcmp(m[n].scenario, m->scenario) == 0; n++) continue;
    if (!wanted(o, m->scenario)) continue;
    if (m->text && !gale_model_tokenizer(model))
      note(o, "gale: %s: left out, since the model has no tokenizer", m->scenario);
    else
      code = measure_scenario(&s, m, n, report);
  }
  return code;
}

static void free_report(traffic_report *r) {
  for (size_t i = 0; i < r->n_results; i++) {
    traffic_result *t = &r->results[i];
    series *all[] = {&t->token_rate, &t->request_rate, &t->stream_rate, &t->seconds,
                     &t->first,      &t->between,      &t->during};
    for (size_t j = 0; j < sizeof all / sizeof *all; j++) series_free(all[j]);
  }
  for (size_t i = 0; i < r->n_figures; i++) series_free(&r->figures[i].samples);
  free(r);
}

int traffic_bench(const options *o, bench_report *bench) {
  traffic_report *r = calloc(1, sizeof *r);
  if (!r) return fail_memory();
  r->bench = bench;
  options one = *o;
  if (!option_given(o, OPTION_REPETITIONS)) one.repetitions = 1;
  int code = 0;
  for (int i = 0; !code && i < o->n_arguments; i++) {
    gale_model *model = NULL;
    gale_model_info info;
    one.arguments[0] = o->arguments[i];
    code = open_model(&one, false, &model);
    if (code) break;
    gale_model_get_info(model, &info);
    bench_describe_model(bench_add_model(bench, one.arguments[0]), &info);
    code = measure_model(&one, model, r);
    gale_model_close(&model);
  }
  if (!code) code = traffic_print(r, o);
  if (!code && o->plot) code = traffic_plot(r, o->plot);
  free_report(r);
  return code;
}
