/* Checkpoints that other tools made for themselves: quantised in a way that gale doesn't read, or no whole model. */
#ifndef MODEL_FOREIGN_H
#define MODEL_FOREIGN_H

#include "format/checkpoint.h"

/* For a checkpoint whose tensors were searched in vain: puts what it is, where that is stated, and what is accepted
 * before the message of *error (NULL: nothing to do). Returns `status`, or GALE_E_UNSUPPORTED where it found out. */
gale_status foreign_explain(const checkpoint *c, gale_status status, gale_error *error);

#endif
