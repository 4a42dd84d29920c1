/* What Mistral's templates accept: the rules of the reference's serving mode. */
#include "chat/chat.h"

#include <stdlib.h>

static bool of_characters(slice s, size_t least, size_t most, const char *others) {
  /* The reference's pattern ends in $, which stands before a last line break as well. */
  size_t n = s.n > 0 && s.s[s.n - 1] == '\n' ? s.n - 1 : s.n;
  for (size_t i = 0; i < n; i++) {
    char c = s.s[i];
    bool fits = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr(others, c));
    if (!fits) return false;
  }
  return n >= least && n <= most;
}

bool function_name_fits(slice name) {
  return of_characters(name, 1, 64, "_-");
}

static void check_name(prompt *p, slice name, size_t index) {
  if (!function_name_fits(name))
    prompt_refuse(p, "message %zu: the function's name \"%.*s\" is not 1 to 64 of a-z, A-Z, 0-9, _ and -", index,
                  (int)(name.n < 80 ? name.n : 80), name.s);
}

/* v3 to v11 know ids of nine characters, later versions any; where there is none, id is "null". */
static void check_id(prompt *p, slice id, size_t index) {
  int version = p->row->version;
  bool none = !id.s || id.n == 0 || slice_is(id, "null");
  if (version >= 3 && none)
    prompt_refuse(p, "message %zu: the id of a tool call is missing", index);
  else if (version >= 3 && version < 13 && !of_characters(id, 9, 9, ""))
    prompt_refuse(p, "message %zu: the id \"%.*s\" of a tool call is not nine of a-z, A-Z and 0-9", index,
                  (int)(id.n < 80 ? id.n : 80), id.s);
}

/* ---- The order of messages ---- */

static void check_order(prompt *p, const chat *c) {
  static const bool MAY_FOLLOW[4][4] = {
      [ROLE_SYSTEM] = {[ROLE_SYSTEM] = true, [ROLE_USER] = true, [ROLE_ASSISTANT] = true},
      [ROLE_USER] = {[ROLE_SYSTEM] = true, [ROLE_USER] = true, [ROLE_ASSISTANT] = true},
      [ROLE_ASSISTANT] = {[ROLE_USER] = true, [ROLE_ASSISTANT] = true, [ROLE_TOOL] = true},
      [ROLE_TOOL] = {[ROLE_USER] = true, [ROLE_ASSISTANT] = true, [ROLE_TOOL] = true},
  };
  if (c->n == 0) {
    prompt_refuse(p, "there are no messages");
    return;
  }
  const chat_message *last = &c->messages[c->n - 1];
  if (c->n == 1 && last->role != ROLE_USER && last->role != ROLE_SYSTEM)
    prompt_refuse(p, "the only message is the %s's; a user's or a system message must come first",
                  role_name(last->role));
  if (last->role == ROLE_ASSISTANT && !last->prefix)
    prompt_refuse(p, "the last message is the assistant's; the user's or a tool's turn must come before an answer, or "
                     "prefix must say that it is to be continued");
  for (size_t i = 1; i < c->n; i++)
    if (!MAY_FOLLOW[c->messages[i - 1].role][c->messages[i].role])
      prompt_refuse(p, "message %zu is a %s message after %s %s message", i, role_name(c->messages[i].role),
                    c->messages[i - 1].role == ROLE_ASSISTANT ? "an" : "a", role_name(c->messages[i - 1].role));
}

static int compare_slices(const void *a, const void *b) {
  const slice *x = a, *y = b;
  size_t n = x->n < y->n ? x->n : y->n;
  int order = n ? memcmp(x->s, y->s, n) : 0;
  return order ? order : (x->n > y->n) - (x->n < y->n);
}

/* Ids of calls and of their results, n each: none twice, and the same. */
static void check_ids(prompt *p, const chat_message *calls, const chat_message *results, size_t n, size_t index) {
  slice *called = prompt_memory(p, n, sizeof *called), *answered = prompt_memory(p, n, sizeof *answered);
  if (!called || !answered) return;
  for (size_t i = 0; i < n; i++) {
    called[i] = calls->calls[i].id;
    answered[i] = results[i].call_id;
  }
  qsort(called, n, sizeof *called, compare_slices);
  qsort(answered, n, sizeof *answered, compare_slices);
  for (size_t i = 0; i < n; i++) {
    if (i > 0 && (slice_equal(called[i], called[i - 1]) || slice_equal(answered[i], answered[i - 1])))
      prompt_refuse(p, "message %zu: two tool calls, or two of their results, have the same id", index);
    if (!slice_equal(called[i], answered[i]))
      prompt_refuse(p, "message %zu: the ids of the tool calls and of the results that follow differ", index);
  }
}

static void check_results(prompt *p, const chat *c) {
  size_t end;
  for (size_t i = 0; i < c->n && !p->status; i = end) {
    const chat_message *m = &c->messages[i];
    for (end = i + 1; end < c->n && c->messages[end].role == ROLE_TOOL;) end++;
    size_t results = end - i - 1;
    /* The reference does not look for results of calls that the conversation begins with. */
    size_t calls = m->role == ROLE_ASSISTANT && i > 0 ? m->n_calls : 0;
    if (calls != results)
      prompt_refuse(p, "message %zu: %zu tool calls, but %zu results follow", i, calls, results);
    else if (calls && p->row->version >= 11)
      check_ids(p, m, m + 1, calls, i);
  }
}

/* ---- Each message ---- */

static void check_parts(prompt *p, const chat_message *m, size_t index) {
  int version = p->row->version;
  bool may_think = (m->role == ROLE_ASSISTANT && version >= 13) || (m->role == ROLE_SYSTEM && version == 13);
  for (size_t i = 0; i < m->n_parts; i++)
    if (m->parts[i].thinking && !may_think)
      prompt_refuse(p,
                    "message %zu: thinking is accepted in an assistant's message from v13 on, and in a system "
                    "message of v13",
                    index);
}

static void check_message(prompt *p, const chat_message *m, size_t index, bool last) {
  int version = p->row->version;
  check_parts(p, m, index);
  if (m->role != ROLE_ASSISTANT) {
    if (!m->has_content) prompt_refuse(p, "message %zu has no content", index);
    if (m->role == ROLE_TOOL && version == 1) prompt_refuse(p, "message %zu: tool results need v2 or later", index);
    if (m->role == ROLE_TOOL && m->name.s) check_name(p, m->name, index);
    if (m->role == ROLE_TOOL) check_id(p, m->call_id, index);
    return;
  }
  bool says = m->n_parts > 0 && (m->is_list || m->parts[0].text.n > 0);
  if (version < 7 && !says && !m->n_calls) prompt_refuse(p, "message %zu, the assistant's, is empty", index);
  if (version < 7 && says && m->n_calls)
    prompt_refuse(p, "message %zu has both content and tool calls, which only v7 and later can express", index);
  if (m->prefix && !last) prompt_refuse(p, "message %zu has prefix, but only the last message can be continued", index);
  for (size_t i = 0; i < m->n_calls; i++) {
    check_name(p, m->calls[i].name, index);
    check_id(p, m->calls[i].id, index);
  }
}

/* ---- Settings ---- */

const model_settings *mistral_settings(const prompt *p) {
  static const char *const EFFORTS[] = {"none", "high"};
  static const model_settings USUAL = {.efforts = EFFORTS, .n_efforts = 2, .default_effort = "none"};
  const gale_tokenizer *t = p->tokenizer;
  return t->settings || t->version ? t->settings : &USUAL;
}

static void check_effort(prompt *p, const chat *c) {
  const model_settings *known = mistral_settings(p);
  if (p->row->version < 15) {
    if (c->effort.s && !c->generic_tools) prompt_refuse(p, "reasoning_effort needs v15 or later");
    return;
  }
  if (!known) {
    prompt_refuse(p, "the tokenizer's file has no model_settings_builder, which v15 needs");
    return;
  }
  bool found = !c->effort.s || !known->default_effort;
  for (size_t i = 0; i < known->n_efforts; i++) found |= slice_is(c->effort, known->efforts[i]);
  if (found) return;
  byte_list names = {0};
  for (size_t i = 0; i < known->n_efforts; i++) {
    if (i) bytes_add(&names, SLICE(", "));
    bytes_add(&names, slice_of(known->efforts[i]));
  }
  prompt_refuse(p, "reasoning_effort is \"%.*s\"; accepted are: %.*s", (int)(c->effort.n < 40 ? c->effort.n : 40),
                c->effort.s, (int)(names.n < 120 ? names.n : 120), names.n ? names.bytes : "");
  free(names.bytes);
}

void mistral_check(prompt *p, const chat *c) {
  check_order(p, c);
  if (p->status) return;
  check_results(p, c);
  for (size_t i = 0; i < c->n && !p->status; i++) check_message(p, &c->messages[i], i, i + 1 == c->n);
  if (c->tools) tools_check(p, c->tools);
  check_effort(p, c);
}
