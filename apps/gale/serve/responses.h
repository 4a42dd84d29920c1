/* What the parts of POST /v1/responses share. */
#ifndef GALE_SERVE_RESPONSES_H
#define GALE_SERVE_RESPONSES_H

#include "gale/serve/answer.h"

/* Puts instructions, input, tools and tool_choice of a request into OpenAI's form of chats. Errors name the fields as
 * they were sent. */
void responses_conversation(question *q, place body, conversation *c);

extern const view RESPONSES_VIEW;

void responses_run(serving *s, http_exchange *x);

#endif
