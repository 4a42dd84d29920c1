#include "gale/bench/series.h"

#include <stdlib.h>
#include <string.h>

static bool make_room(series *s, size_t more) {
  if (s->room - s->n >= more) return true;
  size_t room = 2 * s->room > s->n + more ? 2 * s->room : s->n + more;
  double *items = realloc(s->items, room * sizeof *items);
  if (!items) return false;
  s->items = items;
  s->room = room;
  return true;
}

bool series_add(series *s, double item) {
  if (!make_room(s, 1)) return false;
  s->items[s->n++] = item;
  return true;
}

bool series_append(series *s, const series *other) {
  if (other->n == 0) return true;
  if (!make_room(s, other->n)) return false;
  memcpy(s->items + s->n, other->items, other->n * sizeof *s->items);
  s->n += other->n;
  return true;
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

void series_sort(series *s) {
  if (s->n > 0) qsort(s->items, s->n, sizeof *s->items, compare);
}

void series_free(series *s) {
  free(s->items);
  *s = (series){0};
}

double series_percentile(const series *sorted, int percent) {
  if (sorted->n == 0) return 0;
  size_t rank = (sorted->n * (size_t)percent + 99) / 100;
  return sorted->items[rank - 1];
}

double median_of(const double *samples, size_t n) {
  double *sorted = malloc(n * sizeof *sorted);
  if (!sorted) return samples[n / 2];
  memcpy(sorted, samples, n * sizeof *sorted);
  qsort(sorted, n, sizeof *sorted, compare);
  double middle = n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
  free(sorted);
  return middle;
}
