/* Compiled constraints, kept by what they say: a bounded number of them, the least recently used go first. For the
 * loop's thread alone, but for constraints_open(). */
#ifndef GALE_SERVE_CONSTRAINTS_H
#define GALE_SERVE_CONSTRAINTS_H

#include "gale/serve/serve.h"
#include "gale_constraint.h"

/* A constraint and those who hold it. */
typedef struct compiled compiled;

/* Builds what all constraints of a tokenizer need; 0.2 s for a large vocabulary. */
typedef struct constraints constraints;
gale_status constraints_open(const gale_tokenizer *tokenizer, constraints **opened, gale_error *error);
/* When nobody holds one. */
void constraints_close(constraints **opened);

/* The constraint that is wanted, compiled or kept. *found is the caller's to release. Errors as of
 * gale_constraint_open(). */
gale_status constraints_get(constraints *c, const gale_constraint_options *wanted, compiled **found, gale_error *error);
void compiled_release(compiled **held);
const gale_constraint *compiled_get(const compiled *c);

/* Seconds that compiling has taken in all. */
double constraints_seconds(const constraints *c);

#endif
