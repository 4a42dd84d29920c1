#include "base/sized.h"

#include <string.h>

/* More than any struct will have: a size above it is not one. */
enum { MOST = 1 << 16 };

void sized_write(void *to, size_t size, const void *from, size_t known) {
  if (size < sizeof size) return;
  memset(to, 0, size);
  memcpy(to, from, size < known ? size : known);
  memcpy(to, &size, sizeof size);
}

gale_status sized_read(void *to, size_t known, const void *from, const char *type, gale_error *error) {
  size_t size;
  memcpy(&size, from, sizeof size);
  if (size < sizeof size || size > MOST)
    return error_set(error, GALE_E_ARGUMENT, "%s has the size %zu: it must be set up by its defaults call", type, size);
  for (size_t i = known; i < size; i++)
    if (((const unsigned char *)from)[i] != 0)
      return error_set(error, GALE_E_UNSUPPORTED, "%s has a field at byte %zu that gale %s does not know", type, i,
                       gale_version());
  memcpy(to, from, size < known ? size : known);
  memcpy(to, &known, sizeof known);
  return GALE_OK;
}
