/* Figures on distributions over a vocabulary. All sums are doubles, added in order, so that they are the same for
 * any number of threads. docs/EVALUATION.md defines them. */
#ifndef GALE_QUALITY_DIVERGENCE_H
#define GALE_QUALITY_DIVERGENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* log p(i) = logits[i] - offset. */
typedef struct distribution {
  const float *logits; /* borrowed */
  double offset;
  double floor; /* log p(i) up to here say only that p(i) is small; minus infinity if all are meant */
  int32_t top;  /* the likeliest id, of equal ones the smallest */
} distribution;

/* Of n logits. False if one is not finite. */
bool distribution_of(const float *logits, int32_t n, distribution *d);

/* The id of the largest of n logits, of equal ones the smallest. */
int32_t distribution_top(const float *logits, int32_t n);

double distribution_log(const distribution *d, int32_t id);

/* KL(p || q) in nats: the sum of p log(p / q) over the n ids, less those up to p's floor. */
double distribution_divergence(const distribution *p, const distribution *q, int32_t n);

/* What was seen at the positions that counted, in order. */
typedef struct samples {
  size_t n, capacity;
  double *nll;        /* minus the log-probability of the id that follows */
  double *base_nll;   /* the same of the base; this and the next two are NULL if there is no base */
  double *divergence; /* KL(base || model) */
  double *change;     /* probability of the id that follows, less the base's */
  size_t same_top;
} samples;

bool samples_open(samples *s, size_t capacity, bool with_base);
void samples_close(samples *s);

/* base may be NULL if the samples have none. */
void samples_add(samples *s, const distribution *model, const distribution *base, int32_t vocab_size, int32_t next);

typedef struct estimate {
  double value, error; /* error: standard error */
} estimate;

/* The mean of n >= 2 values taken as independent. */
estimate estimate_mean(const double *values, size_t n);
/* The mean of a[i] - b[i]. */
estimate estimate_difference(const double *a, const double *b, size_t n);
/* The root of the mean square. */
estimate estimate_rms(const double *values, size_t n);
/* A share of n. */
estimate estimate_share(size_t part, size_t n);
/* e to x, to first order in its error. */
estimate estimate_exp(estimate x);

void sort_values(double *values, size_t n);
/* Of n >= 1 sorted values; fraction in [0, 1]; linear between neighbours. */
double quantile(const double *sorted, size_t n, double fraction);

#endif
