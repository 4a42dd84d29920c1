/* How gale eval shows its figures. Functions that return int return 0, or an exit status after saying what is wrong. */
#ifndef GALE_EVAL_REPORT_H
#define GALE_EVAL_REPORT_H

#include "gale/eval/run.h"

/* A task's results. */
typedef struct report_task {
  const char *path; /* NULL: not known */
  slice protocol;
  int32_t shots;
  int32_t tokens;     /* 0: nothing is generated, or it is not known how much */
  double temp, top_p; /* where there are several answers; NaN: not known */
  const tally *tally;
  const eval_work *work; /* NULL: nothing was computed */
} report_task;

/* Results of one model. */
typedef struct report {
  const eval_model *model; /* NULL: not known, but for what model_json says */
  slice model_json;
  const eval_settings *settings; /* NULL: the same, with settings_json */
  slice settings_json;
  const report_task *tasks;
  size_t n_tasks;
} report;

/* A table for people; subjects too where `verbose`. */
int report_print(const report *r, bool verbose);
/* One JSON object. */
int report_print_json(const report *r);

/* Two models of the same tasks, beside each other: differences, paired by items, and on how many items they differ. */
int report_compare(const report both[2], bool verbose);
int report_compare_json(const report both[2]);

#endif
