#include "gale/serve/openai_form.h"

#include <stdlib.h>
#include <string.h>

bool template_thinks(const char *name) {
  static const char MISTRAL[] = "mistral-v";
  const size_t n = sizeof MISTRAL - 1;
  return name && strncmp(name, MISTRAL, n) == 0 && strtol(name + n, NULL, 10) >= 13;
}

form_writer form_open(question *q) {
  return (form_writer){.q = q, .thinking = template_thinks(q->serving->template_name)};
}

void form_text(form_writer *w, const char *text) {
  bytes_add(&w->out, slice_of(text));
}

void form_string(form_writer *w, slice s) {
  bytes_add_string(&w->out, s);
}

void form_message(form_writer *w, const char *role) {
  form_text(w, w->any ? ",{\"role\":\"" : "{\"role\":\"");
  form_text(w, role);
  form_text(w, "\"");
  w->any = true;
}

void form_member(form_writer *w, const char *key, const value *v) {
  if (!v) return;
  form_text(w, ",\"");
  form_text(w, key);
  form_text(w, "\":");
  bytes_add_value(&w->out, v);
}

slice form_needed(place at, const char *key) {
  slice s = field_text(at, key);
  if (!s.s) field_refuse(at, key, FAILURE_FIELD, "a string is needed");
  return s.s ? s : SLICE("");
}

void form_refuse_type(place at, const value *type, const char *what) {
  if (value_is(type, VALUE_STRING))
    field_refuse(at, "type", FAILURE_UNSUPPORTED, "%s of the type \"%.*s\" are not supported here", what,
                 (int)(type->text.n < 40 ? type->text.n : 40), type->text.s);
  else
    field_refuse(at, "type", FAILURE_FIELD, "a string is needed");
}

/* ---- Ids of calls ---- */

enum { ID_LENGTH = 9 };

static const char DIGITS[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static bool is_own_id(slice id) {
  for (size_t i = 0; i < id.n; i++)
    if (!id.s[i] || !strchr(DIGITS, id.s[i])) return false;
  return id.n == ID_LENGTH;
}

void form_id(form_writer *w, slice id, const char *prefix) {
  char drawn[ID_LENGTH];
  uint64_t hash = 14695981039346656037u;
  size_t skipped = strlen(prefix);
  if (id.n > skipped && memcmp(id.s, prefix, skipped) == 0) id = (slice){id.s + skipped, id.n - skipped};
  if (is_own_id(id)) {
    form_string(w, id);
    return;
  }
  for (size_t i = 0; i < id.n; i++) hash = (hash ^ (unsigned char)id.s[i]) * 1099511628211u;
  for (int i = 0; i < ID_LENGTH; i++, hash /= 62) drawn[i] = DIGITS[hash % 62];
  form_string(w, (slice){drawn, sizeof drawn});
}

/* ---- Tools ---- */

void form_tool(form_writer *w, place at, const char *schema, bool first) {
  field_text(at, "description");
  field_flag(at, "strict", false);
  form_text(w, first ? "{\"type\":\"function\",\"function\":{\"name\":"
                     : ",{\"type\":\"function\",\"function\":{\"name\":");
  form_string(w, form_needed(at, "name"));
  form_member(w, "description", field_any(at, "description"));
  form_member(w, "parameters", field_any(at, schema));
  form_member(w, "strict", field_any(at, "strict"));
  form_text(w, "}}");
}

bool form_has_tool(place tools, slice name) {
  for (const value *v = tools.v ? tools.v->first : NULL; v; v = v->next) {
    const value *own = value_get(v, "name");
    if (value_is(own, VALUE_STRING) && slice_equal(own->text, name)) return true;
  }
  return false;
}

/* ---- Reading back ---- */

void form_close(form_writer *w, const char *messages, conversation *c) {
  fields *f = &w->q->fields;
  if (w->out.failed) fields_memory(f);
  const char *copy = f->refused ? NULL : arena_string(&f->memory, w->out.bytes, w->out.n);
  value *root = NULL;
  value_report report;
  /* Strings of the request are within its limits, and so is what is made of them. */
  if (!f->refused && (!copy || value_read(&f->memory, (slice){copy, w->out.n}, VALUE_REQUEST, &root, &report)))
    fields_memory(f);
  free(w->out.bytes);
  w->out = (byte_list){0};
  if (f->refused) return;
  c->messages = (place){f, value_get(root, "messages"), messages};
  c->tools = (place){f, value_get(root, "tools"), "tools"};
}
