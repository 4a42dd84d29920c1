/* An answer in the making: what is said, what is thought and which tools are called, told apart id by id. */
#ifndef CHAT_ANSWER_H
#define CHAT_ANSWER_H

#include "chat/pieces.h"

typedef struct answer answer;

/* How an answer is read. */
typedef struct answer_form {
  const char *name;   /* the template that asked for it; NULL: all is content */
  bool special;       /* control tokens that tell nothing apart are content too */
  bool generic_tools; /* calls in gale's own form, where the template has none */
  bool no_calls;      /* calls are content */
  bool continued;     /* it goes on within a text */
} answer_form;

/* The tokenizer must outlive the answer. */
gale_status answer_open(const gale_tokenizer *tokenizer, const answer_form *form, answer **opened, gale_error *error);
void answer_close(answer **opened);

/* Takes the next id and adds what is sure by then. */
gale_status answer_push(answer *a, int32_t id, piece_list *out, gale_error *error);

/* Must follow the last id. Where a list of calls turns out to be none, its text is content. cut: the answer was not at
 * its end, so that bytes which could still have become a character are left out. */
gale_status answer_finish(answer *a, bool cut, piece_list *out, gale_error *error);

/* As gale_generation_calls(). */
gale_status answer_calls(answer *a, const gale_tool_call **calls, size_t *n_calls, gale_error *error);

bool answer_thinks(const answer *a);

/* The token with which thinking begins, or -1 where there is none. */
int32_t answer_thinking_mark(const answer *a);

#endif
