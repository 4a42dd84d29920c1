#include "gale/eval/source.h"

#include "base/utf8.h"
#include "gale/cli/console.h"
#include "gale/cli/input.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

/* What files of other formats begin with. */
static const struct {
  const char *bytes;
  size_t n;
  const char *what;
} foreign[] = {
    {"PAR1", 4, "a Parquet file; tools/eval_data.py makes JSONL of it"},
    {"ARROW1", 6, "an Arrow file; tools/eval_data.py makes JSONL of it"},
    {"\xFF\xFF\xFF\xFF", 4, "an Arrow stream; tools/eval_data.py makes JSONL of it"},
    {"\x1F\x8B", 2, "packed by gzip; the unpacked file is wanted"},
    {"PK\x03\x04", 4, "a zip archive; what is in it is wanted"},
    {"\x28\xB5\x2F\xFD", 4, "packed by zstd; the unpacked file is wanted"},
    {"\xFD\x37zXZ", 5, "packed by xz; the unpacked file is wanted"},
    {"BZh", 3, "packed by bzip2; the unpacked file is wanted"},
};

int source_fail(const source *s, size_t line, const char *format, ...) {
  char what[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(what, sizeof what, format, arguments);
  va_end(arguments);
  return fail("%s:%zu: %s", s->path, line, what);
}

size_t source_line_at(const source *s, size_t at) {
  size_t line = 1;
  for (size_t i = 0; i < at && i < s->text.n; i++) line += s->text.s[i] == '\n';
  return line;
}

static int check_text(const source *s) {
  for (size_t i = 0; i < s->text.n;) {
    uint32_t c;
    int length = utf8_decode(s->text.s + i, s->text.n - i, &c);
    if (length <= 0) return source_fail(s, source_line_at(s, i), "not UTF-8");
    i += (size_t)length;
  }
  return 0;
}

int source_of(source *s, const char *path, slice bytes) {
  *s = (source){.path = path, .text = bytes};
  for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
    if (bytes.n >= foreign[i].n && memcmp(bytes.s, foreign[i].bytes, foreign[i].n) == 0)
      return source_fail(s, 1, "%s", foreign[i].what);
  if (bytes.n >= 3 && memcmp(bytes.s, "\xEF\xBB\xBF", 3) == 0) s->text = (slice){bytes.s + 3, bytes.n - 3};
  return check_text(s);
}

int source_open(source *s, const char *path) {
  *s = (source){.path = path};
  struct stat about;
  if (stat(path, &about) == 0 && S_ISDIR(about.st_mode)) return fail("%s: %s", path, strerror(EISDIR));
  text whole = {0};
  int code = input_read(path, &whole);
  if (code) return code;
  code = source_of(s, path, (slice){whole.bytes, whole.length});
  s->bytes = whole.bytes;
  if (code) source_close(s);
  return code;
}

void source_close(source *s) {
  free(s->bytes);
  *s = (source){0};
}

bool source_next(const source *s, source_lines *lines, slice *line) {
  if (lines->at >= s->text.n) return false;
  const char *begin = s->text.s + lines->at;
  const char *end = memchr(begin, '\n', s->text.n - lines->at);
  size_t n = end ? (size_t)(end - begin) : s->text.n - lines->at;
  lines->at += n + (end != NULL);
  lines->line++;
  *line = (slice){begin, n && begin[n - 1] == '\r' ? n - 1 : n};
  return true;
}

bool source_begins(const source *s, char c) {
  size_t i = 0;
  while (i < s->text.n && json_space(s->text.s[i])) i++;
  return i < s->text.n && s->text.s[i] == c;
}
