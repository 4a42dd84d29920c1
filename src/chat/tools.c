/* Lists of tools: what is accepted as one, and how it is written for a model. */
#include "chat/chat.h"
#include "json/regex.h"

#include <stdlib.h>

/* ---- JSON schemas, draft 7 ---- */

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

static bool is_bool(const value *v) {
  return v->kind == VALUE_TRUE || v->kind == VALUE_FALSE;
}

static bool is_number(const value *v) {
  return v->kind == VALUE_INTEGER || v->kind == VALUE_REAL;
}

/* A number of which a sign or a digit other than 0 says where it lies. */
static bool is_positive(const value *v) {
  if (!is_number(v) || v->text.s[0] == '-' || slice_is(v->text, "NaN")) return false;
  for (size_t i = 0; i < v->text.n; i++)
    if (v->text.s[i] == 'e')
      break;
    else if (v->text.s[i] != '0' && v->text.s[i] != '.')
      return true;
  return false;
}

/* Reals count where nothing stands behind their point. */
static bool is_count(const value *v) {
  if (!is_number(v) || slice_is(v->text, "NaN") || slice_is(v->text, "Infinity")) return false;
  bool zero = slice_is(v->text, "0") || slice_is(v->text, "0.0") || slice_is(v->text, "-0.0");
  if (v->text.s[0] == '-') return zero;
  const char *point = v->kind == VALUE_REAL ? memchr(v->text.s, '.', v->text.n) : NULL;
  const char *minus = v->kind == VALUE_REAL ? memchr(v->text.s, '-', v->text.n) : NULL;
  bool large = v->kind == VALUE_REAL && memchr(v->text.s, 'e', v->text.n);
  return !minus && (!point || large || (point[1] == '0' && point + 2 == v->text.s + v->text.n));
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
    return is_bool(v);
  case RULE_NUMBER:
    return is_number(v);
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
  if (is_bool(schema)) return true;
  if (schema->kind != VALUE_OBJECT) return false;
  for (size_t i = 0; i < sizeof KEYWORDS / sizeof *KEYWORDS; i++) {
    const value *v = value_get(schema, KEYWORDS[i].key);
    if (!v) continue;
    *where = KEYWORDS[i].key;
    if (!follows(v, KEYWORDS[i].rule, where)) return false;
  }
  return true;
}

/* ---- Tools ---- */

static void check_tool(prompt *p, const value *tool, size_t index) {
  const value *type = value_get(tool, "type"), *function = value_get(tool, "function");
  const value *name = value_get(function, "name"), *about = value_given(function, "description");
  const value *parameters = value_given(function, "parameters"), *strict = value_given(function, "strict");
  if (tool->kind != VALUE_OBJECT || (type && (type->kind != VALUE_STRING || !slice_is(type->text, "function"))))
    prompt_refuse(p, "tools[%zu]: an object whose type is \"function\" is accepted", index);
  else if (!name || name->kind != VALUE_STRING)
    prompt_refuse(p, "tools[%zu].function.name: a string is needed", index);
  else if (!function_name_fits(name->text))
    prompt_refuse(p, "tools[%zu].function.name: \"%.*s\" is not 1 to 64 of a-z, A-Z, 0-9, _ and -", index,
                  (int)(name->text.n < 80 ? name->text.n : 80), name->text.s);
  else if (about && about->kind != VALUE_STRING)
    prompt_refuse(p, "tools[%zu].function.description: a string is accepted", index);
  else if (strict && !is_bool(strict))
    prompt_refuse(p, "tools[%zu].function.strict: true or false is accepted", index);
  const char *where = "";
  if (!p->status && parameters && (parameters->kind != VALUE_OBJECT || !schema_check(parameters, &where)))
    prompt_refuse(p, "tools[%zu].function.parameters: not a JSON schema of draft 7%s%s", index, *where ? ", at " : "",
                  where);
}

void tools_check(prompt *p, const value *tools) {
  size_t index = 0;
  if (tools->kind != VALUE_ARRAY) prompt_refuse(p, "tools: a list is accepted");
  for (const value *tool = tools->first; tool && !p->status; tool = tool->next) check_tool(p, tool, index++);
}

void tools_write(prompt *p, const value *tools) {
  prompt_text(p, "[");
  for (const value *tool = tools->first; tool; tool = tool->next) {
    const value *function = value_get(tool, "function"), *name = value_get(function, "name");
    const value *about = value_given(function, "description"), *parameters = value_given(function, "parameters");
    prompt_text(p, tool == tools->first ? "{\"type\": \"function\", \"function\": {\"name\": "
                                        : ", {\"type\": \"function\", \"function\": {\"name\": ");
    bytes_add_value(&p->run, name);
    prompt_text(p, ", \"description\": ");
    about ? bytes_add_value(&p->run, about) : prompt_text(p, "\"\"");
    prompt_text(p, ", \"parameters\": ");
    parameters ? bytes_add_value(&p->run, parameters) : prompt_text(p, "{}");
    prompt_text(p, "}}");
  }
  prompt_text(p, "]");
}
