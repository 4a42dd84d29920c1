/* The known chat templates: their names, how a model's own template is recognised as one of them, and their control
 * tokens. Writing prompts is for src/chat. */
#ifndef TOKENIZER_TEMPLATES_H
#define TOKENIZER_TEMPLATES_H

#include "base/error.h"

enum { CHAT_CONTROLS = 4, CHAT_SNIPPETS = 3 };

typedef struct chat_template {
  const char *name;
  /* Recognised by snippets of the model's own template, all of jinja and none of jinja_not; where it has none, by the
   * version that the tokenizer's file states, or by a control token. In each case the control tokens `controls` must be
   * there and control_not must not. */
  const char *jinja[CHAT_SNIPPETS], *jinja_not[CHAT_SNIPPETS];
  const char *behind_content; /* what the model's own template writes behind each message's content; NULL: anything */
  const char *by_control;
  const char *controls[CHAT_CONTROLS], *control_not;
  bool bos;    /* prompts begin with BOS, which a vocabulary must have to be recognised by a control token */
  int kind;    /* vocabulary_kind, or -1: any */
  int version; /* of Mistral's prompts; 0: another family's */
  bool tools;  /* where there is no version: tools can be offered and called */
  const char *before_answer; /* text between a prompt and an answer; NULL: none, or the version says */
  const char *ends[2];       /* control tokens that end an answer, beside EOS, as far as the vocabulary has them */
} chat_template;

/* All rows; the last has no name. */
extern const chat_template CHAT_TEMPLATES[];

/* The row for a tokenizer whose control tokens and ends are set up, or NULL. jinja is the model's own template; NULL:
 * none. Then by_controls says that the files of a chat model often lack one: the row's control tokens are enough. Else
 * an end of the row must also be one of the model's ends, since base models have the control tokens too. */
const chat_template *template_recognise(const gale_tokenizer *t, const char *jinja, bool by_controls);

/* True if text is a control token of any template. A file may call such a token user-defined; text must
 * not become it all the same. */
bool template_has_control(const char *text, size_t length);

/* The fixed system prompt that a ChatML template puts in front where the conversation has none: its
 * offset in the Jinja text and length; false if there is none. */
bool template_default_system(const char *jinja, size_t *offset, size_t *length);

#endif
