/* An HTTP server: connections, messages, limits and timeouts, on one thread with one loop (libuv; llhttp reads
 * messages). It knows nothing of what is served.
 *
 * An exchange is a request and its response. All functions but http_wake() are for the loop's thread alone, and the
 * loop calls all handlers. Strings are ended by NUL; what an exchange gives is valid until its response is complete or
 * `gone` has returned. */
#ifndef GALE_HTTP_HTTP_H
#define GALE_HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct http_server http_server;
typedef struct http_exchange http_exchange;

/* ---- Requests ---- */

const char *http_method(const http_exchange *x); /* "GET", "POST", ...; HEAD is "GET" for all but the body sent */
const char *http_path(const http_exchange *x);   /* as it was sent, without the query */
const char *http_query(const http_exchange *x);  /* behind the question mark; "" if there is none */
int http_version(const http_exchange *x);        /* 10 or 11 */
/* The value of a header, by its name in lower case; of several lines with that name the first. NULL: there is none. */
const char *http_header(const http_exchange *x, const char *name);
size_t http_header_count(const http_exchange *x, const char *name);
/* The body, of *length bytes, with a NUL behind them. */
const char *http_body(const http_exchange *x, size_t *length);
const char *http_request_id(const http_exchange *x); /* the client's own where it is one, else made here */

double http_seconds(const http_exchange *x); /* since its head began to be read */

/* What a handler keeps for an exchange; NULL at first. */
void http_set_user(http_exchange *x, void *user);
void *http_user(const http_exchange *x);

/* ---- Responses ----
 * Headers first, then either one http_respond(), or http_stream(), any number of http_write(), and http_end(). Once the
 * exchange is gone nothing is written, and nothing is an error. */

void http_add_header(http_exchange *x, const char *name, const char *text); /* copied */
/* A whole response. type NULL: no Content-Type. The bytes are copied. */
void http_respond(http_exchange *x, int status, const char *type, const char *bytes, size_t length);
/* The same, of bytes that live as long as the server. */
void http_respond_static(http_exchange *x, int status, const char *type, const char *bytes, size_t length);
/* As http_respond(), and the connection is closed behind it. */
void http_refuse(http_exchange *x, int status, const char *type, const char *bytes, size_t length);

/* A response that is written bit by bit: chunked, or to a client of HTTP/1.0 until the connection closes. */
void http_stream(http_exchange *x, int status, const char *type);
/* What is written within one call of a handler leaves in one packet where it fits. A reader that takes nothing for
 * stall_timeout, or lets max_unread bytes pile up, is cut off, and the exchange is gone. */
void http_write(http_exchange *x, const char *bytes, size_t length);
void http_end(http_exchange *x);
/* Ends a stream such that the client sees that it is not whole: the connection is closed without the last chunk. */
void http_abort(http_exchange *x);

/* ---- Exchanges without a client ---- */

/* Called once, with the response. The exchange is to be closed later, and not within. */
typedef void (*http_done)(void *user, http_exchange *x, int status, const char *bytes, size_t length);

typedef struct http_local_request {
  const char *method, *path; /* static */
  const char *id;            /* for http_request_id() */
  const char *identity;      /* what http_identity() gives; must outlive the exchange */
  const char *body;          /* length bytes, copied */
  size_t length;
} http_local_request;

/* A request that is made in this process: no connection is needed, nor a server. It has no headers, and its response
 * is to be whole: streams are dropped. NULL without memory. */
http_exchange *http_local(const http_local_request *request, http_done done, void *user);
void http_local_close(http_exchange **exchange);
/* Of a local exchange what its answer's ids and what it leaves to chance are drawn from; NULL for any other. */
const char *http_identity(const http_exchange *x);

/* ---- The server ---- */

typedef struct http_handlers {
  void *user;
  /* The head of a request is there. It may answer at once: then the body is not waited for. Else `request` follows. */
  void (*head)(void *user, http_exchange *x);
  /* The whole request is there. It answers now or later. */
  void (*request)(void *user, http_exchange *x);
  /* The message is none, or exceeds a limit: 400, 408, 413, 414, 431. It answers with http_refuse(). path and headers
   * are there as far as they were read. */
  void (*refused)(void *user, http_exchange *x, int status, const char *why);
  /* After `request`: the client has left, or was cut off, before its response was complete. */
  void (*gone)(void *user, http_exchange *x);
  /* A stream has had nothing written to it for keep_alive seconds. */
  void (*quiet)(void *user, http_exchange *x);
  /* A response is complete or its client is gone: the last call for an exchange, with the status that was sent (0:
   * none) and the seconds since the head was read. */
  void (*over)(void *user, http_exchange *x, int status, double seconds);
  void (*woken)(void *user);                 /* after http_wake(), once for any number of calls */
  void (*signalled)(void *user, int signal); /* SIGTERM, SIGINT or SIGHUP */
  void (*second)(void *user);                /* once a second */
} http_handlers;

typedef struct http_limits {
  double header_timeout, body_timeout, stall_timeout, idle_timeout, keep_alive; /* seconds */
  size_t max_body, max_unread;                                                  /* bytes */
  size_t max_uri, max_header, max_headers_bytes;
  int32_t max_headers, max_connections;
} http_limits;

/* 10, 30, 10, 75 and 10 s; 10 MB of a body, 1 MiB unread; 8 KiB of URI and of one header, 32 KiB of 128 in all;
 * 16,384 connections. */
extern const http_limits HTTP_LIMITS;

/* Whether a host is this machine alone: 127.0.0.0/8, ::1, or a name that stands for one of them. */
bool http_is_loopback(const char *host);

/* Listens, but serves nobody before http_run(): who connects waits. port 0 takes a free one. With host NULL nobody can
 * connect. On failure returns NULL
 * and *why says what could not be done (of why_size bytes). */
http_server *http_listen(const char *host, int port, const http_limits *limits, const http_handlers *handlers,
                         char *why, size_t why_size);
/* "http://127.0.0.1:8080", IPv6 in brackets. */
const char *http_address(const http_server *s);
/* Serves until http_stop(). */
void http_run(http_server *s);
/* Takes no new connections from here on; those that there are close behind their next responses. When no exchange is
 * left, and all is sent, http_run() returns. */
void http_drain(http_server *s);
/* Makes http_run() return, at the end of the loop's turn. */
void http_stop(http_server *s);
void http_close(http_server **s); /* after http_run() */
/* From any thread, and from a signal handler: `woken` is called soon. */
void http_wake(http_server *s);
int32_t http_connections(const http_server *s);

#endif
