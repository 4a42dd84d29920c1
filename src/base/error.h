/* Filling in a gale_error. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "gale.h"

/* Sets *error (which may be NULL) and returns code, so that a caller can write
 * `return error_set(error, GALE_E_FORMAT, "%s: ...", path)`. A message that is too long is cut at a
 * character boundary; control characters from untrusted names are replaced by '?'. */
gale_status error_set(gale_error *error, gale_status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* error_set for a failed allocation of n bytes. */
gale_status error_memory(gale_error *error, uint64_t n);

#endif
