/* Reading regular files. Content is read with pread into memory of our own and never mapped: a file
 * that is cut short while it is open then gives an error, where a mapping would raise SIGBUS. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/error.h"

#include <time.h>

typedef struct file {
  int fd;     /* -1 when closed */
  char *path; /* owned; for messages */
  /* When it was opened: bytes, the time of the last change of its content, and of anything about it. */
  uint64_t size;
  struct timespec modified, changed;
} file;

/* Opens a regular file for reading; a FIFO, device or directory is refused without blocking. On
 * failure f is closed (fd -1, path NULL). */
gale_status file_open(file *f, const char *path, gale_error *error);

/* The same, but refuses a symbolic link, and a file that belongs to another user or that others may write. */
gale_status file_open_own(file *f, const char *path, gale_error *error);
void file_close(file *f);

/* Reads exactly n bytes at offset. Fails if the range is not inside the file. Thread-safe. */
gale_status file_read(const file *f, uint64_t offset, void *to, uint64_t n, gale_error *error);

/* True if size and times are still those of file_open(). */
bool file_unchanged(const file *f);

/* The whole of a file of at most max bytes, with a NUL after it; the caller frees *data. */
gale_status file_load(const char *path, uint64_t max, char **data, size_t *n, gale_error *error);

/* Joins a directory and a name; the caller frees it. NULL when out of memory. */
char *path_join(const char *directory, const char *name);

bool path_is_directory(const char *path);
bool path_is_file(const char *path);

#endif
