#include "constraint/call_form.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "constraint/json_text.h"
#include "tokenizer/templates.h"

static const char *const MARKS[MOST_MARKS] = {"[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"};
enum { MARK_CALLS, MARK_ID, MARK_ARGUMENTS };

/* How a template writes a call. */
typedef enum call_style {
  STYLE_TAGS,     /* gale's own */
  STYLE_OBJECTS,  /* Llama 3: the answer is objects with "parameters" */
  STYLE_LIST,     /* Mistral's v2 to v7: a list of objects behind a mark */
  STYLE_MARKS_ID, /* v11: name, id and arguments between marks */
  STYLE_MARKS,    /* from v13 on: the same without an id */
  STYLE_NONE,
} call_style;

static call_style style_of(const gale_constraint_options *o) {
  for (const chat_template *row = CHAT_TEMPLATES; o->form && row->name; row++) {
    if (strcmp(row->name, o->form) != 0) continue;
    if (row->version >= 13) return STYLE_MARKS;
    if (row->version >= 11) return STYLE_MARKS_ID;
    if (row->version >= 2) return STYLE_LIST;
    if (row->tools) return STYLE_OBJECTS;
    return o->generic_tools ? STYLE_TAGS : STYLE_NONE;
  }
  return STYLE_NONE;
}

gale_status call_marks_find(const gale_tokenizer *t, const gale_constraint_options *o, call_marks *marks,
                            gale_error *error) {
  static const bool NEEDED[][MOST_MARKS] = {[STYLE_LIST] = {true},
                                            [STYLE_MARKS_ID] = {true, true, true},
                                            [STYLE_MARKS] = {true, false, true},
                                            [STYLE_NONE] = {0}};
  call_style style = style_of(o);
  if (style == STYLE_NONE)
    return error_set(error, GALE_E_ARGUMENT, "form is \"%.64s\": a template that has a form for calls is accepted",
                     o->form ? o->form : "");
  for (int i = 0; i < MOST_MARKS; i++) {
    marks->tokens[i] = NEEDED[style][i] ? tokenizer_control(t, MARKS[i]) : -1;
    if (NEEDED[style][i] && marks->tokens[i] < 0)
      return error_set(error, GALE_E_ARGUMENT, "the vocabulary has no control token %s, which the form needs",
                       MARKS[i]);
  }
  return GALE_OK;
}

static expr *mark(expr_pool *p, int which) {
  return expr_text(p, (const char[]){(char)MARK_BYTE, (char)('0' + which)}, 2);
}

/* ---- One tool ---- */

typedef struct call_maker {
  expr_pool *p;
  const gale_constraint_options *o;
  call_style style;
  gale_error *error;
} call_maker;

/* The schema as text, of an object. */
static gale_status parameters_text(const value *parameters, byte_list *text, gale_error *error) {
  bytes_add(text, SLICE("{"));
  if (!value_get(parameters, "type")) bytes_add(text, SLICE("\"type\": \"object\", "));
  byte_list rest = {0};
  bytes_add_value(&rest, parameters);
  if (rest.n > 1) bytes_add(text, (slice){rest.bytes + 1, rest.n - 1});
  /* {"type": "object", } of an empty schema */
  if (parameters->count == 0) {
    text->n = 0;
    bytes_add(text, SLICE("{\"type\": \"object\"}"));
  }
  bool failed = rest.failed || text->failed;
  free(rest.bytes);
  return failed ? error_memory(error, text->n) : GALE_OK;
}

static gale_status arguments_of(const call_maker *m, const value *function, size_t index, expr **e) {
  const value *parameters = value_given(function, "parameters"), *strict = value_given(function, "strict");
  bool is_strict = value_is(strict, VALUE_TRUE);
  if (!parameters || (!m->o->required && !is_strict)) {
    *e = json_any_object(m->p, JSON_DEPTH - 2);
    return GALE_OK;
  }
  if (parameters->kind != VALUE_OBJECT)
    return error_set(m->error, GALE_E_ARGUMENT, "[%zu].function.parameters: an object is accepted", index);
  byte_list text = {0};
  gale_constraint_options o = *m->o;
  gale_error error = {0};
  gale_status status = parameters_text(parameters, &text, m->error);
  o.text = text.bytes;
  o.length = text.n;
  o.lenient = !is_strict;
  if (!status) {
    status = compile_schema(m->p, &o, e, &error);
    if (status) status = error_set(m->error, status, "[%zu].function.parameters: %.400s", index, error.message);
  }
  free(text.bytes);
  return status;
}

static expr *write_call(const call_maker *m, slice name, expr *arguments) {
  expr_pool *p = m->p;
  const json_parts *j = json_parts_of(p);
  if (!j) return p->none;
  expr *plain = expr_text(p, name.s, name.n);
  if (m->style == STYLE_MARKS)
    return expr_list(p, (expr *const[]){mark(p, MARK_CALLS), plain, mark(p, MARK_ARGUMENTS), arguments}, 4);
  expr *alnum = expr_or(p, expr_or(p, expr_range(p, '0', '9'), expr_range(p, 'A', 'Z')), expr_range(p, 'a', 'z'));
  expr *id = expr_repeat(p, alnum, 9, 9);
  if (m->style == STYLE_MARKS_ID)
    return expr_list(
        p, (expr *const[]){mark(p, MARK_CALLS), plain, mark(p, MARK_ID), id, mark(p, MARK_ARGUMENTS), arguments}, 6);
  expr *head = expr_list(
      p,
      (expr *const[]){expr_string(p, "{\"name\": \""), plain,
                      expr_string(p, m->style == STYLE_OBJECTS ? "\", \"parameters\": " : "\", \"arguments\": "),
                      arguments},
      4);
  expr *with_id = expr_list(p, (expr *const[]){expr_string(p, ", \"id\": \""), id, j->quote}, 3);
  expr *tail = m->style == STYLE_LIST ? expr_optional(p, with_id) : p->empty;
  expr *object = expr_list(p, (expr *const[]){head, tail, expr_string(p, "}")}, 3);
  if (m->style != STYLE_TAGS) return object;
  return expr_list(
      p, (expr *const[]){expr_string(p, "<tool_call>"), j->space, object, j->space, expr_string(p, "</tool_call>")}, 5);
}

/* Any of the tools that may be called. */
static gale_status any_call(const call_maker *m, const value *tools, expr **e) {
  size_t index = 0;
  bool found = false;
  gale_status status = GALE_OK;
  *e = m->p->none;
  for (const value *tool = tools->first; tool && !status; tool = tool->next, index++) {
    const value *function = value_get(tool, "function"), *name = value_get(function, "name");
    expr *arguments = m->p->none;
    if (!value_is(name, VALUE_STRING) || name->text.n == 0)
      return error_set(m->error, GALE_E_ARGUMENT, "[%zu].function.name: a string is needed", index);
    for (size_t i = 0; i < name->text.n; i++)
      if ((unsigned char)name->text.s[i] >= 0x80 || name->text.s[i] < ' ' || strchr("\"\\", name->text.s[i]))
        return error_set(m->error, GALE_E_ARGUMENT, "[%zu].function.name: letters, digits, _ and - are accepted",
                         index);
    if (m->o->function && !slice_is(name->text, m->o->function)) continue;
    found = true;
    status = arguments_of(m, function, index, &arguments);
    if (!status) *e = expr_or(m->p, *e, write_call(m, name->text, arguments));
  }
  if (!status && !found)
    return error_set(m->error, GALE_E_ARGUMENT, "there is no tool \"%.64s\"", m->o->function ? m->o->function : "");
  return status;
}

/* ---- All calls, and what may stand instead or in front ---- */

static expr *all_calls(const call_maker *m, expr *call) {
  expr_pool *p = m->p;
  const char *between = m->style == STYLE_LIST      ? ", "
                        : m->style == STYLE_OBJECTS ? "; "
                        : m->style == STYLE_TAGS    ? "\n"
                                                    : "";
  uint32_t more = m->o->single ? 0 : REPEAT_ALWAYS;
  expr *rest = more ? expr_repeat(p, expr_seq(p, expr_string(p, between), call), 0, more) : p->empty;
  expr *calls = expr_seq(p, call, rest);
  if (m->style != STYLE_LIST) return calls;
  return expr_list(p, (expr *const[]){mark(p, MARK_CALLS), expr_string(p, "["), calls, expr_string(p, "]")}, 4);
}

static expr *free_text(const call_maker *m) {
  expr_pool *p = m->p;
  expr *text = expr_repeat(p, expr_range(p, 0, MARK_BYTE - 1), 0, REPEAT_ALWAYS);
  if (m->style == STYLE_TAGS)
    return expr_not(p, expr_list(p, (expr *const[]){p->any, expr_string(p, "<tool_call>"), p->any}, 3));
  if (m->style != STYLE_OBJECTS) return text;
  /* What begins like an object is a call. */
  expr *space = expr_or(p, expr_or(p, expr_string(p, " "), expr_string(p, "\n")),
                        expr_or(p, expr_string(p, "\t"), expr_string(p, "\r")));
  expr *other = expr_or(p, expr_or(p, expr_range(p, 0, 8), expr_range(p, 14, 31)),
                        expr_or(p, expr_range(p, 33, '{' - 1), expr_range(p, '{' + 1, MARK_BYTE - 1)));
  return expr_seq(p, expr_repeat(p, space, 0, REPEAT_ALWAYS), expr_optional(p, expr_seq(p, other, text)));
}

gale_status compile_calls(expr_pool *p, const gale_constraint_options *o, expr *content, expr **e, gale_error *error) {
  arena memory = {0};
  value *tools = NULL;
  value_report report = {0};
  call_maker m = {p, o, style_of(o), error};
  value_status read = value_read(&memory, (slice){o->text, o->length}, VALUE_PROMPT, &tools, &report);
  gale_status status = GALE_OK;
  expr *call = p->none;
  if (read == VALUE_MEMORY)
    status = error_memory(error, o->length);
  else if (read || tools->kind != VALUE_ARRAY)
    status = error_set(error, GALE_E_ARGUMENT, "byte %zu: a list of tools is accepted", report.at);
  else if (tools->count > 0 || o->required)
    status = any_call(&m, tools, &call);
  arena_free(&memory);
  if (status) return status;
  expr *calls = all_calls(&m, call), *text = content ? content : free_text(&m);
  if (o->required)
    *e = calls;
  else if (content || m.style == STYLE_OBJECTS)
    *e = expr_or(p, text, calls);
  else
    *e = expr_seq(p, text, expr_optional(p, calls));
  return GALE_OK;
}
