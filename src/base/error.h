/* Filling in a gale_error. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "gale.h"

/* Sets *error (which may be NULL). A message that is too long is cut at a character boundary; control characters
 * from untrusted names are replaced by '?'. */
void error_fill(gale_error *error, gale_status code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* error_fill() with the value code, so that a caller can write `return error_set(error, GALE_E_FORMAT, "%s: ...",
 * path)` and the compiler knows that this is not GALE_OK. code is evaluated twice. */
#define error_set(error, code, ...) (error_fill(error, code, __VA_ARGS__), (code))

/* error_set for a failed allocation of n bytes. */
static inline gale_status error_memory(gale_error *error, uint64_t n) {
  error_fill(error, GALE_E_MEMORY, "out of memory: %llu bytes were refused", (unsigned long long)n);
  return GALE_E_MEMORY;
}

#endif
