/* A request: what llhttp reads becomes an exchange, within the limits. */
#include "gale/http/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const uint64_t MAX_CHUNK = UINT64_C(1) << 31;

http_exchange *exchange_new(connection *c) {
  http_exchange *x = calloc(1, sizeof *x);
  if (!x) return NULL;
  x->connection = c;
  x->method = "";
  x->start = uv_hrtime();
  x->quiet.owner = x;
  return x;
}

static double seconds_since(uint64_t start) {
  return (double)(uv_hrtime() - start) * 1e-9;
}

void exchange_over(http_exchange *x) {
  http_server *s = x->connection->server;
  timer_stop(&x->quiet);
  if (x->head_told) {
    s->n_exchanges--;
    s->handlers.over(s->handlers.user, x, x->status, http_seconds(x));
  }
  buffer_free(&x->text);
  buffer_free(&x->body);
  buffer_free(&x->added);
  free(x->headers);
  free(x);
}

/* ---- The head ---- */

/* What a callback returns to stop the parser. */
static int refuse(connection *c, int status, const char *why) {
  c->refusal = status;
  c->why = why;
  return -1;
}

static int no_memory(connection *c) {
  c->doomed = true;
  connection_unsettle(c);
  return -1;
}

static int count_head(connection *c, size_t n) {
  http_exchange *x = c->exchange;
  const http_limits *limits = &c->server->limits;
  x->head_bytes += n;
  return x->head_bytes > limits->max_headers_bytes ? refuse(c, 431, "the headers are too long together") : 0;
}

static int on_url(llhttp_t *parser, const char *at, size_t n) {
  connection *c = parser->data;
  http_exchange *x = c->exchange;
  if (x->text.n + n > c->server->limits.max_uri) return refuse(c, 414, "the address is too long");
  return buffer_add(&x->text, at, n) ? 0 : no_memory(c);
}

/* Of an address that names a server too only the path is kept: the Host header says the same. */
static void drop_authority(buffer *text) {
  size_t scheme = strncasecmp(text->bytes, "http://", 7) == 0    ? 7
                  : strncasecmp(text->bytes, "https://", 8) == 0 ? 8
                                                                 : 0;
  if (!scheme) return;
  size_t n = scheme + strcspn(text->bytes + scheme, "/?");
  memmove(text->bytes, text->bytes + n, text->n - n + 1);
  text->n -= n;
}

static int on_url_complete(llhttp_t *parser) {
  connection *c = parser->data;
  http_exchange *x = c->exchange;
  if (!buffer_add(&x->text, "", 1)) return no_memory(c);
  x->text.n--;
  drop_authority(&x->text);
  x->text.n++;
  char *mark = strchr(x->text.bytes, '?');
  if (mark) *mark = 0;
  x->query = mark ? (size_t)(mark + 1 - x->text.bytes) : x->text.n - 1;
  x->is_head = parser->method == HTTP_HEAD;
  x->method = x->is_head ? "GET" : llhttp_method_name((llhttp_method_t)parser->method);
  return 0;
}

static int end_value(connection *c) {
  http_exchange *x = c->exchange;
  if (!x->in_value) return 0;
  x->in_value = false;
  size_t least = x->headers[x->n_headers - 1].value;
  while (x->text.n > least && (x->text.bytes[x->text.n - 1] == ' ' || x->text.bytes[x->text.n - 1] == '\t'))
    x->text.n--;
  return buffer_add(&x->text, "", 1) ? 0 : no_memory(c);
}

static int begin_header(connection *c) {
  http_exchange *x = c->exchange;
  if (end_value(c)) return -1;
  if (x->n_headers == c->server->limits.max_headers) return refuse(c, 431, "there are too many headers");
  if (x->n_headers == x->headers_capacity) {
    int32_t capacity = x->headers_capacity ? 2 * x->headers_capacity : 16;
    void *grown = realloc(x->headers, (size_t)capacity * sizeof *x->headers);
    if (!grown) return no_memory(c);
    x->headers = grown;
    x->headers_capacity = capacity;
  }
  x->headers[x->n_headers].name = x->headers[x->n_headers].value = (uint32_t)x->text.n;
  x->n_headers++;
  return 0;
}

static int add_to_header(connection *c, const char *at, size_t n) {
  http_exchange *x = c->exchange;
  if (x->text.n + n - x->headers[x->n_headers - 1].name > c->server->limits.max_header)
    return refuse(c, 431, "a header is too long");
  return buffer_add(&x->text, at, n) ? count_head(c, n) : no_memory(c);
}

/* Headers behind a body count, and are not kept. */
static bool is_trailer(const connection *c) {
  return !c->exchange || c->exchange->head_told;
}

static int on_header_field(llhttp_t *parser, const char *at, size_t n) {
  connection *c = parser->data;
  http_exchange *x = c->exchange;
  if (is_trailer(c)) return x ? count_head(c, n) : 0;
  bool first = x->n_headers == 0 || x->headers[x->n_headers - 1].value != x->headers[x->n_headers - 1].name;
  if (first && begin_header(c)) return -1;
  if (add_to_header(c, at, n)) return -1;
  for (size_t i = x->text.n - n; i < x->text.n; i++)
    if (x->text.bytes[i] >= 'A' && x->text.bytes[i] <= 'Z') x->text.bytes[i] |= 0x20;
  return 0;
}

static int on_header_field_complete(llhttp_t *parser) {
  connection *c = parser->data;
  http_exchange *x = c->exchange;
  if (is_trailer(c)) return 0;
  if (!buffer_add(&x->text, "", 1)) return no_memory(c);
  x->headers[x->n_headers - 1].value = (uint32_t)x->text.n;
  x->in_value = true;
  return 0;
}

static int on_header_value(llhttp_t *parser, const char *at, size_t n) {
  connection *c = parser->data;
  if (is_trailer(c)) return c->exchange ? count_head(c, n) : 0;
  return add_to_header(c, at, n);
}

static int on_header_value_complete(llhttp_t *parser) {
  connection *c = parser->data;
  return is_trailer(c) ? 0 : end_value(c);
}

static bool is_request_id(const char *id) {
  size_t n = strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
  return n > 0 && n <= 128 && !id[n];
}

static void name_request(http_exchange *x) {
  const char *given = http_header(x, "x-request-id");
  uint64_t *random = x->connection->server->random;
  if (given && is_request_id(given))
    snprintf(x->id, sizeof x->id, "%s", given);
  else
    snprintf(x->id, sizeof x->id, "%016llx%08llx", (unsigned long long)random[0], (unsigned long long)random[1]++);
}

/* The status of a head that is no request, else 0. */
static int check_head(connection *c) {
  const http_exchange *x = c->exchange;
  const llhttp_t *parser = &c->parser;
  if (parser->http_major != 1 || parser->http_minor > 1) return refuse(c, 400, "HTTP/1.0 and HTTP/1.1 are accepted");
  if (parser->method == HTTP_CONNECT || parser->method == HTTP_PRI) return refuse(c, 400, "this is no proxy");
  const char *encoding = http_header(x, "transfer-encoding");
  if (encoding && (strcasecmp(encoding, "chunked") != 0 || http_header_count(x, "transfer-encoding") != 1 || !x->is_11))
    return refuse(c, 400, "of transfer encodings, only chunked is accepted");
  if (x->expected > c->server->limits.max_body) return refuse(c, 413, "the body is too long");
  return 0;
}

static int on_headers_complete(llhttp_t *parser) {
  connection *c = parser->data;
  http_exchange *x = c->exchange;
  http_server *s = c->server;
  if (end_value(c)) return -1;
  parser->upgrade = 0; /* nothing else is spoken here, and the client goes on in HTTP */
  x->is_11 = parser->http_minor == 1;
  x->keep_alive = llhttp_should_keep_alive(parser);
  x->expected = parser->flags & F_CONTENT_LENGTH ? parser->content_length : 0;
  name_request(x);
  if (check_head(c)) return -1;
  x->head_told = true;
  x->has_body = x->expected || (parser->flags & F_CHUNKED);
  s->n_exchanges++;
  timer_start(s, &c->waiting, CLOCK_BODY);
  s->handlers.head(s->handlers.user, x);
  if (x->complete && !x->keep_alive) {
    c->stop = true;
    return -1;
  }
  const char *expects = http_header(x, "expect");
  if (!x->started && x->has_body && x->is_11 && expects && strcasecmp(expects, "100-continue") == 0)
    connection_write(c, "HTTP/1.1 100 Continue\r\n\r\n", 25);
  return 0;
}

/* ---- The body ---- */

static int on_chunk_header(llhttp_t *parser) {
  connection *c = parser->data;
  if (parser->content_length > MAX_CHUNK) return refuse(c, 400, "a chunk is too long");
  if (parser->content_length == 0) {
    c->in_trailer = true;
    return HPE_PAUSED;
  }
  if (!c->exchange || c->exchange->started) return 0;
  bool long_body = c->exchange->body.n + parser->content_length > c->server->limits.max_body;
  return long_body ? refuse(c, 413, "the body is too long") : 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t n) {
  connection *c = parser->data;
  http_exchange *x = c->exchange;
  if (!x || x->started) return 0;
  return buffer_add(&x->body, at, n) ? 0 : no_memory(c);
}

static int on_message_complete(llhttp_t *parser) {
  connection *c = parser->data;
  http_exchange *x = c->exchange;
  if (!x || x->started) return HPE_PAUSED;
  if (!buffer_reserve(&x->body, 1)) return no_memory(c);
  x->body.bytes[x->body.n] = 0;
  return HPE_PAUSED;
}

const llhttp_settings_t message_settings = {
    .on_url = on_url,
    .on_url_complete = on_url_complete,
    .on_header_field = on_header_field,
    .on_header_field_complete = on_header_field_complete,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_chunk_header = on_chunk_header,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* Ends what was read of a head. */
static bool end_partial_head(http_exchange *x) {
  if (!buffer_add(&x->text, "", 1)) return false;
  if (x->method[0]) return true;
  char *mark = strchr(x->text.bytes, '?');
  if (mark) *mark = 0;
  x->query = x->text.n - 1;
  return true;
}

void exchange_refuse(http_exchange *x, int status, const char *why) {
  connection *c = x->connection;
  http_server *s = c->server;
  c->stop = true;
  timer_stop(&c->waiting);
  connection_unsettle(c);
  x->keep_alive = false;
  if (x->started) return;
  if (!end_partial_head(x)) {
    c->doomed = true;
    return;
  }
  if (!x->id[0]) name_request(x);
  if (!x->head_told) s->n_exchanges++;
  x->head_told = true;
  s->handlers.refused(s->handlers.user, x, status, why);
  if (!x->complete) c->doomed = true;
}

/* ---- What handlers see ---- */

const char *http_method(const http_exchange *x) {
  return x->method;
}
const char *http_path(const http_exchange *x) {
  return x->text.bytes;
}
const char *http_query(const http_exchange *x) {
  return x->text.bytes + x->query;
}
const char *http_request_id(const http_exchange *x) {
  return x->id;
}
double http_seconds(const http_exchange *x) {
  return seconds_since(x->start);
}
int http_version(const http_exchange *x) {
  return x->is_11 ? 11 : 10;
}
void http_set_user(http_exchange *x, void *user) {
  x->user = user;
}
void *http_user(const http_exchange *x) {
  return x->user;
}

const char *http_header(const http_exchange *x, const char *name) {
  for (int32_t i = 0; i < x->n_headers; i++)
    if (strcmp(x->text.bytes + x->headers[i].name, name) == 0) return x->text.bytes + x->headers[i].value;
  return NULL;
}

size_t http_header_count(const http_exchange *x, const char *name) {
  size_t n = 0;
  for (int32_t i = 0; i < x->n_headers; i++) n += strcmp(x->text.bytes + x->headers[i].name, name) == 0;
  return n;
}

const char *http_body(const http_exchange *x, size_t *length) {
  *length = x->body.n;
  return x->body.bytes;
}
