/* What the files that make expressions share. */
#ifndef CONSTRAINT_EXPR_BUILD_H
#define CONSTRAINT_EXPR_BUILD_H

#include "constraint/expr.h"

/* A growing list of expressions; small ones need no memory. */
typedef struct expr_vector {
  expr **items, *small[24];
  size_t n, capacity;
} expr_vector;

void vector_begin(expr_vector *v);
void vector_end(expr_vector *v);
void vector_add(expr_pool *p, expr_vector *v, expr *e); /* a failure is the pool's */

/* As expr_and() and expr_not(), but what they give may match nothing. */
expr *and_raw(expr_pool *p, expr *const *items, size_t n);
expr *not_raw(expr_pool *p, expr *a);
expr *expr_text_rest(expr_pool *p, const expr *e); /* TEXT without its first byte */
expr *expr_except_next(expr_pool *p, const expr *e, unsigned byte, expr *base);
expr *expr_call_node(expr_pool *p, uint32_t rule, bool nullable);
/* e without the parts at its front that match nothing. */
expr *expr_settle(expr_pool *p, expr *e);

/* Recursion is bounded; false, and the pool has failed, where it is too deep. */
bool expr_enter(expr_pool *p);
static inline void expr_leave(expr_pool *p) {
  p->depth--;
}

#endif
