#include "gale/cli/atomic.h"

#include "gale/cli/console.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int atomic_open(atomic_file *f, const char *path) {
  *f = (atomic_file){.path = path};
  struct stat about;
  if (stat(path, &about) == 0 && !S_ISREG(about.st_mode)) {
    f->stream = S_ISDIR(about.st_mode) ? NULL : fopen(path, "wb");
    if (!f->stream) return fail("%s: %s", path, S_ISDIR(about.st_mode) ? strerror(EISDIR) : strerror(errno));
    return 0;
  }
  size_t n = strlen(path);
  char *name = malloc(n + sizeof ".XXXXXX");
  if (!name) return fail_memory();
  memcpy(name, path, n);
  memcpy(name + n, ".XXXXXX", sizeof ".XXXXXX");
  int fd = mkstemp(name);
  if (fd < 0) {
    free(name);
    return fail("%s: %s", path, strerror(errno));
  }
  mode_t mask = umask(0);
  umask(mask);
  fchmod(fd, 0666 & ~mask);
  f->stream = fdopen(fd, "wb");
  f->temporary = name;
  if (f->stream) return 0;
  close(fd);
  atomic_abandon(f);
  return fail_memory();
}

int atomic_write(atomic_file *f, const void *bytes, size_t n) {
  if (fwrite(bytes, 1, n, f->stream) == n) return 0;
  return fail("%s: %s", f->path, strerror(errno));
}

int atomic_commit(atomic_file *f) {
  bool whole = fflush(f->stream) == 0 && (!f->temporary || fsync(fileno(f->stream)) == 0);
  whole = fclose(f->stream) == 0 && whole;
  f->stream = NULL;
  if (whole && f->temporary) whole = rename(f->temporary, f->path) == 0;
  int reason = errno;
  if (whole) {
    free(f->temporary);
    f->temporary = NULL;
    return 0;
  }
  atomic_abandon(f);
  return fail("%s: %s", f->path, strerror(reason));
}

void atomic_abandon(atomic_file *f) {
  if (f->stream) fclose(f->stream);
  f->stream = NULL;
  if (f->temporary) unlink(f->temporary);
  free(f->temporary);
  f->temporary = NULL;
}
