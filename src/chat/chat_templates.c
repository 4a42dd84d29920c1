/* The chat templates, one renderer for each, and their table at the end. */
#include "chat/chat.h"

/* ---- ChatML ---- */

static void chatml_message(prompt *p, const char *role, slice content) {
  prompt_mark(p, "<|im_start|>");
  prompt_text(p, role);
  prompt_text(p, "\n");
  prompt_slice(p, content);
  prompt_mark(p, "<|im_end|>");
  prompt_text(p, "\n");
}

static void render_chatml(prompt *p, const chat *c) {
  const char *system = p->tokenizer->default_system;
  if (p->tokenizer->chat_bos) prompt_bos(p);
  if (system && c->messages[0].role != ROLE_SYSTEM) chatml_message(p, "system", slice_of(system));
  for (size_t i = 0; i < c->n; i++) chatml_message(p, role_name(c->messages[i].role), message_text(p, &c->messages[i]));
  prompt_mark(p, "<|im_start|>");
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

static void render_gemma(prompt *p, const chat *c) {
  if (!check_turns(p, c)) return;
  size_t first = c->messages[0].role == ROLE_SYSTEM;
  prompt_bos(p);
  for (size_t i = first; i < c->n; i++) {
    prompt_mark(p, "<start_of_turn>");
    prompt_text(p, c->messages[i].role == ROLE_USER ? "user\n" : "model\n");
    /* Gemma has no system role: the text goes in front of the first user's. */
    if (first && i == first) {
      prompt_slice(p, message_text(p, &c->messages[0]));
      prompt_text(p, "\n\n");
    }
    prompt_trimmed(p, message_text(p, &c->messages[i]));
    prompt_mark(p, "<end_of_turn>");
    prompt_text(p, "\n");
  }
  prompt_mark(p, "<start_of_turn>");
  prompt_text(p, "model\n");
}

/* ---- The table: the first row that fits is the model's ---- */

const chat_template CHAT_TEMPLATES[] = {
    {.name = "chatml",
     .jinja = {"<|im_start|>"},
     .jinja_not = {"<|im_sep|>", "<think>"},
     .marks = {"<|im_start|>", "<|im_end|>"},
     .kind = -1,
     .ends = {"<|im_end|>"},
     .render = render_chatml},
    {.name = "llama-3",
     .jinja = {"<|start_header_id|>"},
     .jinja_not = {"Cutting Knowledge Date", "function", "tools"},
     .marks = {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"},
     .kind = -1,
     .tools = true,
     .ends = {"<|eot_id|>", "<|eom_id|>"},
     .render = render_llama3},
    {.name = "llama-3.1",
     .jinja = {"<|start_header_id|>", "Cutting Knowledge Date", "Environment: ipython"},
     .jinja_not = {"<function"},
     .marks = {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"},
     .kind = -1,
     .tools = true,
     .ends = {"<|eot_id|>", "<|eom_id|>"},
     .render = render_llama31},
    {.name = "gemma",
     .jinja = {"<start_of_turn>"},
     .marks = {"<start_of_turn>", "<end_of_turn>"},
     .kind = VOCABULARY_SENTENCEPIECE,
     .ends = {"<end_of_turn>"},
     .render = render_gemma},
    {.name = "llama-2",
     .jinja = {"[INST]", "<<SYS>>"},
     .mark_not = "[INST]",
     .kind = VOCABULARY_SENTENCEPIECE,
     .render = render_llama2},
    {.name = "mistral-v1",
     .jinja = {"[INST]"},
     .jinja_not = {"[SYSTEM_PROMPT]"},
     .mark_not = "[INST]",
     .kind = VOCABULARY_SENTENCEPIECE,
     .version = 1,
     .render = render_mistral},
    {.name = "mistral-v2",
     .jinja = {"[INST]"},
     .jinja_not = {"[SYSTEM_PROMPT]"},
     .by_mark = "[INST]",
     .marks = {"[INST]", "[/INST]", "[AVAILABLE_TOOLS]"},
     .mark_not = "[PREFIX]",
     .kind = VOCABULARY_SENTENCEPIECE,
     .version = 2,
     .render = render_mistral},
    {.name = "mistral-v3",
     .jinja = {"[INST]"},
     .jinja_not = {"[SYSTEM_PROMPT]"},
     .by_mark = "[PREFIX]",
     .marks = {"[INST]", "[/INST]", "[AVAILABLE_TOOLS]"},
     .mark_not = "[SYSTEM_PROMPT]",
     .kind = VOCABULARY_SENTENCEPIECE,
     .version = 3,
     .render = render_mistral},
    {.name = "mistral-v3-tekken",
     .jinja = {"[INST]"},
     .jinja_not = {"[SYSTEM_PROMPT]"},
     .marks = {"[INST]", "[/INST]", "[AVAILABLE_TOOLS]"},
     .kind = VOCABULARY_BPE,
     .version = 3,
     .render = render_mistral},
    {.name = "mistral-v7",
     .jinja = {"[INST]", "[SYSTEM_PROMPT]"},
     .by_mark = "[SYSTEM_PROMPT]",
     .marks = {"[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[TOOL_CONTENT]"},
     .kind = VOCABULARY_SENTENCEPIECE,
     .version = 7,
     .render = render_mistral},
    {.name = "mistral-v7-tekken",
     .jinja = {"[INST]", "[SYSTEM_PROMPT]"},
     .jinja_not = {"[ARGS]"},
     .marks = {"[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[TOOL_CONTENT]"},
     .kind = VOCABULARY_BPE,
     .version = 7,
     .render = render_mistral},
    {.name = "mistral-v11",
     .jinja = {"[INST]", "[CALL_ID]"},
     .marks = {"[INST]", "[SYSTEM_PROMPT]", "[ARGS]", "[CALL_ID]"},
     .kind = VOCABULARY_BPE,
     .version = 11,
     .render = render_mistral},
    {.name = "mistral-v13",
     .jinja = {"[INST]", "[ARGS]"},
     .jinja_not = {"[MODEL_SETTINGS]"},
     .marks = {"[INST]", "[SYSTEM_PROMPT]", "[ARGS]"},
     .kind = VOCABULARY_BPE,
     .version = 13,
     .render = render_mistral},
    {.name = "mistral-v15",
     .jinja = {"[INST]", "[MODEL_SETTINGS]"},
     .marks = {"[INST]", "[SYSTEM_PROMPT]", "[ARGS]", "[MODEL_SETTINGS]"},
     .kind = VOCABULARY_BPE,
     .version = 15,
     .render = render_mistral},
    {0},
};

const char *const *gale_chat_templates(void) {
  static const char *const NAMES[] = {"chatml",      "llama-3",           "llama-3.1",
                                      "gemma",       "llama-2",           "mistral-v1",
                                      "mistral-v2",  "mistral-v3",        "mistral-v3-tekken",
                                      "mistral-v7",  "mistral-v7-tekken", "mistral-v11",
                                      "mistral-v13", "mistral-v15",       NULL};
  return NAMES;
}
