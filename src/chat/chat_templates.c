/* The chat templates, one renderer for each, and their table at the end. */
#include "chat/chat.h"

/* ---- ChatML ---- */

static void chatml_message(prompt *p, const char *role, slice content) {
  prompt_control(p, "<|im_start|>");
  prompt_text(p, role);
  prompt_text(p, "\n");
  prompt_slice(p, content);
  prompt_control(p, "<|im_end|>");
  prompt_text(p, "\n");
}

void render_chatml(prompt *p, const chat *c) {
  const char *system = p->own ? p->tokenizer->default_system : NULL;
  if (p->own && p->tokenizer->chat_bos) prompt_bos(p);
  if (system && c->messages[0].role != ROLE_SYSTEM) chatml_message(p, "system", slice_of(system));
  for (size_t i = 0; i < c->n; i++) chatml_message(p, role_name(c->messages[i].role), message_text(p, &c->messages[i]));
  prompt_control(p, "<|im_start|>");
  prompt_text(p, "assistant\n");
}

/* ---- Gemma ---- */

bool check_turns(prompt *p, const chat *c) {
  size_t first = c->messages[0].role == ROLE_SYSTEM;
  if (first == c->n) prompt_refuse(p, "there is no user's message");
  for (size_t i = first; i < c->n; i++)
    if (c->messages[i].role != ((i - first) % 2 ? ROLE_ASSISTANT : ROLE_USER))
      prompt_refuse(p, "message %zu is the %s's; user and assistant must alternate, after at most one system message",
                    i, role_name(c->messages[i].role));
  return p->status == GALE_OK;
}

void render_gemma(prompt *p, const chat *c) {
  if (!check_turns(p, c)) return;
  size_t first = c->messages[0].role == ROLE_SYSTEM;
  prompt_bos(p);
  for (size_t i = first; i < c->n; i++) {
    prompt_control(p, "<start_of_turn>");
    prompt_text(p, c->messages[i].role == ROLE_USER ? "user\n" : "model\n");
    /* Gemma has no system role: the text goes in front of the first user's. */
    if (first && i == first) {
      prompt_slice(p, message_text(p, &c->messages[0]));
      prompt_text(p, "\n\n");
    }
    prompt_trimmed(p, message_text(p, &c->messages[i]));
    prompt_control(p, "<end_of_turn>");
    prompt_text(p, "\n");
  }
  prompt_control(p, "<start_of_turn>");
  prompt_text(p, "model\n");
}

/* ---- The table ---- */

static chat_renderer *const RENDERERS[] = {
#define CHAT_TEMPLATE(name, renderer, ...) renderer,
#include "tokenizer/templates.def"
#undef CHAT_TEMPLATE
};

void chat_render(prompt *p, const chat *c) {
  RENDERERS[p->row - CHAT_TEMPLATES](p, c);
}

const char *const *gale_chat_templates(void) {
  static const char *const NAMES[] = {
#define CHAT_TEMPLATE(name, renderer, ...) name,
#include "tokenizer/templates.def"
#undef CHAT_TEMPLATE
      NULL};
  return NAMES;
}
