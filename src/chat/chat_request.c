/* The body of an OpenAI-style request to a conversation. */
#include "chat/chat.h"

#include "base/sized.h"
#include "json/schema.h"

#include <stdlib.h>

/* ---- Fields ---- */

/* A string that may be missing or null. */
static slice read_text(prompt *p, const value *object, const char *key, const char *where, size_t index) {
  const value *v = value_given(object, key);
  if (v && v->kind != VALUE_STRING) prompt_refuse(p, "%s[%zu].%s: a string is accepted", where, index, key);
  return v && v->kind == VALUE_STRING ? v->text : (slice){0};
}

static bool read_flag(prompt *p, const value *object, const char *key, bool missing) {
  const value *v = value_get(object, key);
  if (!v) return missing;
  if (v->kind != VALUE_TRUE && v->kind != VALUE_FALSE) prompt_refuse(p, "%s: true or false is accepted", key);
  return v->kind == VALUE_TRUE;
}

/* ---- Messages ---- */

/* Thinking as a list of texts, which is how Mistral's answers have it, as one text. */
static const value *join_texts(prompt *p, const value *list, size_t index) {
  size_t total = 0, at = 0;
  for (const value *item = list->first; item; item = item->next) {
    const value *text = value_get(item, "text");
    if (!value_says(value_get(item, "type"), "text") || !value_is(text, VALUE_STRING))
      prompt_refuse(p, "messages[%zu].content: thinking is a string or a list of texts", index);
    if (p->status) return NULL;
    total += text->text.n;
  }
  value *joined = prompt_memory(p, 1, sizeof *joined);
  char *bytes = prompt_memory(p, total + 1, 1);
  if (!joined || !bytes) return NULL;
  for (const value *item = list->first; item; item = item->next) {
    slice text = value_get(item, "text")->text;
    if (text.n) memcpy(bytes + at, text.s, text.n);
    at += text.n;
  }
  *joined = (value){.kind = VALUE_STRING, .text = {bytes, total}};
  return joined;
}

static void read_part(prompt *p, const value *v, size_t index, chat_part *part) {
  const value *type = value_get(v, "type");
  bool text = value_says(type, "text");
  bool thinking = value_says(type, "thinking");
  const value *content = value_get(v, text ? "text" : "thinking");
  if (thinking && value_is(content, VALUE_ARRAY)) content = join_texts(p, content, index);
  if (p->status) return;
  if (!text && !thinking)
    prompt_refuse(p, "messages[%zu].content: only parts of the types \"text\" and \"thinking\" are supported", index);
  else if (!value_is(content, VALUE_STRING))
    prompt_refuse(p, "messages[%zu].content: a part's %s must be a string", index, text ? "text" : "thinking");
  if (p->status) return;
  *part = (chat_part){.text = content->text, .thinking = thinking};
  if (thinking) part->open = !read_flag(p, v, "closed", true);
}

/* What the assistant thought, where a field of its own tells it. */
static slice read_reasoning(prompt *p, const value *v, size_t index) {
  slice a = read_text(p, v, "reasoning_content", "messages", index);
  slice b = read_text(p, v, "reasoning", "messages", index);
  if (a.s && b.s && !slice_equal(a, b))
    prompt_refuse(p, "messages[%zu]: reasoning and reasoning_content differ; one of them is enough", index);
  return b.s ? b : a;
}

static void read_content(prompt *p, const value *v, size_t index, chat_message *m) {
  const value *content = value_given(v, "content");
  slice reasoning = m->role == ROLE_ASSISTANT ? read_reasoning(p, v, index) : (slice){0};
  value_kind kind = content ? content->kind : VALUE_NULL;
  bool string = kind == VALUE_STRING, list = kind == VALUE_ARRAY;
  if (content && !string && !list) prompt_refuse(p, "messages[%zu].content: a string or a list is accepted", index);
  chat_part *parts = prompt_memory(p, 1 + (list ? content->count : 1), sizeof *parts);
  if (!parts) return;
  size_t n = 0;
  if (reasoning.s) parts[n++] = (chat_part){.text = reasoning, .thinking = true};
  if (string) parts[n++] = (chat_part){.text = content->text};
  for (const value *part = list ? content->first : NULL; part && !p->status; part = part->next) {
    read_part(p, part, index, &parts[n]);
    if (reasoning.s && parts[n].thinking)
      prompt_refuse(p, "messages[%zu]: both thinking parts and reasoning; one of them is accepted", index);
    n++;
  }
  m->parts = parts;
  m->n_parts = n;
  m->has_content = content || reasoning.s;
  m->is_list = list || reasoning.s;
}

/* Arguments are JSON in a string; an object is taken as well. */
static slice read_arguments(prompt *p, const value *v, size_t index) {
  if (value_is(v, VALUE_STRING)) return v->text;
  if (value_is(v, VALUE_NULL)) return SLICE("{}");
  if (!value_is(v, VALUE_OBJECT)) {
    prompt_refuse(p, "messages[%zu].tool_calls: a function's arguments must be a string or an object", index);
    return SLICE("");
  }
  byte_list bytes = {0};
  bytes_add_value(&bytes, v);
  char *copy = bytes.failed ? NULL : prompt_memory(p, bytes.n, 1);
  if (copy) memcpy(copy, bytes.bytes, bytes.n);
  if (!copy && !p->status) p->status = error_memory(p->error, bytes.n);
  slice text = {copy ? copy : "", copy ? bytes.n : 0};
  free(bytes.bytes);
  return text;
}

static void read_calls(prompt *p, const value *v, size_t index, chat_message *m) {
  const value *list = value_given(v, "tool_calls");
  if (!list) return;
  if (list->kind != VALUE_ARRAY) prompt_refuse(p, "messages[%zu].tool_calls: a list is accepted", index);
  chat_call *calls = prompt_memory(p, list->count, sizeof *calls);
  if (!calls) return;
  for (const value *call = list->first; call && !p->status; call = call->next) {
    const value *id = value_get(call, "id"), *type = value_get(call, "type");
    const value *function = value_get(call, "function"), *name = value_get(function, "name");
    if ((id && id->kind != VALUE_STRING) || !value_is(name, VALUE_STRING) || (type && !value_says(type, "function")))
      prompt_refuse(p,
                    "messages[%zu].tool_calls: {\"id\": ..., \"type\": \"function\", \"function\": {\"name\": ..., "
                    "\"arguments\": ...}} is accepted",
                    index);
    if (p->status) return;
    calls[m->n_calls++] = (chat_call){id ? id->text : SLICE("null"), name->text,
                                      read_arguments(p, value_get(function, "arguments"), index)};
  }
  m->calls = calls;
}

static void read_message(prompt *p, const value *v, size_t index, chat_message *m) {
  slice role = read_text(p, v, "role", "messages", index);
  *m = (chat_message){0};
  if (!role.s || !role_find(role, &m->role))
    prompt_refuse(p, "messages[%zu].role: \"system\", \"developer\", \"user\", \"assistant\" or \"tool\" is accepted",
                  index);
  if (p->status) return;
  read_content(p, v, index, m);
  if (m->role == ROLE_ASSISTANT) {
    read_calls(p, v, index, m);
    m->prefix = read_flag(p, v, "prefix", false);
  }
  if (m->role == ROLE_TOOL) {
    if (!value_get(v, "tool_call_id")) prompt_refuse(p, "messages[%zu].tool_call_id: missing", index);
    m->call_id = read_text(p, v, "tool_call_id", "messages", index);
    m->name = read_text(p, v, "name", "messages", index);
  }
}

static void read_messages(prompt *p, const value *root, chat *c) {
  const value *list = value_get(root, "messages");
  if (!value_is(list, VALUE_ARRAY)) prompt_refuse(p, "messages: a list is needed");
  if (p->status) return;
  c->messages = prompt_memory(p, list->count, sizeof *c->messages);
  for (const value *v = list->first; v && !p->status; v = v->next) read_message(p, v, c->n, &c->messages[c->n]), c->n++;
  if (!read_flag(p, root, "continue_final_message", false) || p->status) return;
  if (c->n == 0 || c->messages[c->n - 1].role != ROLE_ASSISTANT)
    prompt_refuse(p, "continue_final_message: the last message is not an assistant's");
  else
    c->messages[c->n - 1].prefix = true;
}

/* ---- Settings ---- */

static void check_choice(prompt *p, const value *root) {
  static const char *const CHOICES[] = {"auto", "none", "any", "required"};
  const value *choice = value_get(root, "tool_choice"), *name = value_get(value_get(choice, "function"), "name");
  bool good = !choice || value_is(name, VALUE_STRING);
  for (size_t i = 0; choice && choice->kind == VALUE_STRING && i < sizeof CHOICES / sizeof *CHOICES; i++)
    good |= slice_is(choice->text, CHOICES[i]);
  if (!good)
    prompt_refuse(p, "tool_choice: \"auto\", \"none\", \"any\", \"required\" or {\"type\": \"function\", \"function\": "
                     "{\"name\": ...}} is accepted");
}

static void read_schema(prompt *p, const value *root, chat *c) {
  static const slice ANY = SLICE("{\"anyOf\": [{\"type\": \"object\"}, {\"type\": \"array\"}]}");
  const value *format = value_given(root, "response_format"), *type = value_get(format, "type");
  const value *schema = value_get(value_get(format, "json_schema"), "schema");
  if (!format || value_says(type, "text")) return;
  const char *where = "";
  value *any;
  value_report report;
  if (value_says(type, "json_object")) {
    if (value_read(&p->memory, ANY, VALUE_REQUEST, &any, &report))
      p->status = error_memory(p->error, ANY.n);
    else
      c->schema = any;
  } else if (value_says(type, "json_schema") && value_is(schema, VALUE_OBJECT) && schema_check(schema, &where)) {
    c->schema = schema;
  } else {
    prompt_refuse(p, "response_format: a type of \"text\", \"json_object\", or \"json_schema\" with "
                     "json_schema.schema, a JSON schema of draft 7, is accepted");
  }
}

/* What callers of the published templates give them beside the messages. */
static void read_keywords(prompt *p, const value *root, chat *c) {
  const value *keywords = value_given(root, "chat_template_kwargs"), *date = value_given(keywords, "date_string");
  if (keywords && keywords->kind != VALUE_OBJECT) prompt_refuse(p, "chat_template_kwargs: an object is accepted");
  if (date && date->kind != VALUE_STRING) prompt_refuse(p, "chat_template_kwargs.date_string: a string is accepted");
  if (date) c->date = date->text;
  c->tools_in_system = !read_flag(p, keywords, "tools_in_user_message", true);
}

static void read_body(prompt *p, const char *json, size_t length, chat *c) {
  value *root;
  value_report report;
  value_status status = value_read(&p->memory, (slice){json, length}, VALUE_REQUEST, &root, &report);
  if (status == VALUE_MEMORY)
    p->status = error_memory(p->error, length);
  else if (status)
    prompt_refuse(p, "the request is not JSON at byte %zu: %s", report.at, report.why);
  if (p->status) return;
  read_messages(p, root, c);
  c->tools = value_given(root, "tools");
  if (c->tools && c->tools->kind != VALUE_ARRAY) prompt_refuse(p, "tools: a list is accepted");
  const value *effort = value_given(root, "reasoning_effort");
  if (effort && effort->kind != VALUE_STRING) prompt_refuse(p, "reasoning_effort: a string is accepted");
  if (effort) c->effort = effort->text;
  check_choice(p, root);
  read_keywords(p, root, c);
  read_schema(p, root, c);
}

gale_status gale_chat_request(const gale_tokenizer *tokenizer, const char *name, const char *json, size_t length,
                              int32_t **ids, size_t *n_ids, gale_error *error) {
  gale_chat_options options;
  gale_chat_defaults(&options);
  options.template_name = name;
  return gale_chat_request_with(tokenizer, &options, json, length, ids, n_ids, error);
}

gale_status gale_chat_request_with(const gale_tokenizer *tokenizer, const gale_chat_options *options, const char *json,
                                   size_t length, int32_t **ids, size_t *n_ids, gale_error *error) {
  gale_error unused;
  gale_chat_options o;
  if (!error) error = &unused;
  gale_chat_defaults(&o);
  gale_status status = options ? sized_read(&o, sizeof o, options, "gale_chat_options", error) : GALE_OK;
  if (status) return status;
  prompt p = {.tokenizer = tokenizer, .error = error, .own = !o.template_name};
  p.row = chat_find(tokenizer, o.template_name, error);
  if (!p.row) return error->code;
  chat c = {.generic_tools = o.generic_tools};
  read_body(&p, json, length, &c);
  status = p.status ? p.status : chat_finish(&p, &c, ids, n_ids);
  arena_free(&p.memory);
  return status;
}
