/* GET /v1/gale/info: what `gale info --json` prints. */
#include "gale/facts/facts.h"
#include "gale/serve/endpoints.h"

#include <stdlib.h>
#include <string.h>

void info_run(serving *s, http_exchange *x) {
  char *json = facts_json(s->model, &s->info);
  if (json)
    http_respond(x, 200, "application/json", json, strlen(json));
  else
    serve_fail(s, x, FAILURE_MEMORY, NULL, "out of memory, or a name in the model's files is not valid UTF-8");
  free(json);
}
