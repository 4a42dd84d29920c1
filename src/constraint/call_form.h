/* Answers that call tools, as constraints: the forms in which templates write calls. */
#ifndef CONSTRAINT_CALL_FORM_H
#define CONSTRAINT_CALL_FORM_H

#include "constraint/compile.h"
#include "tokenizer/built.h"

/* Control tokens that stand in such answers. In a constraint's text each is two bytes, MARK_BYTE, which is in no UTF-8,
 * and its own. */
enum { MOST_MARKS = 3, MARK_BYTE = 0xFF };
typedef struct call_marks {
  int32_t tokens[MOST_MARKS]; /* -1: the form has it not */
} call_marks;

/* Those of a form. GALE_E_ARGUMENT if there is no such template, or the vocabulary lacks them. */
gale_status call_marks_find(const gale_tokenizer *t, const gale_constraint_options *o, call_marks *marks,
                            gale_error *error);

/* o->text is a list of tools. content: what the content must satisfy, or NULL. */
gale_status compile_calls(expr_pool *p, const gale_constraint_options *o, expr *content, expr **e, gale_error *error);

#endif
