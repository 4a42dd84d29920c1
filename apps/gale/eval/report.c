#include "gale/eval/report.h"

#include "gale/cli/console.h"
#include "gale/cli/units.h"
#include "gale/eval/samples.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static bool is_subject(slice subject, const void *of) {
  return slice_equal(subject, *(const slice *)of);
}

typedef struct group_key {
  int group;
  bool original;
} group_key;

static bool in_group(slice subject, const void *of) {
  const group_key *key = of;
  return group_of(subject, key->original) == key->group;
}

static bool is_original(const report_task *t) {
  return slice_is(t->protocol, "original");
}

/* ---- JSON ---- */

static void add_key(byte_list *to, const char *key) {
  bytes_add(to, SLICE(", "));
  bytes_add_string(to, slice_of(key));
  bytes_add(to, SLICE(": "));
}

static void add_figure(byte_list *to, const figure *f) {
  bytes_add(to, SLICE("{\"value\": "));
  add_number(to, f->value);
  add_key(to, "standard_error");
  add_number(to, f->error);
  add_key(to, "interval_95");
  if (isfinite(f->low)) {
    bytes_add(to, SLICE("["));
    add_number(to, f->low);
    bytes_add(to, SLICE(", "));
    add_number(to, f->high);
    bytes_add(to, SLICE("]"));
  } else
    bytes_add(to, SLICE("null"));
  bytes_add(to, SLICE("}"));
}

/* Appends "metrics", of the subjects that count. Returns how many items there are. */
static size_t add_metrics(byte_list *to, const report_task *t, bool (*which)(slice subject, const void *of),
                          const void *of) {
  char names[METRICS_MOST][20];
  const tally *all = t->tally;
  int32_t n = metrics_of(all->task, all->repeats, names);
  size_t items = (size_t)all->n;
  bytes_add(to, SLICE("{"));
  for (int32_t m = 0; m < n; m++) {
    figure f = tally_figure(all, m, which, of, &items);
    if (m) bytes_add(to, SLICE(", "));
    bytes_add_string(to, slice_of(names[m]));
    bytes_add(to, SLICE(": "));
    add_figure(to, &f);
  }
  if (all->task->subjects && !which) {
    figure f = {tally_by_subject(all, 0), NAN, NAN, NAN};
    add_key(to, "acc_by_subject");
    add_figure(to, &f);
  }
  bytes_add(to, SLICE("}"));
  return items;
}

static void add_part(byte_list *to, const report_task *t, slice name, bool (*which)(slice subject, const void *of),
                     const void *of, bool *any) {
  byte_list metrics = {0};
  size_t n = add_metrics(&metrics, t, which, of);
  if (n) {
    if (*any) bytes_add(to, SLICE(", "));
    *any = true;
    bytes_add(to, SLICE("{\"name\": "));
    bytes_add_string(to, name);
    add_key(to, "n");
    add_integer(to, (int64_t)n);
    add_key(to, "metrics");
    bytes_add(to, (slice){metrics.bytes, metrics.n});
    bytes_add(to, SLICE("}"));
  }
  to->failed |= metrics.failed;
  free(metrics.bytes);
}

static void add_parts(byte_list *to, const report_task *t) {
  bool any = false;
  add_key(to, "groups");
  bytes_add(to, SLICE("["));
  for (int g = 0; t->tally->task->subjects && g < GROUPS; g++) {
    group_key key = {g, is_original(t)};
    add_part(to, t, slice_of(group_names[g]), in_group, &key, &any);
  }
  bytes_add(to, SLICE("]"));
  add_key(to, "subjects");
  bytes_add(to, SLICE("["));
  any = false;
  for (int32_t s = 0; t->tally->task->subjects && s < t->tally->n_subjects; s++)
    if (t->tally->names[s].s) add_part(to, t, t->tally->names[s], is_subject, &t->tally->names[s], &any);
  bytes_add(to, SLICE("]"));
}

static void add_work(byte_list *to, const eval_work *w) {
  add_key(to, "work");
  if (!w) {
    bytes_add(to, SLICE("null"));
    return;
  }
  bytes_add(to, SLICE("{\"prompt_tokens\": "));
  add_integer(to, w->prompt_tokens);
  add_key(to, "computed_tokens");
  add_integer(to, w->computed_tokens);
  add_key(to, "generated_tokens");
  add_integer(to, w->generated_tokens);
  add_key(to, "seconds");
  add_number(to, round(w->seconds * 1e3) / 1e3);
  bytes_add(to, SLICE("}"));
}

static void add_task(byte_list *to, const report_task *t) {
  bytes_add(to, SLICE("{\"task\": "));
  bytes_add_string(to, slice_of(t->tally->task->name));
  add_key(to, "path");
  if (t->path)
    bytes_add_string(to, slice_of(t->path));
  else
    bytes_add(to, SLICE("null"));
  add_key(to, "protocol");
  bytes_add_string(to, t->protocol);
  add_key(to, "shots");
  add_integer(to, t->shots);
  add_key(to, "repeats");
  add_integer(to, t->tally->repeats);
  if (t->tokens) {
    add_key(to, "max_tokens");
    add_integer(to, t->tokens);
  }
  if (t->tally->repeats > 1) {
    add_key(to, "temp");
    add_number(to, t->temp);
    add_key(to, "top_p");
    add_number(to, t->top_p);
  }
  add_key(to, "n");
  add_integer(to, t->tally->n);
  add_key(to, "truncated");
  add_integer(to, t->tally->truncated);
  add_key(to, "metrics");
  add_metrics(to, t, NULL, NULL);
  add_parts(to, t);
  add_work(to, t->work);
  bytes_add(to, SLICE("}"));
}

static void add_model(byte_list *to, const report *r) {
  const eval_model *m = r->model;
  if (!m) {
    bytes_add(to, r->model_json.s ? r->model_json : SLICE("null"));
    return;
  }
  bytes_add(to, SLICE("{\"name\": "));
  bytes_add_string(to, slice_of(m->name));
  add_key(to, "path");
  bytes_add_string(to, slice_of(m->path));
  add_key(to, "types");
  bytes_add_string(to, slice_of(m->types));
  add_key(to, "n_parameters");
  add_integer(to, m->n_parameters);
  bytes_add(to, SLICE("}"));
}

static void add_report(byte_list *to, const report *r) {
  bytes_add(to, SLICE("{\"model\": "));
  add_model(to, r);
  add_key(to, "settings");
  if (r->settings)
    samples_settings(to, r->settings);
  else
    bytes_add(to, r->settings_json.s ? r->settings_json : SLICE("null"));
  add_key(to, "tasks");
  bytes_add(to, SLICE("["));
  for (size_t i = 0; i < r->n_tasks; i++) {
    if (i) bytes_add(to, SLICE(", "));
    add_task(to, &r->tasks[i]);
  }
  bytes_add(to, SLICE("]}"));
}

static int print_text(byte_list *text) {
  bytes_add(text, SLICE("\n"));
  int code = text->failed ? fail_memory() : 0;
  if (!code) out_write(text->bytes, text->n);
  free(text->bytes);
  return code;
}

int report_print_json(const report *r) {
  byte_list text = {0};
  add_report(&text, r);
  return print_text(&text);
}

/* ---- Tables ---- */

static void print_figure(const figure *f) {
  char error[24] = "";
  if (isfinite(f->error)) snprintf(error, sizeof error, "+/- %.2f%%", 100 * f->error);
  out_printf("%8.2f%%  %-11s", 100 * f->value, error);
  if (isfinite(f->low)) out_printf("  %.1f%% to %.1f%%", 100 * f->low, 100 * f->high);
  out_printf("\n");
}

static void print_rows(const report_task *t, const char *name, bool (*which)(slice subject, const void *of),
                       const void *of) {
  char names[METRICS_MOST][20];
  int32_t n = metrics_of(t->tally->task, t->tally->repeats, names);
  for (int32_t m = 0; m < n; m++) {
    size_t items = 0;
    figure f = tally_figure(t->tally, m, which, of, &items);
    if (items == 0) continue;
    out_printf("%-36s %6zu  %-16s", m ? "" : name, items, names[m]);
    print_figure(&f);
  }
}

static void print_subject(const report_task *t, slice subject) {
  char name[64];
  snprintf(name, sizeof name, "  %.*s", (int)subject.n, subject.s);
  print_rows(t, name, is_subject, &subject);
}

static void print_task(const report_task *t, bool verbose) {
  const tally *all = t->tally;
  char title[96];
  snprintf(title, sizeof title, "%s, %d-shot%s", all->task->name, t->shots, is_original(t) ? ", original" : "");
  if (all->task->code)
    out_printf("%-36s %6d  not scored: the completions are for their own evaluator\n", title, all->n);
  print_rows(t, title, NULL, NULL);
  if (all->repeats > 1) out_printf("  %d answers each, temperature %g, top-p %g\n", all->repeats, t->temp, t->top_p);
  if (all->truncated) out_printf("  %d of them were cut to fit the context\n", all->truncated);
  if (!all->task->subjects) return;
  out_printf("%-36s %6d  %-16s%8.2f%%\n", "  mean of subjects", all->n_subjects, "acc_by_subject",
             100 * tally_by_subject(all, 0));
  for (int g = 0; g < GROUPS; g++) {
    group_key key = {g, is_original(t)};
    char name[32];
    snprintf(name, sizeof name, "  %s", group_names[g]);
    print_rows(t, name, in_group, &key);
  }
  for (int32_t s = 0; verbose && s < all->n_subjects; s++) print_subject(t, all->names[s]);
}

static void print_head(void) {
  out_printf("%-36s %6s  %-16s%9s  %-11s  %s\n", "task", "items", "metric", "score", "error", "95% interval");
}

int report_print(const report *r, bool verbose) {
  print_head();
  for (size_t i = 0; i < r->n_tasks; i++) print_task(&r->tasks[i], verbose);
  for (size_t i = 0; i < r->n_tasks; i++) {
    const eval_work *w = r->tasks[i].work;
    if (!w || !verbose) continue;
    out_printf("%s: %s ids of prompts, %s computed", r->tasks[i].tally->task->name,
               with_commas((uint64_t)w->prompt_tokens).text, with_commas((uint64_t)w->computed_tokens).text);
    if (w->generated_tokens) out_printf(", %s generated", with_commas((uint64_t)w->generated_tokens).text);
    out_printf(", %.1f s\n", w->seconds);
  }
  return 0;
}

/* ---- Two models ---- */

static int32_t count_differing(const tally *a, const tally *b, int32_t metric) {
  int32_t n = 0;
  for (int32_t i = 0; i < a->n; i++) n += a->values[metric][i] != b->values[metric][i];
  return n;
}

/* The index of an item within its subject. */
static int32_t index_of(const tally *t, int32_t item) {
  int32_t first = item;
  while (first > 0 && t->subject[first - 1] == t->subject[item]) first--;
  return item - first;
}

static void add_differing(byte_list *to, const tally *a, const tally *b, int32_t metric) {
  bool any = false;
  bytes_add(to, SLICE("["));
  for (int32_t i = 0; i < a->n; i++) {
    if (a->values[metric][i] == b->values[metric][i]) continue;
    slice subject = a->names[a->subject[i]];
    bytes_add(to, any ? SLICE(", {\"index\": ") : SLICE("{\"index\": "));
    any = true;
    add_integer(to, index_of(a, i));
    if (subject.s) {
      add_key(to, "subject");
      bytes_add_string(to, subject);
    }
    add_key(to, "scores");
    bytes_add(to, SLICE("["));
    add_number(to, a->values[metric][i]);
    bytes_add(to, SLICE(", "));
    add_number(to, b->values[metric][i]);
    bytes_add(to, SLICE("]}"));
  }
  bytes_add(to, SLICE("]"));
}

static void add_comparison(byte_list *to, const tally *a, const tally *b) {
  char names[METRICS_MOST][20];
  int32_t n = metrics_of(a->task, a->repeats, names);
  bytes_add(to, SLICE("{\"task\": "));
  bytes_add_string(to, slice_of(a->task->name));
  add_key(to, "n");
  add_integer(to, a->n);
  add_key(to, "metrics");
  bytes_add(to, SLICE("{"));
  for (int32_t m = 0; m < n; m++) {
    figure f = figure_of_difference(a->values[m], b->values[m], (size_t)a->n);
    if (m) bytes_add(to, SLICE(", "));
    bytes_add_string(to, slice_of(names[m]));
    bytes_add(to, SLICE(": {\"difference\": "));
    add_figure(to, &f);
    add_key(to, "differing");
    add_differing(to, a, b, m);
    bytes_add(to, SLICE("}"));
  }
  bytes_add(to, SLICE("}}"));
}

int report_compare_json(const report both[2]) {
  byte_list text = {0};
  bytes_add(&text, SLICE("{\"models\": ["));
  add_report(&text, &both[0]);
  bytes_add(&text, SLICE(", "));
  add_report(&text, &both[1]);
  bytes_add(&text, SLICE("], \"comparison\": ["));
  for (size_t i = 0; i < both[0].n_tasks; i++) {
    if (i) bytes_add(&text, SLICE(", "));
    add_comparison(&text, both[0].tasks[i].tally, both[1].tasks[i].tally);
  }
  bytes_add(&text, SLICE("]}"));
  return print_text(&text);
}

static void print_differing(const tally *a, const tally *b, int32_t metric) {
  for (int32_t i = 0; i < a->n; i++) {
    double x = a->values[metric][i], y = b->values[metric][i];
    slice subject = a->names[a->subject[i]];
    if (x == y) continue;
    out_printf("  %.*s%s%d: %g, %g\n", (int)subject.n, subject.s ? subject.s : "", subject.s ? " " : "", index_of(a, i),
               x, y);
  }
}

int report_compare(const report both[2], bool verbose) {
  for (int k = 0; k < 2; k++) {
    out_printf("%s%s (%s)\n", k ? "\n" : "", both[k].model->name, both[k].model->types);
    report_print(&both[k], false);
  }
  out_printf("\n%s less %s, the same items\n%-36s %6s  %-16s%9s  %-11s  %s\n", both[1].model->name, both[0].model->name,
             "task", "differ", "metric", "score", "error", "95% interval");
  for (size_t i = 0; i < both[0].n_tasks; i++) {
    const tally *a = both[0].tasks[i].tally, *b = both[1].tasks[i].tally;
    char names[METRICS_MOST][20];
    int32_t n = metrics_of(a->task, a->repeats, names);
    for (int32_t m = 0; m < n; m++) {
      figure f = figure_of_difference(a->values[m], b->values[m], (size_t)a->n);
      out_printf("%-36s %6d  %-16s", m ? "" : a->task->name, count_differing(a, b, m), names[m]);
      print_figure(&f);
      if (verbose) print_differing(a, b, m);
    }
  }
  return 0;
}
