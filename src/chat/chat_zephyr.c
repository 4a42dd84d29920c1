/* Prompts of Zephyr and TinyLlama Chat. */
#include "chat/chat.h"

#include <stdio.h>

/* The names of roles are plain text where the vocabulary has no control tokens for them. */
static void header(prompt *p, chat_role role) {
  char name[32];
  snprintf(name, sizeof name, "<|%s|>", role_name(role));
  tokenizer_control(p->tokenizer, name) >= 0 ? prompt_control(p, name) : prompt_text(p, name);
  prompt_text(p, "\n");
}

void render_zephyr(prompt *p, const chat *c) {
  if (p->own && p->tokenizer->chat_bos) prompt_bos(p);
  for (size_t i = 0; i < c->n; i++) {
    header(p, c->messages[i].role);
    prompt_slice(p, message_text(p, &c->messages[i]));
    prompt_eos(p);
    prompt_text(p, "\n");
  }
  header(p, ROLE_ASSISTANT);
}
