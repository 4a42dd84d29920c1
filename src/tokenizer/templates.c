/* Recognising a model's chat template. */
#include "tokenizer/templates.h"

#include <string.h>

#include "tokenizer/built.h"

const chat_template CHAT_TEMPLATES[] = {
#define CHAT_TEMPLATE(template_name, renderer, ...) {.name = template_name, __VA_ARGS__},
#include "tokenizer/templates.def"
#undef CHAT_TEMPLATE
    {0},
};

static int count_snippets(const char *text, const char *const *snippets) {
  int n = 0;
  for (int i = 0; i < CHAT_SNIPPETS; i++) n += snippets[i] && strstr(text, snippets[i]);
  return n;
}

static bool has_all_snippets(const char *text, const char *const *snippets) {
  int n = 0;
  for (int i = 0; i < CHAT_SNIPPETS; i++) n += snippets[i] != NULL;
  return count_snippets(text, snippets) == n;
}

/* Whether each "content" of a template is followed by a name, with no more between than what ends an expression:
 * message['content'] + eos_token. */
static bool content_precedes(const char *jinja, const char *name) {
  static const char CONTENT[] = "content";
  int found = 0;
  for (const char *s = jinja; (s = strstr(s, CONTENT)); found++) {
    s += sizeof CONTENT - 1;
    s += strspn(s, "'\"]) +~");
    if (strncmp(s, name, strlen(name)) != 0) return false;
  }
  return found > 0;
}

static bool jinja_fits(const chat_template *row, const char *jinja) {
  return row->jinja[0] && has_all_snippets(jinja, row->jinja) && count_snippets(jinja, row->jinja_not) == 0 &&
         (!row->behind_content || content_precedes(jinja, row->behind_content));
}

static bool controls_fit(const chat_template *row, const gale_tokenizer *t, bool by_controls) {
  if (!row->by_control || tokenizer_control(t, row->by_control) < 0 || (row->bos && t->bos < 0)) return false;
  bool ends = by_controls || !row->ends[0];
  for (int i = 0; i < 2 && row->ends[i]; i++) ends |= gale_tokenizer_is_end(t, tokenizer_control(t, row->ends[i]));
  return ends;
}

static bool row_fits(const chat_template *row, const gale_tokenizer *t, const char *jinja, bool by_controls) {
  if (row->kind >= 0 && row->kind != (int)t->kind) return false;
  for (int i = 0; i < CHAT_CONTROLS && row->controls[i]; i++)
    if (tokenizer_control(t, row->controls[i]) < 0) return false;
  if (row->control_not && tokenizer_control(t, row->control_not) >= 0) return false;
  /* What the tokenizer's file says of its version is surer than a text that looks like it. */
  if (t->version && (!jinja || strstr(jinja, "[INST]"))) return row->version == t->version;
  return jinja ? jinja_fits(row, jinja) : controls_fit(row, t, by_controls);
}

const chat_template *template_recognise(const gale_tokenizer *t, const char *jinja, bool by_controls) {
  for (const chat_template *row = CHAT_TEMPLATES; row->name; row++)
    if (row_fits(row, t, jinja, by_controls)) return row;
  return NULL;
}

static bool is_text(const char *s, size_t n, const char *text) {
  return strlen(text) == n && memcmp(s, text, n) == 0;
}

bool template_has_control(const char *text, size_t length) {
  static const char *const OTHERS[] = {
      "[/AVAILABLE_TOOLS]", "[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[/SYSTEM_PROMPT]",  "[PREFIX]",
      "[SUFFIX]",           "[MIDDLE]",     "[THINK]",        "[/THINK]",        "[/MODEL_SETTINGS]", NULL};
  for (const char *const *other = OTHERS; *other; other++)
    if (is_text(text, length, *other)) return true;
  for (const chat_template *row = CHAT_TEMPLATES; row->name; row++)
    for (int i = 0; i < CHAT_CONTROLS && row->controls[i]; i++)
      if (is_text(text, length, row->controls[i])) return true;
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
