/* Lists of tools: what is accepted as one, and how it is written for a model. */
#include "chat/chat.h"
#include "json/schema.h"

#include <stdlib.h>

static void check_tool(prompt *p, const value *tool, size_t index) {
  const value *type = value_get(tool, "type"), *function = value_get(tool, "function");
  const value *name = value_get(function, "name"), *about = value_given(function, "description");
  const value *parameters = value_given(function, "parameters"), *strict = value_given(function, "strict");
  if (tool->kind != VALUE_OBJECT || (type && !value_says(type, "function")))
    prompt_refuse(p, "tools[%zu]: an object whose type is \"function\" is accepted", index);
  else if (!name || name->kind != VALUE_STRING)
    prompt_refuse(p, "tools[%zu].function.name: a string is needed", index);
  else if (!function_name_fits(name->text))
    prompt_refuse(p, "tools[%zu].function.name: \"%.*s\" is not 1 to 64 of a-z, A-Z, 0-9, _ and -", index,
                  (int)(name->text.n < 80 ? name->text.n : 80), name->text.s);
  else if (about && about->kind != VALUE_STRING)
    prompt_refuse(p, "tools[%zu].function.description: a string is accepted", index);
  else if (strict && !value_is_bool(strict))
    prompt_refuse(p, "tools[%zu].function.strict: true or false is accepted", index);
  const char *where = "";
  if (!p->status && parameters && (parameters->kind != VALUE_OBJECT || !schema_check(parameters, &where)))
    prompt_refuse(p, "tools[%zu].function.parameters: not a JSON schema of draft 7%s%s", index, *where ? ", at " : "",
                  where);
}

void tools_check(prompt *p, const value *tools) {
  size_t index = 0;
  if (tools->kind != VALUE_ARRAY) prompt_refuse(p, "tools: a list is accepted");
  for (const value *tool = tools->first; tool && !p->status; tool = tool->next) check_tool(p, tool, index++);
}

void tools_write(prompt *p, const value *tools) {
  prompt_text(p, "[");
  for (const value *tool = tools->first; tool; tool = tool->next) {
    const value *function = value_get(tool, "function"), *name = value_get(function, "name");
    const value *about = value_given(function, "description"), *parameters = value_given(function, "parameters");
    prompt_text(p, tool == tools->first ? "{\"type\": \"function\", \"function\": {\"name\": "
                                        : ", {\"type\": \"function\", \"function\": {\"name\": ");
    bytes_add_value(&p->run, name);
    prompt_text(p, ", \"description\": ");
    about ? bytes_add_value(&p->run, about) : prompt_text(p, "\"\"");
    prompt_text(p, ", \"parameters\": ");
    parameters ? bytes_add_value(&p->run, parameters) : prompt_text(p, "{}");
    prompt_text(p, "}}");
  }
  prompt_text(p, "]");
}

/* ---- Tools as text ---- */

bool tools_known(const chat_template *row) {
  return row->tools || row->version >= 2;
}

/* A text in the prompt's memory; frees the bytes. */
static slice keep_text(prompt *p, byte_list *text) {
  char *copy = text->failed ? NULL : prompt_memory(p, text->n + 1, 1);
  if (text->failed && !p->status) p->status = error_memory(p->error, 2 * text->n);
  if (copy && text->n) memcpy(copy, text->bytes, text->n);
  slice kept = {copy ? copy : "", copy ? text->n : 0};
  free(text->bytes);
  *text = (byte_list){0};
  return kept;
}

static void say(prompt *p, chat_message *m, chat_role role, byte_list *text) {
  chat_part *part = prompt_memory(p, 1, sizeof *part);
  bool prefix = m->prefix;
  slice kept = keep_text(p, text);
  if (!part) return;
  part->text = kept;
  *m = (chat_message){.role = role, .has_content = true, .parts = part, .n_parts = 1, .prefix = prefix};
}

static void write_signatures(const value *tools, slice system, byte_list *text) {
  bytes_add(text, system);
  if (system.n) bytes_add(text, SLICE("\n\n"));
  bytes_add(text,
            SLICE("You can call functions. Each line between <tools> and </tools> describes one as JSON:\n<tools>\n"));
  for (const value *tool = tools->first; tool; tool = tool->next) {
    bytes_add_value(text, tool);
    bytes_add(text, SLICE("\n"));
  }
  bytes_add(text, SLICE("</tools>\nTo call a function, write its name and its arguments as JSON, in this form:\n"
                        "<tool_call>{\"name\": \"...\", \"arguments\": {...}}</tool_call>"));
}

static void write_calls(prompt *p, const chat_message *m, byte_list *text) {
  bytes_add(text, message_text(p, m));
  for (size_t i = 0; i < m->n_calls && !p->status; i++) {
    byte_list held = p->run;
    p->run = (byte_list){0};
    if (text->n) bytes_add(text, SLICE("\n"));
    prompt_text(p, "<tool_call>{\"name\": ");
    bytes_add_string(&p->run, m->calls[i].name);
    prompt_text(p, ", \"arguments\": ");
    prompt_json(p, m->calls[i].arguments);
    prompt_text(p, "}</tool_call>");
    bytes_add(text, (slice){p->run.bytes, p->run.n});
    text->failed |= p->run.failed;
    free(p->run.bytes);
    p->run = held;
  }
}

/* Results that follow one another, and what the user says behind them, are one message. Returns the number taken. */
static size_t write_results(prompt *p, const chat *c, size_t i, byte_list *text) {
  size_t end = i;
  for (; end < c->n && c->messages[end].role == ROLE_TOOL; end++) {
    if (end > i) bytes_add(text, SLICE("\n"));
    bytes_add(text, SLICE("<tool_response>"));
    bytes_add(text, message_text(p, &c->messages[end]));
    bytes_add(text, SLICE("</tool_response>"));
  }
  if (end < c->n && c->messages[end].role == ROLE_USER) {
    bytes_add(text, SLICE("\n\n"));
    bytes_add(text, message_text(p, &c->messages[end++]));
  }
  return end - i;
}

static bool has_tools(const chat *c) {
  bool any = c->tools && c->tools->kind == VALUE_ARRAY && c->tools->count > 0;
  for (size_t i = 0; i < c->n; i++) any |= c->messages[i].role == ROLE_TOOL || c->messages[i].n_calls > 0;
  return any;
}

void tools_as_text(prompt *p, chat *c) {
  if (c->tools) tools_check(p, c->tools);
  if (p->status || !has_tools(c)) return;
  bool listed = c->tools && c->tools->count > 0, system = c->n > 0 && c->messages[0].role == ROLE_SYSTEM;
  chat_message *messages = prompt_memory(p, c->n + 1, sizeof *messages);
  size_t n = 0, i = 0;
  byte_list text = {0};
  if (!messages) return;
  if (listed) {
    const char *usual = p->own ? p->tokenizer->default_system : NULL;
    write_signatures(c->tools, system ? message_text(p, &c->messages[0]) : slice_of(usual ? usual : ""), &text);
    say(p, &messages[n++], ROLE_SYSTEM, &text);
    i = system;
  }
  while (i < c->n && !p->status) {
    const chat_message *m = &c->messages[i];
    size_t taken = 1;
    messages[n] = *m;
    if (m->role == ROLE_TOOL) {
      taken = write_results(p, c, i, &text);
      say(p, &messages[n], ROLE_USER, &text);
    } else if (m->n_calls) {
      write_calls(p, m, &text);
      say(p, &messages[n], ROLE_ASSISTANT, &text);
    }
    n++;
    i += taken;
  }
  free(text.bytes);
  c->messages = messages;
  c->n = n;
  c->tools = NULL;
}
