#include "json/value.h"

#include <string.h>

#include "json/value_index.h"

slice slice_of(const char *s) {
  return (slice){s, s ? strlen(s) : 0};
}

bool slice_is(slice a, const char *s) {
  return a.s && a.n == strlen(s) && memcmp(a.s, s, a.n) == 0;
}

bool slice_equal(slice a, slice b) {
  return a.n == b.n && (a.n == 0 || memcmp(a.s, b.s, a.n) == 0);
}

const value *value_find(const value *object, slice key) {
  if (!value_is(object, VALUE_OBJECT)) return NULL;
  if (object->index) return index_find(object->index, key);
  for (const value *m = object->first; m; m = m->next)
    if (slice_equal(m->key, key)) return m;
  return NULL;
}

const value *value_get(const value *object, const char *key) {
  return value_find(object, slice_of(key));
}

const value *value_given(const value *object, const char *key) {
  const value *v = value_get(object, key);
  return v && v->kind != VALUE_NULL ? v : NULL;
}

const value *value_item(const value *list, size_t i) {
  if (!list || i >= list->count) return NULL;
  const value *item = list->first;
  while (i-- > 0) item = item->next;
  return item;
}

bool value_is(const value *v, value_kind kind) {
  return v && v->kind == kind;
}

bool value_is_bool(const value *v) {
  return value_is(v, VALUE_TRUE) || value_is(v, VALUE_FALSE);
}

bool value_is_number(const value *v) {
  return value_is(v, VALUE_INTEGER) || value_is(v, VALUE_REAL);
}

bool value_says(const value *v, const char *text) {
  return value_is(v, VALUE_STRING) && slice_is(v->text, text);
}
