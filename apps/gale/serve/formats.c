/* What an answer must satisfy, in all the ways in which clients say it. */
#include "gale/serve/question.h"
#include "gale/serve/schema_words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static gale_constraint_options *new_options(question *q, gale_constraint_kind kind) {
  gale_constraint_options *o = fields_new(&q->fields, 1, sizeof *o);
  if (!o) return NULL;
  gale_constraint_defaults(o);
  o->kind = kind;
  return o;
}

/* A text that the options borrow, in the fields' memory. */
static gale_constraint_options *with_text(question *q, gale_constraint_kind kind, slice text) {
  gale_constraint_options *o = new_options(q, kind);
  if (o) o->text = text.s, o->length = text.n;
  return o;
}

const gale_constraint_options *format_object(question *q) {
  return new_options(q, GALE_CONSTRAINT_JSON);
}

/* A schema may come as a string of JSON; one that is none is refused when it is compiled. */
static void check_words(question *q, place at, const char *key, const value *v) {
  value *read = NULL;
  value_report report;
  const value_form form = {.depth = q->serving->limits.depth};
  if (v->kind == VALUE_STRING && value_read(&q->fields.memory, v->text, form, &read, &report)) return;
  const char *path = *at.path ? arena_printf(&q->fields.memory, "%s.%s", at.path, key) : key;
  if (path) schema_words_check((place){&q->fields, read ? read : v, path});
}

const gale_constraint_options *format_schema(question *q, place at, const char *key, bool lenient) {
  const value *v = field_any(at, key);
  if (!v) {
    field_refuse(at, key, FAILURE_FIELD, "a JSON schema is needed");
    return NULL;
  }
  byte_list text = {0};
  if (!lenient) check_words(q, at, key, v);
  if (v->kind == VALUE_STRING)
    bytes_add(&text, v->text);
  else
    bytes_add_value(&text, v);
  const char *copy = text.failed ? NULL : arena_string(&q->fields.memory, text.bytes ? text.bytes : "", text.n);
  if (!copy) fields_memory(&q->fields);
  gale_constraint_options *o = with_text(q, GALE_CONSTRAINT_JSON_SCHEMA, (slice){copy, copy ? text.n : 0});
  free(text.bytes);
  if (o) o->lenient = lenient;
  return o;
}

static const gale_constraint_options *format_choice(question *q, place at, const char *key) {
  place list = field_list(at, key);
  gale_constraint_options *o = list.v ? new_options(q, GALE_CONSTRAINT_CHOICE) : NULL;
  const char **choices = o ? fields_new(&q->fields, list.v->count, sizeof *choices) : NULL;
  size_t n = 0;
  if (!choices) return NULL;
  for (const value *v = list.v->first; v && !q->fields.refused; v = v->next, n++) {
    if (v->kind != VALUE_STRING || memchr(v->text.s, 0, v->text.n))
      field_refuse(place_item(list, n, v), NULL, FAILURE_FIELD, "a string without U+0000 is accepted");
    else
      choices[n] = fields_string(&q->fields, v->text);
  }
  o->choices = choices;
  o->n_choices = n;
  return o;
}

static const gale_constraint_options *format_text(question *q, place at, const char *key, gale_constraint_kind kind) {
  slice text = field_text(at, key);
  return text.s ? with_text(q, kind, text) : NULL;
}

static const gale_constraint_options *response_format(question *q, place format, place *where, const char **key) {
  static const char *const TYPES[] = {"text", "json_object", "json_schema", NULL};
  switch (field_choice(format, "type", TYPES)) {
  case 0:
    return NULL;
  case 1:
    *where = format;
    *key = "schema";
    return field_any(format, "schema") ? format_schema(q, format, "schema", false) : format_object(q);
  case 2: {
    place schema = field_object(format, "json_schema");
    if (!schema.v) field_refuse(format, "json_schema", FAILURE_FIELD, "an object is needed");
    *where = schema;
    *key = "schema";
    return format_schema(q, schema, "schema", !field_flag(schema, "strict", true));
  }
  default:
    field_refuse(format, "type", FAILURE_FIELD, "\"text\", \"json_object\" or \"json_schema\" is needed");
    return NULL;
  }
}

/* ---- All ways ---- */

typedef enum format_kind {
  FORMAT_RESPONSE,
  FORMAT_SCHEMA,
  FORMAT_REGEX,
  FORMAT_CHOICE,
  FORMAT_GRAMMAR,
} format_kind;

/* *where and *key become the field that says it. */
static const gale_constraint_options *read_format(question *q, place at, format_kind kind, place *where,
                                                  const char **name) {
  const char *key = *name;
  *where = at;
  switch (kind) {
  case FORMAT_RESPONSE: {
    place format = field_object(at, key);
    return format.v ? response_format(q, format, where, name) : NULL;
  }
  case FORMAT_SCHEMA:
    return format_schema(q, at, key, false);
  case FORMAT_REGEX:
    return format_text(q, at, key, GALE_CONSTRAINT_REGEX);
  case FORMAT_CHOICE:
    return format_choice(q, at, key);
  case FORMAT_GRAMMAR:
    return format_text(q, at, key, GALE_CONSTRAINT_GRAMMAR);
  }
  return NULL;
}

const gale_constraint_options *question_format(question *q, place body, place *where, const char **key) {
  static const struct {
    bool structured; /* within structured_outputs */
    const char *key;
    format_kind kind;
  } WAYS[] = {
      {false, "response_format", FORMAT_RESPONSE},
      {true, "json", FORMAT_SCHEMA},
      {true, "regex", FORMAT_REGEX},
      {true, "choice", FORMAT_CHOICE},
      {true, "grammar", FORMAT_GRAMMAR},
      {false, "guided_json", FORMAT_SCHEMA},
      {false, "guided_regex", FORMAT_REGEX},
      {false, "guided_choice", FORMAT_CHOICE},
      {false, "guided_grammar", FORMAT_GRAMMAR},
      {false, "json_schema", FORMAT_SCHEMA},
      {false, "grammar", FORMAT_GRAMMAR},
  };
  place structured = field_object(body, "structured_outputs");
  const gale_constraint_options *found = NULL;
  for (size_t i = 0; i < sizeof WAYS / sizeof *WAYS && !q->fields.refused; i++) {
    place at = WAYS[i].structured ? structured : body;
    if (!field_any(at, WAYS[i].key)) continue;
    place told = at;
    const char *name = WAYS[i].key;
    const gale_constraint_options *o = read_format(q, at, WAYS[i].kind, &told, &name);
    if (!o) continue;
    if (found) field_refuse(at, WAYS[i].key, FAILURE_FIELD, "there is another constraint, and one is accepted");
    found = o;
    *where = told;
    *key = name;
  }
  return q->fields.refused ? NULL : found;
}

/* The library says where in the constraint something is: "/properties/a: ..." or "[0].function: ...". */
static void refuse_constraint(place at, const char *key, failure why, const char *message) {
  const char *end = strstr(message, ": ");
  size_t n = end ? (size_t)(end - message) : 0;
  if (n < 2 || (*message != '/' && *message != '[') || memchr(message, ' ', n)) {
    field_refuse(at, key, why, "%s", message);
    return;
  }
  char *path = arena_printf(&at.f->memory, "%s%.*s", key ? key : "", (int)n, message);
  for (char *c = path; c && *c; c++)
    if (*c == '/') *c = '.';
  if (path && !key) at.path = arena_printf(&at.f->memory, "%s%s", at.path, path);
  field_refuse(at, key ? path : NULL, why, "%s", message);
}

void question_constrain(question *q, const gale_constraint_options *wanted, place at, const char *key) {
  gale_error error = {0};
  if (q->fields.refused || !wanted) return;
  gale_status status = constraints_get(answering_constraints(q->serving), wanted, &q->constraint, &error);
  if (status == GALE_E_MEMORY)
    fields_memory(&q->fields);
  else if (status)
    refuse_constraint(at, key, status == GALE_E_UNSUPPORTED ? FAILURE_UNSUPPORTED : FAILURE_FIELD, error.message);
}
