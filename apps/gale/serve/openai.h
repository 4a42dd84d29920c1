/* What the endpoints of OpenAI's and Mistral's clients share. */
#ifndef GALE_SERVE_OPENAI_H
#define GALE_SERVE_OPENAI_H

#include "gale/serve/answer.h"

/* The model, drawing and stopping, n, the stream, and what is refused. */
void openai_common(question *q, place body, const field_names *names);

/* Answers and streams of chat.completion, of conversations and to fill in the middle. */
extern const view CHAT_VIEW;

/* "usage": {...} of completions. */
void openai_usage(reply *r);
/* Parts of views: the end of a stream, its error, and what keeps it alive. */
void openai_end(reply *r);
void openai_failed(reply *r, failure why, const char *message);
void openai_quiet(reply *r);

void chat_run(serving *s, http_exchange *x);
void completions_run(serving *s, http_exchange *x);
void fim_run(serving *s, http_exchange *x);
void embeddings_run(serving *s, http_exchange *x);

#endif
