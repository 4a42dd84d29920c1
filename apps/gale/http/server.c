/* The loop: listening, clocks, signals, and waking from other threads. */
#include "gale/http/internal.h"

#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum {
  TICK = 200, /* milliseconds */
  TICKS_A_SECOND = 1000 / TICK,
  BACKLOG = 4096,
  OTHER_FILES = 64, /* descriptors that are not connections' */
};

const http_limits HTTP_LIMITS = {
    .header_timeout = 10,
    .body_timeout = 30,
    .stall_timeout = 10,
    .idle_timeout = 75,
    .keep_alive = 10,
    .max_body = 10 << 20,
    .max_unread = 1 << 20,
    .max_uri = 8192,
    .max_header = 8192,
    .max_headers_bytes = 32768,
    .max_headers = 128,
    .max_connections = 16384,
};

/* ---- Clocks ---- */

void timer_stop(timer *t) {
  if (!t->next) return;
  t->previous->next = t->next;
  t->next->previous = t->previous;
  t->previous = t->next = NULL;
}

void timer_start(http_server *s, timer *t, clock_kind kind) {
  timer_stop(t);
  timer *head = &s->clocks[kind].head;
  t->due = uv_now(&s->loop) + s->clocks[kind].milliseconds;
  t->previous = head->previous;
  t->next = head;
  head->previous->next = t;
  head->previous = t;
}

static void clock_set(timer_list *list, double seconds) {
  list->head.previous = list->head.next = &list->head;
  list->milliseconds = (uint64_t)(seconds * 1000);
}

/* The oldest timer of a clock if it has run out, stopped. */
static timer *next_late(http_server *s, clock_kind kind) {
  timer *t = s->clocks[kind].head.next;
  if (t == &s->clocks[kind].head || t->due > uv_now(&s->loop)) return NULL;
  timer_stop(t);
  return t;
}

static void after_tick(uv_timer_t *handle) {
  http_server *s = handle->data;
  static const clock_kind plain[] = {CLOCK_IDLE, CLOCK_HEADER, CLOCK_BODY, CLOCK_LINGER};
  timer *t;
  for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
    while ((t = next_late(s, plain[i]))) connection_late(t->owner, plain[i]);
  while ((t = next_late(s, CLOCK_PAUSED))) connection_probe(t->owner);
  while ((t = next_late(s, CLOCK_QUIET))) {
    timer_start(s, t, CLOCK_QUIET);
    s->handlers.quiet(s->handlers.user, t->owner);
  }
  const timer *last = s->clocks[CLOCK_STALL].head.previous;
  for (timer *next, *at = s->clocks[CLOCK_STALL].head.next; at != &s->clocks[CLOCK_STALL].head; at = next) {
    bool is_last = at == last;
    next = at->next;
    connection_watch(at->owner);
    if (is_last) break;
  }
  if (s->accept_waiting) connections_accept(s);
  if (++s->ticks % TICKS_A_SECOND == 0) s->handlers.second(s->handlers.user);
}

/* ---- Callbacks of the loop ---- */

static void after_connect(uv_stream_t *listener, int status) {
  http_server *s = listener->data;
  if (status == UV_EMFILE || status == UV_ENFILE)
    connections_make_room(s);
  else if (status == 0)
    connections_accept(s);
}

static void after_wake(uv_async_t *handle) {
  http_server *s = handle->data;
  s->handlers.woken(s->handlers.user);
}

static void after_signal(uv_signal_t *handle, int number) {
  http_server *s = handle->data;
  s->handlers.signalled(s->handlers.user, number);
}

static void after_poll(uv_check_t *handle) {
  http_server *s = handle->data;
  connections_settle(s);
  if (s->stopped || (s->draining && !s->n_exchanges && !s->n_unsent)) uv_stop(&s->loop);
}

/* ---- The server ---- */

/* The system lets a process have few files unless it asks for more. */
static void allow_files(http_limits *limits) {
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files)) return;
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  if (getrlimit(RLIMIT_NOFILE, &files) || files.rlim_cur == RLIM_INFINITY) return;
  rlim_t room = files.rlim_cur > 2 * OTHER_FILES ? files.rlim_cur - OTHER_FILES : files.rlim_cur / 2;
  if ((rlim_t)limits->max_connections > room) limits->max_connections = (int32_t)room;
}

/* IPv4 first: what a name such as localhost stands for is then what most clients try. */
static int resolve(const char *host, int port, struct sockaddr_storage *address) {
  char number[16];
  snprintf(number, sizeof number, "%d", port);
  struct addrinfo *found, hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
  int code = getaddrinfo(host, number, &hints, &found);
  if (code) {
    hints.ai_family = AF_UNSPEC;
    code = getaddrinfo(host, number, &hints, &found);
  }
  if (code) return code;
  memcpy(address, found->ai_addr, found->ai_addrlen);
  freeaddrinfo(found);
  return 0;
}

bool http_is_loopback(const char *host) {
  struct sockaddr_storage address = {0};
  if (resolve(host, 0, &address)) return false;
  if (address.ss_family == AF_INET6) return IN6_IS_ADDR_LOOPBACK(&((struct sockaddr_in6 *)&address)->sin6_addr);
  return ntohl(((struct sockaddr_in *)&address)->sin_addr.s_addr) >> 24 == 127;
}

static void name_address(http_server *s) {
  struct sockaddr_storage address;
  int size = sizeof address;
  char host[64] = "";
  int port = 0;
  uv_tcp_getsockname(&s->listener, (struct sockaddr *)&address, &size);
  bool is_6 = address.ss_family == AF_INET6;
  if (is_6) {
    uv_ip6_name((struct sockaddr_in6 *)&address, host, sizeof host);
    port = ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
  } else {
    uv_ip4_name((struct sockaddr_in *)&address, host, sizeof host);
    port = ntohs(((struct sockaddr_in *)&address)->sin_port);
  }
  snprintf(s->address, sizeof s->address, is_6 ? "http://[%s]:%d" : "http://%s:%d", host, port);
}

/* A background job of a shell ignores some signals, and it must stay so. */
static void watch_signals(http_server *s) {
  static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    struct sigaction old;
    uv_signal_init(&s->loop, &s->signals[i]);
    s->signals[i].data = s;
    if (sigaction(numbers[i], NULL, &old) || old.sa_handler != SIG_IGN)
      uv_signal_start(&s->signals[i], after_signal, numbers[i]);
  }
  signal(SIGPIPE, SIG_IGN);
}

static http_server *open_loop(const http_limits *limits, const http_handlers *handlers) {
  http_server *s = calloc(1, sizeof *s);
  if (!s) return NULL;
  s->limits = *limits;
  s->handlers = *handlers;
  allow_files(&s->limits);
  if (uv_loop_init(&s->loop)) {
    free(s);
    return NULL;
  }
  const double seconds[N_CLOCKS] = {
      [CLOCK_IDLE] = limits->idle_timeout,   [CLOCK_HEADER] = limits->header_timeout,
      [CLOCK_BODY] = limits->body_timeout,   [CLOCK_LINGER] = 2,
      [CLOCK_STALL] = limits->stall_timeout, [CLOCK_PAUSED] = 0.5,
      [CLOCK_QUIET] = limits->keep_alive,
  };
  for (int i = 0; i < N_CLOCKS; i++) clock_set(&s->clocks[i], seconds[i]);
  uv_random(NULL, NULL, s->random, sizeof s->random, 0, NULL);
  s->random[1] &= UINT32_MAX;
  uv_tcp_init(&s->loop, &s->listener);
  uv_timer_init(&s->loop, &s->tick);
  uv_check_init(&s->loop, &s->check);
  uv_idle_init(&s->loop, &s->idle);
  s->listener.data = s->tick.data = s->check.data = s->wake.data = s;
  return s;
}

/* Listens there. What went wrong, or NULL. */
static const char *bind_to(http_server *s, const char *host, int port) {
  struct sockaddr_storage address = {0};
  int code = resolve(host, port, &address);
  if (code) return gai_strerror(code);
  code = uv_tcp_bind(&s->listener, (struct sockaddr *)&address, 0);
  if (!code) code = uv_listen((uv_stream_t *)&s->listener, BACKLOG, after_connect);
  return code ? uv_strerror(code) : NULL;
}

http_server *http_listen(const char *host, int port, const http_limits *limits, const http_handlers *handlers,
                         char *why, size_t why_size) {
  http_server *s = open_loop(limits, handlers);
  if (!s) {
    snprintf(why, why_size, "out of memory");
    return NULL;
  }
  int code = uv_async_init(&s->loop, &s->wake, after_wake);
  const char *what = code ? uv_strerror(code) : host ? bind_to(s, host, port) : NULL;
  if (what) {
    snprintf(why, why_size, "%s, port %d: %s", host ? host : "none", port, what);
    http_close(&s);
    return NULL;
  }
  if (host) name_address(s);
  watch_signals(s);
  uv_check_start(&s->check, after_poll);
  uv_timer_start(&s->tick, after_tick, TICK, TICK);
  return s;
}

const char *http_address(const http_server *s) {
  return s->address;
}

int32_t http_connections(const http_server *s) {
  return s->n_connections;
}

void http_run(http_server *s) {
  uv_run(&s->loop, UV_RUN_DEFAULT);
}

void http_drain(http_server *s) {
  if (s->draining) return;
  s->draining = true;
  uv_close((uv_handle_t *)&s->listener, NULL);
}

void http_stop(http_server *s) {
  s->stopped = true;
}

void http_wake(http_server *s) {
  uv_async_send(&s->wake);
}

static void close_handle(uv_handle_t *handle, void *user) {
  (void)user;
  if (!uv_is_closing(handle)) uv_close(handle, NULL);
}

void http_close(http_server **server) {
  http_server *s = *server;
  *server = NULL;
  if (!s) return;
  while (s->first) connection_lose(s->first, false);
  uv_check_stop(&s->check);
  uv_walk(&s->loop, close_handle, NULL);
  uv_run(&s->loop, UV_RUN_DEFAULT);
  connections_settle(s);
  uv_loop_close(&s->loop);
  free(s);
}
