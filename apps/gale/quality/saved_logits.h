/* Files of a model's distributions over a text: gale's own, written and read, and llama.cpp's (what its
 * --kl-divergence-base writes), read. docs/EVALUATION.md has both layouts. Functions that return int return 0, or an
 * exit status after saying what is wrong. */
#ifndef GALE_QUALITY_SAVED_LOGITS_H
#define GALE_QUALITY_SAVED_LOGITS_H

#include "gale/cli/atomic.h"
#include "gale/quality/divergence.h"
#include "gale/quality/passages.h"

#include <stdio.h>

typedef struct saved_writer {
  atomic_file file;
  int32_t vocab_size;
  unsigned char *record;
} saved_writer;

/* Rows follow, passage by passage, one for each position that counts. */
int saved_create(saved_writer *w, const char *path, const passages *p, int32_t vocab_size);
/* The distribution's logits are finite. */
int saved_write(saved_writer *w, const distribution *d);
/* The file then appears under its name. */
int saved_commit(saved_writer *w);
/* Leaves no file, unless it was committed. */
void saved_abandon(saved_writer *w);

typedef struct saved_reader {
  FILE *stream; /* NULL: not open */
  const char *path;
  bool foreign; /* llama.cpp's */
  int32_t vocab_size;
  uint64_t rows_left, offset;
  size_t record_size;
  unsigned char *record;
  float *row;
} saved_reader;

/* *known says whether path is such a file, and only then *r is opened, and *p holds its text. */
int saved_open(saved_reader *r, const char *path, passages *p, bool *known);
/* The next row. The distribution is valid until the next call. */
int saved_read(saved_reader *r, distribution *d);
void saved_close(saved_reader *r);

#endif
