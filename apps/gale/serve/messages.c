/* POST /v1/messages and /v1/messages/count_tokens, of Anthropic's clients. */
#include "gale/serve/anthropic.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- The view ---- */

typedef enum block_kind { BLOCK_NONE, BLOCK_TEXT, BLOCK_THINKING, BLOCK_CALL } block_kind;

/* The block that a stream is in. */
typedef struct block_state {
  block_kind kind;
  int index;
} block_state;

static void write_usage(reply *r) {
  usage u = reply_usage(r);
  out_format(r,
             "\"usage\":{\"input_tokens\":%" PRId64 ",\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":"
             "%" PRId64 ",\"output_tokens\":%" PRId64 "}",
             u.prompt - u.cached, u.cached, u.completion);
}

static const char *reason(const choice *c) {
  switch (c->ended) {
  case ENDING_NONE:
    return "null";
  case ENDING_LENGTH:
    return "\"max_tokens\"";
  case ENDING_CONTEXT:
    return "\"model_context_window_exceeded\"";
  case ENDING_CALLS:
    return "\"tool_use\"";
  case ENDING_STOP_TEXT:
    return "\"stop_sequence\"";
  default:
    return "\"end_turn\"";
  }
}

static void write_stop(reply *r, const choice *c) {
  const question *q = r->question;
  out_format(r, "\"stop_reason\":%s,\"stop_sequence\":", reason(c));
  if (c->ended == ENDING_STOP_TEXT && c->stop >= 0 && (size_t)c->stop < q->n_stop)
    out_string(r, slice_of(q->stop[c->stop]));
  else
    out_text(r, "null");
}

static void message_head(reply *r) {
  out_format(r, "{\"id\":\"msg_%s\",\"type\":\"message\",\"role\":\"assistant\",\"model\":", r->id);
  out_string(r, slice_of(r->question->model));
  out_text(r, ",\"content\":[");
}

/* ---- Streams ---- */

static void messages_choice_begin(reply *r, choice *c) {
  c->extra = fields_new(&r->question->fields, 1, sizeof(block_state));
  if (!c->extra) r->failed = true;
  event_begin(r, "message_start");
  out_text(r, "{\"type\":\"message_start\",\"message\":");
  message_head(r);
  out_text(r, "],\"stop_reason\":null,\"stop_sequence\":null,");
  write_usage(r);
  out_text(r, "}}");
  event_end(r);
}

static void delta_begin(reply *r, const block_state *b, const char *type) {
  event_begin(r, "content_block_delta");
  out_format(r, "{\"type\":\"content_block_delta\",\"index\":%d,\"delta\":{\"type\":\"%s\",", b->index, type);
}

static void delta_end(reply *r) {
  out_text(r, "}}");
  event_end(r);
}

static void close_block(reply *r, block_state *b) {
  if (b->kind == BLOCK_NONE) return;
  if (b->kind == BLOCK_THINKING) {
    delta_begin(r, b, "signature_delta");
    out_text(r, "\"signature\":\"\"");
    delta_end(r);
  }
  event_begin(r, "content_block_stop");
  out_format(r, "{\"type\":\"content_block_stop\",\"index\":%d}", b->index);
  event_end(r);
  b->kind = BLOCK_NONE;
  b->index++;
}

static void start_block(reply *r, block_state *b, block_kind kind, const gale_piece *p) {
  close_block(r, b);
  b->kind = kind;
  event_begin(r, "content_block_start");
  out_format(r, "{\"type\":\"content_block_start\",\"index\":%d,\"content_block\":{", b->index);
  if (kind == BLOCK_TEXT) out_text(r, "\"type\":\"text\",\"text\":\"\"");
  if (kind == BLOCK_THINKING) out_text(r, "\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"");
  if (kind == BLOCK_CALL) {
    out_format(r, "\"type\":\"tool_use\",\"id\":\"toolu_%s\",\"name\":", p->id);
    out_string(r, (slice){p->text, p->length});
    out_text(r, ",\"input\":{}");
  }
  out_text(r, "}}");
  event_end(r);
}

static void messages_piece(reply *r, choice *c, const gale_piece *p) {
  static const struct {
    block_kind kind;
    const char *delta, *key;
  } FORMS[] = {
      [GALE_PIECE_CONTENT] = {BLOCK_TEXT, "text_delta", "text"},
      [GALE_PIECE_THINKING] = {BLOCK_THINKING, "thinking_delta", "thinking"},
      [GALE_PIECE_CALL] = {BLOCK_CALL, NULL, NULL},
      [GALE_PIECE_ARGUMENTS] = {BLOCK_CALL, "input_json_delta", "partial_json"},
  };
  block_state *b = c->extra;
  if (!b) return;
  bool starts = p->kind == GALE_PIECE_CALL || (p->kind != GALE_PIECE_ARGUMENTS && b->kind != FORMS[p->kind].kind);
  if (starts) start_block(r, b, FORMS[p->kind].kind, p);
  if (!FORMS[p->kind].delta) return;
  delta_begin(r, b, FORMS[p->kind].delta);
  out_format(r, "\"%s\":", FORMS[p->kind].key);
  out_string(r, (slice){p->text, p->length});
  delta_end(r);
}

static void messages_choice_end(reply *r, choice *c) {
  if (c->extra) close_block(r, c->extra);
  event_begin(r, "message_delta");
  out_text(r, "{\"type\":\"message_delta\",\"delta\":{");
  write_stop(r, c);
  out_text(r, "},");
  write_usage(r);
  out_text(r, "}");
  event_end(r);
}

static void messages_end(reply *r) {
  event_begin(r, "message_stop");
  out_text(r, "{\"type\":\"message_stop\"}");
  event_end(r);
}

static void messages_failed(reply *r, failure why, const char *message) {
  char *body = failure_body(API_ANTHROPIC, why, NULL, message, http_request_id(r->question->exchange));
  event_begin(r, "error");
  out_text(r, body ? body
                   : "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"out of memory\"}}");
  event_end(r);
  free(body);
}

static void messages_quiet(reply *r) {
  event_begin(r, "ping");
  out_text(r, "{\"type\":\"ping\"}");
  event_end(r);
}

/* ---- Whole answers ---- */

static void write_blocks(reply *r, const choice *c) {
  const char *between = "";
  if (c->thinking.n && !r->question->no_thinking) {
    out_text(r, "{\"type\":\"thinking\",\"thinking\":");
    out_string(r, (slice){c->thinking.bytes, c->thinking.n});
    out_text(r, ",\"signature\":\"\"}");
    between = ",";
  }
  if (c->content.n) {
    out_format(r, "%s{\"type\":\"text\",\"text\":", between);
    out_string(r, (slice){c->content.bytes, c->content.n});
    out_text(r, "}");
    between = ",";
  }
  for (size_t i = 0; i < c->n_calls; i++, between = ",") {
    const told_call *call = &c->calls[i];
    out_format(r, "%s{\"type\":\"tool_use\",\"id\":\"toolu_%.*s\",\"name\":", between, (int)call->id.n, call->id.bytes);
    out_string(r, (slice){call->name.bytes, call->name.n});
    out_text(r, ",\"input\":");
    out_arguments(r, call);
    out_text(r, "}");
  }
}

static void messages_whole(reply *r) {
  const choice *c = &r->choices[0];
  message_head(r);
  write_blocks(r, c);
  out_text(r, "],");
  write_stop(r, c);
  out_text(r, ",");
  write_usage(r);
  out_text(r, "}");
}

static const view MESSAGES_VIEW = {
    .stream_type = "text/event-stream",
    .choice_begin = messages_choice_begin,
    .piece = messages_piece,
    .choice_end = messages_choice_end,
    .end = messages_end,
    .failed = messages_failed,
    .quiet = messages_quiet,
    .whole = messages_whole,
};

/* ---- The endpoints ---- */

static const field_names NAMES = {
    .max_tokens = {"max_tokens"}, .max_least = 1, .max_needed = true, .stop = "stop_sequences", .seed = {"seed"}};
static const sampling_defaults DEFAULTS = {.temperature = 1, .top_p = 1, .top_k = 0};

/* Thinking is told where it is asked for. A model that can choose thinks then, and does not where it is disabled. */
static void read_thinking(question *q, place body, conversation *c) {
  static const char *const TYPES[] = {"enabled", "adaptive", "disabled", NULL};
  static const slice EFFORTS[] = {SLICE("high"), {0}, SLICE("none")};
  place thinking = field_object(body, "thinking");
  int type = field_choice(thinking, "type", TYPES);
  if (thinking.v && type < 0) field_refuse(thinking, "type", FAILURE_FIELD, "a string is needed");
  q->no_thinking = type != 0 && type != 1;
  if (type >= 0) c->effort = EFFORTS[type];
}

static void read_format(question *q, place body, conversation *c) {
  static const char *const TYPES[] = {"json_schema", NULL};
  place format = field_object(field_object(body, "output_config"), "format");
  if (!format.v) return;
  if (field_choice(format, "type", TYPES) < 0) field_refuse(format, "type", FAILURE_FIELD, "\"json_schema\" is needed");
  c->content = format_schema(q, format, "schema", false);
  c->content_at = format;
  c->content_key = "schema";
}

static void read_conversation(question *q, place body) {
  conversation c = {0};
  anthropic_conversation(q, body, &c);
  read_thinking(q, body, &c);
  read_format(q, body, &c);
  question_chat(q, &c);
  fields_rename(&q->fields, "].function.parameters", "].input_schema");
  fields_rename(&q->fields, "].function.", "].");
}

void messages_run(serving *s, http_exchange *x) {
  question *q = question_open(s, x, API_ANTHROPIC);
  if (!q) return;
  place body = question_body(q);
  question_model(q, body);
  question_sampling(q, body, &NAMES, &DEFAULTS);
  q->n = 1;
  q->stream = field_flag(body, "stream", false);
  q->cache_salt = field_string(body, "cache_salt");
  read_conversation(q, body);
  answer_start(q, &MESSAGES_VIEW);
}

void count_tokens_run(serving *s, http_exchange *x) {
  question *q = question_open(s, x, API_ANTHROPIC);
  if (!q) return;
  place body = question_body(q);
  question_model(q, body);
  read_conversation(q, body);
  if (q->fields.refused) {
    question_fail(q);
  } else {
    char text[48];
    int n = snprintf(text, sizeof text, "{\"input_tokens\":%zu}", q->prompts[0].n);
    http_respond(x, 200, "application/json", text, (size_t)n);
  }
  question_close(&q);
}
