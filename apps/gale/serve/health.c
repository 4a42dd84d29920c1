/* GET /health and /ready. */
#include "gale/serve/endpoints.h"

#include <string.h>

static void respond(http_exchange *x, int status, const char *body) {
  http_add_header(x, "Cache-Control", "no-store");
  http_respond(x, status, "application/json", body, strlen(body));
}

void health_run(serving *s, http_exchange *x) {
  (void)s;
  respond(x, 200, "{\"status\":\"ok\"}");
}

void ready_run(serving *s, http_exchange *x) {
  if (s->draining)
    respond(x, 503, "{\"status\":\"draining\"}");
  else if (!s->model)
    respond(x, 503, "{\"status\":\"loading\"}");
  else
    respond(x, 200, "{\"status\":\"ready\"}");
}
