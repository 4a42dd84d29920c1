/* From the items of /v1/responses to the messages of chats. */
#include "gale/serve/openai_form.h"
#include "gale/serve/responses.h"

#include <stdlib.h>

typedef enum item_kind { ITEM_MESSAGE, ITEM_CALL, ITEM_RESULT, ITEM_REASONING } item_kind;

/* The assistant's turn may be several items: reasoning, a message, calls. They become one message. */
typedef struct turn {
  byte_list parts, calls;
} turn;

static void add(byte_list *to, const char *text) {
  bytes_add(to, slice_of(text));
}

static slice bytes_of(const byte_list *b) {
  return (slice){b->bytes ? b->bytes : "", b->n};
}

static void end_turn(form_writer *w, turn *t) {
  if (t->parts.n || t->calls.n) {
    form_message(w, "assistant");
    if (t->parts.n) {
      form_text(w, ",\"content\":[");
      bytes_add(&w->out, bytes_of(&t->parts));
      form_text(w, "]");
    }
    if (t->calls.n) {
      form_text(w, ",\"tool_calls\":[");
      bytes_add(&w->out, bytes_of(&t->calls));
      form_text(w, "]");
    }
    form_text(w, "}");
  }
  if (t->parts.failed || t->calls.failed) w->out.failed = true;
  free(t->parts.bytes);
  free(t->calls.bytes);
  *t = (turn){0};
}

/* ---- Content ---- */

/* The text of a field that is a string or a list of parts of these types, which end with NULL. */
static void read_text(place at, const char *key, const char *const *types, byte_list *text) {
  const value *v = field_any(at, key);
  if (value_is(v, VALUE_STRING)) bytes_add(text, v->text);
  if (!v || v->kind == VALUE_STRING) return;
  place list = field_list(at, key);
  size_t index = 0;
  for (const value *p = list.v ? list.v->first : NULL; p && !at.f->refused; p = p->next, index++) {
    place part = place_object(list, index, p);
    const value *type = field_any(part, "type");
    bool known = false;
    for (int i = 0; types[i]; i++) known |= value_says(type, types[i]);
    if (known)
      bytes_add(text, form_needed(part, "text"));
    else
      form_refuse_type(part, type, "parts");
  }
}

static void add_part(turn *t, const char *type, const byte_list *text) {
  add(&t->parts, t->parts.n ? ",{\"type\":\"" : "{\"type\":\"");
  add(&t->parts, type);
  add(&t->parts, "\",\"");
  add(&t->parts, type);
  add(&t->parts, "\":");
  bytes_add_string(&t->parts, bytes_of(text));
  add(&t->parts, "}");
}

/* ---- Items ---- */

static void write_message(form_writer *w, turn *t, place item) {
  static const char *const ROLES[] = {"user", "assistant", "system", "developer", NULL};
  static const char *const TEXTS[] = {"input_text", "output_text", "text", NULL};
  int role = field_choice(item, "role", ROLES);
  byte_list text = {0};
  if (role < 0) field_refuse(item, "role", FAILURE_FIELD, "a role is needed");
  if (!field_any(item, "content"))
    field_refuse(item, "content", FAILURE_FIELD, "a string, or a list of parts, is needed");
  read_text(item, "content", TEXTS, &text);
  if (!item.f->refused && role == 1) {
    if (t->calls.n) end_turn(w, t);
    add_part(t, "text", &text);
  } else if (!item.f->refused) {
    end_turn(w, t);
    form_message(w, ROLES[role]);
    form_text(w, ",\"content\":");
    form_string(w, bytes_of(&text));
    form_text(w, "}");
  }
  if (text.failed) fields_memory(item.f);
  free(text.bytes);
}

static void write_reasoning(form_writer *w, turn *t, place item) {
  static const char *const TEXTS[] = {"reasoning_text", NULL};
  byte_list text = {0};
  read_text(item, "content", TEXTS, &text);
  if (text.failed) fields_memory(item.f);
  if (text.n && w->thinking) {
    if (t->parts.n || t->calls.n) end_turn(w, t);
    add_part(t, "thinking", &text);
  }
  free(text.bytes);
}

static void write_call(form_writer *w, turn *t, place item) {
  form_writer call = {.q = w->q};
  form_text(&call, t->calls.n ? ",{\"type\":\"function\",\"id\":" : "{\"type\":\"function\",\"id\":");
  form_id(&call, form_needed(item, "call_id"), "call_");
  form_text(&call, ",\"function\":{\"name\":");
  form_string(&call, form_needed(item, "name"));
  form_text(&call, ",\"arguments\":");
  form_string(&call, form_needed(item, "arguments"));
  form_text(&call, "}}");
  bytes_add(&t->calls, bytes_of(&call.out));
  if (call.out.failed) t->calls.failed = true;
  free(call.out.bytes);
}

static void write_result(form_writer *w, turn *t, place item) {
  static const char *const TEXTS[] = {"input_text", NULL};
  byte_list text = {0};
  end_turn(w, t);
  if (!field_any(item, "output"))
    field_refuse(item, "output", FAILURE_FIELD, "a string, or a list of parts, is needed");
  read_text(item, "output", TEXTS, &text);
  form_message(w, "tool");
  form_text(w, ",\"tool_call_id\":");
  form_id(w, form_needed(item, "call_id"), "call_");
  form_text(w, ",\"content\":");
  form_string(w, bytes_of(&text));
  form_text(w, "}");
  if (text.failed) fields_memory(item.f);
  free(text.bytes);
}

static void write_item(form_writer *w, turn *t, place item) {
  static void (*const WRITE[])(form_writer *, turn *, place) = {
      [ITEM_MESSAGE] = write_message,
      [ITEM_CALL] = write_call,
      [ITEM_RESULT] = write_result,
      [ITEM_REASONING] = write_reasoning,
  };
  static const char *const TYPES[] = {"message", "function_call", "function_call_output", "reasoning"};
  const value *type = field_any(item, "type");
  if (item.f->refused) return;
  /* A message needs no type. */
  int kind = type ? -1 : ITEM_MESSAGE;
  for (int i = 0; i < 4; i++)
    if (value_says(type, TYPES[i])) kind = i;
  if (kind < 0)
    form_refuse_type(item, type, "items");
  else
    WRITE[kind](w, t, item);
}

static void write_input(form_writer *w, place body) {
  const value *input = field_any(body, "input");
  bool text = value_is(input, VALUE_STRING), list = value_is(input, VALUE_ARRAY);
  if (!(text && input->text.n) && !(list && input->count)) {
    field_refuse(body, "input", FAILURE_FIELD, "a text, or a list of items, is needed, and not an empty one");
    return;
  }
  if (text) {
    form_message(w, "user");
    form_text(w, ",\"content\":");
    form_string(w, input->text);
    form_text(w, "}");
    return;
  }
  place items = field_list(body, "input");
  size_t index = 0;
  turn t = {0};
  for (const value *v = items.v->first; v && !body.f->refused; v = v->next, index++)
    write_item(w, &t, place_object(items, index, v));
  end_turn(w, &t);
}

/* ---- Tools ---- */

static void write_tool(form_writer *w, place at, bool first) {
  const value *type = field_any(at, "type");
  if (!value_says(type, "function")) {
    form_refuse_type(at, type, "tools");
    return;
  }
  field_object(at, "parameters");
  form_tool(w, at, "parameters", first);
}

static void read_choice(place body, place tools, conversation *c) {
  static const char *const WORDS[] = {"auto", "none", "required", NULL};
  static const char *const TYPES[] = {"function", NULL};
  static const tool_policy POLICIES[] = {TOOLS_AUTO, TOOLS_NONE, TOOLS_REQUIRED};
  const value *v = field_any(body, "tool_choice");
  if (!v) return;
  if (v->kind != VALUE_OBJECT) {
    int word = field_choice(body, "tool_choice", WORDS);
    c->policy = POLICIES[word < 0 ? 0 : word];
    if (c->policy == TOOLS_REQUIRED && !(tools.v && tools.v->count))
      field_refuse(body, "tool_choice", FAILURE_FIELD, "a call is required, but there are no tools");
    return;
  }
  place named = field_object(body, "tool_choice");
  if (field_choice(named, "type", TYPES) < 0) field_refuse(named, "type", FAILURE_FIELD, "\"function\" is needed");
  c->policy = TOOLS_NAMED;
  c->tool = form_needed(named, "name");
  if (!form_has_tool(tools, c->tool))
    field_refuse(named, "name", FAILURE_FIELD, "there is no tool \"%.*s\"", (int)(c->tool.n < 80 ? c->tool.n : 80),
                 c->tool.s);
}

static void write_tools(form_writer *w, place body, conversation *c) {
  place tools = field_list(body, "tools");
  int32_t most = w->q->serving->limits.tools;
  size_t index = 0;
  if (tools.v && tools.v->count > (size_t)most)
    field_refuse(body, "tools", FAILURE_LIMIT, "there are %u; at most %d are accepted", tools.v->count, most);
  for (const value *v = tools.v ? tools.v->first : NULL; v && !body.f->refused; v = v->next, index++)
    write_tool(w, place_object(tools, index, v), index == 0);
  read_choice(body, tools, c);
  c->one_call = !field_flag(body, "parallel_tool_calls", true);
}

/* ---- All ---- */

void responses_conversation(question *q, place body, conversation *c) {
  form_writer w = form_open(q);
  form_text(&w, "{\"messages\":[");
  slice instructions = field_text(body, "instructions");
  if (instructions.s && instructions.n) {
    form_message(&w, "system");
    form_text(&w, ",\"content\":");
    form_string(&w, instructions);
    form_text(&w, "}");
  }
  write_input(&w, body);
  form_text(&w, "],\"tools\":[");
  write_tools(&w, body, c);
  form_text(&w, "]}");
  form_close(&w, "input", c);
}
