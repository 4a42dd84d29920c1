/* What turns texts into expressions. Each gives the start state, or an error whose message begins with the place. */
#ifndef CONSTRAINT_COMPILE_H
#define CONSTRAINT_COMPILE_H

#include "constraint/expr.h"
#include "gale_constraint.h"
#include "json/value.h"

typedef enum pattern_use {
  PATTERN_WHOLE,  /* all of a text is matched, as UTF-8 */
  PATTERN_SEARCH, /* some part of a JSON string's content is matched; the expression is of the whole content */
} pattern_use;

/* place begins messages: "byte " for a constraint's own text, where the byte's number follows. */
gale_status compile_pattern(expr_pool *p, slice text, pattern_use use, expr **e, gale_error *error);
gale_status compile_grammar(expr_pool *p, slice text, expr **e, gale_error *error);
gale_status compile_schema(expr_pool *p, const gale_constraint_options *o, expr **e, gale_error *error);

#endif
