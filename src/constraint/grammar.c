#include "base/error.h"
#include "constraint/compile.h"
gale_status compile_grammar(expr_pool *p, slice text, expr **e, gale_error *error) {
  (void)text;
  *e = p->none;
  return error_set(error, GALE_E_UNSUPPORTED, "byte 0: grammars are not supported yet");
}
