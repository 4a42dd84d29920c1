/* JSON schemas: the first byte says whether objects are open, what cannot be enforced is ignored, and members come in
 * any order. What compiles must have masks that agree with taking bytes, and every state a way to its end. */
#include "fuzz_constraint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  gale_constraint_options o;
  gale_constraint_defaults(&o);
  o.kind = GALE_CONSTRAINT_JSON_SCHEMA;
  if (size == 0) return 0;
  o.open = data[0] & 1;
  o.lenient = data[0] & 2;
  o.any_order = data[0] & 4;
  o.text = (const char *)data + 1;
  o.length = size - 1;
  return fuzz_constraint(&o);
}
