#include "json/schema.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "json/regex.h"

typedef enum rule {
  RULE_STRING,
  RULE_REGEX,
  RULE_BOOL,
  RULE_NUMBER,
  RULE_POSITIVE,
  RULE_COUNT,
  RULE_ARRAY,
  RULE_STRINGS, /* different ones */
  RULE_TYPE,    /* the name of a type, or a list of different ones */
  RULE_SCHEMA,
  RULE_SCHEMAS,      /* at least one */
  RULE_ITEMS,        /* a schema or schemas */
  RULE_SCHEMA_MAP,   /* an object of schemas */
  RULE_REGEX_MAP,    /* the same with regular expressions for keys */
  RULE_DEPENDENCIES, /* an object of schemas or of strings */
} rule;

static const struct {
  const char *key;
  rule rule;
} KEYWORDS[] = {
    {"$id", RULE_STRING},
    {"$schema", RULE_STRING},
    {"$ref", RULE_STRING},
    {"$comment", RULE_STRING},
    {"title", RULE_STRING},
    {"description", RULE_STRING},
    {"readOnly", RULE_BOOL},
    {"examples", RULE_ARRAY},
    {"multipleOf", RULE_POSITIVE},
    {"maximum", RULE_NUMBER},
    {"exclusiveMaximum", RULE_NUMBER},
    {"minimum", RULE_NUMBER},
    {"exclusiveMinimum", RULE_NUMBER},
    {"maxLength", RULE_COUNT},
    {"minLength", RULE_COUNT},
    {"pattern", RULE_REGEX},
    {"additionalItems", RULE_SCHEMA},
    {"items", RULE_ITEMS},
    {"maxItems", RULE_COUNT},
    {"minItems", RULE_COUNT},
    {"uniqueItems", RULE_BOOL},
    {"contains", RULE_SCHEMA},
    {"maxProperties", RULE_COUNT},
    {"minProperties", RULE_COUNT},
    {"required", RULE_STRINGS},
    {"additionalProperties", RULE_SCHEMA},
    {"definitions", RULE_SCHEMA_MAP},
    {"properties", RULE_SCHEMA_MAP},
    {"patternProperties", RULE_REGEX_MAP},
    {"dependencies", RULE_DEPENDENCIES},
    {"propertyNames", RULE_SCHEMA},
    {"enum", RULE_ARRAY},
    {"type", RULE_TYPE},
    {"format", RULE_STRING},
    {"contentMediaType", RULE_STRING},
    {"contentEncoding", RULE_STRING},
    {"if", RULE_SCHEMA},
    {"then", RULE_SCHEMA},
    {"else", RULE_SCHEMA},
    {"allOf", RULE_SCHEMAS},
    {"anyOf", RULE_SCHEMAS},
    {"oneOf", RULE_SCHEMAS},
    {"not", RULE_SCHEMA},
};

static bool is_positive(const value *v) {
  return value_double(v) > 0;
}

/* Reals count where nothing stands behind their point. */
static bool is_count(const value *v) {
  double x = value_double(v);
  bool whole = value_is(v, VALUE_INTEGER) || (isfinite(x) && x == floor(x));
  return whole && x >= 0;
}

static bool is_type(const value *v) {
  static const char *const TYPES[] = {"array", "boolean", "integer", "null", "number", "object", "string"};
  for (size_t i = 0; v->kind == VALUE_STRING && i < sizeof TYPES / sizeof *TYPES; i++)
    if (slice_is(v->text, TYPES[i])) return true;
  return false;
}

static int compare_strings(const void *a, const void *b) {
  slice x = (*(const value *const *)a)->text, y = (*(const value *const *)b)->text;
  size_t n = x.n < y.n ? x.n : y.n;
  int order = n ? memcmp(x.s, y.s, n) : 0;
  return order ? order : (x.n > y.n) - (x.n < y.n);
}

/* A list of different strings, which `fits` accepts. */
static bool is_strings(const value *v, size_t least, bool (*fits)(const value *)) {
  if (v->kind != VALUE_ARRAY || v->count < least) return false;
  const value **list = malloc((v->count + 1) * sizeof *list);
  size_t n = 0;
  bool good = list != NULL;
  for (const value *item = v->first; item && good; item = item->next) {
    good = item->kind == VALUE_STRING && (!fits || fits(item));
    list[n++] = item;
  }
  if (good) qsort(list, n, sizeof *list, compare_strings);
  for (size_t i = 1; i < n && good; i++) good = !slice_equal(list[i - 1]->text, list[i]->text);
  free(list);
  return good;
}

static bool all_schemas(const value *v, bool or_strings, const char **where) {
  for (const value *item = v->first; item; item = item->next)
    if (!(or_strings && is_strings(item, 0, NULL)) && !schema_check(item, where)) return false;
  return true;
}

static bool follows(const value *v, rule r, const char **where) {
  switch (r) {
  case RULE_STRING:
    return v->kind == VALUE_STRING;
  case RULE_REGEX:
    return v->kind == VALUE_STRING && regex_valid(v->text);
  case RULE_BOOL:
    return value_is_bool(v);
  case RULE_NUMBER:
    return value_is_number(v);
  case RULE_POSITIVE:
    return is_positive(v);
  case RULE_COUNT:
    return is_count(v);
  case RULE_ARRAY:
    return v->kind == VALUE_ARRAY;
  case RULE_STRINGS:
    return is_strings(v, 0, NULL);
  case RULE_TYPE:
    return is_type(v) || is_strings(v, 1, is_type);
  case RULE_SCHEMA:
    return schema_check(v, where);
  case RULE_ITEMS:
    if (v->kind != VALUE_ARRAY) return schema_check(v, where);
    return v->count > 0 && all_schemas(v, false, where);
  case RULE_SCHEMAS:
    return v->kind == VALUE_ARRAY && v->count > 0 && all_schemas(v, false, where);
  case RULE_REGEX_MAP:
    for (const value *m = v->kind == VALUE_OBJECT ? v->first : NULL; m; m = m->next)
      if (!regex_valid(m->key)) return false;
    return v->kind == VALUE_OBJECT && all_schemas(v, false, where);
  case RULE_SCHEMA_MAP:
  case RULE_DEPENDENCIES:
    return v->kind == VALUE_OBJECT && all_schemas(v, r == RULE_DEPENDENCIES, where);
  }
  return false;
}

bool schema_check(const value *schema, const char **where) {
  if (value_is_bool(schema)) return true;
  if (schema->kind != VALUE_OBJECT) return false;
  for (size_t i = 0; i < sizeof KEYWORDS / sizeof *KEYWORDS; i++) {
    const value *v = value_get(schema, KEYWORDS[i].key);
    if (!v) continue;
    *where = KEYWORDS[i].key;
    if (!follows(v, KEYWORDS[i].rule, where)) return false;
  }
  return true;
}
