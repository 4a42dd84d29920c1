/* gale synth: a synthetic model of a published shape. */
#include "gale/cli/console.h"
#include "gale/commands/command.h"
#include "gale_tools.h"

int synth_main(const options *o) {
  if (!o->type) return usage_error(o, "--type TYPE is missing");
  progress p;
  progress_start(&p, o);
  gale_error error = {0};
  gale_status status = gale_synth(o->arguments[0], o->type, o->arguments[1], progress_step, &p, &error);
  progress_end(&p);
  return status ? fail_with(&error) : 0;
}
