/* Conversations as Anthropic's clients send them. */
#ifndef GALE_SERVE_ANTHROPIC_H
#define GALE_SERVE_ANTHROPIC_H

#include "gale/serve/answer.h"

/* Puts system, messages, tools and tool_choice of a request into OpenAI's form, which the prompt is made of. Errors
 * name the fields as they were sent. */
void anthropic_conversation(question *q, place body, conversation *c);

void messages_run(serving *s, http_exchange *x);
void count_tokens_run(serving *s, http_exchange *x);

#endif
