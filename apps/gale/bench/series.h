/* Measured numbers, and what is made of them. */
#ifndef GALE_BENCH_SERIES_H
#define GALE_BENCH_SERIES_H

#include <stdbool.h>
#include <stddef.h>

/* All zero is an empty one. */
typedef struct series {
  double *items; /* [n] */
  size_t n, room;
} series;

/* False if there is no memory. */
bool series_add(series *s, double item);
bool series_append(series *s, const series *other);
void series_sort(series *s);
void series_free(series *s);

/* Of a sorted series: its smallest item that at least so many per cent, 1 to 100, of the items do not exceed; 0 of an
 * empty one. */
double series_percentile(const series *sorted, int percent);

/* Of samples in any order, at least one: the one in the middle, or the mean of the two there. */
double median_of(const double *samples, size_t n);

#endif
