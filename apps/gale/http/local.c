/* Exchanges without a client: what asks is in this process, and gets the response whole. */
#include "gale/http/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

http_exchange *http_local(const http_local_request *request, http_done done, void *user) {
  http_exchange *x = calloc(1, sizeof *x);
  if (!x) return NULL;
  x->done = done;
  x->done_user = user;
  x->method = request->method;
  x->identity = request->identity;
  x->has_body = true;
  snprintf(x->id, sizeof x->id, "%s", request->id);
  x->query = strlen(request->path) + 1;
  /* The path and an empty query, each ended by NUL. */
  bool good = buffer_add(&x->text, request->path, x->query) && buffer_add(&x->text, "", 1) &&
              buffer_add(&x->body, request->body, request->length) && buffer_add(&x->body, "", 1);
  if (good) {
    x->body.n--;
    return x;
  }
  http_local_close(&x);
  return NULL;
}

void http_local_close(http_exchange **exchange) {
  http_exchange *x = *exchange;
  *exchange = NULL;
  if (!x) return;
  buffer_free(&x->text);
  buffer_free(&x->body);
  free(x);
}

const char *http_identity(const http_exchange *x) {
  return x->identity;
}

void exchange_respond_local(http_exchange *x, int status, const char *bytes, size_t length) {
  if (x->complete) return;
  x->started = x->complete = true;
  x->status = status;
  x->done(x->done_user, x, status, bytes, length);
}
