/* From Ollama's messages to OpenAI's: calls have objects for arguments, and may have no ids. */
#include "gale/serve/ollama.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct writer {
  byte_list out;
  int n_calls, n_results; /* so far; the results answer the calls in their order */
} writer;

static void text(writer *w, const char *s) {
  bytes_add(&w->out, slice_of(s));
}

/* Templates want ids of nine letters and digits. */
static void write_id(writer *w, int number) {
  char id[16];
  snprintf(id, sizeof id, "\"call%05d\"", number % 100000);
  text(w, id);
}

static void write_call(writer *w, place at, bool first) {
  place function = field_object(at, "function");
  slice name = field_text(function, "name");
  const value *arguments = field_any(function, "arguments");
  byte_list written = {0};
  if (!name.s) field_refuse(function.v ? function : at, "name", FAILURE_FIELD, "a string is needed");
  if (arguments && arguments->kind != VALUE_OBJECT)
    field_refuse(function, "arguments", FAILURE_FIELD, "an object is accepted");
  if (at.f->refused) return;
  if (arguments)
    bytes_add_value(&written, arguments);
  else
    bytes_add(&written, SLICE("{}"));
  text(w, first ? "{\"type\":\"function\",\"id\":" : ",{\"type\":\"function\",\"id\":");
  write_id(w, w->n_calls++);
  text(w, ",\"function\":{\"name\":");
  bytes_add_string(&w->out, name);
  text(w, ",\"arguments\":");
  bytes_add_string(&w->out, (slice){written.bytes ? written.bytes : "", written.n});
  text(w, "}}");
  if (written.failed) fields_memory(at.f);
  free(written.bytes);
}

static void write_calls(writer *w, place at) {
  place list = field_list(at, "tool_calls");
  if (!list.v || list.v->count == 0) return;
  size_t index = 0;
  text(w, ",\"tool_calls\":[");
  for (const value *v = list.v->first; v && !at.f->refused; v = v->next, index++)
    write_call(w, place_object(list, index, v), index == 0);
  text(w, "]");
}

static void write_message(writer *w, place at, bool first) {
  static const char *const ROLES[] = {"system", "user", "assistant", "tool", NULL};
  static const neutral_field NEUTRAL[] = {{"images", "[]"}, {NULL, NULL}};
  int role = field_choice(at, "role", ROLES);
  slice content = field_text(at, "content");
  if (role < 0) field_refuse(at, "role", FAILURE_FIELD, "a role is needed");
  fields_neutral(at, NEUTRAL);
  field_text(at, "thinking");
  if (at.f->refused) return;
  text(w, first ? "{\"role\":\"" : ",{\"role\":\"");
  text(w, ROLES[role]);
  text(w, "\",\"content\":");
  bytes_add_string(&w->out, content.s ? content : SLICE(""));
  if (role == 2) write_calls(w, at);
  if (role == 3) {
    text(w, ",\"tool_call_id\":");
    write_id(w, w->n_results++);
  }
  text(w, "}");
}

void ollama_conversation(question *q, place body, conversation *c) {
  writer w = {0};
  place list = field_list(body, "messages");
  size_t index = 0;
  text(&w, "{\"messages\":[");
  for (const value *v = list.v->first; v && !body.f->refused; v = v->next, index++)
    write_message(&w, place_object(list, index, v), index == 0);
  text(&w, "],\"tools\":");
  const value *tools = field_any(body, "tools");
  if (tools)
    bytes_add_value(&w.out, tools);
  else
    text(&w, "[]");
  text(&w, "}");
  if (w.out.failed) fields_memory(body.f);
  const char *copy = body.f->refused ? NULL : arena_string(&body.f->memory, w.out.bytes, w.out.n);
  value *root = NULL;
  value_report report;
  if (!body.f->refused && (!copy || value_read(&body.f->memory, (slice){copy, w.out.n}, VALUE_REQUEST, &root, &report)))
    fields_memory(body.f);
  free(w.out.bytes);
  if (body.f->refused) return;
  question_conversation(q, (place){body.f, root, ""}, c);
  c->objects = true;
  const value *last = c->messages.v ? c->messages.v->first : NULL;
  while (last && last->next) last = last->next;
  c->continued = value_says(value_get(last, "role"), "assistant");
}
