/* gale serve: see apps/gale/serve. */
#include "gale/serve/serve.h"

#include "gale/commands/command.h"

int serve_main(const options *o) {
  return serve_run(o);
}
