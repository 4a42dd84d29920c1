#include "gale/quality/divergence.h"

#include <math.h>
#include <stdlib.h>

int32_t distribution_top(const float *logits, int32_t n) {
  int32_t top = 0;
  for (int32_t i = 1; i < n; i++)
    if (logits[i] > logits[top]) top = i;
  return top;
}

bool distribution_of(const float *logits, int32_t n, distribution *d) {
  int32_t top = distribution_top(logits, n);
  double largest = logits[top], sum = 0, lowest = 0;
  for (int32_t i = 0; i < n; i++) {
    double x = logits[i] - largest;
    sum += exp(x);
    lowest = x < lowest ? x : lowest;
  }
  if (!isfinite(sum) || !isfinite(lowest)) return false;
  *d = (distribution){logits, largest + log(sum), -INFINITY, top};
  return true;
}

double distribution_log(const distribution *d, int32_t id) {
  return d->logits[id] - d->offset;
}

double distribution_divergence(const distribution *p, const distribution *q, int32_t n) {
  double sum = 0;
  for (int32_t i = 0; i < n; i++) {
    double log_p = distribution_log(p, i), log_q = distribution_log(q, i);
    if (log_p > p->floor) sum += exp(log_p) * (log_p - log_q);
  }
  return sum;
}

bool samples_open(samples *s, size_t capacity, bool with_base) {
  *s = (samples){.capacity = capacity};
  double **columns[] = {&s->nll, &s->base_nll, &s->divergence, &s->change};
  for (size_t i = 0; i < (with_base ? 4 : 1); i++) {
    *columns[i] = calloc(capacity, sizeof **columns[i]);
    if (*columns[i]) continue;
    samples_close(s);
    return false;
  }
  return true;
}

void samples_close(samples *s) {
  free(s->nll);
  free(s->base_nll);
  free(s->divergence);
  free(s->change);
  *s = (samples){0};
}

void samples_add(samples *s, const distribution *model, const distribution *base, int32_t vocab_size, int32_t next) {
  if (s->n == s->capacity) return;
  size_t at = s->n++;
  double log_q = distribution_log(model, next);
  s->nll[at] = -log_q;
  if (!base) return;
  double log_p = distribution_log(base, next);
  s->base_nll[at] = -log_p;
  s->divergence[at] = distribution_divergence(base, model, vocab_size);
  s->change[at] = exp(log_q) - exp(log_p);
  s->same_top += model->top == base->top;
}

/* ---- Estimates ---- */

static double first(const double *a, const double *b, size_t i) {
  (void)b;
  return a[i];
}
static double difference(const double *a, const double *b, size_t i) {
  return a[i] - b[i];
}
static double square(const double *a, const double *b, size_t i) {
  (void)b;
  return a[i] * a[i];
}

static estimate mean(double (*value)(const double *, const double *, size_t), const double *a, const double *b,
                     size_t n) {
  double sum = 0, squares = 0;
  for (size_t i = 0; i < n; i++) sum += value(a, b, i);
  double middle = sum / (double)n;
  for (size_t i = 0; i < n; i++) {
    double d = value(a, b, i) - middle;
    squares += d * d;
  }
  return (estimate){middle, sqrt(squares / (double)n / (double)(n - 1))};
}

estimate estimate_mean(const double *values, size_t n) {
  return mean(first, values, NULL, n);
}
estimate estimate_difference(const double *a, const double *b, size_t n) {
  return mean(difference, a, b, n);
}

estimate estimate_rms(const double *values, size_t n) {
  estimate m = mean(square, values, NULL, n);
  double root = sqrt(m.value);
  return (estimate){root, root > 0 ? m.error / (2 * root) : 0};
}

estimate estimate_share(size_t part, size_t n) {
  double p = (double)part / (double)n;
  return (estimate){p, sqrt(p * (1 - p) / (double)(n - 1))};
}

estimate estimate_exp(estimate x) {
  double value = exp(x.value);
  return (estimate){value, value * x.error};
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

void sort_values(double *values, size_t n) {
  qsort(values, n, sizeof *values, compare);
}

double quantile(const double *sorted, size_t n, double fraction) {
  double at = fraction * (double)(n - 1);
  size_t below = (size_t)at;
  if (below >= n - 1) return sorted[n - 1];
  double part = at - (double)below;
  return part > 0 ? (1 - part) * sorted[below] + part * sorted[below + 1] : sorted[below];
}
