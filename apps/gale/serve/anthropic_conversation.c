/* From Anthropic's messages to OpenAI's. https://docs.anthropic.com/en/api/messages */
#include "gale/serve/anthropic.h"
#include "gale/serve/openai_form.h"

#include <stdlib.h>

/* ---- Blocks ---- */

/* The text of a field that is a string or a list of text blocks, as a JSON string. */
static void write_text(form_writer *w, place at, const char *key) {
  const value *v = field_any(at, key);
  byte_list whole = {0};
  if (value_is(v, VALUE_STRING)) {
    bytes_add(&whole, v->text);
  } else if (v) {
    place list = field_list(at, key);
    size_t index = 0;
    for (const value *b = list.v ? list.v->first : NULL; b && !at.f->refused; b = b->next, index++) {
      place block = place_object(list, index, b);
      if (!value_says(field_any(block, "type"), "text")) form_refuse_type(block, field_any(block, "type"), "blocks");
      bytes_add(&whole, form_needed(block, "text"));
    }
  }
  form_string(w, (slice){whole.bytes ? whole.bytes : "", whole.n});
  if (whole.failed) fields_memory(at.f);
  free(whole.bytes);
}

static void write_result(form_writer *w, place block) {
  form_message(w, "tool");
  form_text(w, ",\"tool_call_id\":");
  form_id(w, form_needed(block, "tool_use_id"), "toolu_");
  form_text(w, ",\"content\":");
  write_text(w, block, "content");
  form_text(w, "}");
}

/* A user's blocks: results are messages of their own, and texts between them are put together. */
static void write_user(form_writer *w, place list) {
  bool open = false;
  size_t index = 0;
  for (const value *b = list.v ? list.v->first : NULL; b && !list.f->refused; b = b->next, index++) {
    place block = place_object(list, index, b);
    const value *type = field_any(block, "type");
    bool result = value_says(type, "tool_result");
    if (!result && !value_says(type, "text")) {
      form_refuse_type(block, type, "blocks");
      return;
    }
    if (result && open) form_text(w, "]}");
    if (result) {
      write_result(w, block);
      open = false;
      continue;
    }
    if (!open) form_message(w, "user");
    form_text(w, open ? ",{\"type\":\"text\",\"text\":" : ",\"content\":[{\"type\":\"text\",\"text\":");
    form_string(w, form_needed(block, "text"));
    form_text(w, "}");
    open = true;
  }
  if (open) form_text(w, "]}");
}

static void write_call(form_writer *w, place block, bool first) {
  place input = field_object(block, "input");
  byte_list arguments = {0};
  if (input.v)
    bytes_add_value(&arguments, input.v);
  else
    bytes_add(&arguments, SLICE("{}"));
  form_text(w, first ? ",\"tool_calls\":[{\"type\":\"function\",\"id\":" : ",{\"type\":\"function\",\"id\":");
  form_id(w, form_needed(block, "id"), "toolu_");
  form_text(w, ",\"function\":{\"name\":");
  form_string(w, form_needed(block, "name"));
  form_text(w, ",\"arguments\":");
  form_string(w, (slice){arguments.bytes ? arguments.bytes : "", arguments.n});
  form_text(w, "}}");
  if (arguments.failed) fields_memory(block.f);
  free(arguments.bytes);
}

/* An assistant's blocks: texts and thinking are parts of the content, and calls follow it. */
static void write_assistant(form_writer *w, place list) {
  size_t index = 0, parts = 0, calls = 0;
  form_message(w, "assistant");
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
      form_refuse_type(block, type, "blocks");
      return;
    }
    form_text(w, parts++ ? ",{\"type\":\"" : ",\"content\":[{\"type\":\"");
    form_text(w, thinking ? "thinking\",\"thinking\":" : "text\",\"text\":");
    form_string(w, form_needed(block, thinking ? "thinking" : "text"));
    form_text(w, "}");
  }
  form_text(w, parts ? "]" : calls ? "" : ",\"content\":\"\"");
  index = 0;
  bool first = true;
  for (const value *b = list.v && calls ? list.v->first : NULL; b && !list.f->refused; b = b->next, index++) {
    place block = place_object(list, index, b);
    if (!value_says(field_any(block, "type"), "tool_use")) continue;
    write_call(w, block, first);
    first = false;
  }
  form_text(w, calls ? "]}" : "}");
}

/* ---- Messages ---- */

static void write_message(form_writer *w, place at) {
  static const char *const ROLES[] = {"user", "assistant", "system", NULL};
  int role = field_choice(at, "role", ROLES);
  const value *content = field_any(at, "content");
  if (role < 0) field_refuse(at, "role", FAILURE_FIELD, "a role is needed");
  if (!content) field_refuse(at, "content", FAILURE_FIELD, "a string, or a list of blocks, is needed");
  if (at.f->refused || role < 0 || !content) return;
  if (role == 2 || content->kind == VALUE_STRING) {
    form_message(w, ROLES[role]);
    form_text(w, ",\"content\":");
    write_text(w, at, "content");
    form_text(w, "}");
    return;
  }
  place list = field_list(at, "content");
  if (role == 1)
    write_assistant(w, list);
  else
    write_user(w, list);
}

static void write_messages(form_writer *w, place body) {
  place list = field_list(body, "messages");
  if (!list.v || list.v->count == 0)
    field_refuse(body, "messages", FAILURE_FIELD, "a list of messages is needed; at least one");
  form_text(w, "{\"messages\":[");
  if (field_any(body, "system")) {
    form_message(w, "system");
    form_text(w, ",\"content\":");
    write_text(w, body, "system");
    form_text(w, "}");
  }
  size_t index = 0;
  for (const value *v = list.v ? list.v->first : NULL; v && !body.f->refused; v = v->next, index++)
    write_message(w, place_object(list, index, v));
  form_text(w, "]");
}

/* ---- Tools ---- */

static void write_tool(form_writer *w, place at, bool first) {
  const value *type = field_any(at, "type");
  if (type && !value_says(type, "custom")) {
    field_refuse(at, "type", FAILURE_UNSUPPORTED, "tools that a server runs are not supported; \"custom\" is accepted");
    return;
  }
  if (!field_object(at, "input_schema").v) field_refuse(at, "input_schema", FAILURE_FIELD, "an object is needed");
  form_tool(w, at, "input_schema", first);
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
    c->tool = form_needed(asked, "name");
    if (!form_has_tool(tools, c->tool)) field_refuse(asked, "name", FAILURE_FIELD, "there is no such tool");
  }
  if (c->policy == TOOLS_REQUIRED && !(tools.v && tools.v->count))
    field_refuse(body, "tool_choice", FAILURE_FIELD, "a call is required, but there are no tools");
}

static void write_tools(form_writer *w, place body, conversation *c) {
  place tools = field_list(body, "tools");
  int32_t most = w->q->serving->limits.tools;
  if (tools.v && tools.v->count > (size_t)most)
    field_refuse(body, "tools", FAILURE_LIMIT, "there are %u; at most %d are accepted", tools.v->count, most);
  form_text(w, ",\"tools\":[");
  size_t index = 0;
  for (const value *v = tools.v ? tools.v->first : NULL; v && !body.f->refused; v = v->next, index++)
    write_tool(w, place_object(tools, index, v), index == 0);
  form_text(w, "]}");
  read_choice(body, tools, c);
}

/* ---- All ---- */

void anthropic_conversation(question *q, place body, conversation *c) {
  form_writer w = form_open(q);
  c->objects = true;
  write_messages(&w, body);
  write_tools(&w, body, c);
  form_close(&w, "messages", c);
  const value *last = q->fields.refused ? NULL : field_list(body, "messages").v->first;
  while (last && last->next) last = last->next;
  c->continued = value_says(value_get(last, "role"), "assistant");
}
