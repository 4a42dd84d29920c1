/* Chat templates: one row for each, from a conversation to the ids of a prompt. */
#ifndef TEXT_CHAT_H
#define TEXT_CHAT_H

#include "text/internal.h"

/* A prompt under construction. Functions that add to it do nothing once status is not GALE_OK. */
typedef struct prompt {
  const gale_tokenizer *tokenizer;
  const char *name; /* of the template, for messages */
  id_list ids;
  char *run; /* text not encoded yet */
  size_t n_run, run_capacity;
  gale_status status;
  gale_error *error;
} prompt;

/* Adds a control token by its text, and BOS or EOS, which the vocabulary must have; text gathered before
 * is encoded first, as one run. */
void prompt_mark(prompt *p, const char *text);
void prompt_bos(prompt *p);
void prompt_eos(prompt *p);

/* Adds to the present run of text: whole, or without white space around it (as Python's strip defines
 * it). prompt_rtrim takes U+0020 away from the run's end. */
void prompt_text(prompt *p, const char *text);
void prompt_trimmed(prompt *p, const char *text);
void prompt_rtrim(prompt *p);

/* Encodes the run, if there is one. */
void prompt_flush(prompt *p);

void prompt_refuse(prompt *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

enum { CHAT_MARKS = 4 };

struct chat_template {
  const char *name;
  /* Recognised by parts of the model's own template; where it has none, by a control token or by how the
   * name of its file ends. In each case the control tokens `marks` must be there and mark_not must not. */
  const char *jinja[2], *jinja_not;
  const char *by_mark, *by_source;
  const char *marks[CHAT_MARKS], *mark_not;
  int kind;        /* vocabulary_kind, or -1: any */
  const char *end; /* the mark that ends an answer, beside EOS; NULL: none */
  /* Messages have been checked: at least one, known roles, content, the last is not the assistant's. */
  void (*render)(prompt *p, const gale_message *messages, size_t n);
};

/* All rows; the last has no name. Renderers are in chat_templates.c. */
extern const chat_template CHAT_TEMPLATES[];

bool message_is(const gale_message *m, const char *role);

/* The row for a tokenizer whose marks are set up, or NULL. */
const chat_template *chat_recognise(const gale_tokenizer *t, const char *jinja, const char *source);

/* True if text is a control token of any template. A file may call such a token user-defined; text must
 * not become it all the same. */
bool chat_is_mark(const char *text, size_t length);

/* The fixed system prompt that a ChatML template puts in front where the conversation has none: its
 * offset in the Jinja text and length; false if there is none. */
bool chat_default_system(const char *jinja, size_t *offset, size_t *length);

#endif
