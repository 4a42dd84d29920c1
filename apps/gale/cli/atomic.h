/* Writing a file that appears under its name only when it is whole. */
#ifndef GALE_CLI_ATOMIC_H
#define GALE_CLI_ATOMIC_H

#include <stdbool.h>
#include <stdio.h>

typedef struct atomic_file {
  FILE *stream;
  const char *path; /* borrowed */
  char *temporary;  /* NULL: path is a device or a pipe, and written directly */
} atomic_file;

/* Each returns 0, or an exit status after saying what is wrong. */
int atomic_open(atomic_file *f, const char *path);
int atomic_write(atomic_file *f, const void *bytes, size_t n);
/* Syncs, closes and renames. On failure nothing is left. */
int atomic_commit(atomic_file *f);

/* Closes and removes what was written so far; does nothing after atomic_commit. */
void atomic_abandon(atomic_file *f);

#endif
