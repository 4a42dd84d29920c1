/* gale batch: see apps/gale/serve/batch.c. */
#include "gale/serve/batch.h"

#include "gale/commands/command.h"

int batch_main(const options *o) {
  return batch_run(o);
}
