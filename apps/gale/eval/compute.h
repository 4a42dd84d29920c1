/* Computes a task's items and writes their samples in order. */
#ifndef GALE_EVAL_COMPUTE_H
#define GALE_EVAL_COMPUTE_H

#include "gale/cli/console.h"
#include "gale/eval/runner.h"
#include "gale/eval/samples.h"

#include <stdio.h>

/* Adds a task's items to the tally: what the file of samples has of them is taken from there, the rest computed and
 * written. Returns 0, or an exit status after saying what is wrong. */
int compute_task(const eval_task *t, runner *r, int32_t context, samples_file *samples, FILE *completions,
                 progress *shown, tally *to, eval_work *work);

#endif
