/* Messages of a chat, and their JSON form: {"messages": [{"role": ..., "content": ...}]}. */
#ifndef GALE_CONVERSATION_H
#define GALE_CONVERSATION_H

#include "gale.h"

typedef struct conversation {
  gale_message *messages; /* their strings are owned */
  size_t length;
} conversation;

/* Each returns 0, or an exit status after saying what is wrong; then c is as it was. */

/* content is n bytes; a NUL among them is refused. */
int conversation_add(conversation *c, const char *role, const char *content, size_t n);
/* Sets, changes or (with an empty text) removes the system message at the front. */
int conversation_set_system(conversation *c, const char *content);
/* Adds the messages of an OpenAI-style request body; where names it in messages. A content is a string
 * or a list of text parts, which are joined by a blank line. What gale cannot put into a prompt yet
 * (tools, images, an answer to be continued) is refused. */
int conversation_parse(conversation *c, const char *where, const char *json, size_t n);
int conversation_save(const conversation *c, const char *path);

/* The ids of the whole prompt: through a template (NULL: the model's own), or, if raw, of the contents
 * put together. The caller gives *ids to gale_free(). */
int conversation_render(const conversation *c, const gale_tokenizer *tokenizer, const char *template, bool raw,
                        int32_t **ids, size_t *n_ids);

/* True if the last message has this role. */
bool conversation_ends_with(const conversation *c, const char *role);

/* Removes the last message. */
void conversation_pop(conversation *c);
void conversation_clear(conversation *c);

#endif
