/* Structs that callers allocate and that grow from version to version: each begins with `size_t size`, the size that
 * its caller was compiled with. */
#ifndef BASE_SIZED_H
#define BASE_SIZED_H

#include "base/error.h"

/* Gives a caller's struct of `size` bytes the first bytes of `from`, the library's own of `known` bytes, and zeros
 * behind these; its field `size` becomes `size`. A size below sizeof(size_t) writes nothing. */
void sized_write(void *to, size_t size, const void *from, size_t known);

/* Reads a caller's struct over `to`, the library's own of `known` bytes, which holds the defaults: fields that the
 * caller does not have keep them. GALE_E_ARGUMENT where the struct was not set up by its defaults call,
 * GALE_E_UNSUPPORTED where a field that the library does not have is not zero. type is the struct's name, for the
 * message. */
gale_status sized_read(void *to, size_t known, const void *from, const char *type, gale_error *error);

#endif
