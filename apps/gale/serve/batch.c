#include "gale/serve/batch.h"

#include "gale/cli/console.h"
#include "gale/serve/batch_lines.h"
#include "gale/serve/endpoints.h"
#include "gale/serve/loading.h"
#include "gale/serve/naming.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Requests with the engine, for each that it computes at a time: so that none of its places is ever empty. */
enum { AHEAD = 2 };

/* A request on its way. */
typedef struct running {
  struct batch *batch; /* NULL: the place is free */
  batch_line *line;
  http_exchange *exchange;
  bool over;
} running;

typedef struct batch {
  serving s; /* first */
  loaded loaded;
  batch_lines lines;
  int32_t shard, shards;
  int out;
  size_t next;     /* line to begin with */
  running *places; /* [n_places] */
  int32_t n_places, n_running;
  size_t failures, n_done, n_due; /* lines of this shard: answered, and all that were not when it began */
  int code;                       /* of what ended it early */
  progress progress;
} batch;

/* ---- Answers ---- */

static void write_whole(batch *b, const byte_list *line) {
  if (line->failed) {
    b->code = fail_memory();
    return;
  }
  for (size_t done = 0; done < line->n && !b->code;) {
    ssize_t n = write(b->out, line->bytes + done, line->n - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) b->code = fail("%s: %s", b->s.options->arguments[2], strerror(errno));
    if (n > 0) done += (size_t)n;
  }
  b->n_done++;
  if (b->n_due) progress_step(&b->progress, (double)b->n_done / (double)b->n_due, "Answering");
}

static void make_id(const batch_line *line, char id[40]) {
  snprintf(id, 40, "%016llx%016llx", (unsigned long long)identity_number(line->custom_id, 8),
           (unsigned long long)identity_number(line->custom_id, 9));
}

/* The answer of a request that was made. */
static void write_answer(batch *b, const batch_line *line, int status, slice body) {
  byte_list out = {0};
  char id[40], head[128];
  make_id(line, id);
  bytes_add(&out, SLICE("{\"id\":\"batch_req_"));
  bytes_add(&out, slice_of(id));
  bytes_add(&out, SLICE("\",\"custom_id\":"));
  bytes_add_string(&out, slice_of(line->custom_id));
  snprintf(head, sizeof head, ",\"response\":{\"status_code\":%d,\"request_id\":\"%s\",\"body\":", status, id);
  bytes_add(&out, slice_of(head));
  bytes_add(&out, body.n ? body : SLICE("{}"));
  bytes_add(&out, SLICE("},\"error\":null}\n"));
  if (status != 200) b->failures++;
  write_whole(b, &out);
  free(out.bytes);
}

/* The answer of a line that is no request. */
static void write_bad(batch *b, const batch_line *line) {
  byte_list out = {0};
  char head[128];
  snprintf(head, sizeof head, "{\"id\":\"line-%zu\",\"custom_id\":", line->number);
  bytes_add(&out, slice_of(head));
  if (line->custom_id)
    bytes_add_string(&out, slice_of(line->custom_id));
  else
    bytes_add(&out, SLICE("null"));
  bytes_add(&out, SLICE(",\"response\":null,\"error\":{\"code\":\"invalid_line\",\"message\":"));
  char message[224];
  snprintf(message, sizeof message, "line %zu: %s", line->number, line->why);
  bytes_add_string(&out, slice_of(message));
  bytes_add(&out, SLICE("}}\n"));
  b->failures++;
  write_whole(b, &out);
  free(out.bytes);
}

static void take_answer(void *user, http_exchange *x, int status, const char *bytes, size_t length) {
  (void)x;
  running *r = user;
  r->over = true;
  /* The server's own end is no answer: whoever starts again gets one. */
  if (r->batch->code || signals_caught() || status == 503) {
    if (status == 503 && !r->batch->code && !signals_caught())
      r->batch->code = fail("%s: %.*s", r->line->custom_id, (int)(length < 400 ? length : 400), bytes);
    return;
  }
  write_answer(r->batch, r->line, status, (slice){bytes, length});
}

/* ---- Requests ---- */

static const endpoint *endpoint_of(slice url) {
  static const char *const URLS[] = {"/v1/chat/completions", "/v1/completions", "/v1/embeddings"};
  char allow[64];
  for (size_t i = 0; i < sizeof URLS / sizeof *URLS; i++)
    if (slice_is(url, URLS[i])) return endpoint_find("POST", URLS[i], allow, sizeof allow);
  return NULL;
}

static void begin(batch *b, running *r, batch_line *line) {
  arena memory = {0};
  batch_request request;
  byte_list body = {0};
  slice written = {b->lines.text.bytes + line->at, line->length};
  bool good = batch_request_read(&memory, written, &request, line->why, sizeof line->why);
  const endpoint *e = good ? endpoint_of(request.url) : NULL;
  if (good && !e) {
    write_answer(b, line, 404,
                 SLICE("{\"error\":{\"message\":\"/v1/chat/completions, /v1/completions and /v1/embeddings are "
                       "accepted\",\"type\":\"invalid_request_error\",\"param\":\"url\",\"code\":\"not_found\"}}"));
  } else if (good) {
    char id[40];
    make_id(line, id);
    bytes_add_value(&body, request.body);
    const http_local_request local = {.method = e->method,
                                      .path = e->path,
                                      .id = id,
                                      .identity = line->custom_id,
                                      .body = body.bytes,
                                      .length = body.n};
    *r = (running){.batch = b, .line = line};
    r->exchange = body.failed ? NULL : http_local(&local, take_answer, r);
    b->n_running++;
    if (r->exchange)
      e->run(&b->s, r->exchange);
    else
      b->code = fail_memory();
  } else {
    b->code = fail_memory();
  }
  free(body.bytes);
  arena_free(&memory);
}

static bool is_mine(const batch *b, const batch_line *line) {
  return (line->number - 1) % (size_t)b->shards == (size_t)b->shard;
}

/* Gives back places whose requests are over. */
static void clear_places(batch *b) {
  for (int32_t i = 0; i < b->n_places; i++) {
    running *r = &b->places[i];
    if (!r->batch || !r->over) continue;
    http_local_close(&r->exchange);
    r->batch = NULL;
    b->n_running--;
  }
}

static running *free_place(batch *b) {
  for (int32_t i = 0; i < b->n_places; i++)
    if (!b->places[i].batch) return &b->places[i];
  return NULL;
}

static bool has_ended(const batch *b) {
  return b->code || signals_caught();
}

/* Begins as many as there are places for. */
static void fill(batch *b) {
  running *free_one;
  while (!has_ended(b) && b->next < b->lines.length) {
    batch_line *line = &b->lines.items[b->next];
    if (is_mine(b, line) && !line->answered) {
      clear_places(b);
      free_one = free_place(b);
      if (!free_one) return;
      if (!*line->why)
        begin(b, free_one, line);
      else
        write_bad(b, line);
    }
    b->next++;
  }
  clear_places(b);
}

static void on_woken(void *user) {
  batch *b = user;
  answering_woken(&b->s);
  fill(b);
  if (has_ended(b) || (b->n_running == 0 && b->next == b->lines.length)) http_stop(b->s.http);
}

static void on_signal(void *user, int number) {
  batch *b = user;
  signals_note(number);
  http_stop(b->s.http);
}

static void on_second(void *user) {
  (void)user;
}

/* ---- Beginning and end ---- */

/* "i/n" of --shard. */
static int read_shard(const options *o, batch *b) {
  b->shards = 1;
  if (!o->shard) return 0;
  int used = 0, i = 0, n = 0;
  bool good = sscanf(o->shard, "%9d/%9d%n", &i, &n, &used) == 2 && !o->shard[used] && i >= 0 && i < n;
  if (!good) return usage_error(o, "--shard: '%s' is not I/N with I from 0 to N - 1", o->shard);
  b->shard = i;
  b->shards = n;
  return 0;
}

static void count_due(batch *b) {
  for (size_t i = 0; i < b->lines.length; i++)
    if (is_mine(b, &b->lines.items[i]) && !b->lines.items[i].answered) b->n_due++;
}

static int answer_all(batch *b) {
  const http_handlers handlers = {.user = b, .woken = on_woken, .signalled = on_signal, .second = on_second};
  char why[128];
  b->n_places = AHEAD * b->s.options->parallel;
  b->places = calloc((size_t)b->n_places, sizeof *b->places);
  b->s.http = b->places ? http_listen(NULL, 0, &HTTP_LIMITS, &handlers, why, sizeof why) : NULL;
  if (!b->s.http) return b->places ? fail("%s", why) : fail_memory();
  loaded_serve(&b->loaded, &b->s);
  progress_start(&b->progress, b->s.options);
  http_wake(b->s.http);
  http_run(b->s.http);
  progress_end(&b->progress);
  if (b->code) return b->code;
  return signals_caught() ? signals_exit_status() : 0;
}

static void close_all(batch *b) {
  loaded_close(&b->loaded); /* drops what is with the engine, and its hold on exchanges */
  for (int32_t i = 0; b->places && i < b->n_places; i++) http_local_close(&b->places[i].exchange);
  http_close(&b->s.http);
  names_free(&b->s);
  batch_lines_free(&b->lines);
  free(b->places);
  if (b->out >= 0) close(b->out);
}

int batch_run(const options *given) {
  /* All that is asked for waits its turn. */
  options all = *given;
  const options *o = &all;
  all.queue = INT32_MAX;
  all.queue_tokens = INT64_MAX / 2;
  batch b = {.s = {.options = o, .limits = {o->max_depth, o->max_n, o->max_stop, o->max_tools}}, .out = -1};
  int code = read_shard(o, &b);
  if (!code) code = batch_lines_read(o->arguments[1], &b.lines);
  if (!code) code = batch_out_open(o->arguments[2], &b.lines, &b.out, &b.failures);
  if (!code) count_due(&b);
  if (!code && b.n_due) {
    code = loaded_open(o, &b.loaded);
    if (!code) code = names_make(&b.s, b.loaded.model);
    if (!code) code = answer_all(&b);
  }
  if (!code && b.failures) {
    note(o, "gale: %s: %zu of the answers are errors", o->arguments[2], b.failures);
    code = EXIT_INPUT;
  }
  close_all(&b);
  return code;
}
