/* What the files of the HTTP server share: connections, exchanges, and the clocks that run for them. */
#ifndef GALE_HTTP_INTERNAL_H
#define GALE_HTTP_INTERNAL_H

#include "gale/http/http.h"

#include <llhttp.h>

#include <uv.h>

typedef struct connection connection;

/* ---- Bytes ---- */

typedef struct buffer {
  char *bytes;
  size_t n, capacity;
} buffer;

/* These return false, leaving the buffer, without memory. */
bool buffer_reserve(buffer *b, size_t more);
bool buffer_add(buffer *b, const char *bytes, size_t n);
void buffer_free(buffer *b);

/* ---- Clocks: what runs out after the same time for all is in one list, oldest first ---- */

typedef struct timer_list timer_list;
typedef struct timer {
  struct timer *previous, *next; /* NULL: it does not run */
  uint64_t due;                  /* of uv_now() */
  void *owner;
} timer;

struct timer_list {
  timer head; /* of a ring */
  uint64_t milliseconds;
};

typedef enum clock_kind {
  CLOCK_IDLE,   /* a connection on which no message has begun */
  CLOCK_HEADER, /* a head that is not whole */
  CLOCK_BODY,   /* a body that is not whole */
  CLOCK_LINGER, /* a connection that is closed, whose client may still be sending */
  CLOCK_STALL,  /* a connection whose client has not taken all bytes */
  CLOCK_PAUSED, /* a connection that is not read, since enough is waiting to be looked at */
  CLOCK_QUIET,  /* an exchange whose stream had nothing written to it */
  N_CLOCKS
} clock_kind;

void timer_start(http_server *s, timer *t, clock_kind kind);
void timer_stop(timer *t);

/* ---- Connections ---- */

struct http_server {
  uv_loop_t loop;
  uv_tcp_t listener;
  uv_async_t wake;
  uv_timer_t tick;
  uv_signal_t signals[3];
  uv_check_t check;
  uv_idle_t idle; /* runs while connections are to be settled, so that the loop does not wait */
  http_handlers handlers;
  http_limits limits;
  timer_list clocks[N_CLOCKS];
  connection *first; /* of all */
  connection *unsettled;
  int32_t n_connections;
  int32_t n_exchanges; /* whose head was given to the handlers, and that are not over */
  int32_t n_unsent;    /* connections with bytes that are not with the kernel */
  int ticks;
  bool accept_waiting; /* libuv holds a connection for which there was no room */
  bool draining, stopped;
  uint64_t random[2]; /* where ids begin, and how many were made */
  char address[80];
  char date[40];
  int64_t date_second;
  char read_bytes[65536]; /* what was just read, for all connections */
};

struct connection {
  uv_tcp_t tcp; /* first: a handle is its connection */
  http_server *server;
  connection *previous, *next, *next_unsettled;
  llhttp_t parser;
  http_exchange *exchange; /* whose message is read or answered */
  buffer out;              /* to be written */
  const char *tail;        /* and behind it, bytes that live as long as the server */
  size_t n_tail;
  struct flight *flight; /* what libuv is writing */
  buffer pending;        /* was read while an exchange was being answered */
  timer waiting, stall, paused;
  uint64_t given, taken; /* bytes given to libuv, and that the client's system has */
  int refusal;           /* the status that a callback of the parser wants */
  const char *why;
  bool in_message; /* some of a message was read, and not all of it */
  bool in_lines;   /* the head, or what follows the last chunk, is being read, */
  bool line_empty, line_return, bare;
  bool in_trailer;  /* the last chunk has just been read */
  bool return_seen; /* a carriage return between messages */
  bool stop;        /* nothing more is read as messages */
  bool close_after; /* closed when all is written */
  bool lingering, closing, closed, ended, doomed, unsettled, unsent;
};

/* Accepts what waits, as far as there is room. */
void connections_accept(http_server *s);
/* Serves a connection that is there already, and takes its descriptor; false, not taking it, without room. */
bool connections_adopt(http_server *s, int fd);
/* The connection that was idle for longest gives way. */
void connections_make_room(http_server *s);
/* Settles a connection at the end of the loop's turn: writes, and goes on to the next message. */
void connection_unsettle(connection *c);
void connections_settle(http_server *s);
/* The client has gone, or is given up: tells the exchange's handlers, and closes. */
void connection_lose(connection *c, bool reset);
/* A clock has run out. */
void connection_late(connection *c, clock_kind kind);
/* Takes note of what the client has taken; loses it if that is nothing for too long. */
void connection_watch(connection *c);
/* Looks whether a client that is not read from has gone. */
void connection_probe(connection *c);
/* Adds to what is to be written; without memory the connection is given up. */
void connection_write(connection *c, const char *bytes, size_t n);

/* ---- Messages ---- */

struct http_exchange {
  connection *connection; /* NULL: it is a local one */
  http_done done;         /* of a local exchange, with what it is given */
  void *done_user;
  const char *identity;
  void *user;
  const char *method;
  buffer text; /* the path, the query, then names and values of headers, each ended by NUL */
  struct {
    uint32_t name, value; /* where they begin in text */
  } * headers;
  int32_t n_headers, headers_capacity;
  size_t query, head_bytes;
  buffer body;
  uint64_t expected; /* of the body, as Content-Length has it */
  char id[129];
  uint64_t start;
  buffer added; /* headers of the response */
  timer quiet;
  int status;
  bool is_head, is_11, has_body, keep_alive, in_value, head_told, request_told;
  bool started, streaming, chunked, complete;
};

http_exchange *exchange_new(connection *c);
/* The last call for it. */
void exchange_over(http_exchange *x);
/* The response of a local exchange. */
void exchange_respond_local(http_exchange *x, int status, const char *bytes, size_t length);
/* Refuses the message that is being read. */
void exchange_refuse(http_exchange *x, int status, const char *why);

extern const llhttp_settings_t message_settings;

/* "Sat, 28 Nov 2026 21:45:15 GMT" */
const char *server_date(http_server *s);

#endif
