/* Conversations: what a request says of them, and their prompts. */
#include "gale/serve/question.h"
#include "gale/serve/schema_words.h"

#include <stdlib.h>
#include <string.h>

/* ---- Messages ---- */

static void check_part(place at, bool may_think) {
  static const char *const TYPES[] = {"text", "thinking", NULL};
  const value *type = field_any(at, "type");
  if (!at.v) return;
  if (!value_is(type, VALUE_STRING)) {
    field_refuse(at, "type", FAILURE_FIELD, "\"text\" is accepted");
  } else if (value_says(type, "text")) {
    if (!field_text(at, "text").s) field_refuse(at, "text", FAILURE_FIELD, "a string is needed");
  } else if (value_says(type, TYPES[1]) && may_think) {
    const value *thinking = field_any(at, "thinking");
    if (!value_is(thinking, VALUE_STRING) && !value_is(thinking, VALUE_ARRAY))
      field_refuse(at, "thinking", FAILURE_FIELD, "a string, or a list of texts, is needed");
  } else {
    field_refuse(at, "type", FAILURE_UNSUPPORTED, "parts of the type \"%.*s\" are not supported",
                 (int)(type->text.n < 40 ? type->text.n : 40), type->text.s);
  }
}

static void check_content(place at, bool assistant) {
  const value *content = field_any(at, "content");
  if (!content) {
    if (!assistant) field_refuse(at, "content", FAILURE_FIELD, "a string, or a list of texts, is needed");
    return;
  }
  if (content->kind == VALUE_STRING) return;
  if (content->kind != VALUE_ARRAY) {
    field_refuse(at, "content", FAILURE_FIELD, "a string, or a list of texts, is accepted");
    return;
  }
  size_t index = 0;
  place list = field_list(at, "content");
  for (const value *part = content->first; part && !at.f->refused; part = part->next, index++)
    check_part(place_object(list, index, part), assistant);
}

static void check_calls(place at) {
  static const char *const TYPES[] = {"function", NULL};
  place list = field_list(at, "tool_calls");
  size_t index = 0;
  for (const value *v = list.v ? list.v->first : NULL; v && !at.f->refused; v = v->next, index++) {
    place call = place_object(list, index, v), function = field_object(call, "function");
    field_choice(call, "type", TYPES);
    if (!field_text(call, "id").s) field_refuse(call, "id", FAILURE_FIELD, "a string is needed");
    if (!function.v) field_refuse(call, "function", FAILURE_FIELD, "an object is needed");
    if (!field_text(function, "name").s) field_refuse(function, "name", FAILURE_FIELD, "a string is needed");
    const value *arguments = field_any(function, "arguments");
    if (arguments && arguments->kind != VALUE_STRING && arguments->kind != VALUE_OBJECT)
      field_refuse(function, "arguments", FAILURE_FIELD, "a string of JSON is accepted");
  }
}

static void check_message(place at) {
  static const char *const ROLES[] = {"system", "developer", "user", "assistant", "tool", NULL};
  int role = field_choice(at, "role", ROLES);
  if (role < 0) field_refuse(at, "role", FAILURE_FIELD, "a role is needed");
  bool assistant = role == 3;
  check_content(at, assistant);
  field_text(at, "name");
  field_flag(at, "prefix", false);
  if (assistant) {
    check_calls(at);
    field_text(at, "reasoning_content");
    field_text(at, "reasoning");
  }
  if (role == 4 && !field_text(at, "tool_call_id").s)
    field_refuse(at, "tool_call_id", FAILURE_FIELD, "a string is needed");
}

static void check_messages(place body, conversation *c) {
  c->messages = field_list(body, "messages");
  if (!c->messages.v) field_refuse(body, "messages", FAILURE_FIELD, "a list of messages is needed");
  if (c->messages.v && c->messages.v->count == 0)
    field_refuse(body, "messages", FAILURE_FIELD, "there are no messages; at least one is needed");
  size_t index = 0;
  for (const value *v = c->messages.v ? c->messages.v->first : NULL; v && !body.f->refused; v = v->next, index++)
    check_message(place_object(c->messages, index, v));
}

/* ---- Tools ---- */

static const value *tool_named(const conversation *c, slice name) {
  for (const value *tool = c->tools.v ? c->tools.v->first : NULL; tool; tool = tool->next) {
    const value *own = value_get(value_get(tool, "function"), "name");
    if (value_is(own, VALUE_STRING) && slice_equal(own->text, name)) return tool;
  }
  return NULL;
}

static void check_tool(place at) {
  const value *type = field_any(at, "type");
  if (!type || !value_says(type, "function"))
    field_refuse(at, "type", value_is(type, VALUE_STRING) ? FAILURE_UNSUPPORTED : FAILURE_FIELD,
                 "\"function\" is accepted");
  place function = field_object(at, "function");
  if (!function.v) field_refuse(at, "function", FAILURE_FIELD, "an object is needed");
  if (!field_text(function, "name").s) field_refuse(function, "name", FAILURE_FIELD, "a string is needed");
  field_text(function, "description");
  field_object(function, "parameters");
  field_flag(function, "strict", false);
}

static void read_choice(place body, conversation *c) {
  static const char *const WORDS[] = {"auto", "none", "required", "any", NULL};
  static const tool_policy POLICIES[] = {TOOLS_AUTO, TOOLS_NONE, TOOLS_REQUIRED, TOOLS_REQUIRED};
  const value *v = field_any(body, "tool_choice");
  bool any = c->tools.v && c->tools.v->count > 0;
  if (!v) return;
  if (v->kind == VALUE_OBJECT) {
    static const char *const TYPES[] = {"function", NULL};
    place choice = field_object(body, "tool_choice");
    if (field_choice(choice, "type", TYPES) < 0) field_refuse(choice, "type", FAILURE_FIELD, "\"function\" is needed");
    place function = field_object(choice, "function");
    c->policy = TOOLS_NAMED;
    c->tool = field_text(function, "name");
    if (!c->tool.s)
      field_refuse(choice, "function.name", FAILURE_FIELD, "a string is needed");
    else if (!tool_named(c, c->tool))
      field_refuse(choice, "function.name", FAILURE_FIELD, "there is no tool \"%.*s\"",
                   (int)(c->tool.n < 80 ? c->tool.n : 80), c->tool.s);
    return;
  }
  int word = v->kind == VALUE_STRING ? field_choice(body, "tool_choice", WORDS) : -1;
  if (word < 0)
    field_refuse(body, "tool_choice", FAILURE_FIELD,
                 "\"auto\", \"none\", \"required\", \"any\" or {\"type\": \"function\", \"function\": {\"name\": ...}} "
                 "is accepted");
  else
    c->policy = POLICIES[word];
  if (c->policy == TOOLS_REQUIRED && !any)
    field_refuse(body, "tool_choice", FAILURE_FIELD, "a call is required, but there are no tools");
}

static void read_tools(question *q, place body, conversation *c) {
  c->tools = field_list(body, "tools");
  if (c->tools.v && c->tools.v->count > (size_t)q->serving->limits.tools)
    field_refuse(body, "tools", FAILURE_LIMIT, "there are %u; at most %d are accepted", c->tools.v->count,
                 q->serving->limits.tools);
  size_t index = 0;
  for (const value *v = c->tools.v ? c->tools.v->first : NULL; v && !body.f->refused; v = v->next, index++)
    check_tool(place_object(c->tools, index, v));
  read_choice(body, c);
  c->one_call = !field_flag(body, "parallel_tool_calls", true);
}

void question_conversation(question *q, place body, conversation *c) {
  check_messages(body, c);
  read_tools(q, body, c);
  c->effort = field_text(body, "reasoning_effort");
  c->continued = field_flag(body, "continue_final_message", false);
  c->keywords = field_object(body, "chat_template_kwargs").v;
}

/* ---- The prompt ---- */

static void add_member(byte_list *to, const char *key, const value *v) {
  if (!v) return;
  bytes_add(to, to->n > 1 ? SLICE(", ") : SLICE(""));
  bytes_add_string(to, slice_of(key));
  bytes_add(to, SLICE(": "));
  bytes_add_value(to, v);
}

/* The conversation as the library reads it. */
static void write_conversation(const conversation *c, byte_list *to) {
  bytes_add(to, SLICE("{"));
  add_member(to, "messages", c->messages.v);
  if (c->tools.v && c->tools.v->count) add_member(to, "tools", c->tools.v);
  add_member(to, "chat_template_kwargs", c->keywords);
  if (c->continued) bytes_add(to, SLICE(", \"continue_final_message\": true"));
  if (c->effort.s) {
    bytes_add(to, SLICE(", \"reasoning_effort\": "));
    bytes_add_string(to, c->effort);
  }
  if (c->schema) {
    bytes_add(to, SLICE(", \"response_format\": {\"type\": \"json_schema\", \"json_schema\": {\"schema\": "));
    bytes_add_value(to, c->schema);
    bytes_add(to, SLICE("}}"));
  }
  bytes_add(to, SLICE("}"));
}

/* The text behind which the answer goes on, if it does. */
static void read_prefix(question *q, const conversation *c) {
  const value *last = c->messages.v->first;
  while (last && last->next) last = last->next;
  const value *content = value_given(last, "content"), *given = value_get(last, "prefix");
  bool prefix = value_is(given, VALUE_TRUE);
  if (!value_says(value_get(last, "role"), "assistant") || !(prefix || c->continued)) return;
  q->prefix_given = prefix && !c->continued;
  q->continued = true;
  q->prefix = SLICE("");
  if (value_is(content, VALUE_STRING)) q->prefix = content->text;
  for (const value *part = value_is(content, VALUE_ARRAY) ? content->first : NULL; part; part = part->next)
    if (value_says(value_get(part, "type"), "text")) q->prefix = value_get(part, "text")->text;
}

/* Keywords of strict tools' schemas. */
static void check_strict(const conversation *c) {
  size_t index = 0;
  for (const value *v = c->tools.v ? c->tools.v->first : NULL; v; v = v->next, index++) {
    place function = field_object(place_item(c->tools, index, v), "function");
    if (value_is(value_get(function.v, "strict"), VALUE_TRUE)) schema_words_check(field_object(function, "parameters"));
  }
}

static bool any_strict(const conversation *c) {
  for (const value *tool = c->tools.v->first; tool; tool = tool->next)
    if (value_is(value_get(value_get(tool, "function"), "strict"), VALUE_TRUE)) return true;
  return false;
}

/* What the answer must satisfy as a whole: its content, or in place of it calls of tools. */
static void constrain(question *q, const conversation *c) {
  bool listed = c->tools.v && c->tools.v->count > 0, must = c->policy == TOOLS_REQUIRED || c->policy == TOOLS_NAMED;
  q->no_calls = !listed || c->policy == TOOLS_NONE;
  if (!listed || (c->policy == TOOLS_NONE && c->content)) {
    question_constrain(q, c->content, c->content_at, c->content_key);
    return;
  }
  if (c->policy == TOOLS_AUTO && !c->one_call && !c->objects && !c->content && !any_strict(c)) return;
  byte_list tools = {0};
  gale_constraint_options wanted;
  gale_constraint_defaults(&wanted);
  c->policy == TOOLS_NONE ? bytes_add(&tools, SLICE("[]")) : bytes_add_value(&tools, c->tools.v);
  wanted.kind = GALE_CONSTRAINT_CALLS;
  wanted.text = tools.bytes;
  wanted.length = tools.n;
  wanted.form = q->form;
  wanted.generic_tools = true;
  wanted.function = c->policy == TOOLS_NAMED ? fields_string(&q->fields, c->tool) : NULL;
  wanted.required = must;
  wanted.single = c->one_call || c->policy == TOOLS_NAMED;
  wanted.content = must ? NULL : c->content;
  if (tools.failed)
    fields_memory(&q->fields);
  else if (wanted.content)
    question_constrain(q, &wanted, c->content_at, c->content_key);
  else
    question_constrain(q, &wanted, c->tools, NULL);
  free(tools.bytes);
}

static void refuse_template(question *q) {
  byte_list names = {0};
  for (const char *const *name = gale_chat_templates(); *name; name++) {
    if (names.n) bytes_add(&names, SLICE(", "));
    bytes_add(&names, slice_of(*name));
  }
  fields_refuse(&q->fields, FAILURE_TEMPLATE,
                "the model's files have no chat template that is known; --template takes one of: %.*s", (int)names.n,
                names.bytes ? names.bytes : "");
  free(names.bytes);
}

/* What the library refuses: of a tool, which it names ("template chatml: tools[0].function.name: ..."), or of messages.
 */
static void refuse_conversation(const conversation *c, const char *message) {
  const char *tool = strstr(message, "tools[");
  size_t n = tool ? strcspn(tool, ": ") : 0;
  const char *path = n ? arena_printf(&c->messages.f->memory, "%.*s", (int)n, tool) : NULL;
  if (path && tool[n] == ':')
    field_refuse((place){c->messages.f, NULL, path}, NULL, FAILURE_FIELD, "%s", message);
  else
    field_refuse(c->messages, NULL, FAILURE_FIELD, "%s", message);
}

void question_chat(question *q, const conversation *c) {
  int32_t *ids = NULL;
  size_t n = 0;
  gale_error error = {0};
  byte_list body = {0};
  check_strict(c);
  if (q->fields.refused) return;
  if (!q->serving->template_name) {
    refuse_template(q);
    return;
  }
  write_conversation(c, &body);
  gale_chat_options settings;
  gale_chat_defaults(&settings);
  settings.template_name = q->serving->options->template;
  settings.generic_tools = true;
  gale_status status =
      body.failed ? GALE_E_MEMORY
                  : gale_chat_request_with(q->serving->tokenizer, &settings, body.bytes, body.n, &ids, &n, &error);
  free(body.bytes);
  if (status == GALE_E_MEMORY)
    fields_memory(&q->fields);
  else if (status)
    refuse_conversation(c, error.message);
  if (q->fields.refused) return;
  question_prompt(q, ids, n, c->messages, NULL);
  q->form = q->serving->template_name;
  read_prefix(q, c);
  constrain(q, c);
}
