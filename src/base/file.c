#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

gale_status file_open(file *f, const char *path, gale_error *error) {
  *f = (file){.fd = -1};
  /* O_NONBLOCK: opening a FIFO that nobody writes to must not hang. */
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return error_set(error, GALE_E_IO, "%s: %s", path, strerror(errno));
  struct stat st;
  if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
    close(fd);
    return error_set(error, GALE_E_IO, "%s: not a regular file", path);
  }
  f->path = strdup(path);
  if (!f->path) {
    close(fd);
    return error_memory(error, strlen(path) + 1);
  }
  f->fd = fd;
  f->size = (uint64_t)st.st_size;
  return GALE_OK;
}

void file_close(file *f) {
  if (f->fd >= 0) close(f->fd);
  free(f->path);
  *f = (file){.fd = -1};
}

gale_status file_read(const file *f, uint64_t offset, void *to, uint64_t n, gale_error *error) {
  if (offset > f->size || n > f->size - offset)
    return error_set(error, GALE_E_FORMAT,
                     "%s: truncated: %" PRIu64 " bytes wanted at offset %" PRIu64 ", the file has %" PRIu64, f->path, n,
                     offset, f->size);
  char *at = to;
  while (n > 0) {
    size_t piece = n > (1u << 30) ? (1u << 30) : (size_t)n;
    ssize_t got = pread(f->fd, at, piece, (off_t)offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      return error_set(error, GALE_E_IO, "%s: reading at offset %" PRIu64 ": %s", f->path, offset, strerror(errno));
    if (got == 0)
      return error_set(error, GALE_E_IO, "%s: became shorter while it was read, at offset %" PRIu64, f->path, offset);
    at += got;
    offset += (uint64_t)got;
    n -= (uint64_t)got;
  }
  return GALE_OK;
}

gale_status file_load(const char *path, uint64_t max, char **data, size_t *n, gale_error *error) {
  file f;
  gale_status status = file_open(&f, path, error);
  if (status) return status;
  char *bytes = NULL;
  if (f.size > max) {
    status =
        error_set(error, GALE_E_FORMAT, "%s: %" PRIu64 " bytes; at most %" PRIu64 " are accepted", path, f.size, max);
  } else if (!(bytes = malloc((size_t)f.size + 1))) {
    status = error_memory(error, f.size + 1);
  } else {
    status = file_read(&f, 0, bytes, f.size, error);
  }
  if (status) {
    free(bytes);
  } else {
    bytes[f.size] = 0;
    *data = bytes;
    *n = (size_t)f.size;
  }
  file_close(&f);
  return status;
}

char *path_join(const char *directory, const char *name) {
  size_t d = strlen(directory), n = strlen(name);
  char *path = malloc(d + n + 2);
  if (!path) return NULL;
  memcpy(path, directory, d);
  if (d == 0 || directory[d - 1] != '/') path[d++] = '/';
  memcpy(path + d, name, n + 1);
  return path;
}

bool path_is_directory(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool path_is_file(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}
