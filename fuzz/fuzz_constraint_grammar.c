/* GBNF grammars. What compiles must have masks that agree
 * with taking bytes, and every state a way to its end. */
#include "fuzz_constraint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  gale_constraint_options o;
  gale_constraint_defaults(&o);
  o.kind = GALE_CONSTRAINT_GRAMMAR;
  o.text = (const char *)data;
  o.length = size;
  return fuzz_constraint(&o);
}
