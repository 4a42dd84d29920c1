#include "gale/serve/fields.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Refusing ---- */

/* Cuts a text that was too long for its buffer where a character begins. */
static void cut_whole(char *text, size_t size, int written) {
  if (written < 0) text[0] = 0;
  if (written < (int)size) return;
  size_t n = size - 1;
  while (n > 0 && ((unsigned char)text[n - 1] & 0xC0) == 0x80) n--;
  text[n > 0 ? n - 1 : 0] = 0;
}

static void refuse(fields *f, failure why, const char *param, const char *format, va_list arguments) {
  if (f->refused) return;
  f->refused = true;
  f->why = why;
  cut_whole(f->param, sizeof f->param, snprintf(f->param, sizeof f->param, "%s", param));
  size_t used = *param ? strlen(f->param) : 0;
  if (used) cut_whole(f->message, sizeof f->message, snprintf(f->message, sizeof f->message, "%s: ", f->param));
  used = strlen(f->message);
  cut_whole(f->message + used, sizeof f->message - used,
            vsnprintf(f->message + used, sizeof f->message - used, format, arguments));
}

/* The path of a field, in the fields' memory. */
static const char *path_of(place at, const char *key) {
  if (!key || !*at.path) return key ? key : at.path;
  const char *path = arena_printf(&at.f->memory, "%s.%s", at.path, key);
  return path ? path : key;
}

void field_refuse(place at, const char *key, failure why, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  refuse(at.f, why, at.f->refused ? "" : path_of(at, key), format, arguments);
  va_end(arguments);
}

void fields_refuse(fields *f, failure why, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  refuse(f, why, "", format, arguments);
  va_end(arguments);
}

/* In the first `n` bytes of a text. */
static void rename_part(char *text, size_t size, size_t n, const char *from, const char *to) {
  char *at = strstr(text, from);
  if (!at || (size_t)(at - text) >= n) return;
  char rest[640];
  snprintf(rest, sizeof rest, "%s", at + strlen(from));
  size_t left = size - (size_t)(at - text);
  cut_whole(at, left, snprintf(at, left, "%s%s", to, rest));
}

void fields_rename(fields *f, const char *from, const char *to) {
  size_t n = strlen(f->param);
  rename_part(f->message, sizeof f->message, n, from, to);
  rename_part(f->param, sizeof f->param, n, from, to);
}

void fields_memory(fields *f) {
  fields_refuse(f, FAILURE_MEMORY, "out of memory");
}

void *fields_new(fields *f, size_t count, size_t size) {
  void *memory = arena_array(&f->memory, count, size);
  if (!memory) fields_memory(f);
  return memory;
}

const char *fields_string(fields *f, slice text) {
  const char *copy = arena_string(&f->memory, text.s, text.n);
  if (!copy) fields_memory(f);
  return copy;
}

/* ---- One field ---- */

const value *field_any(place at, const char *key) {
  return value_given(at.v, key);
}

bool field_flag(place at, const char *key, bool missing) {
  const value *v = field_any(at, key);
  if (!v) return missing;
  if (!value_is_bool(v)) field_refuse(at, key, FAILURE_FIELD, "true or false is accepted");
  return v->kind == VALUE_TRUE;
}

/* An integer, or a real number that is one, such as 5.0. */
static bool whole_number(const value *v, int64_t *number) {
  if (value_int64(v, number)) return true;
  double x = value_double(v);
  if (!value_is(v, VALUE_REAL) || x != floor(x) || fabs(x) > 9e15) return false;
  *number = (int64_t)x;
  return true;
}

int64_t field_integer(place at, const char *key, int64_t least, int64_t most, int64_t missing) {
  const value *v = field_any(at, key);
  int64_t number;
  if (!v) return missing;
  if (whole_number(v, &number) && number >= least && number <= most) return number;
  field_refuse(at, key, FAILURE_FIELD, "an integer from %lld to %lld is accepted", (long long)least, (long long)most);
  return missing;
}

double field_number(place at, const char *key, double least, double most, double missing) {
  const value *v = field_any(at, key);
  if (!v) return missing;
  double number = value_double(v);
  if (number >= least && number <= most) return number;
  field_refuse(at, key, FAILURE_FIELD, "a number from %g to %g is accepted", least, most);
  return missing;
}

slice field_text(place at, const char *key) {
  const value *v = field_any(at, key);
  if (!v || v->kind == VALUE_STRING) return v ? v->text : (slice){0};
  field_refuse(at, key, FAILURE_FIELD, "a string is accepted");
  return (slice){0};
}

const char *field_string(place at, const char *key) {
  slice text = field_text(at, key);
  if (!text.s) return NULL;
  if (memchr(text.s, 0, text.n)) {
    field_refuse(at, key, FAILURE_FIELD, "a string without U+0000 is accepted");
    return NULL;
  }
  return fields_string(at.f, text);
}

int field_choice(place at, const char *key, const char *const *choices) {
  const value *v = field_any(at, key);
  if (!v) return -1;
  byte_list names = {0};
  for (int i = 0; choices[i]; i++) {
    if (value_says(v, choices[i])) {
      free(names.bytes);
      return i;
    }
    if (i > 0) bytes_add(&names, choices[i + 1] ? SLICE(", ") : SLICE(" or "));
    bytes_add_string(&names, slice_of(choices[i]));
  }
  field_refuse(at, key, FAILURE_FIELD, "%.*s is accepted", (int)names.n, names.bytes ? names.bytes : "");
  free(names.bytes);
  return -1;
}

/* ---- Objects and lists within ---- */

static place within(place at, const char *key, value_kind kind, const char *what) {
  const value *v = field_any(at, key);
  if (v && v->kind != kind) {
    field_refuse(at, key, FAILURE_FIELD, "%s is accepted", what);
    v = NULL;
  }
  return (place){at.f, v, v ? path_of(at, key) : key};
}

place field_object(place at, const char *key) {
  return within(at, key, VALUE_OBJECT, "an object");
}

place field_list(place at, const char *key) {
  return within(at, key, VALUE_ARRAY, "a list");
}

place place_item(place list, size_t index, const value *item) {
  const char *path = arena_printf(&list.f->memory, "%s[%zu]", list.path, index);
  if (!path) fields_memory(list.f);
  return (place){list.f, item, path ? path : list.path};
}

place place_object(place list, size_t index, const value *item) {
  place at = place_item(list, index, item);
  if (item->kind == VALUE_OBJECT) return at;
  field_refuse(at, NULL, FAILURE_FIELD, "an object is accepted");
  at.v = NULL;
  return at;
}

/* ---- What is refused where it says anything ---- */

/* Two values that are written alike; numbers are compared by value. */
static bool same_value(const value *a, const value *b) {
  if (value_is_number(a) && value_is_number(b)) return value_double(a) == value_double(b);
  if (a->kind != b->kind || a->count != b->count || !slice_equal(a->text, b->text)) return false;
  const value *y = b->first;
  for (const value *x = a->first; x; x = x->next, y = y->next)
    if (!slice_equal(x->key, y->key) || !same_value(x, y)) return false;
  return true;
}

void fields_neutral(place at, const neutral_field *list) {
  for (; list->key && !at.f->refused; list++) {
    const value *v = field_any(at, list->key);
    if (!v) continue;
    value *neutral = NULL;
    value_report report;
    if (list->neutral && value_read(&at.f->memory, slice_of(list->neutral), VALUE_REQUEST, &neutral, &report))
      fields_memory(at.f);
    if (neutral && same_value(v, neutral)) continue;
    if (list->neutral)
      field_refuse(at, list->key, FAILURE_UNSUPPORTED, "not supported; %s is accepted", list->neutral);
    else
      field_refuse(at, list->key, FAILURE_UNSUPPORTED, "not supported");
  }
}
