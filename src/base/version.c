#include "gale.h"

#include <stdlib.h>

const char *gale_version(void) {
  return GALE_VERSION;
}

void gale_free(void *memory) {
  free(memory);
}
