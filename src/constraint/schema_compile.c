#include "base/error.h"
#include "constraint/compile.h"
gale_status compile_schema(expr_pool *p, const gale_constraint_options *o, expr **e, gale_error *error) {
  (void)o;
  *e = p->none;
  return error_set(error, GALE_E_UNSUPPORTED, "/: schemas are not supported yet");
}
