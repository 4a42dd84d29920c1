/* The HTTP server with clients that send anything, in pieces, and leave at any moment. Byte 0: how; byte 1: how long
 * the pieces are; then what is sent. Every exchange that was told of is over once. */
#include "gale/http/internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LEAVES = 1, HALF_CLOSES = 2, DOES_NOT_READ = 4, TURNS = 200 };

static http_server *server;
static http_exchange *kept; /* one that is answered later */

static void check(bool ok) {
  if (!ok) abort();
}

static void on_head(void *user, http_exchange *x) {
  (void)user;
  check(http_header_count(x, "host") <= 128);
  if (http_path(x)[0] && http_path(x)[1] == 'h') http_respond(x, 401, "text/plain", "no", 2);
  if (http_path(x)[0] && http_path(x)[1] == 'r') http_refuse(x, 403, "text/plain", "no", 2);
}

static void on_request(void *user, http_exchange *x) {
  (void)user;
  size_t n;
  const char *body = http_body(x, &n), *path = http_path(x);
  check(body[n] == 0 && strlen(http_request_id(x)) > 0);
  if (path[0] && path[1] == 's') {
    http_stream(x, 200, "text/plain");
    http_write(x, body, n);
    http_write(x, path, strlen(path));
    http_end(x);
  } else if (path[0] && path[1] == 'a') {
    http_stream(x, 200, "text/plain");
    http_abort(x);
  } else if (path[0] && path[1] == 'k' && !kept) {
    kept = x;
    http_stream(x, 200, "text/plain");
  } else {
    http_respond(x, 200, "text/plain", body, n);
  }
}

static void on_refused(void *user, http_exchange *x, int status, const char *why) {
  (void)user;
  http_refuse(x, status, "text/plain", why, strlen(why));
}

static void on_gone(void *user, http_exchange *x) {
  (void)user;
  if (kept == x) kept = NULL;
}

static void on_over(void *user, http_exchange *x, int status, double seconds) {
  (void)user;
  (void)status;
  check(kept != x && seconds >= 0);
}
static void nothing(void *user) {
  (void)user;
}

static void begin(void) {
  static const http_limits small = {.header_timeout = 1000,
                                    .body_timeout = 1000,
                                    .stall_timeout = 1000,
                                    .idle_timeout = 1000,
                                    .keep_alive = 1000,
                                    .max_body = 4096,
                                    .max_unread = 65536,
                                    .max_uri = 256,
                                    .max_header = 256,
                                    .max_headers_bytes = 1024,
                                    .max_headers = 16,
                                    .max_connections = 16};
  const http_handlers handlers = {.head = on_head,
                                  .request = on_request,
                                  .refused = on_refused,
                                  .gone = on_gone,
                                  .over = on_over,
                                  .woken = nothing,
                                  .second = nothing};
  char why[128];
  server = http_listen("127.0.0.1", 0, &small, &handlers, why, sizeof why);
  check(server != NULL);
}

static void turn(int client, bool reads) {
  char bytes[4096];
  uv_run(&server->loop, UV_RUN_NOWAIT);
  while (reads && recv(client, bytes, sizeof bytes, MSG_DONTWAIT) > 0) continue;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2) return 0;
  if (!server) begin();
  int ends[2];
  check(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  check(connections_adopt(server, ends[0]));
  size_t piece = data[1] ? data[1] : size;
  bool reads = !(data[0] & DOES_NOT_READ);
  for (size_t at = 2; at < size; at += piece) {
    size_t n = size - at < piece ? size - at : piece;
    if (send(ends[1], data + at, n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) break;
    turn(ends[1], reads);
  }
  if (kept && !(data[0] & LEAVES)) {
    http_exchange *x = kept;
    kept = NULL;
    http_write(x, "late", 4);
    http_end(x);
  }
  if (data[0] & HALF_CLOSES) shutdown(ends[1], SHUT_WR);
  for (int i = 0; i < 4; i++) turn(ends[1], reads);
  close(ends[1]);
  for (int i = 0; i < TURNS && server->n_connections; i++) uv_run(&server->loop, UV_RUN_NOWAIT);
  check(server->n_connections == 0 && server->n_exchanges == 0 && server->n_unsent == 0 && !kept);
  return 0;
}
