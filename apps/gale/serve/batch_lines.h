/* The lines of a batch: which there are, and which have an answer already.
 * https://platform.openai.com/docs/guides/batch */
#ifndef GALE_SERVE_BATCH_LINES_H
#define GALE_SERVE_BATCH_LINES_H

#include "gale/cli/input.h"
#include "json/value.h"

typedef struct batch_line {
  size_t at, length; /* in the file, without its end */
  size_t number;     /* from 1 on */
  char *custom_id;   /* owned; NULL: it has none */
  char why[160];     /* it is no request; "": it is one */
  bool answered;
} batch_line;

typedef struct batch_lines {
  text text; /* the whole file */
  batch_line *items;
  size_t length;
} batch_lines;

/* A line, taken apart. Texts are in the arena or the line. */
typedef struct batch_request {
  slice custom_id, url;
  const value *body;
} batch_request;

/* Takes a line apart; false with *why where it is no request. Its custom_id may be there all the same. */
bool batch_request_read(arena *memory, slice line, batch_request *r, char *why, size_t why_size);

/* Reads the file; lines without anything on them are skipped. Returns 0, or an exit status after saying what is wrong:
 * a custom_id that two lines have is. */
int batch_lines_read(const char *path, batch_lines *lines);
void batch_lines_free(batch_lines *lines);

/* Opens OUT for appending, locked, drops a torn last line, and notes which lines it answers. *failures: how many of
 * those answers are errors. Returns 0 or an exit status. */
int batch_out_open(const char *path, batch_lines *lines, int *fd, size_t *failures);

#endif
