/* gale pull: fetches a model into the cache that Hugging Face's tools share. */
#include "gale/commands/command.h"
#include "gale/pull/hub.h"

#include <string.h>

int pull_main(const options *o) {
  const char *name = o->arguments[0];
  return hub_pull(o, strncmp(name, "hf:", 3) == 0 ? name + 3 : name);
}
