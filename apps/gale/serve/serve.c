/* gale serve: the model is loaded in a thread while the loop already answers, and what ends the server. */
#include "gale/serve/serve.h"

#include "gale/cli/console.h"
#include "gale/cli/opening.h"
#include "gale/serve/answer.h"
#include "gale/serve/endpoints.h"
#include "gale/serve/guard.h"
#include "gale/serve/loading.h"
#include "gale/serve/metrics.h"
#include "gale/serve/naming.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* How long responses may take to leave when the time of draining is over. */
static const double LAST_SECONDS = 2;

typedef struct server {
  serving s; /* first */
  key_list keys;
  pthread_t loader;
  bool loading;      /* the thread is there */
  atomic_bool ended; /* its work is done */
  int code;          /* of loading; valid once ended */
  loaded loaded;
  double drain_until; /* of seconds_now() */
  bool failed_all;
} server;

/* ---- Loading ---- */

static void *load(void *user) {
  server *all = user;
  all->code = loaded_open(all->s.options, &all->loaded);
  atomic_store(&all->ended, true);
  http_wake(all->s.http);
  return NULL;
}

static void say_ready(const serving *s) {
  fprintf(stderr, "gale: ready at %s\n", http_address(s->http));
}

/* The thread is through. */
static void take_model(server *all) {
  serving *s = &all->s;
  pthread_join(all->loader, NULL);
  all->loading = false;
  if (!all->code) all->code = names_make(s, all->loaded.model);
  if (all->code || s->draining) {
    http_stop(s->http);
    return;
  }
  loaded_serve(&all->loaded, s);
  say_ready(s);
}

/* ---- Requests ---- */

static const endpoint *endpoint_of(const http_exchange *x) {
  char allow[64];
  return endpoint_find(http_method(x), http_path(x), allow, sizeof allow);
}

static void refuse_path(serving *s, http_exchange *x, const char *allow) {
  if (!allow[0]) {
    serve_fail(s, x, FAILURE_PATH, NULL, "there is nothing at this path");
    return;
  }
  http_add_header(x, "Allow", allow);
  serve_fail(s, x, FAILURE_METHOD, NULL, "this path takes %s", allow);
}

static void on_head(void *user, http_exchange *x) {
  server *all = user;
  serving *s = &all->s;
  if (family_of(http_path(x)) == API_ANTHROPIC) http_add_header(x, "request-id", http_request_id(x));
  if (!guard_origin(s, x)) return;
  char allow[64];
  const endpoint *e = endpoint_find(http_method(x), http_path(x), allow, sizeof allow);
  if (!(e && e->open) && !guard_key(s, &all->keys, x)) return;
  if (!e)
    refuse_path(s, x, allow);
  else if (!e->open && s->draining)
    serve_fail(s, x, FAILURE_DRAINING, NULL, "the server is ending");
  else if (!e->open && !s->model)
    serve_fail(s, x, FAILURE_LOADING, NULL, "the model is being loaded");
  else if (strcmp(e->method, "POST") == 0)
    guard_body(s, x);
}

static void on_request(void *user, http_exchange *x) {
  serving *s = user;
  endpoint_of(x)->run(s, x);
}

static void on_refused(void *user, http_exchange *x, int status, const char *why) {
  static const struct {
    int status;
    failure f;
  } failures[] = {{408, FAILURE_TIMEOUT},
                  {413, FAILURE_TOO_LARGE},
                  {414, FAILURE_URI},
                  {431, FAILURE_HEADERS},
                  {400, FAILURE_MESSAGE}};
  size_t i = 0;
  while (failures[i].status != status && failures[i].status != 400) i++;
  serve_refuse(user, x, failures[i].f, NULL, why, true);
}

static void on_gone(void *user, http_exchange *x) {
  const endpoint *e = endpoint_of(x);
  if (e->gone) e->gone(user, x);
}

static void on_quiet(void *user, http_exchange *x) {
  const endpoint *e = endpoint_of(x);
  if (e->quiet) e->quiet(user, x);
}

/* A line of the log, which never holds what was asked or answered. */
static void on_over(void *user, http_exchange *x, int status, double seconds) {
  const serving *s = user;
  const endpoint *e = endpoint_of(x);
  metrics_request(s->metrics, e ? (size_t)(e - endpoint_table) : MAX_PATHS, status, seconds);
  if (s->options->verbose)
    note(s->options, "%s %s %s %d %.3f s", http_request_id(x), http_method(x), http_path(x), status, seconds);
}

/* ---- The loop ---- */

static void on_woken(void *user) {
  server *all = user;
  if (all->loading && atomic_load(&all->ended)) take_model(all);
  if (all->s.model) answering_woken(&all->s);
}

static void on_signal(void *user, int number) {
  server *all = user;
  serving *s = &all->s;
  if (s->draining) {
    if (number == SIGINT) _exit(128 + number);
    return;
  }
  s->draining = true;
  all->drain_until = seconds_now() + s->options->drain;
  if (all->loading) signals_note(number);
  http_drain(s->http);
}

static void on_second(void *user) {
  server *all = user;
  serving *s = &all->s;
  if (!s->draining || seconds_now() < all->drain_until) return;
  if (all->failed_all || !s->model)
    http_stop(s->http);
  else
    answering_fail(s, FAILURE_DRAINING, "the server is ending");
  all->failed_all = true;
  all->drain_until = seconds_now() + LAST_SECONDS;
}

/* ---- Beginning and end ---- */

static int check(const options *o, const key_list *keys) {
  if (!keys->n && !o->insecure_no_key && !http_is_loopback(o->host))
    return usage_error(o, "--host %s lets other machines in: it needs a key (--api-key), or --insecure-no-key",
                       o->host);
  return 0;
}

static int listen_at(server *all, const options *o) {
  http_limits limits = HTTP_LIMITS;
  limits.header_timeout = o->header_timeout;
  limits.body_timeout = o->body_timeout;
  limits.stall_timeout = o->stall_timeout;
  limits.max_body = (size_t)o->max_body;
  limits.max_connections = o->max_connections;
  const http_handlers handlers = {.user = all,
                                  .head = on_head,
                                  .request = on_request,
                                  .refused = on_refused,
                                  .gone = on_gone,
                                  .quiet = on_quiet,
                                  .over = on_over,
                                  .woken = on_woken,
                                  .signalled = on_signal,
                                  .second = on_second};
  char why[256];
  all->s.http = http_listen(o->host, o->port, &limits, &handlers, why, sizeof why);
  return all->s.http ? 0 : fail("%s", why);
}

static int serve_until_asked(server *all) {
  all->loading = true;
  if (pthread_create(&all->loader, NULL, load, all)) return fail_memory();
  http_run(all->s.http);
  if (all->loading) pthread_join(all->loader, NULL);
  return all->s.draining ? 0 : all->code;
}

int serve_run(const options *o) {
  server all = {.s = {.options = o, .limits = {o->max_depth, o->max_n, o->max_stop, o->max_tools}}};
  all.s.metrics = metrics_new();
  int code = all.s.metrics ? keys_read(o, &all.keys) : fail_memory();
  if (!code) code = check(o, &all.keys);
  if (!code) code = listen_at(&all, o);
  if (!code) code = serve_until_asked(&all);
  http_close(&all.s.http);
  names_free(&all.s);
  loaded_close(&all.loaded);
  keys_free(&all.keys);
  free(all.s.metrics);
  return code;
}
