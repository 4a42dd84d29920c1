/* Conversations of other APIs are written as JSON in OpenAI's form and read back: so there is one form from which
 * prompts are made. */
#ifndef GALE_SERVE_OPENAI_FORM_H
#define GALE_SERVE_OPENAI_FORM_H

#include "gale/serve/question.h"

/* The text {"messages": [...], "tools": [...]} as it grows. */
typedef struct form_writer {
  question *q;
  byte_list out;
  bool any;      /* a message was written */
  bool thinking; /* the template has a place for earlier thinking */
} form_writer;

/* Whether a template has a place for thinking: Mistral's do, from v13 on. Elsewhere earlier thinking is left out. */
bool template_thinks(const char *name);

form_writer form_open(question *q);

void form_text(form_writer *w, const char *text);
void form_string(form_writer *w, slice s);
/* Opens a message, with its role; the caller writes the rest, from a comma on, and the closing brace. */
void form_message(form_writer *w, const char *role);
/* An id of a call, which may begin with the API's own prefix. Templates want nine letters and digits: such ones are
 * kept, and of others nine are drawn from the text, so that a call and its result agree. */
void form_id(form_writer *w, slice id, const char *prefix);
/* A member behind others; nothing where v is NULL. */
void form_member(form_writer *w, const char *key, const value *v);
/* The string that is the field `key`; refused and "" where there is none. */
slice form_needed(place at, const char *key);

/* A tool whose name, description and strict are members of `at`, and its schema the member `schema`. */
void form_tool(form_writer *w, place at, const char *schema, bool first);
/* Whether a list of such tools has one of this name. */
bool form_has_tool(place tools, slice name);

/* Reads the text back into c->messages and c->tools, and frees it. messages: what the API calls them. */
void form_close(form_writer *w, const char *messages, conversation *c);

/* Refuses what has a type that is not known: `what` is its kind, in the plural. */
void form_refuse_type(place at, const value *type, const char *what);

#endif
