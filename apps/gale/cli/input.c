#include "gale/cli/input.h"

#include "gale/cli/console.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *input_name(const char *path) {
  return strcmp(path, "-") == 0 ? "standard input" : path;
}

static int read_all(int fd, const char *name, text *t) {
  size_t capacity = 0;
  for (;;) {
    if (capacity - t->length < 2) {
      capacity = capacity ? capacity * 2 : 65536;
      char *grown = realloc(t->bytes, capacity);
      if (!grown) return fail_memory();
      t->bytes = grown;
    }
    ssize_t n = read(fd, t->bytes + t->length, capacity - t->length - 1);
    if (n < 0 && errno == EINTR && !signals_caught()) continue;
    if (n < 0 && signals_caught()) return signals_exit_status();
    if (n < 0) return fail("%s: %s", name, strerror(errno));
    if (n == 0) break;
    t->length += (size_t)n;
  }
  t->bytes[t->length] = 0;
  return 0;
}

int input_read(const char *path, text *t) {
  bool standard = strcmp(path, "-") == 0;
  int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail("%s: %s", path, strerror(errno));
  text whole = {0};
  int code = read_all(fd, input_name(path), &whole);
  if (!standard) close(fd);
  if (code)
    free(whole.bytes);
  else
    *t = whole;
  return code;
}

bool input_line(const text *t, size_t *at, const char **line, size_t *length) {
  if (*at >= t->length) return false;
  *line = t->bytes + *at;
  const char *end = memchr(*line, '\n', t->length - *at);
  *length = end ? (size_t)(end - *line) : t->length - *at;
  *at += *length + (end != NULL);
  return true;
}

int input_ids(const char *where, const char *s, size_t length, int32_t limit, int32_t **ids, size_t *n_ids) {
  /* Every id takes at least a digit and a separator. */
  int32_t *found = malloc((length / 2 + 1) * sizeof *found);
  if (!found) return fail_memory();
  size_t n = 0;
  for (size_t i = 0; i < length;) {
    if (isspace((unsigned char)s[i])) {
      i++;
      continue;
    }
    size_t start = i;
    int64_t id = 0;
    while (i < length && !isspace((unsigned char)s[i])) {
      bool digit = s[i] >= '0' && s[i] <= '9';
      id = digit && id >= 0 && id < limit ? id * 10 + (s[i] - '0') : -1;
      i++;
    }
    if (id < 0 || id >= limit) {
      free(found);
      size_t shown = i - start < 40 ? i - start : 40;
      return fail("%s: '%.*s' at index %zu is not a token id (0 to %d)", where, (int)shown, s + start, n, limit - 1);
    }
    found[n++] = (int32_t)id;
  }
  *ids = found;
  *n_ids = n;
  return 0;
}
