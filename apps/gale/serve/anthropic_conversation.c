/* From Anthropic's messages to OpenAI's. https://docs.anthropic.com/en/api/messages */
#include "gale/serve/anthropic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is made of a message: JSON. */
typedef struct writer {
  question *q;
  byte_list out;
  bool any;      /* a message was written */
  bool thinking; /* the template has a place for it */
} writer;

static void text(writer *w, const char *s) {
  bytes_add(&w->out, slice_of(s));
}

static void string(writer *w, slice s) {
  bytes_add_string(&w->out, s);
}

static void message_begin(writer *w, const char *role) {
  text(w, w->any ? ",{\"role\":\"" : "{\"role\":\"");
  text(w, role);
  text(w, "\"");
  w->any = true;
}

/* ---- Ids of calls ---- */

enum { ID_LENGTH = 9 };

static bool is_own_id(slice id) {
  for (size_t i = 0; i < id.n; i++)
    if (!strchr("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", id.s[i]) || !id.s[i]) return false;
  return id.n == ID_LENGTH;
}

/* Templates want nine letters and digits. Ids made here have them behind "toolu_"; of others they are drawn from the
 * text, so that a call and its result agree. */
static void write_id(writer *w, slice id) {
  static const char PREFIX[] = "toolu_", DIGITS[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  char drawn[ID_LENGTH];
  uint64_t hash = 14695981039346656037u;
  if (id.n > sizeof PREFIX - 1 && memcmp(id.s, PREFIX, sizeof PREFIX - 1) == 0)
    id = (slice){id.s + sizeof PREFIX - 1, id.n - (sizeof PREFIX - 1)};
  if (is_own_id(id)) {
    string(w, id);
    return;
  }
  for (size_t i = 0; i < id.n; i++) hash = (hash ^ (unsigned char)id.s[i]) * 1099511628211u;
  for (int i = 0; i < ID_LENGTH; i++, hash /= 62) drawn[i] = DIGITS[hash % 62];
  string(w, (slice){drawn, sizeof drawn});
}

/* ---- Blocks ---- */

static slice needed_text(place at, const char *key) {
  slice s = field_text(at, key);
  if (!s.s) field_refuse(at, key, FAILURE_FIELD, "a string is needed");
  return s.s ? s : SLICE("");
}

static void refuse_type(place at, const value *type) {
  if (value_is(type, VALUE_STRING))
    field_refuse(at, "type", FAILURE_UNSUPPORTED, "blocks of the type \"%.*s\" are not supported here",
                 (int)(type->text.n < 40 ? type->text.n : 40), type->text.s);
  else
    field_refuse(at, "type", FAILURE_FIELD, "a string is needed");
}

/* The text of a field that is a string or a list of text blocks, as a JSON string. */
static void write_text(writer *w, place at, const char *key) {
  const value *v = field_any(at, key);
  byte_list whole = {0};
  if (value_is(v, VALUE_STRING)) {
    bytes_add(&whole, v->text);
  } else if (v) {
    place list = field_list(at, key);
    size_t index = 0;
    for (const value *b = list.v ? list.v->first : NULL; b && !at.f->refused; b = b->next, index++) {
      place block = place_object(list, index, b);
      if (!value_says(field_any(block, "type"), "text")) refuse_type(block, field_any(block, "type"));
      bytes_add(&whole, needed_text(block, "text"));
    }
  }
  string(w, (slice){whole.bytes ? whole.bytes : "", whole.n});
  if (whole.failed) fields_memory(at.f);
  free(whole.bytes);
}

static void write_result(writer *w, place block) {
  message_begin(w, "tool");
  text(w, ",\"tool_call_id\":");
  write_id(w, needed_text(block, "tool_use_id"));
  text(w, ",\"content\":");
  write_text(w, block, "content");
  text(w, "}");
}

/* A user's blocks: results are messages of their own, and texts between them are put together. */
static void write_user(writer *w, place list) {
  bool open = false;
  size_t index = 0;
  for (const value *b = list.v ? list.v->first : NULL; b && !list.f->refused; b = b->next, index++) {
    place block = place_object(list, index, b);
    const value *type = field_any(block, "type");
    bool result = value_says(type, "tool_result");
    if (!result && !value_says(type, "text")) {
      refuse_type(block, type);
      return;
    }
    if (result && open) text(w, "]}");
    if (result) {
      write_result(w, block);
      open = false;
      continue;
    }
    if (!open) message_begin(w, "user");
    text(w, open ? ",{\"type\":\"text\",\"text\":" : ",\"content\":[{\"type\":\"text\",\"text\":");
    string(w, needed_text(block, "text"));
    text(w, "}");
    open = true;
  }
  if (open) text(w, "]}");
}

static void write_call(writer *w, place block, bool first) {
  place input = field_object(block, "input");
  byte_list arguments = {0};
  if (input.v)
    bytes_add_value(&arguments, input.v);
  else
    bytes_add(&arguments, SLICE("{}"));
  text(w, first ? ",\"tool_calls\":[{\"type\":\"function\",\"id\":" : ",{\"type\":\"function\",\"id\":");
  write_id(w, needed_text(block, "id"));
  text(w, ",\"function\":{\"name\":");
  string(w, needed_text(block, "name"));
  text(w, ",\"arguments\":");
  string(w, (slice){arguments.bytes ? arguments.bytes : "", arguments.n});
  text(w, "}}");
  if (arguments.failed) fields_memory(block.f);
  free(arguments.bytes);
}

/* An assistant's blocks: texts and thinking are parts of the content, and calls follow it. */
static void write_assistant(writer *w, place list) {
  size_t index = 0, parts = 0, calls = 0;
  message_begin(w, "assistant");
  for (const value *b = list.v ? list.v->first : NULL; b && !list.f->refused; b = b->next, index++) {
    place block = place_object(list, index, b);
    const value *type = field_any(block, "type");
    bool thinking = value_says(type, "thinking");
    if (value_says(type, "tool_use")) {
      calls++;
      continue;
    }
    if (value_says(type, "redacted_thinking") || (thinking && !w->thinking)) continue;
    if (!thinking && !value_says(type, "text")) {
      refuse_type(block, type);
      return;
    }
    text(w, parts++ ? ",{\"type\":\"" : ",\"content\":[{\"type\":\"");
    text(w, thinking ? "thinking\",\"thinking\":" : "text\",\"text\":");
    string(w, needed_text(block, thinking ? "thinking" : "text"));
    text(w, "}");
  }
  text(w, parts ? "]" : calls ? "" : ",\"content\":\"\"");
  index = 0;
  bool first = true;
  for (const value *b = list.v && calls ? list.v->first : NULL; b && !list.f->refused; b = b->next, index++) {
    place block = place_object(list, index, b);
    if (!value_says(field_any(block, "type"), "tool_use")) continue;
    write_call(w, block, first);
    first = false;
  }
  text(w, calls ? "]}" : "}");
}

/* ---- Messages ---- */

static void write_message(writer *w, place at) {
  static const char *const ROLES[] = {"user", "assistant", "system", NULL};
  int role = field_choice(at, "role", ROLES);
  const value *content = field_any(at, "content");
  if (role < 0) field_refuse(at, "role", FAILURE_FIELD, "a role is needed");
  if (!content) field_refuse(at, "content", FAILURE_FIELD, "a string, or a list of blocks, is needed");
  if (at.f->refused) return;
  if (role == 2 || content->kind == VALUE_STRING) {
    message_begin(w, ROLES[role]);
    text(w, ",\"content\":");
    write_text(w, at, "content");
    text(w, "}");
    return;
  }
  place list = field_list(at, "content");
  if (role == 1)
    write_assistant(w, list);
  else
    write_user(w, list);
}

static void write_messages(writer *w, place body) {
  place list = field_list(body, "messages");
  if (!list.v || list.v->count == 0)
    field_refuse(body, "messages", FAILURE_FIELD, "a list of messages is needed; at least one");
  text(w, "{\"messages\":[");
  if (field_any(body, "system")) {
    message_begin(w, "system");
    text(w, ",\"content\":");
    write_text(w, body, "system");
    text(w, "}");
  }
  size_t index = 0;
  for (const value *v = list.v ? list.v->first : NULL; v && !body.f->refused; v = v->next, index++)
    write_message(w, place_object(list, index, v));
  text(w, "]");
}

/* ---- Tools ---- */

static void write_member(writer *w, const char *key, const value *v) {
  if (!v) return;
  text(w, ",\"");
  text(w, key);
  text(w, "\":");
  bytes_add_value(&w->out, v);
}

static void write_tool(writer *w, place at, bool first) {
  const value *type = field_any(at, "type");
  if (type && !value_says(type, "custom")) {
    field_refuse(at, "type", FAILURE_UNSUPPORTED, "tools that a server runs are not supported; \"custom\" is accepted");
    return;
  }
  if (!field_object(at, "input_schema").v) field_refuse(at, "input_schema", FAILURE_FIELD, "an object is needed");
  field_text(at, "description");
  field_flag(at, "strict", false);
  text(w, first ? "{\"type\":\"function\",\"function\":{\"name\":" : ",{\"type\":\"function\",\"function\":{\"name\":");
  string(w, needed_text(at, "name"));
  write_member(w, "description", field_any(at, "description"));
  write_member(w, "parameters", field_any(at, "input_schema"));
  write_member(w, "strict", field_any(at, "strict"));
  text(w, "}}");
}

static bool has_tool(place tools, slice name) {
  for (const value *v = tools.v ? tools.v->first : NULL; v; v = v->next) {
    const value *own = value_get(v, "name");
    if (value_is(own, VALUE_STRING) && slice_equal(own->text, name)) return true;
  }
  return false;
}

static void read_choice(place body, place tools, conversation *c) {
  static const char *const TYPES[] = {"auto", "any", "tool", "none", NULL};
  static const tool_policy POLICIES[] = {TOOLS_AUTO, TOOLS_REQUIRED, TOOLS_NAMED, TOOLS_NONE};
  place asked = field_object(body, "tool_choice");
  if (!asked.v) return;
  int type = field_choice(asked, "type", TYPES);
  if (type < 0) {
    field_refuse(asked, "type", FAILURE_FIELD, "\"auto\", \"any\", \"tool\" or \"none\" is needed");
    return;
  }
  c->policy = POLICIES[type];
  c->one_call = field_flag(asked, "disable_parallel_tool_use", false);
  if (c->policy == TOOLS_NAMED) {
    c->tool = needed_text(asked, "name");
    if (!has_tool(tools, c->tool)) field_refuse(asked, "name", FAILURE_FIELD, "there is no such tool");
  }
  if (c->policy == TOOLS_REQUIRED && !(tools.v && tools.v->count))
    field_refuse(body, "tool_choice", FAILURE_FIELD, "a call is required, but there are no tools");
}

static void write_tools(writer *w, place body, conversation *c) {
  place tools = field_list(body, "tools");
  int32_t most = w->q->serving->limits.tools;
  if (tools.v && tools.v->count > (size_t)most)
    field_refuse(body, "tools", FAILURE_LIMIT, "there are %u; at most %d are accepted", tools.v->count, most);
  text(w, ",\"tools\":[");
  size_t index = 0;
  for (const value *v = tools.v ? tools.v->first : NULL; v && !body.f->refused; v = v->next, index++)
    write_tool(w, place_object(tools, index, v), index == 0);
  text(w, "]}");
  read_choice(body, tools, c);
}

/* ---- All ---- */

/* Mistral's templates have a place for earlier thinking from v13 on; elsewhere it is left out, as those templates do.
 */
static bool has_thinking(const char *template) {
  int version = 0;
  return template && sscanf(template, "mistral-v%d", &version) == 1 && version >= 13;
}

static void read_back(writer *w, place body, conversation *c) {
  const value *last = field_list(body, "messages").v->first;
  while (last->next) last = last->next;
  value *root = NULL;
  value_report report;
  const char *copy = arena_string(&body.f->memory, w->out.bytes, w->out.n);
  /* Strings of the request are within its limits, and so is what is made of them. */
  if (!copy || value_read(&body.f->memory, (slice){copy, w->out.n}, VALUE_REQUEST, &root, &report)) {
    fields_memory(body.f);
    return;
  }
  c->messages = (place){body.f, value_get(root, "messages"), "messages"};
  c->tools = (place){body.f, value_get(root, "tools"), "tools"};
  c->continued = value_says(value_get(last, "role"), "assistant");
}

void anthropic_conversation(question *q, place body, conversation *c) {
  writer w = {.q = q, .thinking = has_thinking(q->serving->template_name)};
  write_messages(&w, body);
  write_tools(&w, body, c);
  if (w.out.failed) fields_memory(body.f);
  if (!body.f->refused) read_back(&w, body, c);
  free(w.out.bytes);
}
