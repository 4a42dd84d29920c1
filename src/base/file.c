#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static gale_status check_kind(const char *path, const struct stat *st, bool own, gale_error *error) {
  if (!S_ISREG(st->st_mode)) return error_set(error, GALE_E_IO, "%s: not a regular file", path);
  if (own && (st->st_uid != geteuid() || st->st_mode & (S_IWGRP | S_IWOTH)))
    return error_set(error, GALE_E_IO, "%s: belongs to another user, or others may write it", path);
  return GALE_OK;
}

static gale_status open_file(file *f, const char *path, bool own, gale_error *error) {
  *f = (file){.fd = -1};
  /* O_NONBLOCK: opening a FIFO that nobody writes to must not hang. */
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | (own ? O_NOFOLLOW : 0));
  if (fd < 0) return error_set(error, GALE_E_IO, "%s: %s", path, strerror(errno));
  struct stat st;
  gale_status status = fstat(fd, &st) == 0 ? check_kind(path, &st, own, error)
                                           : error_set(error, GALE_E_IO, "%s: %s", path, strerror(errno));
  f->path = status ? NULL : strdup(path);
  if (!status && !f->path) status = error_memory(error, strlen(path) + 1);
  if (status) {
    close(fd);
    return status;
  }
  f->fd = fd;
  f->size = (uint64_t)st.st_size;
  f->modified = st.st_mtim;
  f->changed = st.st_ctim;
  return GALE_OK;
}

gale_status file_open(file *f, const char *path, gale_error *error) {
  return open_file(f, path, false, error);
}

gale_status file_open_own(file *f, const char *path, gale_error *error) {
  return open_file(f, path, true, error);
}

static bool same_time(struct timespec a, struct timespec b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool file_unchanged(const file *f) {
  struct stat st;
  return fstat(f->fd, &st) == 0 && (uint64_t)st.st_size == f->size && same_time(st.st_mtim, f->modified) &&
         same_time(st.st_ctim, f->changed);
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
    size_t most = n > (1u << 30) ? (1u << 30) : (size_t)n;
    ssize_t got = pread(f->fd, at, most, (off_t)offset);
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
