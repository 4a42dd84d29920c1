#include "gale/eval/scores.h"

#include "gale/eval/answers.h"
#include "gale/eval/words.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double two_sided_95 = 1.96;

int32_t metrics_of(const task *t, int32_t repeats, char names[METRICS_MOST][20]) {
  if (t->code) return 0;
  if (!t->tokens) {
    snprintf(names[0], sizeof names[0], "%s", t->truths ? "mc2" : "acc");
    snprintf(names[1], sizeof names[1], "acc_norm");
    return t->norm ? 2 : 1;
  }
  if (repeats > 1)
    snprintf(names[0], sizeof names[0], "maj@%d", repeats);
  else
    snprintf(names[0], sizeof names[0], "strict_match");
  snprintf(names[1], sizeof names[1], "%s", repeats > 1 ? "first" : "flexible_extract");
  return 2;
}

/* ---- One item ---- */

/* By characters of the choice without its blank. */
static double per_character(const task *t, slice choice, double loglikelihood) {
  if (t->verbatim && choice.n && choice.s[0] == ' ') choice = (slice){choice.s + 1, choice.n - 1};
  size_t n = words_length(choice);
  return n ? loglikelihood / (double)n : -INFINITY;
}

static double true_share(const eval_item *item, const double *l) {
  double most = l[0], all = 0, right = 0;
  for (int32_t i = 1; i < item->n_choices; i++) most = l[i] > most ? l[i] : most;
  for (int32_t i = 0; i < item->n_choices; i++) {
    double p = exp(l[i] - most);
    all += p;
    if (item->labels[i]) right += p;
  }
  return right / all;
}

static void score_choices(const task *t, const eval_item *item, const double *l, scores *s) {
  double best = l[0], best_norm = per_character(t, item->choices[0], l[0]);
  for (int32_t i = 1; i < item->n_choices; i++) {
    double norm = per_character(t, item->choices[i], l[i]);
    if (l[i] > best) s->prediction = i;
    if (norm > best_norm) s->prediction_norm = i;
    best = l[i] > best ? l[i] : best;
    best_norm = norm > best_norm ? norm : best_norm;
  }
  s->values[0] = t->truths ? true_share(item, l) : s->prediction == item->gold;
  s->values[1] = s->prediction_norm == item->gold;
}

scores score_item(const task *t, const eval_item *item, int32_t repeats, const outcome *o, slice *votes) {
  scores s = {0};
  if (t->code) return s;
  if (!t->tokens)
    score_choices(t, item, o->loglikelihoods, &s);
  else if (repeats > 1) {
    for (int32_t i = 0; i < repeats; i++) votes[i] = answer_vote(o->responses[i]);
    s.vote = answers_vote(votes, repeats);
    s.values[0] = answer_is(votes[s.vote], item->answer);
    s.values[1] = answer_is(votes[0], item->answer);
  } else {
    s.strict = answer_strict(o->responses[0], t->chain);
    s.flexible = answer_flexible(o->responses[0]);
    s.values[0] = answer_is(s.strict, item->answer);
    s.values[1] = answer_is(s.flexible, item->answer);
  }
  return s;
}

/* ---- Tallies ---- */

static bool grow(void **list, size_t count, size_t size) {
  void *grown = realloc(*list, count * size);
  if (grown) *list = grown;
  return grown != NULL;
}

static bool add_subject(tally *t, slice subject) {
  if (t->n_subjects && (!subject.s || slice_equal(t->names[t->n_subjects - 1], subject))) return true;
  if (t->n_subjects == t->names_capacity) {
    int32_t capacity = t->names_capacity ? 2 * t->names_capacity : 64;
    if (!grow((void **)&t->names, (size_t)capacity, sizeof *t->names)) return false;
    t->names_capacity = capacity;
  }
  t->names[t->n_subjects++] = subject;
  return true;
}

bool tally_add(tally *t, slice subject, const double *values, bool truncated) {
  if (t->n == t->capacity) {
    int32_t capacity = t->capacity ? 2 * t->capacity : 1024;
    for (int m = 0; m < METRICS_MOST; m++)
      if (!grow((void **)&t->values[m], (size_t)capacity, sizeof *t->values[m])) return false;
    if (!grow((void **)&t->subject, (size_t)capacity, sizeof *t->subject)) return false;
    t->capacity = capacity;
  }
  if (!add_subject(t, subject)) return false;
  for (int m = 0; m < METRICS_MOST; m++) t->values[m][t->n] = values[m];
  t->subject[t->n++] = t->n_subjects - 1;
  t->truncated += truncated;
  return true;
}

void tally_free(tally *t) {
  for (int m = 0; m < METRICS_MOST; m++) free(t->values[m]);
  free(t->subject);
  free(t->names);
  *t = (tally){0};
}

/* ---- Figures ---- */

static double mean_of(const double *values, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) sum += values[i];
  return sum / (double)n;
}

/* s / sqrt(n); NaN for one. */
static double error_of(const double *values, size_t n) {
  double mean = mean_of(values, n), sum = 0;
  for (size_t i = 0; i < n; i++) sum += (values[i] - mean) * (values[i] - mean);
  return n > 1 ? sqrt(sum / (double)(n - 1)) / sqrt((double)n) : NAN;
}

/* Wilson's interval of a share of n. */
static void set_wilson(figure *f, size_t n) {
  double z = two_sided_95, count = (double)n, p = f->value, below = 1 + z * z / count;
  double middle = (p + z * z / (2 * count)) / below;
  double half = z / below * sqrt(p * (1 - p) / count + z * z / (4 * count * count));
  f->low = middle - half;
  f->high = middle + half;
}

static void set_interval(figure *f, const double *values, size_t n) {
  bool share = true;
  for (size_t i = 0; share && i < n; i++) share = values[i] == 0 || values[i] == 1;
  if (share)
    set_wilson(f, n);
  else {
    f->low = f->value - two_sided_95 * f->error;
    f->high = f->value + two_sided_95 * f->error;
  }
}

figure figure_of(const double *values, size_t n) {
  figure f = {.value = mean_of(values, n), .error = error_of(values, n)};
  set_interval(&f, values, n);
  return f;
}

figure figure_of_difference(const double *a, const double *b, size_t n) {
  double *apart = malloc(n * sizeof *apart);
  figure f = {NAN, NAN, NAN, NAN};
  if (!apart) return f;
  for (size_t i = 0; i < n; i++) apart[i] = b[i] - a[i];
  f.value = mean_of(apart, n);
  f.error = error_of(apart, n);
  f.low = f.value - two_sided_95 * f.error;
  f.high = f.value + two_sided_95 * f.error;
  free(apart);
  return f;
}

/* The end of the run of one subject that begins at i. */
static int32_t run_end(const tally *t, int32_t i) {
  int32_t end = i;
  while (end < t->n && t->subject[end] == t->subject[i]) end++;
  return end;
}

figure tally_figure(const tally *t, int32_t metric, bool (*which)(slice subject, const void *of), const void *of,
                    size_t *n) {
  const double *values = t->values[metric];
  double *taken = malloc(((size_t)t->n + 1) * sizeof *taken), within = 0;
  figure f = {NAN, NAN, NAN, NAN};
  size_t subjects = 0;
  *n = 0;
  for (int32_t i = 0, end; taken && i < t->n; i = end) {
    end = run_end(t, i);
    if (which && !which(t->names[t->subject[i]], of)) continue;
    size_t count = (size_t)(end - i);
    memcpy(taken + *n, values + i, count * sizeof *taken);
    *n += count;
    subjects++;
    double error = error_of(values + i, count);
    if (count > 1) within += (double)(count - 1) * (double)count * error * error;
  }
  if (*n) {
    double all = (double)*n, free_ones = all - (double)subjects;
    f.value = mean_of(taken, *n);
    f.error = t->task->subjects ? (free_ones > 0 ? sqrt(within / free_ones / all) : NAN) : error_of(taken, *n);
    set_interval(&f, taken, *n);
  }
  free(taken);
  return f;
}

double tally_by_subject(const tally *t, int32_t metric) {
  double sum = 0;
  for (int32_t i = 0, end; i < t->n; i = end) {
    end = run_end(t, i);
    sum += mean_of(t->values[metric] + i, (size_t)(end - i));
  }
  return sum / t->n_subjects;
}
