#include "gale.h"

#include <stdlib.h>

#define SPELL(number) #number
#define TEXT(number) SPELL(number)

const char *gale_version(void) {
  return TEXT(GALE_VERSION_MAJOR) "." TEXT(GALE_VERSION_MINOR) "." TEXT(GALE_VERSION_PATCH);
}

int gale_numerics_version(void) {
  return GALE_NUMERICS_VERSION;
}

void gale_free(void *memory) {
  free(memory);
}
