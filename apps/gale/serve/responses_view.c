/* Answers and streams of /v1/responses. An answer is a list of items: reasoning, messages, calls. */
#include "gale/serve/openai.h"
#include "gale/serve/responses.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

typedef enum item_kind { ITEM_REASONING, ITEM_MESSAGE, ITEM_CALL } item_kind;

/* An item is a part of what the choice has: bytes [from, to) of its thinking or content, or one of its calls. */
typedef struct item {
  item_kind kind;
  size_t from, to;
  size_t first_token, end_token; /* of a message */
  size_t call;
} item;

/* What a stream keeps. */
typedef struct stream_state {
  item *items; /* [n] in the fields' memory */
  size_t n, room;
  bool open;        /* the last one goes on */
  int64_t sequence; /* number of the next event */
} stream_state;

static const struct {
  const char *prefix;        /* of ids */
  const char *part, *deltas; /* the type of its part, and that of events about its text */
} KINDS[] = {
    [ITEM_REASONING] = {"rs", "reasoning_text", "response.reasoning_text"},
    [ITEM_MESSAGE] = {"msg", "output_text", "response.output_text"},
    [ITEM_CALL] = {"fc", NULL, "response.function_call_arguments"},
};

/* ---- Items ---- */

static void write_id(reply *r, const item *i, size_t index) {
  out_format(r, "\"%s_%s%zu\"", KINDS[i->kind].prefix, r->id, index);
}

static slice text_of(const choice *c, const item *i) {
  const byte_list *from = i->kind == ITEM_REASONING ? &c->thinking : &c->content;
  if (i->kind == ITEM_CALL) from = &c->calls[i->call].arguments;
  return from->bytes ? (slice){from->bytes + i->from, i->to - i->from} : SLICE("");
}

static void write_logprobs(reply *r, const choice *c, size_t from, size_t to) {
  choice part = *c;
  part.n_tokens = to;
  if (r->question->logprobs && from < to)
    out_logprobs(r, &part, from);
  else
    out_text(r, "[]");
}

/* The part that a message or reasoning has; begun: only what is known when it begins. */
static void write_part(reply *r, const choice *c, const item *i, bool begun) {
  out_format(r, "{\"type\":\"%s\",\"text\":", KINDS[i->kind].part);
  out_string(r, begun ? SLICE("") : text_of(c, i));
  if (i->kind == ITEM_MESSAGE) {
    out_text(r, ",\"annotations\":[],\"logprobs\":");
    write_logprobs(r, c, i->first_token, begun ? i->first_token : i->end_token);
  }
  out_text(r, "}");
}

/* cut: it was the last when max_tokens ended the answer. */
static void write_item(reply *r, const choice *c, const item *i, size_t index, bool begun, bool cut) {
  static const char *const TYPES[] = {"reasoning", "message", "function_call"};
  out_text(r, "{\"id\":");
  write_id(r, i, index);
  out_format(r, ",\"type\":\"%s\",\"status\":\"%s\",", TYPES[i->kind],
             begun ? "in_progress"
             : cut ? "incomplete"
                   : "completed");
  if (i->kind == ITEM_CALL) {
    const told_call *call = &c->calls[i->call];
    out_text(r, "\"call_id\":");
    out_string(r, (slice){call->id.bytes, call->id.n});
    out_text(r, ",\"name\":");
    out_string(r, (slice){call->name.bytes, call->name.n});
    out_text(r, ",\"arguments\":");
    out_string(r, begun ? SLICE("") : text_of(c, i));
  } else {
    out_text(r, i->kind == ITEM_MESSAGE ? "\"role\":\"assistant\",\"content\":[" : "\"summary\":[],\"content\":[");
    if (!begun) write_part(r, c, i, false);
    out_text(r, "]");
  }
  out_text(r, "}");
}

static item *add_item(reply *r, stream_state *s, item next) {
  if (s->n == s->room) {
    size_t room = s->room ? 2 * s->room : 4;
    item *more = fields_new(&r->question->fields, room, sizeof *more);
    if (!more) {
      r->failed = true;
      return NULL;
    }
    for (size_t i = 0; i < s->n; i++) more[i] = s->items[i];
    s->items = more;
    s->room = room;
  }
  s->items[s->n] = next;
  return &s->items[s->n++];
}

/* Tokens from this one on, without the mark that ends thinking. */
static size_t skip_mark(const reply *r, const choice *c, size_t from) {
  const char *stored;
  size_t n;
  bool control = false;
  if (c->thinking.n && from < c->n_tokens &&
      gale_tokenizer_token(r->question->serving->tokenizer, c->tokens[from].token, &stored, &n, &control) && control)
    from++;
  return from;
}

/* The items of an answer that was not streamed. One that has nothing is an empty message. */
static void list_items(reply *r, const choice *c, stream_state *s) {
  if (c->thinking.n) add_item(r, s, (item){.kind = ITEM_REASONING, .to = c->thinking.n});
  if (c->content.n || (!c->thinking.n && !c->n_calls))
    add_item(r, s,
             (item){.kind = ITEM_MESSAGE,
                    .to = c->content.n,
                    .first_token = skip_mark(r, c, c->thinking_end),
                    .end_token = c->n_calls ? c->content_end : c->n_tokens});
  for (size_t i = 0; i < c->n_calls; i++)
    add_item(r, s, (item){.kind = ITEM_CALL, .to = c->calls[i].arguments.n, .call = i});
}

/* ---- The response ---- */

static void write_setting(reply *r, const char *key, const char *missing) {
  const value *v = value_given(r->question->root, key);
  out_format(r, ",\"%s\":", key);
  if (v)
    bytes_add_value(&r->out, v);
  else
    out_text(r, missing);
}

/* A real number in the fewest digits. */
static void write_number(reply *r, const char *key, double x) {
  out_format(r, ",\"%s\":", key);
  out_number(r, x);
}

static void write_settings(reply *r) {
  static const struct {
    const char *key, *missing;
  } REST[] = {{"instructions", "null"},
              {"max_output_tokens", "null"},
              {"max_tool_calls", "null"},
              {"tools", "[]"},
              {"tool_choice", "\"auto\""},
              {"parallel_tool_calls", "true"},
              {"reasoning", "{\"effort\":null,\"summary\":null}"},
              {"text", "{\"format\":{\"type\":\"text\"}}"},
              {"include", "[]"},
              {"top_logprobs", "0"},
              {"stop", "null"},
              {"logit_bias", "null"},
              {"truncation", "\"disabled\""},
              {"metadata", "{}"},
              {"store", "false"},
              {"user", "null"},
              {"service_tier", "\"default\""},
              {"safety_identifier", "null"},
              {"prompt_cache_key", "null"}};
  const question *q = r->question;
  write_number(r, "temperature", q->sampling.temperature);
  write_number(r, "top_p", q->sampling.top_p);
  if (q->seed_negative)
    out_format(r, ",\"seed\":%" PRId64, (int64_t)q->sampling.seed);
  else
    out_format(r, ",\"seed\":%" PRIu64, q->sampling.seed);
  for (size_t i = 0; i < sizeof REST / sizeof *REST; i++) write_setting(r, REST[i].key, REST[i].missing);
  out_text(r, ",\"previous_response_id\":null,\"conversation\":null,\"background\":false");
}

static void write_usage(reply *r) {
  usage u = reply_usage(r);
  out_format(r,
             ",\"usage\":{\"input_tokens\":%" PRId64 ",\"input_tokens_details\":{\"cached_tokens\":%" PRId64
             ",\"cache_write_tokens\":0},\"output_tokens\":%" PRId64
             ",\"output_tokens_details\":{\"reasoning_tokens\":%" PRId64 "},\"total_tokens\":%" PRId64 "}",
             u.prompt, u.cached, u.completion, u.thinking, u.prompt + u.completion);
}

static bool is_cut(const choice *c) {
  return c->ended == ENDING_LENGTH || c->ended == ENDING_CONTEXT;
}

/* Of a failed one `why` and message say what failed; message NULL: it has not. */
static void write_response(reply *r, const stream_state *s, failure why, const char *message) {
  const choice *c = &r->choices[0];
  bool over = c->ended != ENDING_NONE && !message, cut = over && is_cut(c);
  const char *status = message ? "failed" : !over ? "in_progress" : cut ? "incomplete" : "completed";
  out_format(r, "{\"id\":\"resp_%s\",\"object\":\"response\",\"created_at\":%" PRId64 ",\"status\":\"%s\",\"error\":",
             r->id, r->created, status);
  if (message) {
    const failure_words *words = failure_get(why);
    out_format(r, "{\"code\":\"%s\",\"message\":", words->code ? words->code : words->type);
    out_string(r, slice_of(message));
    out_text(r, "}");
  } else {
    out_text(r, "null");
  }
  out_format(r, ",\"incomplete_details\":%s,\"model\":", cut ? "{\"reason\":\"max_output_tokens\"}" : "null");
  out_string(r, slice_of(r->question->model));
  out_text(r, ",\"output\":[");
  size_t shown = over ? s->n : message && s ? s->n - s->open : 0;
  for (size_t i = 0; i < shown; i++) {
    if (i) out_text(r, ",");
    write_item(r, c, &s->items[i], i, false, cut && i + 1 == s->n);
  }
  out_text(r, "]");
  write_settings(r);
  if (over)
    write_usage(r);
  else
    out_text(r, ",\"usage\":null");
  out_text(r, "}");
}

static void responses_whole(reply *r) {
  stream_state s = {0};
  list_items(r, &r->choices[0], &s);
  if (r->failed)
    r->out.failed = true;
  else
    write_response(r, &s, 0, NULL);
}

/* ---- Streams ---- */

static stream_state *state_of(reply *r) {
  return r->extra;
}

static void begin_event(reply *r, const char *type) {
  event_begin(r, type);
  out_format(r, "{\"type\":\"%s\",\"sequence_number\":%" PRId64 ",", type, state_of(r)->sequence++);
}

static void end_event(reply *r) {
  out_text(r, "}");
  event_end(r);
}

static void response_event(reply *r, const char *type, failure why, const char *message) {
  begin_event(r, type);
  out_text(r, "\"response\":");
  write_response(r, state_of(r), why, message);
  end_event(r);
}

/* An event about the last item, which its members follow. */
static void item_event(reply *r, const char *type, const char *suffix, bool in_part) {
  const stream_state *s = state_of(r);
  char whole[64];
  snprintf(whole, sizeof whole, "%s.%s", type, suffix);
  begin_event(r, whole);
  out_text(r, "\"item_id\":");
  write_id(r, &s->items[s->n - 1], s->n - 1);
  out_format(r, ",\"output_index\":%zu,%s", s->n - 1, in_part ? "\"content_index\":0," : "");
}

static void part_event(reply *r, const choice *c, const char *suffix, bool begun) {
  const stream_state *s = state_of(r);
  item_event(r, "response.content_part", suffix, true);
  out_text(r, "\"part\":");
  write_part(r, c, &s->items[s->n - 1], begun);
  end_event(r);
}

static void whole_item_event(reply *r, const choice *c, const char *type, bool begun, bool cut) {
  const stream_state *s = state_of(r);
  begin_event(r, type);
  out_format(r, "\"output_index\":%zu,\"item\":", s->n - 1);
  write_item(r, c, &s->items[s->n - 1], s->n - 1, begun, cut);
  end_event(r);
}

static void open_item(reply *r, choice *c, item next) {
  stream_state *s = state_of(r);
  if (!add_item(r, s, next)) return;
  s->open = true;
  whole_item_event(r, c, "response.output_item.added", true, false);
  if (next.kind != ITEM_CALL) part_event(r, c, "added", true);
}

static void close_item(reply *r, choice *c, bool cut) {
  stream_state *s = state_of(r);
  if (!s->open) return;
  item *last = &s->items[s->n - 1];
  last->end_token = c->n_shown;
  item_event(r, KINDS[last->kind].deltas, "done", last->kind != ITEM_CALL);
  if (last->kind == ITEM_CALL) {
    const told_call *call = &c->calls[last->call];
    out_text(r, "\"name\":");
    out_string(r, (slice){call->name.bytes, call->name.n});
    out_text(r, ",");
  }
  out_text(r, last->kind == ITEM_CALL ? "\"arguments\":" : "\"text\":");
  out_string(r, text_of(c, last));
  if (last->kind == ITEM_MESSAGE) {
    out_text(r, ",\"logprobs\":");
    write_logprobs(r, c, last->first_token, last->end_token);
  }
  end_event(r);
  if (last->kind != ITEM_CALL) part_event(r, c, "done", false);
  whole_item_event(r, c, "response.output_item.done", false, cut);
  s->open = false;
}

/* Text of the last item. Tokens whose text it is are told with it. */
static void write_delta(reply *r, choice *c, slice text) {
  const stream_state *s = state_of(r);
  item *last = &s->items[s->n - 1];
  last->to += text.n;
  item_event(r, KINDS[last->kind].deltas, "delta", last->kind != ITEM_CALL);
  out_text(r, "\"delta\":");
  out_string(r, text);
  if (last->kind == ITEM_MESSAGE) {
    out_text(r, ",\"logprobs\":");
    write_logprobs(r, c, c->n_shown, c->n_tokens);
  }
  c->n_shown = c->n_tokens;
  end_event(r);
}

static void responses_begin(reply *r) {
  stream_state *s = fields_new(&r->question->fields, 1, sizeof *s);
  r->extra = s;
  if (!s) {
    r->failed = true;
    return;
  }
  response_event(r, "response.created", 0, NULL);
  response_event(r, "response.in_progress", 0, NULL);
}

static void responses_piece(reply *r, choice *c, const gale_piece *p) {
  static const item_kind OF[] = {
      [GALE_PIECE_CONTENT] = ITEM_MESSAGE,
      [GALE_PIECE_THINKING] = ITEM_REASONING,
      [GALE_PIECE_CALL] = ITEM_CALL,
      [GALE_PIECE_ARGUMENTS] = ITEM_CALL,
  };
  stream_state *s = state_of(r);
  item_kind kind = OF[p->kind];
  bool same = s->open && s->items[s->n - 1].kind == kind && p->kind != GALE_PIECE_CALL;
  if (!same) {
    close_item(r, c, false);
    item next = {.kind = kind, .call = p->call};
    if (kind == ITEM_MESSAGE) {
      next.from = next.to = c->content.n - p->length;
      next.first_token = c->n_shown = skip_mark(r, c, c->n_shown);
    }
    if (kind == ITEM_REASONING) next.from = next.to = c->thinking.n - p->length;
    open_item(r, c, next);
  }
  if (p->kind != GALE_PIECE_CALL && !r->failed) write_delta(r, c, (slice){p->text, p->length});
}

static void responses_choice_end(reply *r, choice *c) {
  stream_state *s = state_of(r);
  if (s && s->n == 0) open_item(r, c, (item){.kind = ITEM_MESSAGE});
  if (!s || r->failed) return;
  /* Tokens whose text was cut off belong to the last message. */
  c->n_shown = c->n_tokens;
  close_item(r, c, is_cut(c));
}

static void responses_end(reply *r) {
  response_event(r, is_cut(&r->choices[0]) ? "response.incomplete" : "response.completed", 0, NULL);
}

static void responses_failed(reply *r, failure why, const char *message) {
  if (r->extra)
    response_event(r, "response.failed", why, message);
  else
    openai_failed(r, why, message);
}

const view RESPONSES_VIEW = {
    .stream_type = "text/event-stream",
    .begin = responses_begin,
    .piece = responses_piece,
    .choice_end = responses_choice_end,
    .end = responses_end,
    .failed = responses_failed,
    .quiet = openai_quiet,
    .whole = responses_whole,
};
