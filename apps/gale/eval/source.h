/* Files of data: reading them whole, their lines, and messages that name a line. Functions that return int return 0, or
 * an exit status after saying what is wrong. */
#ifndef GALE_EVAL_SOURCE_H
#define GALE_EVAL_SOURCE_H

#include "json/value.h"

/* A file's text, valid UTF-8 without byte order mark. */
typedef struct source {
  const char *path; /* as messages name it; borrowed */
  slice text;
  char *bytes; /* owned; NULL: the text belongs to another */
} source;

/* Reads a file. Parquet, Arrow and packed files are refused by what they begin with, and what is not UTF-8 by its line.
 */
int source_open(source *s, const char *path);
/* The same for text that is there already: part of another file. */
int source_of(source *s, const char *path, slice bytes);
void source_close(source *s);

/* "PATH:LINE: ..."; returns EXIT_INPUT. */
int source_fail(const source *s, size_t line, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The line, from 1, that a byte of the text is in. */
size_t source_line_at(const source *s, size_t at);

/* A place in the lines of a source; zero-initialise. */
typedef struct source_lines {
  size_t at;
  size_t line; /* the number of the last one given, from 1 */
} source_lines;
/* The next line without its end, "\n" or "\r\n". False at the end. */
bool source_next(const source *s, source_lines *lines, slice *line);

/* Whether the first character that is not white space is c. */
bool source_begins(const source *s, char c);

/* ---- CSV as RFC 4180 has it ---- */

enum { CSV_MOST = 16 };

typedef struct csv_row {
  slice cells[CSV_MOST];
  size_t n;
  size_t line; /* where it begins */
} csv_row;

/* The next row; its cells are in memory or in the source. *found is false at the end. */
int csv_next(const source *s, source_lines *lines, arena *memory, csv_row *row, bool *found);

/* ---- Plain tar archives ---- */

typedef struct tar_member {
  slice name, bytes; /* of a regular file; in memory, or in the archive */
} tar_member;

/* Whether bytes begin like a tar archive. */
bool tar_is(slice bytes);
/* The next regular file from *at on. *found is false at the end. */
int tar_next(const char *path, slice archive, arena *memory, size_t *at, tar_member *member, bool *found);

#endif
