/* POST /api/chat and /api/generate. */
#include "gale/serve/ollama.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BILLION = 1000000000 };

int64_t ollama_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (int64_t)t.tv_sec * BILLION + t.tv_nsec;
}

time_text ollama_time(int64_t nanoseconds) {
  time_text t;
  time_t seconds = (time_t)(nanoseconds / BILLION);
  struct tm utc = {0};
  gmtime_r(&seconds, &utc);
  size_t n = strftime(t.text, sizeof t.text, "%Y-%m-%dT%H:%M:%S", &utc);
  snprintf(t.text + n, sizeof t.text - n, ".%09dZ", (int)(nanoseconds % BILLION));
  return t;
}

/* ---- The view ---- */

/* What the endpoint keeps: which of the two it is, and when it was asked. */
typedef struct ollama_reply {
  bool generate;
  int64_t begun; /* nanoseconds since 1970 */
} ollama_reply;

static ollama_reply *own(const reply *r) {
  return r->question->extra;
}

static void line_begin(reply *r) {
  out_text(r, "{\"model\":");
  out_string(r, slice_of(r->question->model));
  out_format(r, ",\"created_at\":\"%s\",", ollama_time(ollama_now()).text);
}

/* Content and thinking, and what follows them in a message or beside it. */
static void write_texts(reply *r, slice content, slice thinking) {
  bool generate = own(r)->generate;
  out_text(r, generate ? "\"response\":" : "\"message\":{\"role\":\"assistant\",\"content\":");
  out_string(r, content);
  if (thinking.n) {
    out_text(r, ",\"thinking\":");
    out_string(r, thinking);
  }
}

static void write_calls(reply *r, const choice *c) {
  out_text(r, ",\"tool_calls\":[");
  for (size_t i = 0; i < c->n_calls; i++) {
    const told_call *call = &c->calls[i];
    out_format(r, "%s{\"id\":\"%.*s\",\"function\":{\"index\":%zu,\"name\":", i ? "," : "", (int)call->id.n,
               call->id.bytes, i);
    out_string(r, (slice){call->name.bytes, call->name.n});
    out_text(r, ",\"arguments\":");
    out_arguments(r, call);
    out_text(r, "}}");
  }
  out_text(r, "]");
}

static void close_texts(reply *r) {
  out_text(r, own(r)->generate ? "" : "}");
}

static void write_logprobs(reply *r, choice *c) {
  if (!r->question->logprobs || c->n_shown >= c->n_tokens) return;
  out_text(r, ",\"logprobs\":");
  out_logprobs(r, c, c->n_shown);
  c->n_shown = c->n_tokens;
}

static void write_end(reply *r, const choice *c) {
  const ollama_reply *o = own(r);
  int64_t now = ollama_now(), first = c->begun_at;
  usage u = reply_usage(r);
  bool cut = c->ended == ENDING_LENGTH || c->ended == ENDING_CONTEXT;
  out_format(r,
             ",\"done\":true,\"done_reason\":\"%s\",\"total_duration\":%" PRId64 ",\"load_duration\":0,"
             "\"prompt_eval_count\":%" PRId64 ",\"prompt_eval_duration\":%" PRId64 ",\"eval_count\":%" PRId64
             ",\"eval_duration\":%" PRId64 "}",
             cut ? "length" : "stop", now - o->begun, u.prompt, first - o->begun, u.completion, now - first);
}

static void ollama_piece(reply *r, choice *c, const gale_piece *p) {
  slice text = {p->text, p->length}, none = SLICE("");
  /* Calls are told in one piece, at the end. */
  if (p->kind != GALE_PIECE_CONTENT && p->kind != GALE_PIECE_THINKING) return;
  line_begin(r);
  write_texts(r, p->kind == GALE_PIECE_CONTENT ? text : none, p->kind == GALE_PIECE_THINKING ? text : none);
  close_texts(r);
  write_logprobs(r, c);
  out_text(r, ",\"done\":false}\n");
}

static void ollama_choice_end(reply *r, choice *c) {
  if (c->n_calls) {
    line_begin(r);
    write_texts(r, SLICE(""), SLICE(""));
    write_calls(r, c);
    close_texts(r);
    write_logprobs(r, c);
    out_text(r, ",\"done\":false}\n");
  }
  line_begin(r);
  write_texts(r, SLICE(""), SLICE(""));
  close_texts(r);
  write_logprobs(r, c);
  write_end(r, c);
  out_text(r, "\n");
}

static void ollama_failed(reply *r, failure why, const char *message) {
  char *body = failure_body(API_OLLAMA, why, NULL, message, http_request_id(r->question->exchange));
  out_text(r, body ? body : "{\"error\":\"out of memory\"}");
  out_text(r, "\n");
  free(body);
}

static void ollama_whole(reply *r) {
  choice *c = &r->choices[0];
  line_begin(r);
  write_texts(r, (slice){c->content.bytes ? c->content.bytes : "", c->content.n},
              r->question->no_thinking ? SLICE("") : (slice){c->thinking.bytes, c->thinking.n});
  if (c->n_calls) write_calls(r, c);
  close_texts(r);
  write_logprobs(r, c);
  write_end(r, c);
}

static const view OLLAMA_VIEW = {
    .stream_type = "application/x-ndjson",
    .piece = ollama_piece,
    .choice_end = ollama_choice_end,
    .failed = ollama_failed,
    .whole = ollama_whole,
};

/* ---- What both endpoints read ---- */

/* num_predict -2 is another way to say: until the context is full. */
static void read_length(question *q, place settings) {
  int64_t n = field_integer(settings, "num_predict", -2, INT32_MAX, -1);
  q->max_tokens = n < 0 ? -1 : (int32_t)n;
  int64_t context = field_integer(settings, "num_ctx", INT64_MIN, INT64_MAX, 0);
  if (context > q->serving->context)
    field_refuse(settings, "num_ctx", FAILURE_LIMIT, "the server's context is %d", q->serving->context);
}

static void read_thinking(question *q, place body, conversation *c) {
  static const char *const EFFORTS[] = {"low", "medium", "high", NULL};
  const value *think = field_any(body, "think");
  if (!think) return;
  if (think->kind == VALUE_STRING) {
    field_choice(body, "think", EFFORTS);
    c->effort = think->text;
    return;
  }
  bool wanted = field_flag(body, "think", true);
  q->no_thinking = !wanted;
  c->effort = wanted ? SLICE("high") : SLICE("none");
}

static void read_format(question *q, place body, conversation *c) {
  const value *format = field_any(body, "format");
  c->content_at = body;
  c->content_key = "format";
  if (!format || value_says(format, "")) return;
  if (value_says(format, "json"))
    c->content = format_object(q);
  else if (format->kind == VALUE_OBJECT)
    c->content = format_schema(q, body, "format", false);
  else
    field_refuse(body, "format", FAILURE_FIELD, "\"json\" or a JSON schema is accepted");
}

static void read_common(question *q, place body, conversation *c, bool generate) {
  static const field_names NAMES = {.stop = "stop", .seed = {"seed", NULL}};
  static const sampling_defaults MISSING = {.temperature = 0.8, .top_k = 40, .top_p = 0.9};
  static const neutral_field NEUTRAL[] = {{"template", "\"\""}, {"context", "[]"}, {"images", "[]"}, {NULL, NULL}};
  place settings = field_object(body, "options");
  ollama_reply *o = fields_new(&q->fields, 1, sizeof *o);
  if (o) *o = (ollama_reply){.generate = generate, .begun = ollama_now()};
  q->extra = o;
  q->n = 1;
  question_model(q, body);
  fields_neutral(body, NEUTRAL);
  question_sampling(q, settings, &NAMES, &MISSING);
  read_length(q, settings);
  q->stream = field_flag(body, "stream", true);
  q->logprobs = field_flag(body, "logprobs", false);
  int64_t top = field_integer(body, "top_logprobs", 0, 20, 0);
  q->top_logprobs = q->logprobs ? (int32_t)top : 0;
  q->cache_salt = field_string(body, "cache_salt");
  read_thinking(q, body, c);
  read_format(q, body, c);
}

/* A request without a prompt is how a client has the model loaded. */
static void answer_loaded(question *q) {
  byte_list out = {0};
  const ollama_reply *o = q->extra;
  if (q->fields.refused) {
    question_fail(q);
  } else {
    bytes_add(&out, SLICE("{\"model\":"));
    bytes_add_string(&out, slice_of(q->model));
    bytes_add(&out, SLICE(",\"created_at\":\""));
    bytes_add(&out, slice_of(ollama_time(ollama_now()).text));
    bytes_add(&out, o->generate ? SLICE("\",\"response\":\"\"")
                                : SLICE("\",\"message\":{\"role\":\"assistant\",\"content\":\"\"}"));
    bytes_add(&out, SLICE(",\"done\":true,\"done_reason\":\"load\"}"));
    http_respond(q->exchange, 200, "application/json", out.bytes, out.n);
  }
  free(out.bytes);
  question_close(&q);
}

/* ---- The endpoints ---- */

void ollama_chat_run(serving *s, http_exchange *x) {
  question *q = question_open(s, x, API_OLLAMA);
  if (!q) return;
  place body = question_body(q), messages = field_list(body, "messages");
  conversation c = {0};
  read_common(q, body, &c, false);
  if (!messages.v || messages.v->count == 0) {
    answer_loaded(q);
    return;
  }
  ollama_conversation(q, body, &c);
  question_chat(q, &c);
  answer_start(q, &OLLAMA_VIEW);
}

/* system and prompt as a conversation. */
static void read_prompt(question *q, place body, slice prompt, conversation *c) {
  slice system = field_text(body, "system");
  byte_list text = {0};
  bytes_add(&text, SLICE("["));
  if (system.s && system.n) {
    bytes_add(&text, SLICE("{\"role\":\"system\",\"content\":"));
    bytes_add_string(&text, system);
    bytes_add(&text, SLICE("},"));
  }
  bytes_add(&text, SLICE("{\"role\":\"user\",\"content\":"));
  bytes_add_string(&text, prompt);
  bytes_add(&text, SLICE("}]"));
  const char *copy = text.failed ? NULL : arena_string(&q->fields.memory, text.bytes, text.n);
  value *root = NULL;
  value_report report;
  if (!copy || value_read(&q->fields.memory, (slice){copy, text.n}, VALUE_REQUEST, &root, &report))
    fields_memory(&q->fields);
  free(text.bytes);
  c->messages = (place){body.f, root, "prompt"};
  question_chat(q, c);
}

void ollama_generate_run(serving *s, http_exchange *x) {
  question *q = question_open(s, x, API_OLLAMA);
  if (!q) return;
  place body = question_body(q);
  conversation c = {0};
  read_common(q, body, &c, true);
  slice prompt = field_text(body, "prompt"), suffix = field_text(body, "suffix");
  bool raw = field_flag(body, "raw", false);
  if (!prompt.s || (prompt.n == 0 && !suffix.n)) {
    answer_loaded(q);
    return;
  }
  if (suffix.s && suffix.n)
    question_fim(q, prompt, suffix, body, "suffix");
  else if (raw)
    question_prompts(q, body, "prompt");
  else
    read_prompt(q, body, prompt, &c);
  if ((suffix.n || raw) && c.content) question_constrain(q, c.content, c.content_at, c.content_key);
  answer_start(q, &OLLAMA_VIEW);
}
