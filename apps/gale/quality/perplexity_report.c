#include "gale/quality/perplexity_report.h"

#include "gale/cli/console.h"
#include "gale/cli/units.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

/* Errors on either side of a mean that hold the true one in 95 of 100 cases. */
static const double two_sided_95 = 1.959963984540054;

static const double percents[] = {0, 0.1, 1, 5, 10, 25, 50, 75, 90, 95, 99, 99.9, 100};
enum { PERCENTS = sizeof percents / sizeof *percents };

typedef struct figures {
  estimate nll, perplexity;
  double low, high; /* of the perplexity, at 95% */
} figures;

static figures figures_of(const double *nll, size_t n) {
  estimate mean = estimate_mean(nll, n);
  double half = two_sided_95 * mean.error;
  return (figures){mean, estimate_exp(mean), exp(mean.value - half), exp(mean.value + half)};
}

typedef struct comparison {
  estimate log_ratio, ratio, divergence, change, change_rms, same_top;
} comparison;

/* Sorts divergence and change, once their means are taken in the order of the text. */
static comparison compare_and_sort(samples *s) {
  comparison c = {.log_ratio = estimate_difference(s->nll, s->base_nll, s->n),
                  .divergence = estimate_mean(s->divergence, s->n),
                  .change = estimate_mean(s->change, s->n),
                  .change_rms = estimate_rms(s->change, s->n),
                  .same_top = estimate_share(s->same_top, s->n)};
  c.ratio = estimate_exp(c.log_ratio);
  sort_values(s->divergence, s->n);
  sort_values(s->change, s->n);
  return c;
}

/* ---- Text ---- */

static void print_perplexity(const char *title, const figures *f) {
  out_printf("%-22s %.6f +/- %.6f  (95%%: %.4f to %.4f)\n", title, f->perplexity.value, f->perplexity.error, f->low,
             f->high);
}

static void print_comparison(samples *s, const char *base) {
  figures f = figures_of(s->base_nll, s->n);
  comparison c = compare_and_sort(s);
  out_printf("\nAgainst %s\n", base);
  print_perplexity("its perplexity", &f);
  out_printf("%-22s %.6f +/- %.6f\n", "perplexity / its", c.ratio.value, c.ratio.error);
  out_printf("%-22s %.6f +/- %.6f\n", "log of that", c.log_ratio.value, c.log_ratio.error);
  out_printf("%-22s %.3f%% +/- %.3f%%\n", "same likeliest token", 100 * c.same_top.value, 100 * c.same_top.error);
  out_printf("%-22s %.4e +/- %.1e\n", "mean KL divergence", c.divergence.value, c.divergence.error);
  out_printf("%-22s %+.4f%% +/- %.4f%%\n", "mean change of p", 100 * c.change.value, 100 * c.change.error);
  out_printf("%-22s %.4f%% +/- %.4f%%\n", "its root mean square", 100 * c.change_rms.value, 100 * c.change_rms.error);
  out_printf("\n  percentile  KL divergence  change of p\n");
  for (size_t i = 0; i < PERCENTS; i++)
    out_printf("  %9.1f%%  %13.4e  %+10.4f%%\n", percents[i], quantile(s->divergence, s->n, percents[i] / 100),
               100 * quantile(s->change, s->n, percents[i] / 100));
}

int perplexity_print(const perplexity_report *r) {
  const passages *p = r->passages;
  figures f = figures_of(r->samples->nll, r->samples->n);
  print_perplexity("perplexity", &f);
  out_printf("%-22s %s in %s passages of %s", "tokens scored", with_commas(r->samples->n).text,
             with_commas((uint64_t)p->count).text, with_commas((uint64_t)p->length).text);
  if (passages_stride(p)) out_printf(", one every %s", with_commas((uint64_t)p->step).text);
  out_printf("\n");
  if (r->base) print_comparison(r->samples, r->base);
  return 0;
}

/* ---- JSON ---- */

static json_t *estimate_json(estimate e) {
  return json_pack("{s:f, s:f}", "value", e.value, "standard_error", e.error);
}

static json_t *figures_json(const figures *f) {
  return json_pack("{s:f, s:f, s:[f, f], s:o}", "value", f->perplexity.value, "standard_error", f->perplexity.error,
                   "interval_95", f->low, f->high, "log", estimate_json(f->nll));
}

static json_t *spread_json(estimate mean, const double *sorted, size_t n) {
  json_t *object = json_object(), *list = json_object();
  json_object_set_new(object, "mean", estimate_json(mean));
  for (size_t i = 0; i < PERCENTS; i++) {
    char key[16];
    snprintf(key, sizeof key, "%g", percents[i]);
    json_object_set_new(list, key, json_real(quantile(sorted, n, percents[i] / 100)));
  }
  json_object_set_new(object, "percentiles", list);
  return object;
}

static json_t *comparison_json(samples *s, const char *base) {
  if (!base) return json_null();
  figures f = figures_of(s->base_nll, s->n);
  comparison c = compare_and_sort(s);
  return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "name", base, "perplexity", figures_json(&f), "ratio",
                   estimate_json(c.ratio), "log_ratio", estimate_json(c.log_ratio), "same_top",
                   estimate_json(c.same_top), "kl_divergence", spread_json(c.divergence, s->divergence, s->n),
                   "probability_change", spread_json(c.change, s->change, s->n), "probability_change_rms",
                   estimate_json(c.change_rms));
}

int perplexity_print_json(const perplexity_report *r) {
  const passages *p = r->passages;
  figures f = figures_of(r->samples->nll, r->samples->n);
  json_t *object = json_pack("{s:s, s:i, s:i, s:i, s:I, s:o, s:o}", "model", r->model, "context", p->length, "stride",
                             passages_stride(p), "passages", p->count, "tokens_scored", (json_int_t)r->samples->n,
                             "perplexity", figures_json(&f), "base", comparison_json(r->samples, r->base));
  char *text = object ? json_dumps(object, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) : NULL;
  json_decref(object);
  if (!text) return fail("%s: a name is not valid UTF-8, a figure is not finite, or out of memory", r->model);
  out_printf("%s\n", text);
  free(text);
  return 0;
}
