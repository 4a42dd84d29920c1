/* Responses: a head, then a body in one piece or in chunks. */
#include "gale/http/internal.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
  MAX_DISCARDED = 65536, /* of a body that nobody waits for, for the sake of the next request */
};

static const struct {
  int status;
  const char *text;
} status_texts[] = {
    {200, "OK"},
    {204, "No Content"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {411, "Length Required"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
};

static const char *status_text(int status) {
  for (size_t i = 0; i < sizeof status_texts / sizeof *status_texts; i++)
    if (status_texts[i].status == status) return status_texts[i].text;
  return "";
}

const char *server_date(http_server *s) {
  time_t now = time(NULL);
  if ((int64_t)now == s->date_second) return s->date;
  static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
  struct tm t;
  gmtime_r(&now, &t);
  snprintf(s->date, sizeof s->date, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT", days + 3 * t.tm_wday, t.tm_mday,
           months + 3 * t.tm_mon, t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
  s->date_second = (int64_t)now;
  return s->date;
}

static void add(connection *c, const char *name, const char *value) {
  connection_write(c, name, strlen(name));
  connection_write(c, ": ", 2);
  connection_write(c, value, strlen(value));
  connection_write(c, "\r\n", 2);
}

void http_add_header(http_exchange *x, const char *name, const char *text) {
  /* What a client sent may come back in a header, and must not begin another. */
  if (!x->connection || x->started || text[strcspn(text, "\r\n")]) return;
  bool added = buffer_add(&x->added, name, strlen(name)) && buffer_add(&x->added, ": ", 2) &&
               buffer_add(&x->added, text, strlen(text)) && buffer_add(&x->added, "\r\n", 2);
  if (!added) x->connection->doomed = true;
}

/* Whether the connection is closed behind the response: what is left of its request is too much to read for nothing,
 * or nobody knows whether it comes. */
static bool must_close(const http_exchange *x) {
  const connection *c = x->connection;
  if (c->server->draining) return true;
  if (!c->in_message) return false;
  return (c->parser.flags & F_CHUNKED) || x->expected > MAX_DISCARDED || http_header(x, "expect");
}

static void begin(http_exchange *x, int status, const char *type) {
  connection *c = x->connection;
  x->started = true;
  x->status = status;
  if (must_close(x)) x->keep_alive = false;
  char line[64];
  snprintf(line, sizeof line, "HTTP/1.1 %d %s\r\n", status, status_text(status));
  connection_write(c, line, strlen(line));
  add(c, "Date", server_date(c->server));
  add(c, "x-request-id", x->id);
  if (type) add(c, "Content-Type", type);
  connection_write(c, x->added.bytes, x->added.n);
  if (!x->keep_alive || !x->is_11) add(c, "Connection", x->keep_alive ? "keep-alive" : "close");
}

static void finish(http_exchange *x) {
  x->complete = true;
  timer_stop(&x->quiet);
  connection_unsettle(x->connection);
}

/* The head of a whole response; true if its body follows. */
static bool begin_whole(http_exchange *x, int status, const char *type, size_t length) {
  begin(x, status, type);
  if (status != 204 && status != 304) {
    char number[24];
    snprintf(number, sizeof number, "%zu", length);
    add(x->connection, "Content-Length", number);
  }
  connection_write(x->connection, "\r\n", 2);
  return !x->is_head && length > 0;
}

void http_respond(http_exchange *x, int status, const char *type, const char *bytes, size_t length) {
  if (!x->connection) exchange_respond_local(x, status, bytes, length);
  if (x->started) return;
  if (begin_whole(x, status, type, length)) connection_write(x->connection, bytes, length);
  finish(x);
}

void http_respond_static(http_exchange *x, int status, const char *type, const char *bytes, size_t length) {
  if (!x->connection) exchange_respond_local(x, status, bytes, length);
  if (x->started) return;
  if (begin_whole(x, status, type, length)) {
    x->connection->tail = bytes;
    x->connection->n_tail = length;
  }
  finish(x);
}

void http_refuse(http_exchange *x, int status, const char *type, const char *bytes, size_t length) {
  x->keep_alive = false;
  http_respond(x, status, type, bytes, length);
}

void http_stream(http_exchange *x, int status, const char *type) {
  if (!x->connection || x->started) return;
  x->chunked = x->is_11;
  if (!x->is_11) x->keep_alive = false;
  begin(x, status, type);
  x->streaming = true;
  if (x->chunked) add(x->connection, "Transfer-Encoding", "chunked");
  connection_write(x->connection, "\r\n", 2);
  timer_start(x->connection->server, &x->quiet, CLOCK_QUIET);
}

void http_write(http_exchange *x, const char *bytes, size_t length) {
  connection *c = x->connection;
  if (!c || !x->streaming || x->complete || length == 0 || c->closing) return;
  timer_start(c->server, &x->quiet, CLOCK_QUIET);
  if (x->is_head) return;
  char size[24];
  snprintf(size, sizeof size, "%zx\r\n", length);
  if (x->chunked) connection_write(c, size, strlen(size));
  connection_write(c, bytes, length);
  if (x->chunked) connection_write(c, "\r\n", 2);
  if (c->out.n + uv_stream_get_write_queue_size((uv_stream_t *)&c->tcp) > c->server->limits.max_unread)
    c->doomed = true;
}

void http_end(http_exchange *x) {
  if (!x->streaming || x->complete) return;
  if (x->chunked && !x->is_head) connection_write(x->connection, "0\r\n\r\n", 5);
  finish(x);
}

void http_abort(http_exchange *x) {
  if (x->complete) return;
  x->started = true;
  x->keep_alive = false;
  finish(x);
}
