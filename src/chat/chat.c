/* Conversations to ids: what all templates share. */
#include "chat/chat.h"

#include "base/sized.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/unicode.h"
#include "base/utf8.h"

/* ---- Prompts ---- */

void prompt_refuse(prompt *p, const char *format, ...) {
  if (p->status) return;
  char reason[256];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(reason, sizeof reason, format, arguments);
  va_end(arguments);
  p->status = error_set(p->error, GALE_E_ARGUMENT, "template %s: %s", p->row->name, reason);
}

void *prompt_memory(prompt *p, size_t count, size_t size) {
  void *memory = p->status ? NULL : arena_array(&p->memory, count, size);
  if (!memory && !p->status) p->status = error_memory(p->error, count * size);
  return memory;
}

void prompt_flush(prompt *p) {
  if (p->run.failed && !p->status) p->status = error_memory(p->error, 2 * p->run.n);
  if (p->status) return;
  p->status = encode_append(p->tokenizer, p->run.bytes, p->run.n, &p->ids, p->error);
  p->run.n = 0;
}

static void put_id(prompt *p, int32_t id, const char *what) {
  prompt_flush(p);
  if (id < 0) prompt_refuse(p, "the vocabulary has no control token %s, which the template needs", what);
  if (id >= (int32_t)p->tokenizer->n_rows)
    prompt_refuse(p, "the model's embedding has no row for the control token %s (id %d)", what, (int)id);
  if (p->status) return;
  if (!id_list_reserve(&p->ids, 1)) {
    p->status = error_memory(p->error, sizeof id);
    return;
  }
  p->ids.ids[p->ids.n++] = id;
}

void prompt_control(prompt *p, const char *text) {
  put_id(p, tokenizer_control(p->tokenizer, text), text);
}

void prompt_bos(prompt *p) {
  put_id(p, p->tokenizer->bos, "BOS");
}

void prompt_eos(prompt *p) {
  put_id(p, p->tokenizer->eos, "EOS");
}

void prompt_slice(prompt *p, slice text) {
  bytes_add(&p->run, text);
}

void prompt_text(prompt *p, const char *text) {
  prompt_slice(p, slice_of(text));
}

/* Python's str.isspace: White_Space, and four separators that are not in it. */
static bool is_stripped(uint32_t c) {
  return c != CHAR_INVALID && ((unicode_flags(c) & CHAR_SPACE) || (c >= 0x1C && c <= 0x1F));
}

void prompt_trimmed(prompt *p, slice text) {
  size_t n = text.n, start = 0, end = 0, step;
  while (start < n && is_stripped(utf8_at(text.s + start, n - start, &step))) start += step;
  for (size_t i = start; i < n; i += step)
    if (!is_stripped(utf8_at(text.s + i, n - i, &step))) end = i + step;
  if (end > start) prompt_slice(p, (slice){text.s + start, end - start});
}

void prompt_rtrim(prompt *p) {
  while (p->run.n > 0 && p->run.bytes[p->run.n - 1] == ' ') p->run.n--;
}

void prompt_list(prompt *p, byte_list *text, bool trimmed) {
  if (text->failed && !p->status) p->status = error_memory(p->error, 2 * text->n);
  slice all = {text->bytes ? text->bytes : "", text->n};
  trimmed ? prompt_trimmed(p, all) : prompt_slice(p, all);
  free(text->bytes);
  *text = (byte_list){0};
}

void prompt_json(prompt *p, slice text) {
  value *root;
  value_report report;
  if (p->status) return;
  if (text.n == 0) text = SLICE("{}");
  switch (value_read(&p->memory, text, VALUE_PROMPT, &root, &report)) {
  case VALUE_OK:
    /* With byte-level vocabularies the reference writes U+FFFD, with SentencePiece it fails. */
    if (report.half && p->tokenizer->kind == VOCABULARY_SENTENCEPIECE)
      prompt_refuse(p, "JSON with half of a surrogate pair, which is no character");
    bytes_add_value(&p->run, root);
    break;
  case VALUE_SYNTAX:
    bytes_add_string(&p->run, text);
    break;
  case VALUE_LIMIT:
    prompt_refuse(p, "JSON in a message: byte %zu: %s", report.at, report.why);
    break;
  case VALUE_MEMORY:
    p->status = error_memory(p->error, text.n);
  }
}

/* ---- The table ---- */

const chat_template *chat_find(const gale_tokenizer *t, const char *name, gale_error *error) {
  if (!name && t->chat) return t->chat;
  for (const chat_template *row = CHAT_TEMPLATES; name && row->name; row++)
    if (strcmp(row->name, name) == 0) return row;
  char names[300];
  size_t used = 0;
  names[0] = 0;
  for (const chat_template *row = CHAT_TEMPLATES; row->name && used < sizeof names; row++)
    used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", row->name);
  if (name)
    error_fill(error, GALE_E_ARGUMENT, "no chat template \"%.64s\"; known ones: %s", name, names);
  else if (t->unknown_template)
    error_fill(error, GALE_E_UNSUPPORTED,
               "the model's own chat template, which begins \"%s\", is none that is known; known ones: %s",
               t->unknown_template, names);
  else
    error_fill(error, GALE_E_UNSUPPORTED, "the model's files name no chat template that is known; known ones: %s",
               names);
  return NULL;
}

/* ---- Messages ---- */

static const char *const ROLES[] = {"system", "user", "assistant", "tool"};

const char *role_name(chat_role role) {
  return ROLES[role];
}

bool role_find(slice name, chat_role *role) {
  if (slice_is(name, "developer")) name = SLICE("system");
  for (int i = ROLE_SYSTEM; i <= ROLE_TOOL; i++) {
    if (!slice_is(name, ROLES[i])) continue;
    *role = (chat_role)i;
    return true;
  }
  return false;
}

slice message_text(prompt *p, const chat_message *m) {
  if (m->n_parts == 1) return m->parts[0].text;
  size_t total = 0, at = 0;
  for (size_t i = 0; i < m->n_parts; i++) total += m->parts[i].text.n + 2;
  char *joined = prompt_memory(p, total + 1, 1);
  for (size_t i = 0; joined && i < m->n_parts; i++) {
    slice text = m->parts[i].text;
    if (i > 0) memcpy(joined + at, "\n\n", 2), at += 2;
    if (text.n) memcpy(joined + at, text.s, text.n);
    at += text.n;
  }
  return (slice){joined ? joined : "", joined ? at : 0};
}

/* The rules of templates that do not know thinking, and may not know tools. */
static void chat_check(prompt *p, const chat *c) {
  if (c->n == 0) prompt_refuse(p, "there are no messages");
  bool tools = p->row->tools;
  if (c->tools && c->tools->count && !tools) prompt_refuse(p, "tools are not supported by this template");
  if (c->effort.s && !c->generic_tools) prompt_refuse(p, "reasoning_effort is not supported by this template");
  for (size_t i = 0; i < c->n; i++) {
    const chat_message *m = &c->messages[i];
    if ((m->role == ROLE_TOOL || m->n_calls) && !tools)
      prompt_refuse(p, "message %zu is a tool's result or calls a tool; this template knows no tools", i);
    if (!m->has_content && !m->n_calls) prompt_refuse(p, "message %zu has no content", i);
    if (m->prefix && (i + 1 < c->n || m->role != ROLE_ASSISTANT || m->n_calls))
      prompt_refuse(p, "message %zu is to be continued, which only the last can be, an assistant's without calls", i);
    for (size_t k = 0; k < m->n_parts; k++)
      if (m->parts[k].thinking) prompt_refuse(p, "message %zu has thinking, which this template does not support", i);
  }
  const chat_message *last = c->n > 0 ? &c->messages[c->n - 1] : NULL;
  if (last && last->prefix && c->n == 1) prompt_refuse(p, "there is nothing in front of the message to be continued");
  if (last && last->role == ROLE_ASSISTANT && !last->prefix)
    prompt_refuse(p, "the last message is the assistant's; the user's turn must come before an answer");
}

/* What is rendered without its last message ends where that message's text begins. */
static void render_continued(prompt *p, const chat *c) {
  chat before = *c;
  before.n--;
  chat_render(p, &before);
  prompt_text(p, p->row->before_answer ? p->row->before_answer : "");
  if (!p->status) prompt_slice(p, message_text(p, &c->messages[before.n]));
}

gale_status chat_finish(prompt *p, chat *c, int32_t **ids, size_t *n_ids) {
  if (c->generic_tools && !tools_known(p->row)) tools_as_text(p, c);
  if (p->row->version)
    mistral_check(p, c);
  else
    chat_check(p, c);
  bool continued = c->n > 0 && c->messages[c->n - 1].prefix && !p->row->version;
  if (!p->status) continued ? render_continued(p, c) : chat_render(p, c);
  prompt_flush(p);
  free(p->run.bytes);
  if (p->status) {
    free(p->ids.ids);
    return p->status;
  }
  *ids = p->ids.ids;
  *n_ids = p->ids.n;
  return GALE_OK;
}

/* ---- gale.h ---- */

const char *gale_chat_template(const gale_tokenizer *tokenizer) {
  return tokenizer->chat ? tokenizer->chat->name : NULL;
}

gale_template_source gale_chat_template_source(const gale_tokenizer *tokenizer, const char **beginning) {
  if (beginning) *beginning = tokenizer->unknown_template;
  if (!tokenizer->chat) return tokenizer->unknown_template ? GALE_TEMPLATE_UNKNOWN : GALE_TEMPLATE_NONE;
  return tokenizer->chat_by_controls ? GALE_TEMPLATE_MARKS : GALE_TEMPLATE_STATED;
}

static void take_calls(prompt *p, const gale_message *from, size_t index, chat_message *m) {
  chat_call *calls = prompt_memory(p, from->n_tool_calls, sizeof *calls);
  for (size_t i = 0; calls && i < from->n_tool_calls; i++) {
    const gale_tool_call *call = &from->tool_calls[i];
    if (!call->name) prompt_refuse(p, "message %zu: tool call %zu has no name", index, i);
    calls[i] = (chat_call){slice_of(call->id ? call->id : "null"), slice_of(call->name ? call->name : ""),
                           slice_of(call->arguments ? call->arguments : "")};
  }
  m->calls = calls;
  m->n_calls = from->n_tool_calls;
}

static void take_message(prompt *p, const gale_message *from, size_t index, chat_message *m) {
  slice role = slice_of(from->role);
  *m = (chat_message){.call_id = slice_of(from->tool_call_id),
                      .name = slice_of(from->name),
                      .prefix = from->prefix,
                      .is_list = from->parts != NULL,
                      .has_content = from->parts || from->content,
                      .n_parts = from->parts ? from->n_parts : from->content != NULL};
  if (!role.s || !role_find(role, &m->role))
    prompt_refuse(p, "message %zu has the role \"%.32s\"; system, developer, user, assistant and tool are accepted",
                  index, from->role ? from->role : "(none)");
  chat_part *parts = prompt_memory(p, m->n_parts, sizeof *parts);
  for (size_t i = 0; parts && i < m->n_parts; i++) {
    const gale_part *part = from->parts ? &from->parts[i] : NULL;
    parts[i] = part ? (chat_part){slice_of(part->text ? part->text : ""), part->thinking, part->open}
                    : (chat_part){.text = slice_of(from->content)};
  }
  m->parts = parts;
  if (m->role == ROLE_ASSISTANT) take_calls(p, from, index, m);
}

static void take_tools(prompt *p, const char *tools, chat *c) {
  value *root;
  value_report report;
  if (!tools || p->status) return;
  value_status status = value_read(&p->memory, slice_of(tools), VALUE_REQUEST, &root, &report);
  if (status == VALUE_MEMORY)
    p->status = error_memory(p->error, strlen(tools));
  else if (status)
    prompt_refuse(p, "tools: byte %zu: %s; a list of tools in JSON is accepted", report.at, report.why);
  else
    c->tools = root;
}

void gale_chat_defaults_sized(gale_chat_options *options, size_t size) {
  const gale_chat_options defaults = {0};
  sized_write(options, size, &defaults, sizeof defaults);
}

gale_status gale_chat_prompt(const gale_tokenizer *tokenizer, const gale_message *messages, size_t n_messages,
                             const gale_chat_options *options, int32_t **ids, size_t *n_ids, gale_error *error) {
  gale_chat_options o;
  gale_error unused;
  if (!error) error = &unused;
  gale_chat_defaults(&o);
  gale_status status = options ? sized_read(&o, sizeof o, options, "gale_chat_options", error) : GALE_OK;
  if (status) return status;
  prompt p = {.tokenizer = tokenizer, .error = error, .own = !o.template_name};
  p.row = chat_find(tokenizer, o.template_name, error);
  if (!p.row) return error->code;
  chat c = {.n = n_messages,
            .effort = slice_of(o.reasoning_effort),
            .date = slice_of(o.date),
            .generic_tools = o.generic_tools};
  c.messages = prompt_memory(&p, n_messages, sizeof *c.messages);
  for (size_t i = 0; i < n_messages && c.messages; i++) take_message(&p, &messages[i], i, &c.messages[i]);
  if (!p.status && o.continue_final) {
    if (n_messages == 0 || c.messages[n_messages - 1].role != ROLE_ASSISTANT)
      prompt_refuse(&p, "only an assistant's message can be continued, and the last is none");
    else
      c.messages[n_messages - 1].prefix = true;
  }
  take_tools(&p, o.tools, &c);
  status = p.status ? p.status : chat_finish(&p, &c, ids, n_ids);
  arena_free(&p.memory);
  return status;
}

gale_status gale_fim_prompt(const gale_tokenizer *tokenizer, const char *prefix, size_t n_prefix, const char *suffix,
                            size_t n_suffix, int32_t **ids, size_t *n_ids, gale_error *error) {
  /* The reference makes sure that the suffix has no space of its own in front: it encodes this character with it,
   * which no merge joins, and takes its two tokens away. */
  static const slice GUARD = SLICE("\xE2\x98\xBA");
  enum { GUARD_TOKENS = 2 };
  static const chat_template ROW = {.name = "fill-in-the-middle"};
  gale_error unused;
  prompt p = {.tokenizer = tokenizer, .error = error ? error : &unused, .row = &ROW};
  prompt_bos(&p);
  prompt_control(&p, "[SUFFIX]");
  size_t before = p.ids.n;
  if (n_suffix) {
    prompt_slice(&p, GUARD);
    prompt_slice(&p, (slice){suffix, n_suffix});
  }
  prompt_flush(&p);
  if (!p.status && n_suffix) {
    size_t drop = p.ids.n - before < GUARD_TOKENS ? p.ids.n - before : GUARD_TOKENS;
    memmove(p.ids.ids + before, p.ids.ids + before + drop, (p.ids.n - before - drop) * sizeof *p.ids.ids);
    p.ids.n -= drop;
  }
  prompt_control(&p, "[PREFIX]");
  prompt_slice(&p, (slice){prefix, n_prefix});
  prompt_flush(&p);
  free(p.run.bytes);
  if (p.status) {
    free(p.ids.ids);
    return p.status;
  }
  *ids = p.ids.ids;
  *n_ids = p.ids.n;
  return GALE_OK;
}
