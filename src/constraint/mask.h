/* Masks of states. */
#ifndef CONSTRAINT_MASK_H
#define CONSTRAINT_MASK_H

#include "constraint/expr.h"
#include "constraint/mask_table.h"

/* Scratch of one walk. */
typedef struct mask_walk {
  expr_pool *pool;
  const gale_mask_table *table;
  expr **path, **other; /* [table->longest + 1] states */
  uint32_t *mask;
} mask_walk;

/* Sets the bits of tokens that may come in state e; the mask was zero. The pool may have failed then. */
void mask_of(mask_walk *w, expr *e);
/* The same where no text has come yet, and the tokenizer drops a space there. */
void mask_of_start(mask_walk *w, expr *e);

#endif
