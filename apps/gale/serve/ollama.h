/* What Ollama's clients ask for. https://github.com/ollama/ollama/blob/main/docs/api.md */
#ifndef GALE_SERVE_OLLAMA_H
#define GALE_SERVE_OLLAMA_H

#include "gale/serve/answer.h"

/* "2026-01-31T12:00:00.123456789Z", of nanoseconds since 1970. */
typedef struct time_text {
  char text[40];
} time_text;
time_text ollama_time(int64_t nanoseconds);
int64_t ollama_now(void);

/* The conversation of /api/chat in OpenAI's form. */
void ollama_conversation(question *q, place body, conversation *c);

void ollama_chat_run(serving *s, http_exchange *x);
void ollama_generate_run(serving *s, http_exchange *x);
void ollama_embed_run(serving *s, http_exchange *x);
void ollama_embeddings_run(serving *s, http_exchange *x);

void ollama_tags_run(serving *s, http_exchange *x);
void ollama_ps_run(serving *s, http_exchange *x);
void ollama_show_run(serving *s, http_exchange *x);
void ollama_version_run(serving *s, http_exchange *x);
/* What changes Ollama's store: 501. */
void ollama_store_run(serving *s, http_exchange *x);

#endif
