#include "format/json.h"
#include "format/reader.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
  MAX_DEPTH = 64,
  MAX_SETTINGS = 1 << 18, /* of a checkpoint */
  MAX_KEY = 255,          /* of a path joined by dots: nested long keys would multiply */
};

/* ---- Parsing ---- */

typedef struct nearest_key {
  const char *text;
  int length; /* 0: none found */
} nearest_key;

/* The last `"key":` before position `at`, so that a message can name it. */
static nearest_key key_before(const char *text, size_t at) {
  while (at > 0) {
    if (text[--at] != ':') continue;
    size_t end = at;
    while (end > 0 && json_space(text[end - 1])) end--;
    if (end == 0 || text[end - 1] != '"') continue;
    size_t start = --end;
    while (start > 0 && text[start - 1] >= 0x20 && text[start - 1] <= 0x7E && text[start - 1] != '"') start--;
    if (start == 0 || text[start - 1] != '"' || end - start > MAX_KEY) break;
    return (nearest_key){text + start, (int)(end - start)};
  }
  return (nearest_key){NULL, 0};
}

/* What is wrong, and where: line, offset, and the key in whose value it is. */
static gale_status refuse(const char *source, slice text, uint64_t base, const value_report *report,
                          gale_error *error) {
  size_t line = 1;
  for (size_t i = 0; i < report->at; i++) line += text.s[i] == '\n';
  nearest_key key = key_before(text.s, report->at);
  return error_set(error, GALE_E_FORMAT, "%s: JSON at line %zu, offset %" PRIu64 "%s%.*s%s: %s", source, line,
                   base + report->at, key.length ? ", key \"" : "", key.length, key.length ? key.text : "",
                   key.length ? "\"" : "", report->why);
}

gale_status json_parse(const char *source, const char *text, size_t n, uint64_t base, json_integers integers,
                       json_document *d, gale_error *error) {
  const value_form form = {.flags = VALUE_NO_NUL | (integers == JSON_INTEGERS_EXACT ? VALUE_INT64 : 0),
                           .depth = MAX_DEPTH};
  value_report report;
  value *root = NULL;
  *d = (json_document){0};
  value_status read = value_read(&d->memory, (slice){text, n}, form, &root, &report);
  gale_status status = GALE_OK;
  if (read == VALUE_MEMORY)
    status = error_memory(error, n);
  else if (read)
    status = refuse(source, (slice){text, n}, base, &report, error);
  else if (root->kind != VALUE_OBJECT)
    status =
        error_set(error, GALE_E_FORMAT, "%s: JSON at line 1, offset %" PRIu64 ": an object is accepted", source, base);
  d->root = root;
  if (status) json_close(d);
  return status;
}

gale_status json_parse_file(const char *path, json_integers integers, json_document *d, gale_error *error) {
  char *text = NULL;
  size_t n = 0;
  *d = (json_document){0};
  gale_status status = file_load(path, JSON_MAX_BYTES, &text, &n, error);
  if (status) return status;
  status = json_parse(path, text, n, 0, integers, d, error);
  d->text = text;
  if (status) json_close(d);
  return status;
}

void json_close(json_document *d) {
  arena_free(&d->memory);
  free(d->text);
  *d = (json_document){0};
}

/* ---- One value ---- */

static bool is_scalar(const value *v) {
  return v->kind != VALUE_OBJECT && v->kind != VALUE_ARRAY;
}

bool json_is_setting(const value *v) {
  if (v->kind != VALUE_ARRAY) return is_scalar(v);
  bool fits = true;
  for (const value *item = v->first; item && fits; item = item->next) fits = is_scalar(item);
  return fits;
}

static void set_number(double number, json_integers integers, setting *s) {
  if (integers == JSON_INTEGERS_ANY && fabs(number) < 0x1p53 && number == trunc(number)) {
    s->type = SETTING_INT;
    s->integer = (int64_t)number;
  } else {
    s->type = SETTING_FLOAT;
    s->number = number;
  }
}

static gale_status set_scalar(checkpoint *c, const value *v, json_integers integers, setting *s, gale_error *error) {
  switch (v->kind) {
  case VALUE_TRUE:
  case VALUE_FALSE:
    s->type = SETTING_BOOL;
    s->boolean = v->kind == VALUE_TRUE;
    break;
  case VALUE_INTEGER:
  case VALUE_REAL:
    if (value_int64(v, &s->integer))
      s->type = SETTING_INT;
    else
      set_number(value_double(v), integers, s);
    break;
  case VALUE_STRING:
    s->type = SETTING_STRING;
    s->string.length = v->text.n;
    s->string.bytes = arena_string(&c->memory, v->text.s, v->text.n);
    if (!s->string.bytes) return error_memory(error, v->text.n);
    break;
  default:
    s->type = SETTING_NULL;
  }
  return GALE_OK;
}

gale_status json_setting(checkpoint *c, const value *v, json_integers integers, setting *s, gale_error *error) {
  if (is_scalar(v)) return set_scalar(c, v, integers, s, error);
  setting *items = arena_array(&c->memory, v->count, sizeof *items);
  if (!items) return error_memory(error, v->count * sizeof *items);
  s->type = SETTING_ARRAY;
  s->array.items = items;
  s->array.length = v->count;
  gale_status status = GALE_OK;
  for (const value *item = v->first; item && !status; item = item->next)
    status = set_scalar(c, item, integers, items++, error);
  return status;
}

/* ---- Objects ---- */

typedef struct flattener {
  checkpoint *c;
  const char *source;
  json_integers integers;
  gale_error *error;
  char key[MAX_KEY + 1]; /* path of the value at hand */
} flattener;

static gale_status flatten_value(flattener *f, const value *v) {
  if (!json_is_setting(v)) return GALE_OK;
  if (f->c->n_settings >= MAX_SETTINGS)
    return error_set(f->error, GALE_E_FORMAT, "%s: key \"%s\": more than %d values", f->source, f->key, MAX_SETTINGS);
  const char *key = arena_string(&f->c->memory, f->key, strlen(f->key));
  setting *s = key ? checkpoint_add_settings(f->c, 1) : NULL;
  if (!s) return error_memory(f->error, sizeof *s);
  s->key = key;
  return json_setting(f->c, v, f->integers, s, f->error);
}

/* Recursion is bounded by MAX_DEPTH, which the text was checked for. */
static gale_status flatten_object(flattener *f, const value *object) {
  size_t end = strlen(f->key);
  for (const value *v = object->first; v; v = v->next) {
    size_t length = v->key.n;
    bool dot = end > 0 && f->key[end - 1] != '.';
    if (end + dot + length > MAX_KEY)
      return error_set(f->error, GALE_E_FORMAT,
                       "%s: a key inside \"%s\" is %zu bytes long; a path of at most %d is accepted", f->source, f->key,
                       length, MAX_KEY);
    if (dot) f->key[end] = '.';
    memcpy(f->key + end + dot, v->key.s, length);
    f->key[end + dot + length] = 0;
    gale_status status = v->kind == VALUE_OBJECT ? flatten_object(f, v) : flatten_value(f, v);
    f->key[end] = 0;
    if (status) return status;
  }
  return GALE_OK;
}

gale_status json_settings(checkpoint *c, const char *source, const char *prefix, const value *root,
                          json_integers integers, gale_error *error) {
  flattener f = {.c = c, .source = source, .integers = integers, .error = error};
  size_t n = strlen(prefix);
  if (n > MAX_KEY) return error_set(error, GALE_E_ARGUMENT, "%s: the prefix is too long", source);
  memcpy(f.key, prefix, n + 1);
  return flatten_object(&f, root);
}

gale_status json_settings_file(checkpoint *c, const char *path, const char *prefix, json_integers integers,
                               gale_error *error) {
  json_document d;
  gale_status status = json_parse_file(path, integers, &d, error);
  if (status) return status;
  status = json_settings(c, path, prefix, d.root, integers, error);
  json_close(&d);
  return status;
}
