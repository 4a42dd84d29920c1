/* The messages of a chat, kept as what they are saved as: the body of an OpenAI-style request, {"messages": [{"role":
 * ..., "content": ...}], ...}, which may also hold tools, thinking and calls. */
#ifndef GALE_CHAT_CONVERSATION_H
#define GALE_CHAT_CONVERSATION_H

#include "gale.h"

#include <jansson.h>

typedef struct conversation {
  json_t *request; /* NULL: no messages yet */
} conversation;

/* How a conversation becomes a prompt. */
typedef struct prompt_form {
  const gale_tokenizer *tokenizer;
  const char *template_name; /* NULL: the model's own */
  bool raw;                  /* without a template: the contents put together */
} prompt_form;

/* An answer as it is kept. Strings have a NUL behind them. */
typedef struct spoken {
  const char *content, *thinking; /* NULL or empty: none */
  const gale_tool_call *calls;
  size_t n_calls;
} spoken;

/* Each returns 0, or an exit status after saying what is wrong; then c is as it was. */

/* content is n bytes of UTF-8; a NUL among them is refused. */
int conversation_add(conversation *c, const char *role, const char *content, size_t n);
int conversation_add_answer(conversation *c, const spoken *answer);
/* The result of the first call of the last answer that has none yet. */
int conversation_add_result(conversation *c, const char *content, size_t n);
/* Sets, changes or (with an empty text) removes the system message at the front. */
int conversation_set_system(conversation *c, const char *content);

/* Puts a saved conversation, or any request body, in c's place. where names it in messages. What the form cannot put
 * into a prompt is refused. */
int conversation_load(conversation *c, const char *where, const char *json, size_t n, const prompt_form *form);
/* The JSON form, with a newline behind it; the caller frees *json. */
int conversation_write(const conversation *c, char **json);

/* The ids of the whole prompt. The caller gives *ids to gale_free(). */
int conversation_render(const conversation *c, const prompt_form *form, int32_t **ids, size_t *n_ids);

size_t conversation_length(const conversation *c);
/* True if the last message has this role. */
bool conversation_ends_with(const conversation *c, const char *role);
/* How many calls of the last answer have no result yet. */
size_t conversation_open_calls(const conversation *c);

/* Removes the last message. */
void conversation_pop(conversation *c);
/* Removes all messages but a system message at the front; tools and settings stay. */
void conversation_reset(conversation *c);
void conversation_clear(conversation *c);

#endif
