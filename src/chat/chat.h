/* From a conversation to the ids of a prompt. tokenizer/templates.def lists the templates. */
#ifndef CHAT_CHAT_H
#define CHAT_CHAT_H

#include "tokenizer/built.h"
#include "json/value.h"

/* ---- A conversation, as gale.h's messages or a request's body state it ---- */

typedef enum chat_role { ROLE_SYSTEM, ROLE_USER, ROLE_ASSISTANT, ROLE_TOOL } chat_role;

typedef struct chat_part {
  slice text;
  bool thinking;
  bool open; /* thinking that goes on in the answer */
} chat_part;

typedef struct chat_call {
  slice id, name, arguments;
} chat_call;

typedef struct chat_message {
  chat_role role;
  bool has_content, is_list; /* a list of parts, or one part that stands for a string */
  const chat_part *parts;
  size_t n_parts;
  const chat_call *calls;
  size_t n_calls;
  slice call_id, name; /* of a tool's result */
  bool prefix;         /* to be continued; only the last may be, which is an assistant's */
} chat_message;

typedef struct chat {
  chat_message *messages;
  size_t n;
  const value *tools;  /* an array that has been read, or NULL */
  slice effort;        /* reasoning_effort; not there: none is asked for */
  const value *schema; /* of the answer; NULL: none */
  /* Of Llama 3.1: the day that the model is told; not there: the published default. Tools stand in the system prompt,
   * and not in the first user's message. */
  slice date;
  bool tools_in_system;
  bool generic_tools; /* gale's own form of tools, where the template has none */
} chat;

/* ---- Prompts ---- */

/* A prompt under construction. Functions that add to it do nothing once status is not GALE_OK. */
typedef struct prompt {
  const gale_tokenizer *tokenizer;
  const chat_template *row;
  bool own;     /* row is the model's own template, not one named by the caller: what else the files' template writes is
                   written too */
  arena memory; /* until the prompt is done */
  id_list ids;
  byte_list run; /* text not encoded yet */
  gale_status status;
  gale_error *error;
} prompt;

/* Adds a control token by its text, and BOS or EOS, which the vocabulary must have; text gathered before
 * is encoded first, as one run. */
void prompt_control(prompt *p, const char *text);
void prompt_bos(prompt *p);
void prompt_eos(prompt *p);

/* Adds to the present run of text: whole, or without white space around it (as Python's strip defines
 * it). prompt_rtrim takes U+0020 away from the run's end. */
void prompt_text(prompt *p, const char *text);
void prompt_slice(prompt *p, slice text);
void prompt_trimmed(prompt *p, slice text);
void prompt_rtrim(prompt *p);
/* Adds a text that has been gathered, and frees it. */
void prompt_list(prompt *p, byte_list *text, bool trimmed);
/* Adds JSON in the form that the reference writes it in: text that is no JSON becomes a string, empty text {}. */
void prompt_json(prompt *p, slice text);

/* Encodes the run, if there is one. */
void prompt_flush(prompt *p);

void prompt_refuse(prompt *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Memory that lives as long as the prompt; NULL with status set. */
void *prompt_memory(prompt *p, size_t count, size_t size);

/* What a template writes; messages have passed chat_check(), or mistral_check() where there is a version. */
typedef void chat_renderer(prompt *p, const chat *c);
#define CHAT_TEMPLATE(name, renderer, ...) chat_renderer renderer;
#include "tokenizer/templates.def"
#undef CHAT_TEMPLATE

/* Calls the renderer of p->row. */
chat_renderer chat_render;

/* ---- Parts of rendering, in files of their own ---- */

const char *role_name(chat_role role);
/* The role of that name, developer among them; false if there is none. */
bool role_find(slice name, chat_role *role);

/* All text of a message, its parts joined by a blank line. */
slice message_text(prompt *p, const chat_message *m);

/* The ids of a conversation; p is set up but for its memory and row. */
gale_status chat_finish(prompt *p, chat *c, int32_t **ids, size_t *n_ids);
/* The row of that name, or with NULL the tokenizer's own; NULL with error set. */
const chat_template *chat_find(const gale_tokenizer *t, const char *name, gale_error *error);

/* True if user and assistant take turns, behind an optional system message; refuses others. */
bool check_turns(prompt *p, const chat *c);

/* The rules of Mistral's reference for messages, tools and settings. Each refuses what breaks them. */
void mistral_check(prompt *p, const chat *c);
/* What the model can be told: as its tokenizer's file states, or where that states nothing, what is usual. NULL: the
 * file is one that must state it, and does not. */
const model_settings *mistral_settings(const prompt *p);

/* Refuses tools that are no list of functions, or whose parameters are no JSON schema (draft 7). */
void tools_check(prompt *p, const value *tools);
void tools_write(prompt *p, const value *tools);

/* Whether a template has a form for tools. */
bool tools_known(const chat_template *row);
/* A conversation with tools becomes one of texts alone, in gale's own form. */
void tools_as_text(prompt *p, chat *c);
/* [a-zA-Z0-9_-]{1,64}, as the reference matches it. */
bool function_name_fits(slice name);

#endif
