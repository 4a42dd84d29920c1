/* By what a model's chat template is recognised. */
#include "tokenizer/templates.h"

#include <string.h>

#include "tokenizer/built.h"

const chat_template CHAT_TEMPLATES[] = {
#define CHAT_TEMPLATE(template_name, renderer, ...) {.name = template_name, __VA_ARGS__},
#include "tokenizer/templates.def"
#undef CHAT_TEMPLATE
    {0},
};

static int count_parts(const char *text, const char *const *parts) {
  int n = 0;
  for (int i = 0; i < CHAT_PARTS; i++) n += parts[i] && strstr(text, parts[i]);
  return n;
}

static bool has_all_parts(const char *text, const char *const *parts) {
  int n = 0;
  for (int i = 0; i < CHAT_PARTS; i++) n += parts[i] != NULL;
  return count_parts(text, parts) == n;
}

static bool row_fits(const chat_template *row, const gale_tokenizer *t, const char *jinja) {
  if (row->kind >= 0 && row->kind != (int)t->kind) return false;
  for (int i = 0; i < CHAT_MARKS && row->marks[i]; i++)
    if (tokenizer_mark(t, row->marks[i]) < 0) return false;
  if (row->mark_not && tokenizer_mark(t, row->mark_not) >= 0) return false;
  /* What the tokenizer's file says of its version is surer than a text that looks like it. */
  if (t->version && (!jinja || strstr(jinja, "[INST]"))) return row->version == t->version;
  if (jinja) return has_all_parts(jinja, row->jinja) && count_parts(jinja, row->jinja_not) == 0;
  return row->by_mark && tokenizer_mark(t, row->by_mark) >= 0;
}

const chat_template *template_recognise(const gale_tokenizer *t, const char *jinja) {
  for (const chat_template *row = CHAT_TEMPLATES; row->name; row++)
    if (row_fits(row, t, jinja)) return row;
  return NULL;
}

static bool is_text(const char *s, size_t n, const char *text) {
  return strlen(text) == n && memcmp(s, text, n) == 0;
}

bool template_has_mark(const char *text, size_t length) {
  static const char *const OTHERS[] = {
      "[/AVAILABLE_TOOLS]", "[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[/SYSTEM_PROMPT]",  "[PREFIX]",
      "[SUFFIX]",           "[MIDDLE]",     "[THINK]",        "[/THINK]",        "[/MODEL_SETTINGS]", NULL};
  for (const char *const *other = OTHERS; *other; other++)
    if (is_text(text, length, *other)) return true;
  for (const chat_template *row = CHAT_TEMPLATES; row->name; row++)
    for (int i = 0; i < CHAT_MARKS && row->marks[i]; i++)
      if (is_text(text, length, row->marks[i])) return true;
  return false;
}

bool template_default_system(const char *jinja, size_t *offset, size_t *length) {
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
