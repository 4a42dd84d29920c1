/* POST /v1/chat/completions, of OpenAI's and of Mistral's clients. */
#include "gale/serve/openai.h"

#include <inttypes.h>
#include <stdlib.h>

/* How the endpoint wants its thinking told. */
typedef struct chat_form {
  bool thinking_parts; /* as parts of the content, as Mistral does */
} chat_form;

static bool thinks_in_parts(const reply *r) {
  const chat_form *form = r->question->extra;
  return form && form->thinking_parts;
}

/* ---- What is common to answers and chunks ---- */

static void head(reply *r, const char *object) {
  out_format(r, "{\"id\":\"chatcmpl-%s\",\"object\":\"%s\",\"created\":%" PRId64 ",\"model\":", r->id, object,
             r->created);
  out_string(r, slice_of(r->question->model));
  out_format(r, ",\"system_fingerprint\":\"gale-%s\",\"choices\":[", gale_version());
}

static const char *reason(const choice *c) {
  switch (c->ended) {
  case ENDING_LENGTH:
  case ENDING_CONTEXT:
    return "\"length\"";
  case ENDING_CALLS:
    return "\"tool_calls\"";
  case ENDING_NONE:
    return "null";
  default:
    return "\"stop\"";
  }
}

void openai_usage(reply *r) {
  usage u = reply_usage(r);
  out_format(r,
             "\"usage\":{\"prompt_tokens\":%" PRId64 ",\"completion_tokens\":%" PRId64 ",\"total_tokens\":%" PRId64
             ",\"prompt_tokens_details\":{\"cached_tokens\":%" PRId64
             "},\"completion_tokens_details\":{\"reasoning_tokens\":%" PRId64 "}}",
             u.prompt, u.completion, u.prompt + u.completion, u.cached, u.thinking);
}

static void thinking_part(reply *r, slice text) {
  out_text(r, "{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":");
  out_string(r, text);
  out_text(r, "}]}");
}

/* ---- Streams ---- */

static void chunk_begin(reply *r, const choice *c) {
  event_begin(r, NULL);
  head(r, "chat.completion.chunk");
  out_format(r, "{\"index\":%d,\"delta\":{", c->index);
}

static void chunk_end(reply *r, choice *c, bool with_tokens) {
  out_text(r, "},\"logprobs\":");
  if (with_tokens && r->question->logprobs && c->n_shown < c->n_tokens) {
    out_text(r, "{\"content\":");
    out_logprobs(r, c, c->n_shown);
    out_text(r, ",\"refusal\":null}");
    c->n_shown = c->n_tokens;
  } else {
    out_text(r, "null");
  }
  out_format(r, ",\"finish_reason\":%s}]", reason(c));
  bool last = c->ended && r->n_left == 0;
  if (r->question->usage_wanted) {
    out_text(r, ",\"usage\":null");
  } else if (last && !r->question->usage_refused) {
    out_text(r, ",");
    openai_usage(r);
  }
  out_text(r, "}");
  event_end(r);
}

static void chat_choice_begin(reply *r, choice *c) {
  chunk_begin(r, c);
  out_text(r, "\"role\":\"assistant\",\"content\":");
  out_string(r, (slice){c->content.bytes, c->content.n});
  chunk_end(r, c, false);
}

static void chat_piece(reply *r, choice *c, const gale_piece *p) {
  slice text = {p->text, p->length};
  chunk_begin(r, c);
  switch (p->kind) {
  case GALE_PIECE_CONTENT:
    out_text(r, "\"content\":");
    out_string(r, text);
    break;
  case GALE_PIECE_THINKING:
    if (thinks_in_parts(r)) {
      out_text(r, "\"content\":[");
      thinking_part(r, text);
      out_text(r, "]");
    } else {
      out_text(r, "\"reasoning_content\":");
      out_string(r, text);
    }
    break;
  case GALE_PIECE_CALL:
    out_format(r, "\"tool_calls\":[{\"index\":%zu,\"id\":", p->call);
    out_string(r, slice_of(p->id));
    out_text(r, ",\"type\":\"function\",\"function\":{\"name\":");
    out_string(r, text);
    out_text(r, ",\"arguments\":\"\"}}]");
    break;
  case GALE_PIECE_ARGUMENTS:
    out_format(r, "\"tool_calls\":[{\"index\":%zu,\"function\":{\"name\":\"\",\"arguments\":", p->call);
    out_string(r, text);
    out_text(r, "}}]");
    break;
  }
  chunk_end(r, c, true);
}

static void chat_choice_end(reply *r, choice *c) {
  chunk_begin(r, c);
  chunk_end(r, c, true);
}

void openai_end(reply *r) {
  event_begin(r, NULL);
  out_text(r, "[DONE]");
  event_end(r);
}

static void chat_end(reply *r) {
  if (r->question->usage_wanted) {
    event_begin(r, NULL);
    head(r, "chat.completion.chunk");
    out_text(r, "],");
    openai_usage(r);
    out_text(r, "}");
    event_end(r);
  }
  openai_end(r);
}

void openai_failed(reply *r, failure why, const char *message) {
  question *q = r->question;
  char *body = failure_body(API_OPENAI, why, NULL, message, http_request_id(q->exchange));
  event_begin(r, NULL);
  out_text(r, body ? body
                   : "{\"error\":{\"message\":\"out of memory\",\"type\":\"server_error\",\"param\":null,"
                     "\"code\":\"out_of_memory\"}}");
  event_end(r);
  free(body);
}

void openai_quiet(reply *r) {
  out_text(r, ": keep-alive\n\n");
}

/* ---- Whole answers ---- */

static void write_content(reply *r, const choice *c) {
  slice content = {c->content.bytes, c->content.n}, thinking = {c->thinking.bytes, c->thinking.n};
  if (thinking.n && thinks_in_parts(r)) {
    out_text(r, "[");
    thinking_part(r, thinking);
    if (content.n) {
      out_text(r, ",{\"type\":\"text\",\"text\":");
      out_string(r, content);
      out_text(r, "}");
    }
    out_text(r, "]");
  } else if (c->n_calls && content.n == 0) {
    out_text(r, "null");
  } else {
    out_string(r, content);
  }
}

static void write_calls(reply *r, const choice *c) {
  out_text(r, ",\"tool_calls\":[");
  for (size_t i = 0; i < c->n_calls; i++) {
    const told_call *call = &c->calls[i];
    out_text(r, i ? ",{\"id\":" : "{\"id\":");
    out_string(r, (slice){call->id.bytes, call->id.n});
    out_text(r, ",\"type\":\"function\",\"function\":{\"name\":");
    out_string(r, (slice){call->name.bytes, call->name.n});
    out_text(r, ",\"arguments\":");
    out_string(r, (slice){call->arguments.bytes, call->arguments.n});
    out_text(r, "}}");
  }
  out_text(r, "]");
}

static void write_choice(reply *r, const choice *c) {
  out_format(r, "{\"index\":%d,\"message\":{\"role\":\"assistant\",\"content\":", c->index);
  write_content(r, c);
  if (c->n_calls) write_calls(r, c);
  if (c->thinking.n && !thinks_in_parts(r)) {
    out_text(r, ",\"reasoning_content\":");
    out_string(r, (slice){c->thinking.bytes, c->thinking.n});
  }
  out_text(r, "},\"logprobs\":");
  if (r->question->logprobs) {
    out_text(r, "{\"content\":");
    out_logprobs(r, c, 0);
    out_text(r, ",\"refusal\":null}");
  } else {
    out_text(r, "null");
  }
  out_format(r, ",\"finish_reason\":%s}", reason(c));
}

static void chat_whole(reply *r) {
  head(r, "chat.completion");
  for (size_t i = 0; i < r->n_choices; i++) {
    if (i) out_text(r, ",");
    write_choice(r, &r->choices[i]);
  }
  out_text(r, "],");
  openai_usage(r);
  out_text(r, "}");
}

const view CHAT_VIEW = {
    .stream_type = "text/event-stream",
    .choice_begin = chat_choice_begin,
    .piece = chat_piece,
    .choice_end = chat_choice_end,
    .end = chat_end,
    .failed = openai_failed,
    .quiet = openai_quiet,
    .whole = chat_whole,
};

/* ---- The endpoint ---- */

static const field_names NAMES = {
    .max_tokens = {"max_completion_tokens", "max_tokens"},
    .max_least = 1,
    .stop = "stop",
    .seed = {"seed", "random_seed"},
};

static void read_telling(question *q, place body) {
  static const char *const MODES[] = {"reasoning", NULL};
  q->logprobs = field_flag(body, "logprobs", false);
  int64_t top = field_integer(body, "top_logprobs", 0, 20, 0);
  q->top_logprobs = q->logprobs ? (int32_t)top : 0;
  chat_form *form = fields_new(&q->fields, 1, sizeof *form);
  if (form) form->thinking_parts = field_choice(body, "prompt_mode", MODES) == 0;
  q->extra = form;
}

void chat_run(serving *s, http_exchange *x) {
  question *q = question_open(s, x, API_OPENAI);
  if (!q) return;
  place body = question_body(q);
  conversation c = {0};
  openai_common(q, body, &NAMES);
  read_telling(q, body);
  question_conversation(q, body, &c);
  c.content = question_format(q, body, &c.content_at, &c.content_key);
  question_chat(q, &c);
  answer_start(q, &CHAT_VIEW);
}
