/* Conversations to ids: what all templates share. */
#include "text/chat.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "text/unicode.h"

/* ---- Prompts ---- */

void prompt_refuse(prompt *p, const char *format, ...) {
  if (p->status) return;
  char reason[256];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(reason, sizeof reason, format, arguments);
  va_end(arguments);
  p->status = error_set(p->error, GALE_E_ARGUMENT, "template %s: %s", p->name, reason);
}

void prompt_flush(prompt *p) {
  if (p->status) return;
  p->status = encode_append(p->tokenizer, p->run, p->n_run, &p->ids, p->error);
  p->n_run = 0;
}

static void put_id(prompt *p, int32_t id, const char *what) {
  prompt_flush(p);
  if (id < 0) prompt_refuse(p, "the vocabulary has no control token %s, which the template needs", what);
  if (p->status) return;
  if (!id_list_reserve(&p->ids, 1)) {
    p->status = error_memory(p->error, sizeof id);
    return;
  }
  p->ids.ids[p->ids.n++] = id;
}

void prompt_mark(prompt *p, const char *text) {
  put_id(p, tokenizer_mark(p->tokenizer, text), text);
}

void prompt_bos(prompt *p) {
  put_id(p, p->tokenizer->bos, "BOS");
}

void prompt_eos(prompt *p) {
  put_id(p, p->tokenizer->eos, "EOS");
}

static void add_run(prompt *p, const char *text, size_t n) {
  if (p->status || n == 0) return;
  if (n > p->run_capacity - p->n_run) {
    size_t capacity = n <= SIZE_MAX / 4 - p->n_run ? 2 * (p->n_run + n) : 0;
    char *run = capacity ? realloc(p->run, capacity) : NULL;
    if (!run) {
      p->status = error_memory(p->error, n);
      return;
    }
    p->run = run;
    p->run_capacity = capacity;
  }
  memcpy(p->run + p->n_run, text, n);
  p->n_run += n;
}

void prompt_text(prompt *p, const char *text) {
  add_run(p, text, strlen(text));
}

/* Python's str.isspace: White_Space, and four separators that are not in it. */
static bool is_stripped(uint32_t c) {
  return c != CHAR_INVALID && ((unicode_flags(c) & CHAR_SPACE) || (c >= 0x1C && c <= 0x1F));
}

void prompt_trimmed(prompt *p, const char *text) {
  size_t n = strlen(text), start = 0, end = 0, step;
  while (start < n && is_stripped(utf8_at(text + start, n - start, &step))) start += step;
  for (size_t i = start; i < n; i += step)
    if (!is_stripped(utf8_at(text + i, n - i, &step))) end = i + step;
  if (end > start) add_run(p, text + start, end - start);
}

void prompt_rtrim(prompt *p) {
  while (p->n_run > 0 && p->run[p->n_run - 1] == ' ') p->n_run--;
}

/* ---- The table ---- */

static bool has_part(const char *text, const char *part) {
  return !part || strstr(text, part);
}

static bool ends_with(const char *text, const char *end) {
  size_t n = strlen(text), n_end = strlen(end);
  return n >= n_end && strcmp(text + n - n_end, end) == 0;
}

static bool row_fits(const chat_template *row, const gale_tokenizer *t, const char *jinja, const char *source) {
  if (row->kind >= 0 && row->kind != (int)t->kind) return false;
  for (int i = 0; i < CHAT_MARKS && row->marks[i]; i++)
    if (tokenizer_mark(t, row->marks[i]) < 0) return false;
  if (row->mark_not && tokenizer_mark(t, row->mark_not) >= 0) return false;
  if (jinja)
    return has_part(jinja, row->jinja[0]) && has_part(jinja, row->jinja[1]) &&
           !(row->jinja_not && strstr(jinja, row->jinja_not));
  if (row->by_mark) return tokenizer_mark(t, row->by_mark) >= 0;
  return row->by_source && ends_with(source, row->by_source);
}

const chat_template *chat_recognise(const gale_tokenizer *t, const char *jinja, const char *source) {
  for (const chat_template *row = CHAT_TEMPLATES; row->name; row++)
    if (row_fits(row, t, jinja, source)) return row;
  return NULL;
}

bool chat_is_mark(const char *text, size_t length) {
  for (const chat_template *row = CHAT_TEMPLATES; row->name; row++)
    for (int i = 0; i < CHAT_MARKS && row->marks[i]; i++)
      if (strlen(row->marks[i]) == length && memcmp(row->marks[i], text, length) == 0) return true;
  return false;
}

bool chat_default_system(const char *jinja, size_t *offset, size_t *length) {
  static const char START[] = "<|im_start|>system", END[] = "<|im_end|>";
  for (const char *s = jinja; (s = strstr(s, START));) {
    s += sizeof START - 1;
    /* In the template's string the line break is written as such or as \n. */
    if (*s == '\n') {
      s++;
    } else if (s[0] == '\\' && s[1] == 'n') {
      s += 2;
    } else {
      continue;
    }
    const char *end = strstr(s, END);
    if (!end) return false;
    /* A quote or a brace before the end means that something computed stands there. */
    if (strcspn(s, "'\"{}\\") < (size_t)(end - s)) continue;
    *offset = (size_t)(s - jinja);
    *length = (size_t)(end - s);
    return true;
  }
  return false;
}

/* ---- gale.h ---- */

const char *gale_chat_template(const gale_tokenizer *tokenizer) {
  return tokenizer->chat ? tokenizer->chat->name : NULL;
}

bool message_is(const gale_message *m, const char *role) {
  return strcmp(m->role, role) == 0;
}

static const chat_template *find_row(const gale_tokenizer *t, const char *name, gale_error *error) {
  if (!name) {
    if (!t->chat) error_fill(error, GALE_E_UNSUPPORTED, "the model's files name no chat template that is known");
    return t->chat;
  }
  for (const chat_template *row = CHAT_TEMPLATES; row->name; row++)
    if (strcmp(row->name, name) == 0) return row;
  char names[256];
  size_t used = 0;
  names[0] = 0;
  for (const chat_template *row = CHAT_TEMPLATES; row->name && used < sizeof names; row++)
    used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", row->name);
  error_fill(error, GALE_E_ARGUMENT, "no chat template \"%.64s\"; known ones: %s", name, names);
  return NULL;
}

static void check_messages(prompt *p, const gale_message *messages, size_t n) {
  if (n == 0) prompt_refuse(p, "there are no messages");
  for (size_t i = 0; i < n; i++) {
    const gale_message *m = &messages[i];
    if (!m->role || !(message_is(m, "system") || message_is(m, "user") || message_is(m, "assistant"))) {
      prompt_refuse(p, "message %zu has the role \"%.32s\"; system, user and assistant are accepted", i,
                    m->role ? m->role : "(none)");
      return;
    }
    if (!m->content) {
      prompt_refuse(p, "message %zu has no content", i);
      return;
    }
  }
  if (n > 0 && message_is(&messages[n - 1], "assistant"))
    prompt_refuse(p, "the last message is the assistant's; the user's turn must come before an answer");
}

gale_status gale_chat_render(const gale_tokenizer *tokenizer, const char *name, const gale_message *messages,
                             size_t n_messages, int32_t **ids, size_t *n_ids, gale_error *error) {
  gale_error unused;
  if (!error) error = &unused;
  const chat_template *row = find_row(tokenizer, name, error);
  if (!row) return error->code;
  prompt p = {.tokenizer = tokenizer, .name = row->name, .error = error};
  check_messages(&p, messages, n_messages);
  if (!p.status) row->render(&p, messages, n_messages);
  prompt_flush(&p);
  free(p.run);
  if (p.status) {
    free(p.ids.ids);
    return p.status;
  }
  *ids = p.ids.ids;
  *n_ids = p.ids.n;
  return GALE_OK;
}
