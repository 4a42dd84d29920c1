#include "format/json.h"
#include "format/reader.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
  MAX_DEPTH = 64,
  MAX_MARKS = 1 << 20,    /* commas and opening brackets; the value after one takes up to 250 bytes of memory */
  MAX_SETTINGS = 1 << 18, /* of a checkpoint */
  MAX_KEY = 255,          /* of a path joined by dots: nested long keys would multiply */
};

/* ---- Parsing ---- */

/* Bounds what the parser will recurse into and allocate, before it starts. */
static gale_status check_size(const char *source, const char *text, size_t n, uint64_t base, gale_error *error) {
  bool quoted = false;
  size_t depth = 0, marks = 0;
  for (size_t i = 0; i < n; i++) {
    char ch = text[i];
    if (quoted && ch == '\\') {
      i++;
    } else if (ch == '"') {
      quoted = !quoted;
    } else if (!quoted) {
      bool opens = ch == '{' || ch == '[', closes = ch == '}' || ch == ']';
      depth += opens;
      depth -= closes && depth > 0;
      marks += opens || ch == ',';
    }
    if (depth > MAX_DEPTH)
      return error_set(error, GALE_E_FORMAT, "%s: JSON at offset %" PRIu64 " is nested deeper than %d", source,
                       base + i, MAX_DEPTH);
    if (marks > MAX_MARKS)
      return error_set(error, GALE_E_FORMAT, "%s: JSON at offset %" PRIu64 ": more than %d values", source, base + i,
                       MAX_MARKS);
  }
  return GALE_OK;
}

typedef struct nearest_key {
  const char *text;
  int length; /* 0: none found */
} nearest_key;

/* The last `"key":` before position `at`. The parser does not say in which key's value it stopped. */
static nearest_key key_before(const char *text, size_t at) {
  while (at > 0) {
    if (text[--at] != ':') continue;
    size_t end = at;
    while (end > 0 && strchr(" \t\r\n", text[end - 1])) end--;
    if (end == 0 || text[end - 1] != '"') continue;
    size_t start = --end;
    while (start > 0 && text[start - 1] >= 0x20 && text[start - 1] <= 0x7E && text[start - 1] != '"') start--;
    if (start == 0 || text[start - 1] != '"' || end - start > MAX_KEY) break;
    return (nearest_key){text + start, (int)(end - start)};
  }
  return (nearest_key){NULL, 0};
}

gale_status json_parse(const char *source, const char *text, size_t n, uint64_t base, json_integers integers,
                       json_t **root, gale_error *error) {
  gale_status status = check_size(source, text, n, base, error);
  if (status) return status;
  json_error_t why;
  size_t flags = JSON_REJECT_DUPLICATES | (integers == JSON_INTEGERS_ANY ? JSON_DECODE_INT_AS_REAL : 0);
  json_t *value = json_loadb(text, n, flags, &why);
  if (!value && !*why.text) return error_memory(error, n); /* the one failure that the parser is silent about */
  if (!value) {
    size_t at = why.position < 0 ? 0 : (size_t)why.position < n ? (size_t)why.position : n;
    nearest_key key = key_before(text, at);
    return error_set(error, GALE_E_FORMAT, "%s: JSON at line %d, offset %" PRIu64 "%s%.*s%s: %s", source, why.line,
                     base + at, key.length ? ", key \"" : "", key.length, key.length ? key.text : "",
                     key.length ? "\"" : "", why.text);
  }
  if (!json_is_object(value)) {
    json_decref(value);
    return error_set(error, GALE_E_FORMAT, "%s: JSON at offset %" PRIu64 ": an object is accepted", source, base);
  }
  *root = value;
  return GALE_OK;
}

gale_status json_parse_file(const char *path, json_integers integers, json_t **root, gale_error *error) {
  char *text = NULL;
  size_t n = 0;
  gale_status status = file_load(path, JSON_MAX_BYTES, &text, &n, error);
  if (status) return status;
  status = json_parse(path, text, n, 0, integers, root, error);
  free(text);
  return status;
}

/* ---- One value ---- */

static bool is_scalar(const json_t *value) {
  return !json_is_object(value) && !json_is_array(value);
}

bool json_is_setting(const json_t *value) {
  bool fits = !json_is_object(value);
  for (size_t i = 0; i < json_array_size(value) && fits; i++) fits = is_scalar(json_array_get(value, i));
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

static gale_status set_scalar(checkpoint *c, const json_t *value, json_integers integers, setting *s,
                              gale_error *error) {
  switch (json_typeof(value)) {
  case JSON_TRUE:
  case JSON_FALSE:
    s->type = SETTING_BOOL;
    s->boolean = json_is_true(value);
    break;
  case JSON_INTEGER:
    s->type = SETTING_INT;
    s->integer = json_integer_value(value);
    break;
  case JSON_REAL:
    set_number(json_real_value(value), integers, s);
    break;
  case JSON_STRING:
    s->type = SETTING_STRING;
    s->string.length = json_string_length(value);
    s->string.bytes = arena_string(&c->memory, json_string_value(value), s->string.length);
    if (!s->string.bytes) return error_memory(error, s->string.length);
    break;
  default:
    s->type = SETTING_NULL;
  }
  return GALE_OK;
}

gale_status json_setting(checkpoint *c, const json_t *value, json_integers integers, setting *s, gale_error *error) {
  if (is_scalar(value)) return set_scalar(c, value, integers, s, error);
  size_t n = json_array_size(value);
  setting *items = arena_array(&c->memory, n, sizeof *items);
  if (!items) return error_memory(error, n * sizeof *items);
  s->type = SETTING_ARRAY;
  s->array.items = items;
  s->array.length = n;
  gale_status status = GALE_OK;
  for (size_t i = 0; i < n && !status; i++)
    status = set_scalar(c, json_array_get(value, i), integers, &items[i], error);
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

static gale_status flatten_value(flattener *f, const json_t *value) {
  if (!json_is_setting(value)) return GALE_OK;
  if (f->c->n_settings >= MAX_SETTINGS)
    return error_set(f->error, GALE_E_FORMAT, "%s: key \"%s\": more than %d values", f->source, f->key, MAX_SETTINGS);
  const char *key = arena_string(&f->c->memory, f->key, strlen(f->key));
  setting *s = key ? checkpoint_add_settings(f->c, 1) : NULL;
  if (!s) return error_memory(f->error, sizeof *s);
  s->key = key;
  return json_setting(f->c, value, f->integers, s, f->error);
}

/* Recursion is bounded by MAX_DEPTH, which the text was checked for. */
static gale_status flatten_object(flattener *f, const json_t *object) {
  size_t end = strlen(f->key);
  const char *name;
  json_t *value;
  json_object_foreach((json_t *)object, name, value) {
    size_t length = strlen(name);
    bool dot = end > 0 && f->key[end - 1] != '.';
    if (end + dot + length > MAX_KEY)
      return error_set(f->error, GALE_E_FORMAT,
                       "%s: a key inside \"%s\" is %zu bytes long; a path of at most %d is accepted", f->source, f->key,
                       length, MAX_KEY);
    if (dot) f->key[end] = '.';
    memcpy(f->key + end + dot, name, length + 1);
    gale_status status = json_is_object(value) ? flatten_object(f, value) : flatten_value(f, value);
    f->key[end] = 0;
    if (status) return status;
  }
  return GALE_OK;
}

gale_status json_settings(checkpoint *c, const char *source, const char *prefix, const json_t *root,
                          json_integers integers, gale_error *error) {
  flattener f = {.c = c, .source = source, .integers = integers, .error = error};
  size_t n = strlen(prefix);
  if (n > MAX_KEY) return error_set(error, GALE_E_ARGUMENT, "%s: the prefix is too long", source);
  memcpy(f.key, prefix, n + 1);
  return flatten_object(&f, root);
}

gale_status json_settings_file(checkpoint *c, const char *path, const char *prefix, json_integers integers,
                               gale_error *error) {
  json_t *root = NULL;
  gale_status status = json_parse_file(path, integers, &root, error);
  if (status) return status;
  status = json_settings(c, path, prefix, root, integers, error);
  json_decref(root);
  return status;
}
