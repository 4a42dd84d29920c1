/* Bodies of requests to each endpoint that generates: read, checked, and made into ids, or refused with a message. An
 * engine of three events answers those that are taken, so that what views write is looked at too: it must be JSON,
 * whole or in the events of a stream. The first byte chooses the endpoint. */
#include "fuzz_bytes.h"

#include "gale/cli/console.h"
#include "gale/serve/anthropic.h"
#include "gale/serve/ollama.h"
#include "gale/serve/openai.h"
#include "gale/serve/responses.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- An exchange ---- */

struct http_exchange {
  const char *body;
  size_t n;
  void *user;
  int status;
  byte_list out;
  bool stream, over;
};

const char *http_body(const http_exchange *x, size_t *length) {
  *length = x->n;
  return x->body;
}
const char *http_path(const http_exchange *x) {
  (void)x;
  return "/v1/chat/completions";
}
double http_seconds(const http_exchange *x) {
  (void)x;
  return 1;
}
const char *http_request_id(const http_exchange *x) {
  (void)x;
  return "request";
}
void http_set_user(http_exchange *x, void *user) {
  x->user = user;
}
void *http_user(const http_exchange *x) {
  return x->user;
}
void http_add_header(http_exchange *x, const char *name, const char *text) {
  (void)x, (void)name, (void)text;
}
static void respond(http_exchange *x, int status, const char *bytes, size_t length) {
  if (x->over || x->stream) abort();
  x->status = status;
  x->over = true;
  bytes_add(&x->out, (slice){bytes, length});
}
void http_respond(http_exchange *x, int status, const char *type, const char *bytes, size_t length) {
  (void)type;
  respond(x, status, bytes, length);
}
void http_respond_static(http_exchange *x, int status, const char *type, const char *bytes, size_t length) {
  (void)type;
  respond(x, status, bytes, length);
}
void http_refuse(http_exchange *x, int status, const char *type, const char *bytes, size_t length) {
  (void)type;
  respond(x, status, bytes, length);
}
void http_stream(http_exchange *x, int status, const char *type) {
  (void)type;
  x->status = status;
  x->stream = true;
}
void http_write(http_exchange *x, const char *bytes, size_t length) {
  bytes_add(&x->out, (slice){bytes, length});
}
void http_end(http_exchange *x) {
  if (x->over) abort();
  x->over = true;
}
void http_wake(http_server *s) {
  (void)s;
}
double seconds_now(void) {
  return 0;
}
bool option_given(const options *o, option_id id) {
  (void)o, (void)id;
  return false;
}

/* ---- An engine: a token, its piece, and an end, of one choice after the other ---- */

struct gale_request {
  int32_t n, next, first;
  bool embed;
  gale_logprob entries[2];
  gale_error error;
};

void gale_request_defaults_sized(gale_request_options *o, size_t size) {
  (void)size;
  *o = (gale_request_options){.size = sizeof *o, .n = 1};
}
gale_status gale_engine_submit(gale_engine *engine, const gale_request_options *o, gale_request **request,
                               gale_error *error) {
  (void)engine;
  gale_generation *g = NULL;
  gale_generation_options generation = *o->generation;
  for (size_t i = 0; i < o->n_prompt; i++)
    if (o->prompt[i] < 0 || o->prompt[i] >= gale_tokenizer_size(fuzz_bytes())) abort();
  if (!o->embed) {
    gale_status status = gale_generation_open(NULL, fuzz_bytes(), &generation, &g, error);
    gale_generation_close(&g);
    if (status) return status;
  }
  gale_request *r = calloc(1, sizeof *r);
  if (!r) abort();
  *r = (gale_request){.n = o->n, .first = o->prompt[o->n_prompt - 1], .embed = o->embed};
  *request = r;
  return GALE_OK;
}
bool gale_request_next(gale_request *r, double seconds, gale_event *e) {
  static const gale_piece PIECES[] = {{.kind = GALE_PIECE_CONTENT, .text = "\xC3\xA9\"\n", .length = 4},
                                      {.kind = GALE_PIECE_THINKING, .text = "hm", .length = 2},
                                      {.kind = GALE_PIECE_CALL, .text = "f", .length = 1, .id = "abcdefghi"},
                                      {.kind = GALE_PIECE_ARGUMENTS, .text = "{}", .length = 2}};
  static const float EMBEDDING[] = {0.5f, -0.5f};
  enum { EVENTS = 6 };
  (void)seconds;
  int32_t at = r->next++;
  if (at >= EVENTS * r->n) return false;
  *e = (gale_event){.choice = at / EVENTS, .kind = GALE_EVENT_PIECE, .token = r->first, .error = &r->error};
  if (at % EVENTS == 0) {
    r->entries[0] = r->entries[1] = (gale_logprob){r->first, -0.25};
    e->kind = r->embed ? GALE_EVENT_EMBEDDING : GALE_EVENT_TOKEN;
    e->embedding = EMBEDDING;
    e->n_embedding = 2;
    e->logprobs = r->entries;
    e->n_logprobs = 2;
  } else if (at % EVENTS == EVENTS - 1) {
    e->kind = GALE_EVENT_END;
    e->finish = GALE_FINISH_END;
  } else {
    e->piece = PIECES[at % EVENTS - 1];
  }
  return true;
}
void gale_request_cancel(gale_request *r) {
  (void)r;
}
void gale_request_close(gale_request **r) {
  free(*r);
  *r = NULL;
}

/* ---- What is written ---- */

static void check_json(slice text) {
  arena memory = {0};
  value *root;
  value_report report;
  if (value_read(&memory, text, VALUE_REQUEST, &root, &report)) abort();
  arena_free(&memory);
}

/* Lines of JSON, as Ollama streams them. */
static void check_lines(slice text) {
  while (text.n > 0) {
    const char *end = memchr(text.s, '\n', text.n);
    if (!end) abort();
    check_json((slice){text.s, (size_t)(end - text.s)});
    text = (slice){end + 1, text.n - (size_t)(end + 1 - text.s)};
  }
}

/* Server-sent events: each is data, behind its type in some APIs. The last may be [DONE]. */
static void check_events(slice text) {
  while (text.n > 0) {
    const char *end = memmem(text.s, text.n, "\n\n", 2);
    if (!end) abort();
    slice event = {text.s, (size_t)(end - text.s)};
    text = (slice){end + 2, text.n - event.n - 2};
    const char *data = event.n > 7 && memcmp(event.s, "event: ", 7) == 0 ? memchr(event.s, '\n', event.n) : NULL;
    if (data) event = (slice){data + 1, event.n - (size_t)(data + 1 - event.s)};
    if (event.n < 6 || memcmp(event.s, "data: ", 6) != 0) abort();
    event = (slice){event.s + 6, event.n - 6};
    if (slice_is(event, "[DONE]") && text.n == 0) return;
    check_json(event);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static void (*const RUN[])(serving *, http_exchange *) = {chat_run,         completions_run, fim_run,
                                                            embeddings_run,   responses_run,   messages_run,
                                                            count_tokens_run, ollama_chat_run, ollama_generate_run,
                                                            ollama_embed_run, ollama_show_run};
  static const char *const NAMES[] = {"model"};
  static const options none = {.template = "mistral-v13"};
  if (size < 1) return 0;
  serving s = {.options = &none,
               .tokenizer = fuzz_bytes(),
               .names = NAMES,
               .n_names = 1,
               .context = 4096,
               .limits = {.depth = 64, .n = 16, .stop = 16, .tools = 128},
               .template_name = "mistral-v13"};
  s.info = (gale_model_info){
      .dim = 2, .vocab_size = gale_tokenizer_size(s.tokenizer), .format = "GGUF", .family = "llama", .types = "Q4_0"};
  s.info.n_drawable = s.info.vocab_size;
  static answering *kept; /* as long as the process; constraints stay in its cache */
  if (!kept && answering_open(s.tokenizer, &kept, &(gale_error){0})) abort();
  s.answering = kept;
  char *body = malloc(size);
  if (!body) abort();
  memcpy(body, data + 1, size - 1);
  body[size - 1] = 0;
  http_exchange x = {.body = body, .n = size - 1};
  RUN[data[0] % (sizeof RUN / sizeof *RUN)](&s, &x);
  answering_woken(&s);
  if (!x.over || x.user || x.out.failed) abort();
  if (x.stream && x.out.n && x.out.bytes[0] == '{')
    check_lines((slice){x.out.bytes, x.out.n});
  else if (x.stream)
    check_events((slice){x.out.bytes, x.out.n});
  else
    check_json((slice){x.out.bytes, x.out.n});
  free(x.out.bytes);
  free(body);
  return 0;
}
