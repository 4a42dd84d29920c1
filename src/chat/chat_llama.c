/* Llama's prompts: 2, 3, and 3.1 to 3.3 with their tools. */
#include "chat/chat.h"

/* ---- Llama 2 ---- */

void render_llama2(prompt *p, const chat *c) {
  if (!check_turns(p, c)) return;
  size_t first = c->messages[0].role == ROLE_SYSTEM;
  for (size_t i = first; i < c->n; i += 2) {
    byte_list content = {0};
    if (first && i == first) {
      bytes_add(&content, SLICE("<<SYS>>\n"));
      bytes_add(&content, message_text(p, &c->messages[0]));
      bytes_add(&content, SLICE("\n<</SYS>>\n\n"));
    }
    bytes_add(&content, message_text(p, &c->messages[i]));
    prompt_bos(p);
    prompt_text(p, "[INST] ");
    prompt_list(p, &content, true);
    prompt_text(p, " [/INST]");
    if (i + 1 == c->n) break;
    prompt_text(p, " ");
    prompt_trimmed(p, message_text(p, &c->messages[i + 1]));
    prompt_text(p, " ");
    prompt_eos(p);
  }
}

/* ---- Llama 3 ---- */

static void header(prompt *p, const char *role) {
  prompt_control(p, "<|start_header_id|>");
  prompt_text(p, role);
  prompt_control(p, "<|end_header_id|>");
  prompt_text(p, "\n\n");
}

static void check_calls(prompt *p, const chat *c) {
  for (size_t i = 0; i < c->n; i++) {
    const chat_message *m = &c->messages[i];
    if (m->n_calls > 1)
      prompt_refuse(p, "message %zu calls %zu tools; one at a time is what this model knows", i, m->n_calls);
    if (m->n_calls && !function_name_fits(m->calls[0].name))
      prompt_refuse(p, "message %zu: the function's name is not 1 to 64 of a-z, A-Z, 0-9, _ and -", i);
  }
  if (c->tools && c->tools->count) tools_check(p, c->tools);
}

static void write_tools(prompt *p, const value *tools, const char *introduction) {
  prompt_text(p, introduction);
  prompt_text(p, "Respond in the format {\"name\": function name, \"parameters\": dictionary of argument name and its "
                 "value}.Do not use variables.\n\n");
  for (const value *tool = tools->first; tool; tool = tool->next) {
    bytes_add_indented(&p->run, tool);
    prompt_text(p, "\n\n");
  }
}

static void write_system(prompt *p, const chat *c, bool tools) {
  header(p, "system");
  if (tools) prompt_text(p, "Environment: ipython\n");
  prompt_text(p, "Cutting Knowledge Date: December 2023\nToday Date: ");
  prompt_slice(p, c->date.s ? c->date : SLICE("26 Jul 2024"));
  prompt_text(p, "\n\n");
  if (tools && c->tools_in_system)
    write_tools(p, c->tools,
                "You have access to the following functions. To call a function, please respond with JSON for a "
                "function call.");
  if (c->messages[0].role == ROLE_SYSTEM) prompt_trimmed(p, message_text(p, &c->messages[0]));
  prompt_control(p, "<|eot_id|>");
}

static void write_message(prompt *p, const chat_message *m, const value *tools) {
  header(p, m->role == ROLE_TOOL ? "ipython" : role_name(m->role));
  if (tools)
    write_tools(p, tools,
                "Given the following functions, please respond with a JSON for a function call with its proper "
                "arguments that best answers the given prompt.\n\n");
  if (m->n_calls) {
    prompt_text(p, "{\"name\": ");
    bytes_add_string(&p->run, m->calls[0].name);
    prompt_text(p, ", \"parameters\": ");
    prompt_json(p, m->calls[0].arguments);
    prompt_text(p, "}");
  } else if (m->role == ROLE_TOOL) {
    bytes_add_string(&p->run, message_text(p, m));
  } else {
    prompt_trimmed(p, message_text(p, m));
  }
  prompt_control(p, "<|eot_id|>");
}

static bool has_calls(const chat *c) {
  for (size_t i = 0; i < c->n; i++)
    if (c->messages[i].n_calls || c->messages[i].role == ROLE_TOOL) return true;
  return false;
}

void render_llama31(prompt *p, const chat *c) {
  check_calls(p, c);
  bool tools = c->tools && c->tools->count;
  size_t first = c->messages[0].role == ROLE_SYSTEM;
  if (tools && !c->tools_in_system && (first == c->n || c->messages[first].role != ROLE_USER))
    prompt_refuse(p, "tools stand in the first user's message; it must come first, but for a system message");
  prompt_bos(p);
  write_system(p, c, tools);
  for (size_t i = first; i < c->n; i++)
    write_message(p, &c->messages[i], tools && !c->tools_in_system && i == first ? c->tools : NULL);
  header(p, "assistant");
}

void render_llama3(prompt *p, const chat *c) {
  /* Llama 3.0 has no form for tools of its own. */
  if ((c->tools && c->tools->count) || has_calls(c)) {
    render_llama31(p, c);
    return;
  }
  prompt_bos(p);
  for (size_t i = 0; i < c->n; i++) write_message(p, &c->messages[i], NULL);
  header(p, "assistant");
}
