/* The chat templates, one renderer for each, and their table at the end. */
#include "text/chat.h"

/* ---- ChatML ---- */

static void chatml_message(prompt *p, const char *role, const char *content) {
  prompt_mark(p, "<|im_start|>");
  prompt_text(p, role);
  prompt_text(p, "\n");
  prompt_text(p, content);
  prompt_mark(p, "<|im_end|>");
  prompt_text(p, "\n");
}

static void render_chatml(prompt *p, const gale_message *messages, size_t n) {
  const char *system = p->tokenizer->default_system;
  if (system && !message_is(&messages[0], "system")) chatml_message(p, "system", system);
  for (size_t i = 0; i < n; i++) chatml_message(p, messages[i].role, messages[i].content);
  prompt_mark(p, "<|im_start|>");
  prompt_text(p, "assistant\n");
}

/* ---- Llama ---- */

static void llama3_header(prompt *p, const char *role) {
  prompt_mark(p, "<|start_header_id|>");
  prompt_text(p, role);
  prompt_mark(p, "<|end_header_id|>");
  prompt_text(p, "\n\n");
}

static void render_llama3(prompt *p, const gale_message *messages, size_t n) {
  prompt_bos(p);
  for (size_t i = 0; i < n; i++) {
    llama3_header(p, messages[i].role);
    prompt_trimmed(p, messages[i].content);
    prompt_mark(p, "<|eot_id|>");
  }
  llama3_header(p, "assistant");
}

/* Turns of user and assistant by turns, after an optional system message. */
static bool check_turns(prompt *p, const gale_message *messages, size_t n) {
  size_t first = message_is(&messages[0], "system");
  if (first == n) prompt_refuse(p, "there is no user's message");
  for (size_t i = first; i < n; i++)
    if (!message_is(&messages[i], (i - first) % 2 ? "assistant" : "user"))
      prompt_refuse(p, "message %zu is the %s's; user and assistant must alternate, after at most one system message",
                    i, messages[i].role);
  return p->status == GALE_OK;
}

static void render_llama2(prompt *p, const gale_message *messages, size_t n) {
  if (!check_turns(p, messages, n)) return;
  size_t first = message_is(&messages[0], "system");
  for (size_t i = first; i < n; i += 2) {
    prompt_bos(p);
    prompt_text(p, "[INST] ");
    if (first && i == first) {
      prompt_text(p, "<<SYS>>\n");
      prompt_text(p, messages[0].content);
      prompt_text(p, "\n<</SYS>>\n\n");
    }
    prompt_trimmed(p, messages[i].content);
    prompt_text(p, " [/INST]");
    if (i + 1 == n) break;
    prompt_text(p, " ");
    prompt_trimmed(p, messages[i + 1].content);
    prompt_text(p, " ");
    prompt_eos(p);
  }
}

/* ---- Gemma ---- */

static void render_gemma(prompt *p, const gale_message *messages, size_t n) {
  if (!check_turns(p, messages, n)) return;
  size_t first = message_is(&messages[0], "system");
  prompt_bos(p);
  for (size_t i = first; i < n; i++) {
    prompt_mark(p, "<start_of_turn>");
    prompt_text(p, message_is(&messages[i], "user") ? "user\n" : "model\n");
    /* Gemma has no system role: the text goes in front of the first user's. */
    if (first && i == first) {
      prompt_trimmed(p, messages[0].content);
      prompt_text(p, "\n\n");
    }
    prompt_trimmed(p, messages[i].content);
    prompt_mark(p, "<end_of_turn>");
    prompt_text(p, "\n");
  }
  prompt_mark(p, "<start_of_turn>");
  prompt_text(p, "model\n");
}

/* ---- Mistral v1 and v3 ---- */

/* How the two versions differ. */
typedef struct mistral_form {
  const char *open, *close; /* around a user's text */
  bool marks;               /* open and close are control tokens */
  bool system_last;         /* system prompts go before the last user's text, not the first */
  bool trim;                /* answers lose U+0020 at their end */
} mistral_form;

static const mistral_form MISTRAL_V1 = {"[INST] ", " [/INST]", false, false, false};
static const mistral_form MISTRAL_V3 = {"[INST]", "[/INST]", true, true, true};

/* The contents of messages of one role (those that are not empty), with a blank line between. Returns
 * whether there was any. */
static bool joined_text(prompt *p, const gale_message *messages, size_t n, const char *role) {
  bool any = false;
  for (size_t i = 0; i < n; i++) {
    if (!message_is(&messages[i], role) || !*messages[i].content) continue;
    if (any) prompt_text(p, "\n\n");
    prompt_text(p, messages[i].content);
    any = true;
  }
  return any;
}

/* End of the run of messages of one role that starts at i. */
static size_t run_end(const gale_message *messages, size_t n, size_t i) {
  size_t end = i + 1;
  while (end < n && message_is(&messages[end], messages[i].role)) end++;
  return end;
}

static void mistral_bracket(prompt *p, const mistral_form *form, const char *text) {
  if (form->marks)
    prompt_mark(p, text);
  else
    prompt_text(p, text);
}

typedef struct mistral_turns {
  const mistral_form *form;
  const gale_message *messages;
  size_t n, with_system, done; /* the user's turn that has the system prompts; turns written */
} mistral_turns;

static void mistral_user(prompt *p, mistral_turns *turns, size_t start, size_t end) {
  mistral_bracket(p, turns->form, turns->form->open);
  if (turns->done++ == turns->with_system && joined_text(p, turns->messages, turns->n, "system"))
    prompt_text(p, "\n\n");
  joined_text(p, turns->messages + start, end - start, "user");
  mistral_bracket(p, turns->form, turns->form->close);
}

static void mistral_assistant(prompt *p, const mistral_turns *turns, size_t start, size_t end) {
  for (size_t i = start; i < end; i++)
    if (!*turns->messages[i].content) prompt_refuse(p, "message %zu, the assistant's, is empty", i);
  prompt_flush(p);
  joined_text(p, turns->messages + start, end - start, "assistant");
  if (turns->form->trim) prompt_rtrim(p);
  prompt_eos(p);
}

static void render_mistral(prompt *p, const gale_message *messages, size_t n, const mistral_form *form) {
  mistral_turns turns = {.form = form, .messages = messages, .n = n};
  size_t first = 0, n_turns = 0;
  while (first < n && message_is(&messages[first], "system")) first++;
  /* Where the conversation does not begin with a user, an empty turn does. */
  bool empty_turn = first == n || !message_is(&messages[first], "user");
  for (size_t i = 0; i < n; i = run_end(messages, n, i)) {
    n_turns += message_is(&messages[i], "user");
    if (i > 0 && message_is(&messages[i], "system") && message_is(&messages[i - 1], "assistant"))
      prompt_refuse(p, "message %zu is a system message after the assistant's", i);
  }
  turns.with_system = form->system_last ? n_turns + empty_turn - 1 : 0;
  prompt_bos(p);
  if (empty_turn) mistral_user(p, &turns, 0, 0);
  for (size_t i = 0, end; i < n; i = end) {
    end = run_end(messages, n, i);
    /* Each turn of v1 is a run of its own. */
    prompt_flush(p);
    if (message_is(&messages[i], "user")) mistral_user(p, &turns, i, end);
    if (message_is(&messages[i], "assistant")) mistral_assistant(p, &turns, i, end);
  }
}

static void render_mistral_v1(prompt *p, const gale_message *messages, size_t n) {
  render_mistral(p, messages, n, &MISTRAL_V1);
}

static void render_mistral_v3(prompt *p, const gale_message *messages, size_t n) {
  render_mistral(p, messages, n, &MISTRAL_V3);
}

/* ---- The table: the first row that fits is the model's ---- */

const chat_template CHAT_TEMPLATES[] = {
    {.name = "chatml",
     .jinja = {"<|im_start|>"},
     .marks = {"<|im_start|>", "<|im_end|>"},
     .kind = -1,
     .end = "<|im_end|>",
     .render = render_chatml},
    {.name = "llama-3",
     .jinja = {"<|start_header_id|>"},
     .marks = {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"},
     .kind = -1,
     .end = "<|eot_id|>",
     .render = render_llama3},
    {.name = "gemma",
     .jinja = {"<start_of_turn>"},
     .marks = {"<start_of_turn>", "<end_of_turn>"},
     .kind = VOCABULARY_SENTENCEPIECE,
     .end = "<end_of_turn>",
     .render = render_gemma},
    {.name = "llama-2",
     .jinja = {"[INST]", "<<SYS>>"},
     .mark_not = "[INST]",
     .kind = VOCABULARY_SENTENCEPIECE,
     .render = render_llama2},
    {.name = "mistral-v1",
     .jinja = {"[INST]"},
     .by_source = ".model.v1",
     .mark_not = "[INST]",
     .kind = VOCABULARY_SENTENCEPIECE,
     .render = render_mistral_v1},
    /* v2 has no [PREFIX], v7 has [SYSTEM_PROMPT]. */
    {.name = "mistral-v3",
     .jinja = {"[INST]"},
     .jinja_not = "[SYSTEM_PROMPT]",
     .by_mark = "[PREFIX]",
     .marks = {"[INST]", "[/INST]", "[AVAILABLE_TOOLS]"},
     .mark_not = "[SYSTEM_PROMPT]",
     .kind = VOCABULARY_SENTENCEPIECE,
     .render = render_mistral_v3},
    {.name = "mistral-v3-tekken",
     .jinja = {"[INST]"},
     .jinja_not = "[SYSTEM_PROMPT]",
     .marks = {"[INST]", "[/INST]", "[AVAILABLE_TOOLS]"},
     .mark_not = "[SYSTEM_PROMPT]",
     .kind = VOCABULARY_BPE,
     .render = render_mistral_v3},
    {0},
};

const char *const *gale_chat_templates(void) {
  static const char *const NAMES[] = {"chatml",     "llama-3",           "gemma", "llama-2", "mistral-v1",
                                      "mistral-v3", "mistral-v3-tekken", NULL};
  return NAMES;
}
