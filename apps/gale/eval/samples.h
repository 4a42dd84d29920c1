/* Lines of JSON about each item: written as they are done, read to go on or to score again. Functions that return int
 * return 0, or an exit status after saying what is wrong. */
#ifndef GALE_EVAL_SAMPLES_H
#define GALE_EVAL_SAMPLES_H

#include "gale/eval/run.h"

/* ---- Lines, each appended without its newline ---- */

/* Of settings, as an object. */
void samples_settings(byte_list *to, const eval_settings *s);
/* Of a model without its path. */
void samples_model(byte_list *to, const eval_model *m);
/* The first line. m NULL: no model is known. */
void samples_header(byte_list *to, const eval_model *m, const eval_settings *s, const eval_task *tasks, size_t n);
/* What a line about an item, with so many examples, begins with: all that is known before it is computed. It is ended
 * by
 * "}", or by samples_outcome(). */
void samples_item(byte_list *to, const eval_task *t, int32_t index, int32_t shots);
void samples_outcome(byte_list *to, const eval_task *t, const eval_item *item, const outcome *o, const scores *s,
                     const slice *votes);

/* Appends a number as JSON; null where it is none. */
void add_number(byte_list *to, double x);
void add_integer(byte_list *to, int64_t n);

/* ---- Files ---- */

/* A file that grows by whole lines. */
typedef struct samples_file {
  int fd; /* -1: none is written */
  const char *path;
  source old;      /* what was there */
  source_lines at; /* the lines of it that were taken */
} samples_file;

/* Makes a file, which must not be there; or, to resume, opens one and takes its first line, which must be the header.
 * What follows its last newline is dropped. */
int samples_file_open(samples_file *f, const char *path, bool resume, slice header);
/* The next line of what was there. *found is false when all were taken. */
int samples_file_take(samples_file *f, slice *line, bool *found);
/* Writes a line and its newline. */
int samples_file_write(samples_file *f, slice line);
void samples_file_close(samples_file *f);

/* Reads what was computed of an item from its line, of which `line` is the number in `s`. Texts are in memory. */
int samples_read(const source *s, size_t line, slice text, const task *t, int32_t n_choices, int32_t repeats,
                 arena *memory, outcome *o);

/* ---- Scoring again ---- */

/* A file of samples. Zero-initialise; given back by rescore_close(). */
typedef struct saved_samples {
  arena memory;
  source source;
  struct saved_task {
    const task *task;
    slice protocol;
    int32_t shots;
    tally tally;
  } tasks[32];
  size_t n_tasks;
  slice model, settings; /* as JSON; s NULL: not stated */
} saved_samples;

int rescore_read(saved_samples *saved, const char *path);
void rescore_close(saved_samples *saved);

#endif
