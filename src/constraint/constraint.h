/* Constraints inside the library; their public functions are declared in gale_constraint.h. */
#ifndef CONSTRAINT_CONSTRAINT_H
#define CONSTRAINT_CONSTRAINT_H

#include "gale_constraint.h"

/* Whose masks the constraint makes. */
const gale_mask_table *constraint_table(const gale_constraint *c);
const gale_tokenizer *constraint_tokenizer(const gale_constraint *c);

/* The text goes on behind another: the space in front of its first token counts. */
void constraint_continue(gale_constraint_state *state);

#endif
