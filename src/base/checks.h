/* Checks of a structure's invariants, in builds that define GALE_CHECKS: debug builds and those with sanitizers. Other
 * builds have none of them. */
#ifndef BASE_CHECKS_H
#define BASE_CHECKS_H

#ifdef GALE_CHECKS
#include <stdio.h>
#include <stdlib.h>

/* Ends the process if a check found something: found is NULL or says which invariant is broken. */
#define CHECK_INVARIANTS(found)                                                                                        \
  do {                                                                                                                 \
    const char *broken_invariant = (found);                                                                            \
    if (broken_invariant) {                                                                                            \
      fprintf(stderr, "%s:%d: broken invariant: %s\n", __FILE__, __LINE__, broken_invariant);                          \
      abort();                                                                                                         \
    }                                                                                                                  \
  } while (0)
#else
#define CHECK_INVARIANTS(found) ((void)0)
#endif

#endif
