#include "gale/eval/record.h"

#include "gale/cli/console.h"
#include "gale/eval/task.h"
#include "gale/eval/words.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int record_fail(const record *r, const char *format, ...) {
  char what[400];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(what, sizeof what, format, arguments);
  va_end(arguments);
  return source_fail(r->source, r->line, "%s", what);
}

static int keep(const record *r, slice text, slice *to) {
  *to = words_keep(&r->data->memory, text);
  return to->s ? 0 : fail_memory();
}

int record_text(const record *r, const value *object, const char *key, slice *to) {
  const value *v = value_get(object, key);
  if (!value_is(v, VALUE_STRING))
    return record_fail(r, "\"%s\" %s; text is wanted", key, v ? "is no text" : "is missing");
  return keep(r, v->text, to);
}

int record_texts(const record *r, const value *list, const char *name, uint32_t least, uint32_t most, slice **to,
                 int32_t *n) {
  if (!value_is(list, VALUE_ARRAY) || list->count < least || list->count > most) {
    if (least == most) return record_fail(r, "\"%s\" is not a list of %u texts", name, least);
    return record_fail(r, "\"%s\" is not a list of %u to %u texts", name, least, most);
  }
  *to = arena_array(&r->data->memory, list->count, sizeof **to);
  if (!*to) return fail_memory();
  *n = (int32_t)list->count;
  slice *next = *to;
  for (const value *v = list->first; v; v = v->next) {
    if (v->kind != VALUE_STRING) return record_fail(r, "\"%s\" holds what is no text", name);
    int code = keep(r, v->text, next++);
    if (code) return code;
  }
  return 0;
}

static bool whole_number(slice text, int32_t low, int32_t high, int32_t *to) {
  int64_t n = 0;
  if (text.n == 0 || text.n > 9) return false;
  for (size_t i = 0; i < text.n; i++) {
    if (text.s[i] < '0' || text.s[i] > '9') return false;
    n = n * 10 + (text.s[i] - '0');
  }
  *to = (int32_t)n;
  return n >= low && n <= high;
}

int record_number(const record *r, const value *v, const char *name, int32_t low, int32_t high, int32_t *to) {
  if ((value_is(v, VALUE_STRING) || value_is(v, VALUE_INTEGER)) && whole_number(v->text, low, high, to)) return 0;
  return record_fail(r, "\"%s\" %s a number from %d to %d", name, v ? "is not" : "is missing:", low, high);
}

int record_label(const record *r, slice text, int32_t low, int32_t high, int32_t *to) {
  if (whole_number(words_strip(text), low, high, to)) return 0;
  return record_fail(r, "'%.*s' is not a label from %d to %d", (int)(text.n < 40 ? text.n : 40), text.s, low, high);
}

int record_set_text(const record *r, eval_item *item, const char *head, slice middle, const char *tail) {
  arena *memory = &r->data->memory;
  size_t before = strlen(head), after = strlen(tail);
  item->texts = arena_array(memory, 1, sizeof *item->texts);
  char *text = arena_alloc(memory, before + middle.n + after + 1);
  if (!item->texts || !text) return fail_memory();
  memcpy(text, head, before);
  memcpy(text + before, middle.s, middle.n);
  memcpy(text + before + middle.n, tail, after);
  item->texts[0] = (slice){text, before + middle.n + after};
  item->n_texts = 1;
  return 0;
}

int record_choices(const record *r, eval_item *item, int32_t n) {
  item->n_choices = n;
  item->choices = arena_array(&r->data->memory, (size_t)n, sizeof *item->choices);
  return item->choices ? 0 : fail_memory();
}

/* ---- All records of a file ---- */

/* The id that a record has, as JSON, and where it stands in the list. */
static int take_record(record *r, record_fn take, item_list *to) {
  eval_item *item = items_add(to);
  if (!item) return fail_memory();
  item->gold = -1;
  if (!value_is(r->object, VALUE_OBJECT)) return record_fail(r, "not a JSON object");
  const value *id = value_given(r->object, r->data->task->id_key);
  if (value_is(id, VALUE_STRING) || value_is_number(id)) {
    byte_list text = {0};
    bytes_add_value(&text, id);
    item->id = text.failed ? (slice){0} : words_keep(&r->data->memory, (slice){text.bytes, text.n});
    free(text.bytes);
    if (!item->id.s) return fail_memory();
  }
  return take(r, item);
}

static int read_failed(const source *s, size_t line, value_status status, const value_report *report, size_t at) {
  if (status == VALUE_MEMORY) return fail_memory();
  return source_fail(s, line, "not JSON: %s (at byte %zu of the line)", report->why, at);
}

static int read_lines(record *r, const source *labels, record_fn take, item_list *to) {
  const source *s = r->source;
  source_lines lines = {0}, label_lines = {0};
  slice line;
  int code = 0;
  while (!code && source_next(s, &lines, &line)) {
    if (words_strip(line).n == 0) continue;
    arena scratch = {0};
    value *root = NULL;
    value_report report = {0};
    value_status status = value_read(&scratch, line, VALUE_REQUEST, &root, &report);
    r->line = lines.line;
    r->object = root;
    r->label = (slice){0};
    if (status)
      code = read_failed(s, lines.line, status, &report, report.at);
    else if (labels && !source_next(labels, &label_lines, &r->label))
      code = source_fail(labels, label_lines.line + 1, "no label for line %zu of %s", lines.line, s->path);
    if (!code) code = take_record(r, take, to);
    arena_free(&scratch);
  }
  if (!code && labels && source_next(labels, &label_lines, &line) && words_strip(line).n)
    code = source_fail(labels, label_lines.line, "more labels than %s has lines", s->path);
  return code;
}

/* A list is told its line by where its first text stands. */
static size_t line_of(const source *s, const value *v) {
  const value *member = v->first;
  slice text = v->text.s ? v->text : member ? member->key : (slice){0};
  bool inside = text.s >= s->text.s && text.s < s->text.s + s->text.n;
  return inside ? source_line_at(s, (size_t)(text.s - s->text.s)) : 1;
}

static int read_array(record *r, record_fn take, item_list *to) {
  const source *s = r->source;
  arena scratch = {0};
  value *root = NULL;
  value_report report = {0};
  value_status status = value_read(&scratch, s->text, VALUE_REQUEST, &root, &report);
  int code = 0;
  if (status) {
    size_t line = source_line_at(s, report.at), begin = report.at < s->text.n ? report.at : s->text.n;
    while (begin > 0 && s->text.s[begin - 1] != '\n') begin--;
    code = read_failed(s, line, status, &report, report.at - begin);
  }
  for (const value *v = status ? NULL : root->first; !code && v; v = v->next) {
    r->line = line_of(s, v);
    r->object = v;
    code = take_record(r, take, to);
  }
  arena_free(&scratch);
  return code;
}

static slice folder_of(const char *path) {
  const char *end = strrchr(path, '/');
  if (!end) return (slice){0};
  const char *begin = end;
  while (begin > path && begin[-1] != '/') begin--;
  return (slice){begin, (size_t)(end - begin)};
}

int records_read(eval_data *d, const source *s, const source *labels, record_fn take, item_list *to) {
  record r = {.source = s, .folder = folder_of(s->path), .data = d};
  return source_begins(s, '[') ? read_array(&r, take, to) : read_lines(&r, labels, take, to);
}

int labels_open(const char *file, source *labels, char **path) {
  *labels = (source){0};
  *path = NULL;
  const char *dot = strrchr(file, '.'), *slash = strrchr(file, '/');
  size_t n = dot && dot > (slash ? slash : file) ? (size_t)(dot - file) : strlen(file);
  char *name = malloc(n + sizeof "-labels.lst");
  if (!name) return fail_memory();
  memcpy(name, file, n);
  memcpy(name + n, "-labels.lst", sizeof "-labels.lst");
  *path = name;
  return access(name, F_OK) == 0 ? source_open(labels, name) : 0;
}

char *path_beside(const char *file, const char *name) {
  const char *slash = strrchr(file, '/');
  size_t n = slash ? (size_t)(slash - file) + 1 : 0, length = strlen(name) + 1;
  char *path = malloc(n + length);
  if (!path) return NULL;
  memcpy(path, file, n);
  memcpy(path + n, name, length);
  return path;
}
