/* Files that appear under their names when they are whole: written under a temporary name, then renamed. Whoever writes
 * one holds a lock (flock) on it until then, so that what a process left when it ended can be told and removed. */
#ifndef BASE_FRESH_FILE_H
#define BASE_FRESH_FILE_H

#include "base/error.h"

#include <stdint.h>

typedef struct fresh_file {
  int fd;     /* -1: none */
  char *path; /* temporary; NULL once the file has its name */
} fresh_file;

/* Begins a file for this user alone in a directory, which must be there, called prefix and six more letters. On failure
 * f holds nothing. */
gale_status fresh_create(fresh_file *f, const char *directory, const char *prefix, gale_error *error);

/* Takes the room for n bytes at once where the file system can: a full disk then shows before the work. */
gale_status fresh_reserve(const fresh_file *f, uint64_t n, gale_error *error);

/* Thread-safe. */
gale_status fresh_write(const fresh_file *f, uint64_t offset, const void *bytes, size_t n, gale_error *error);

/* Gives the file its name, in place of what is called that. It is not synced. */
gale_status fresh_commit(fresh_file *f, const char *path, gale_error *error);

/* Removes the file unless it has its name. */
void fresh_close(fresh_file *f);

/* Removes files of a directory whose names begin with prefix and that nobody writes any more. */
void fresh_remove_left(const char *directory, const char *prefix);

/* Makes a directory and those above it, for this user alone. */
gale_status directory_make(const char *directory, gale_error *error);

#endif
