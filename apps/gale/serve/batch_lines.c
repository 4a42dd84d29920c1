#include "gale/serve/batch_lines.h"

#include "gale/cli/console.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* ---- One line ---- */

static bool refuse(char *why, size_t size, const char *what) {
  snprintf(why, size, "%s", what);
  return false;
}

bool batch_request_read(arena *memory, slice line, batch_request *r, char *why, size_t size) {
  *r = (batch_request){0};
  value *root = NULL;
  value_report report;
  if (value_read(memory, line, VALUE_REQUEST, &root, &report)) {
    snprintf(why, size, "byte %zu: %s", report.at, report.why);
    return false;
  }
  const value *id = value_get(root, "custom_id"), *url = value_get(root, "url");
  r->body = value_get(root, "body");
  if (!value_is(id, VALUE_STRING) || id->text.n == 0 || memchr(id->text.s, 0, id->text.n))
    return refuse(why, size, "custom_id: a string is needed, not empty and without U+0000");
  r->custom_id = id->text;
  if (!value_says(value_get(root, "method"), "POST")) return refuse(why, size, "method: \"POST\" is accepted");
  if (!value_is(url, VALUE_STRING)) return refuse(why, size, "url: a string is needed");
  if (!value_is(r->body, VALUE_OBJECT)) return refuse(why, size, "body: an object is needed");
  if (value_is(value_get(r->body, "stream"), VALUE_TRUE)) return refuse(why, size, "body.stream: false is accepted");
  r->url = url->text;
  return true;
}

/* ---- The file ---- */

static bool is_blank(const char *s, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (!json_space(s[i])) return false;
  return true;
}

static int add_line(batch_lines *lines, size_t at, size_t n, size_t number) {
  /* Twice as many, whenever the number of lines is a power of two. */
  if ((lines->length & (lines->length - 1)) == 0) {
    size_t room = lines->length ? 2 * lines->length : 1;
    batch_line *more = realloc(lines->items, room * sizeof *more);
    if (!more) return fail_memory();
    lines->items = more;
  }
  batch_line *line = &lines->items[lines->length++];
  *line = (batch_line){.at = at, .length = n, .number = number};
  arena memory = {0};
  batch_request r;
  batch_request_read(&memory, (slice){lines->text.bytes + at, n}, &r, line->why, sizeof line->why);
  if (r.custom_id.s) line->custom_id = strndup(r.custom_id.s, r.custom_id.n);
  bool good = line->custom_id || !r.custom_id.s;
  arena_free(&memory);
  return good ? 0 : fail_memory();
}

static int by_id(const void *a, const void *b) {
  const batch_line *x = *(const batch_line *const *)a, *y = *(const batch_line *const *)b;
  int side = strcmp(x->custom_id ? x->custom_id : "", y->custom_id ? y->custom_id : "");
  return side ? side : (x->number > y->number) - (x->number < y->number);
}

/* All lines that have an id, by id. NULL without memory. */
static batch_line **sorted(const batch_lines *lines, size_t *n) {
  batch_line **order = calloc(lines->length + 1, sizeof *order);
  *n = 0;
  if (!order) return NULL;
  for (size_t i = 0; i < lines->length; i++)
    if (lines->items[i].custom_id) order[(*n)++] = &lines->items[i];
  if (*n) qsort(order, *n, sizeof *order, by_id);
  return order;
}

static int check_twice(const char *path, const batch_lines *lines) {
  size_t n;
  batch_line **order = sorted(lines, &n);
  if (!order) return fail_memory();
  int code = 0;
  for (size_t i = 1; i < n && !code; i++)
    if (strcmp(order[i - 1]->custom_id, order[i]->custom_id) == 0)
      code = fail("%s:%zu: custom_id \"%s\" is that of line %zu too", path, order[i]->number, order[i]->custom_id,
                  order[i - 1]->number);
  free(order);
  return code;
}

int batch_lines_read(const char *path, batch_lines *lines) {
  *lines = (batch_lines){0};
  int code = input_read(path, &lines->text);
  const char *line;
  size_t at = 0, n, number = 0;
  while (!code && input_line(&lines->text, &at, &line, &n))
    if (number++, !is_blank(line, n)) code = add_line(lines, (size_t)(line - lines->text.bytes), n, number);
  return code ? code : check_twice(path, lines);
}

void batch_lines_free(batch_lines *lines) {
  for (size_t i = 0; i < lines->length; i++) free(lines->items[i].custom_id);
  free(lines->items);
  free(lines->text.bytes);
  *lines = (batch_lines){0};
}

/* ---- What is answered ---- */

static batch_line *line_of(batch_line **order, size_t n, slice id) {
  for (size_t low = 0, high = n; low < high;) {
    size_t middle = low + (high - low) / 2;
    const char *own = order[middle]->custom_id;
    size_t m = strlen(own), least = m < id.n ? m : id.n;
    int side = memcmp(id.s, own, least);
    if (side == 0) side = (id.n > m) - (id.n < m);
    if (side == 0) return order[middle];
    if (side < 0)
      high = middle;
    else
      low = middle + 1;
  }
  return NULL;
}

/* Lines without an id: their answers are called by their numbers. */
static batch_line *nameless_line(batch_lines *lines, const value *id) {
  char name[40];
  for (size_t i = 0; i < lines->length; i++) {
    snprintf(name, sizeof name, "line-%zu", lines->items[i].number);
    if (!lines->items[i].custom_id && value_says(id, name)) return &lines->items[i];
  }
  return NULL;
}

static bool note_answer(batch_lines *lines, batch_line **order, size_t n, slice written, size_t *failures) {
  arena memory = {0};
  value *root = NULL;
  value_report report;
  bool good = value_read(&memory, written, VALUE_REQUEST, &root, &report) == VALUE_OK && root->kind == VALUE_OBJECT;
  const value *id = good ? value_get(root, "custom_id") : NULL;
  int64_t status = 0;
  batch_line *line = value_is(id, VALUE_STRING) ? line_of(order, n, id->text)
                     : good                     ? nameless_line(lines, value_get(root, "id"))
                                                : NULL;
  if (line) line->answered = true;
  bool failed = !value_int64(value_get(value_get(root, "response"), "status_code"), &status) || status != 200;
  if (line && failed) ++*failures;
  arena_free(&memory);
  return good;
}

static int note_answers(const char *path, const text *out, batch_lines *lines, size_t *failures) {
  size_t n, at = 0, length, number = 0;
  batch_line **order = sorted(lines, &n);
  const char *line;
  int code = order ? 0 : fail_memory();
  while (!code && input_line(out, &at, &line, &length))
    if (number++, !note_answer(lines, order, n, (slice){line, length}, failures))
      code = fail("%s:%zu: not an answer of gale batch; name another file for the answers", path, number);
  free(order);
  return code;
}

int batch_out_open(const char *path, batch_lines *lines, int *fd, size_t *failures) {
  text out = {0};
  *fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (*fd < 0) return fail("%s: %s", path, strerror(errno));
  if (flock(*fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
    return fail("%s: another gale batch is writing it", path);
  int code = input_read(path, &out);
  size_t whole = out.length;
  while (whole > 0 && out.bytes[whole - 1] != '\n') whole--;
  if (!code && whole < out.length) {
    out.length = whole;
    if (ftruncate(*fd, (off_t)whole) != 0) code = fail("%s: %s", path, strerror(errno));
  }
  if (!code) code = note_answers(path, &out, lines, failures);
  free(out.bytes);
  return code;
}
