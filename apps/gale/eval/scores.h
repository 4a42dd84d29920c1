/* From what a model made of a question to its scores, and from those to figures with errors. */
#ifndef GALE_EVAL_SCORES_H
#define GALE_EVAL_SCORES_H

#include "gale/eval/task.h"

enum { METRICS_MOST = 2 };

/* Names of a task's metrics, with the first and only or K answers a question: how many there are. */
int32_t metrics_of(const task *t, int32_t repeats, char names[METRICS_MOST][20]);

/* What was computed of an item. */
typedef struct outcome {
  double *loglikelihoods; /* [n_choices] */
  int32_t *tokens;        /* [n_choices] scored ids */
  slice *responses;       /* [repeats] of generated answers */
  int32_t shots;          /* examples that stood before it */
  bool truncated;         /* the input was cut to fit the context */
} outcome;

typedef struct scores {
  int32_t prediction, prediction_norm;
  slice strict, flexible;      /* of one answer; parts of the response */
  int32_t vote;                /* of several, which is the most frequent */
  double values[METRICS_MOST]; /* in the order of metrics_of() */
} scores;

/* votes is [repeats], for what each answer of several says; may be NULL where there is one. */
scores score_item(const task *t, const eval_item *item, int32_t repeats, const outcome *o, slice *votes);

/* ---- Figures ---- */

/* Scores of items in order. Zero-initialise but for the first two. */
typedef struct tally {
  const task *task;
  int32_t repeats;
  int32_t n, capacity;
  double *values[METRICS_MOST]; /* [n], owned */
  int32_t *subject;             /* [n] indices of names, owned */
  slice *names;                 /* [n_subjects], owned; texts are borrowed */
  int32_t n_subjects, names_capacity;
  int32_t truncated;
} tally;

/* Items of a subject come one after another. False when out of memory. */
bool tally_add(tally *t, slice subject, const double *values, bool truncated);
void tally_free(tally *t);

/* Members that are NaN do not exist. */
typedef struct figure {
  double value, error; /* standard error */
  double low, high;    /* of 95 of 100 intervals */
} figure;

/* Of n >= 1 scores. */
figure figure_of(const double *values, size_t n);
/* The mean of b - a. */
figure figure_of_difference(const double *a, const double *b, size_t n);

/* Scores of one metric, over some of the subjects: which(s, of) says of each whether it counts; NULL: all do. The error
 * is pooled from those of subjects where the task has them. *n becomes the number of scores; 0: there is no figure. */
figure tally_figure(const tally *t, int32_t metric, bool (*which)(slice subject, const void *of), const void *of,
                    size_t *n);
/* The plain mean of the subjects' means. */
double tally_by_subject(const tally *t, int32_t metric);

/* ---- MMLU's groups ---- */

enum { GROUPS = 4 };
extern const char *const group_names[GROUPS];
/* Which group a subject is in, -1 for none; by MMLU's own script, or by lm-evaluation-harness. */
int group_of(slice subject, bool original);

#endif
