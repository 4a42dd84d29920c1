/* A connection: its bytes become messages, one at a time, and responses become its bytes. Whatever ends it is noticed
 * while reading, which goes on also while a request is being answered. */
#include "gale/http/internal.h"

#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum {
  MAX_PENDING = 65536,     /* bytes behind a request that is being answered */
  LEAST_LEFT_ALONE = 4096, /* buffers of this size are kept from one response to the next, while a stream lasts */
};

/* What libuv is writing. */
typedef struct flight {
  uv_write_t request; /* first */
  char *bytes;
} flight;

static void feed(connection *c, const char *bytes, size_t n);
static bool read_on(connection *c);

/* ---- The end ---- */

/* A connection that is to be settled is still in a list. */
static void release(connection *c) {
  if (!c->closed || c->unsettled) return;
  buffer_free(&c->out);
  buffer_free(&c->pending);
  free(c);
}

static void after_close(uv_handle_t *handle) {
  connection *c = (connection *)handle;
  c->closed = true;
  release(c);
}

static void count_unsent(connection *c, bool unsent) {
  if (c->unsent == unsent) return;
  c->unsent = unsent;
  c->server->n_unsent += unsent ? 1 : -1;
}

static void close_now(connection *c, bool reset) {
  if (c->closing) return;
  http_server *s = c->server;
  c->closing = true;
  count_unsent(c, false);
  timer_stop(&c->waiting);
  timer_stop(&c->stall);
  timer_stop(&c->paused);
  if (c->previous)
    c->previous->next = c->next;
  else
    s->first = c->next;
  if (c->next) c->next->previous = c->previous;
  s->n_connections--;
  if (!reset || uv_tcp_close_reset(&c->tcp, after_close)) uv_close((uv_handle_t *)&c->tcp, after_close);
}

void connection_lose(connection *c, bool reset) {
  if (c->closing) return;
  http_exchange *x = c->exchange;
  c->exchange = NULL;
  if (x && x->request_told && !x->complete) c->server->handlers.gone(c->server->handlers.user, x);
  if (x) exchange_over(x);
  close_now(c, reset);
}

/* All is written, and nothing more will be. The client may still be sending: closing at once would take the response
 * from it. */
static void linger(connection *c) {
  int fd;
  if (c->ended || uv_fileno((uv_handle_t *)&c->tcp, &fd)) {
    close_now(c, false);
    return;
  }
  shutdown(fd, SHUT_WR);
  c->lingering = true;
  if (c->paused.next && !read_on(c)) {
    close_now(c, false);
    return;
  }
  timer_start(c->server, &c->waiting, CLOCK_LINGER);
}

/* ---- Writing ---- */

void connection_write(connection *c, const char *bytes, size_t n) {
  if (c->closing || c->doomed) return;
  if (!buffer_add(&c->out, bytes, n)) c->doomed = true;
  connection_unsettle(c);
}

static void after_write(uv_write_t *request, int status) {
  flight *f = (flight *)request;
  connection *c = (connection *)request->handle;
  free(f->bytes);
  free(f);
  c->flight = NULL;
  if (c->closing) return;
  if (status)
    connection_lose(c, false);
  else
    connection_unsettle(c);
}

/* Gives libuv what the kernel did not take. The buffer goes with it. */
static void write_rest(connection *c, size_t written) {
  flight *f = malloc(sizeof *f);
  if (!f) {
    c->doomed = true;
    return;
  }
  f->bytes = c->out.bytes;
  uv_buf_t parts[2];
  unsigned n = 0;
  if (written < c->out.n) {
    parts[n++] = uv_buf_init(c->out.bytes + written, (unsigned)(c->out.n - written));
    written = 0;
  } else {
    written -= c->out.n;
  }
  if (c->n_tail) parts[n++] = uv_buf_init((char *)(c->tail + written), (unsigned)(c->n_tail - written));
  c->out = (buffer){0};
  c->n_tail = 0;
  c->flight = f;
  if (uv_write(&f->request, (uv_stream_t *)&c->tcp, parts, n, after_write) == 0) return;
  free(f->bytes);
  free(f);
  c->flight = NULL;
  c->doomed = true;
}

static void flush(connection *c) {
  size_t n = c->out.n + c->n_tail;
  if (c->flight || n == 0) return;
  uv_buf_t parts[2] = {uv_buf_init(c->out.bytes, (unsigned)c->out.n),
                       uv_buf_init((char *)c->tail, (unsigned)c->n_tail)};
  int written = uv_try_write((uv_stream_t *)&c->tcp, parts, c->n_tail ? 2 : 1);
  if (written == UV_EAGAIN) written = 0;
  if (written < 0) {
    c->doomed = true;
    return;
  }
  c->given += n;
  if (!c->stall.next) timer_start(c->server, &c->stall, CLOCK_STALL);
  if ((size_t)written < n) {
    write_rest(c, (size_t)written);
    return;
  }
  c->out.n = c->n_tail = 0;
  if (!c->exchange || c->out.capacity > LEAST_LEFT_ALONE) buffer_free(&c->out);
}

void connection_watch(connection *c) {
  uint64_t waiting = uv_stream_get_write_queue_size((uv_stream_t *)&c->tcp);
  int fd, kernel = 0;
  if (uv_fileno((uv_handle_t *)&c->tcp, &fd) || ioctl(fd, SIOCOUTQ, &kernel)) kernel = 0;
  waiting += (uint64_t)kernel;
  uint64_t taken = c->given > waiting ? c->given - waiting : 0;
  if (waiting == 0) {
    c->taken = c->given;
    timer_stop(&c->stall);
  } else if (taken > c->taken) {
    c->taken = taken;
    timer_start(c->server, &c->stall, CLOCK_STALL);
  } else if (uv_now(&c->server->loop) >= c->stall.due) {
    connection_lose(c, true);
  }
}

/* ---- Reading ---- */

static void give_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *to) {
  (void)suggested;
  http_server *s = ((connection *)handle)->server;
  *to = uv_buf_init(s->read_bytes, sizeof s->read_bytes);
}

static void client_ended(connection *c) {
  c->ended = true;
  const http_exchange *x = c->exchange;
  if (c->lingering || (x && !x->complete)) {
    connection_lose(c, false);
    return;
  }
  uv_read_stop((uv_stream_t *)&c->tcp);
  connection_unsettle(c);
}

static void after_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *from) {
  connection *c = (connection *)stream;
  if (n == UV_EOF) {
    client_ended(c);
  } else if (n < 0) {
    connection_lose(c, false);
  } else if (n > 0 && !c->lingering && !c->stop && !c->doomed) {
    if (!c->pending.n) {
      feed(c, from->base, (size_t)n);
    } else if (!buffer_add(&c->pending, from->base, (size_t)n)) {
      c->doomed = true;
      connection_unsettle(c);
    }
    if (!c->closing && c->pending.n >= MAX_PENDING && !c->paused.next) {
      uv_read_stop(stream);
      timer_start(c->server, &c->paused, CLOCK_PAUSED);
    }
  }
}

static bool read_on(connection *c) {
  timer_stop(&c->paused);
  return uv_read_start((uv_stream_t *)&c->tcp, give_buffer, after_read) == 0;
}

void connection_probe(connection *c) {
  struct tcp_info info;
  socklen_t size = sizeof info;
  int fd;
  timer_start(c->server, &c->paused, CLOCK_PAUSED);
  if (uv_fileno((uv_handle_t *)&c->tcp, &fd) || getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size)) return;
  if (info.tcpi_state != TCP_ESTABLISHED) connection_lose(c, false);
}

/* Skips the empty lines that may stand before a message. False: there is something else that may not. */
static bool skip_empty_lines(connection *c, const char **at, const char *end) {
  for (; *at < end; ++*at) {
    bool end_of_line = **at == '\n';
    if (c->return_seen != end_of_line) return false;
    if (**at != '\r' && !end_of_line) return true;
    c->return_seen = !end_of_line;
  }
  return true;
}

/* Where what is read as lines ends: behind an empty one, or before what llhttp would take, and others for something
 * else: a line feed without a return, and a line that begins with a blank. */
static const char *lines_end(connection *c, const char *at, const char *end) {
  for (; at < end; at++) {
    bool folded = c->line_empty && !c->line_return && (*at == ' ' || *at == '\t');
    if (folded || (*at == '\n' && !c->line_return)) {
      c->bare = true;
      return at;
    }
    if (*at == '\n' && c->line_empty) {
      c->in_lines = false;
      return at + 1;
    }
    c->line_empty = *at == '\n' || (c->line_empty && *at == '\r');
    c->line_return = *at == '\r';
  }
  return end;
}

static void begin_lines(connection *c) {
  c->in_lines = c->line_empty = true;
  c->line_return = false;
}

static bool begin_message(connection *c) {
  c->exchange = exchange_new(c);
  if (!c->exchange) {
    c->doomed = true;
    connection_unsettle(c);
    return false;
  }
  c->in_message = true;
  c->bare = c->in_trailer = false;
  begin_lines(c);
  c->refusal = 0;
  llhttp_init(&c->parser, HTTP_REQUEST, &message_settings);
  c->parser.data = c;
  timer_start(c->server, &c->waiting, CLOCK_HEADER);
  return true;
}

/* The message is whole. If its head was answered its exchange may be over. */
static void end_message(connection *c) {
  http_exchange *x = c->exchange;
  c->in_message = false;
  timer_stop(&c->waiting);
  if (!x || x->started) {
    if (!x) timer_start(c->server, &c->waiting, CLOCK_IDLE);
    return;
  }
  x->request_told = true;
  c->server->handlers.request(c->server->handlers.user, x);
  if (c->ended && !x->complete) connection_lose(c, false);
}

static void refuse_message(connection *c, int status, const char *why) {
  if (c->exchange)
    exchange_refuse(c->exchange, status, why);
  else
    connection_lose(c, false);
}

/* Gives the parser what there is of one message. False: nothing more is to be read for the time being. */
static bool read_message(connection *c, const char **at, const char *end) {
  const char *stop = c->in_lines ? lines_end(c, *at, end) : end;
  llhttp_errno_t error = llhttp_execute(&c->parser, *at, (size_t)(stop - *at));
  if (c->closing || c->stop || c->doomed) return false;
  if (error == HPE_OK) {
    *at = stop;
    if (c->bare) refuse_message(c, 400, "a line ends with CR LF, and begins with no blank");
    return !c->bare;
  }
  if (error != HPE_PAUSED) {
    const char *why = c->refusal ? c->why : llhttp_get_error_reason(&c->parser);
    refuse_message(c, c->refusal ? c->refusal : 400, why ? why : "not a message of HTTP");
    return false;
  }
  *at = llhttp_get_error_pos(&c->parser);
  if (c->in_trailer && !c->in_lines) {
    c->in_trailer = false;
    llhttp_resume(&c->parser);
    begin_lines(c);
  } else {
    end_message(c);
  }
  return true;
}

/* Reads messages up to one that is not answered at once; what follows it waits. */
static void feed(connection *c, const char *bytes, size_t n) {
  const char *at = bytes, *end = bytes + n;
  while (at < end && !c->closing && !c->stop && !c->doomed) {
    if (!c->in_message) {
      if (c->exchange || c->out.n || c->n_tail || c->flight) break;
      bool well = skip_empty_lines(c, &at, end);
      if (at == end) break;
      if (!begin_message(c)) return;
      if (!well) {
        exchange_refuse(c->exchange, 400, "a line ends with CR LF");
        return;
      }
    }
    if (!read_message(c, &at, end)) return;
  }
  if (at < end && !c->closing && !c->stop && !c->doomed && !buffer_add(&c->pending, at, (size_t)(end - at))) {
    c->doomed = true;
    connection_unsettle(c);
  }
}

/* ---- Turns ---- */

static void stay_awake(uv_idle_t *handle) {
  (void)handle;
}

void connection_unsettle(connection *c) {
  http_server *s = c->server;
  if (c->unsettled || c->closing) return;
  c->unsettled = true;
  c->next_unsettled = s->unsettled;
  if (!s->unsettled) uv_idle_start(&s->idle, stay_awake);
  s->unsettled = c;
}

/* A response is complete. */
static void end_exchange(connection *c) {
  http_exchange *x = c->exchange;
  if (!x->keep_alive) c->close_after = c->stop = true;
  c->exchange = NULL;
  exchange_over(x);
  if (!c->in_message && !c->stop) timer_start(c->server, &c->waiting, CLOCK_IDLE);
}

static void settle(connection *c) {
  if (c->doomed) {
    connection_lose(c, true);
    return;
  }
  if (c->exchange && c->exchange->complete) end_exchange(c);
  flush(c);
  if (c->doomed) {
    connection_lose(c, true);
    return;
  }
  bool unsent = c->out.n || c->n_tail || c->flight;
  count_unsent(c, unsent);
  if (c->exchange || unsent || c->lingering) return;
  if (c->pending.n && !c->stop) {
    buffer pending = c->pending;
    c->pending = (buffer){0};
    feed(c, pending.bytes, pending.n);
    buffer_free(&pending);
    if (c->closing) return;
    if (c->paused.next && c->pending.n < MAX_PENDING && !c->ended && !read_on(c)) connection_lose(c, false);
    if (c->ended && c->in_message) connection_lose(c, false);
    if (c->closing || c->exchange || c->out.n) return;
  }
  if (c->close_after)
    linger(c);
  else if (c->ended)
    close_now(c, false);
}

void connections_settle(http_server *s) {
  /* What is unsettled meanwhile is for the next turn, so that nobody waits for a client that sends much at once. */
  connection *list = s->unsettled;
  s->unsettled = NULL;
  while (list) {
    connection *c = list;
    list = c->next_unsettled;
    c->unsettled = false;
    if (c->closing)
      release(c);
    else
      settle(c);
  }
  if (!s->unsettled) uv_idle_stop(&s->idle);
}

void connection_late(connection *c, clock_kind kind) {
  if ((kind == CLOCK_HEADER || kind == CLOCK_BODY) && c->exchange && !c->exchange->started)
    exchange_refuse(c->exchange, 408,
                    kind == CLOCK_HEADER ? "the head of the request took too long"
                                         : "the body of the request took too long");
  else
    connection_lose(c, false);
}

/* ---- The beginning ---- */

void connections_make_room(http_server *s) {
  timer *oldest = s->clocks[CLOCK_IDLE].head.next;
  if (oldest != &s->clocks[CLOCK_IDLE].head) connection_lose(oldest->owner, false);
}

/* NULL: there is no room. */
static connection *connection_new(http_server *s) {
  if (s->n_connections >= s->limits.max_connections) connections_make_room(s);
  connection *c = s->n_connections < s->limits.max_connections ? calloc(1, sizeof *c) : NULL;
  if (!c) return NULL;
  c->server = s;
  c->waiting.owner = c->stall.owner = c->paused.owner = c;
  uv_tcp_init(&s->loop, &c->tcp);
  c->next = s->first;
  if (c->next) c->next->previous = c;
  s->first = c;
  s->n_connections++;
  return c;
}

/* A connection that has its descriptor, unless `failed`. */
static void begin_connection(connection *c, int failed) {
  if (failed || !read_on(c)) {
    close_now(c, false);
    return;
  }
  uv_tcp_nodelay(&c->tcp, 1);
  uv_tcp_keepalive(&c->tcp, 1, 60);
  timer_start(c->server, &c->waiting, CLOCK_IDLE);
}

bool connections_adopt(http_server *s, int fd) {
  connection *c = connection_new(s);
  if (c) begin_connection(c, uv_tcp_open(&c->tcp, fd));
  return c != NULL;
}

void connections_accept(http_server *s) {
  connection *c = s->draining ? NULL : connection_new(s);
  s->accept_waiting = !s->draining && !c;
  if (c) begin_connection(c, uv_accept((uv_stream_t *)&s->listener, (uv_stream_t *)&c->tcp));
}
