#include "base/fresh_file.h"

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

gale_status fresh_create(fresh_file *f, const char *directory, const char *prefix, gale_error *error) {
  *f = (fresh_file){.fd = -1};
  char name[64];
  snprintf(name, sizeof name, "%sXXXXXX", prefix);
  f->path = path_join(directory, name);
  if (!f->path) return error_memory(error, strlen(directory) + sizeof name);
  f->fd = mkostemp(f->path, O_CLOEXEC);
  if (f->fd >= 0 && flock(f->fd, LOCK_EX | LOCK_NB) == 0) return GALE_OK;
  gale_status status = error_set(error, GALE_E_IO, "%s: %s", f->path, strerror(errno));
  fresh_close(f);
  return status;
}

gale_status fresh_reserve(const fresh_file *f, uint64_t n, gale_error *error) {
  int reason = EFBIG;
  if (n <= INT64_MAX) {
    reason = fallocate(f->fd, 0, 0, (off_t)n) == 0 ? 0 : errno;
    if (reason == EOPNOTSUPP || reason == ENOSYS) reason = ftruncate(f->fd, (off_t)n) == 0 ? 0 : errno;
  }
  return reason ? error_set(error, GALE_E_IO, "%s: %s", f->path, strerror(reason)) : GALE_OK;
}

gale_status fresh_write(const fresh_file *f, uint64_t offset, const void *bytes, size_t n, gale_error *error) {
  const char *from = bytes;
  while (n > 0) {
    ssize_t put = pwrite(f->fd, from, n, (off_t)offset);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return error_set(error, GALE_E_IO, "%s: %s", f->path, put ? strerror(errno) : "nothing was written");
    from += put;
    offset += (uint64_t)put;
    n -= (size_t)put;
  }
  return GALE_OK;
}

gale_status fresh_commit(fresh_file *f, const char *path, gale_error *error) {
  if (rename(f->path, path) != 0) return error_set(error, GALE_E_IO, "%s: %s", path, strerror(errno));
  free(f->path);
  f->path = NULL;
  return GALE_OK;
}

void fresh_close(fresh_file *f) {
  if (f->fd >= 0) {
    if (f->path) unlink(f->path);
    close(f->fd);
  }
  free(f->path);
  *f = (fresh_file){.fd = -1};
}

void fresh_remove_left(const char *directory, const char *prefix) {
  DIR *d = opendir(directory);
  if (!d) return;
  for (struct dirent *e; (e = readdir(d));) {
    if (strncmp(e->d_name, prefix, strlen(prefix)) != 0) continue;
    int fd = openat(dirfd(d), e->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) continue;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) unlinkat(dirfd(d), e->d_name, 0);
    close(fd);
  }
  closedir(d);
}

gale_status directory_make(const char *directory, gale_error *error) {
  char *path = strdup(directory);
  if (!path) return error_memory(error, strlen(directory) + 1);
  int reason = 0;
  for (char *slash = path; slash && !reason;) {
    slash = strchr(slash + 1, '/');
    if (slash) *slash = 0;
    if (mkdir(path, 0700) != 0 && errno != EEXIST) reason = errno;
    if (slash) *slash = '/';
  }
  gale_status status = reason ? error_set(error, GALE_E_IO, "%s: %s", path, strerror(reason)) : GALE_OK;
  free(path);
  return status;
}
