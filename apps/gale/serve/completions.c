/* POST /v1/completions: texts that are continued, and their log-probabilities. */
#include "gale/serve/openai.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct legacy_form {
  bool echo, scored; /* scored: logprobs were asked for */
} legacy_form;

/* Where the lists of log-probabilities stand. */
typedef struct list_state {
  size_t characters; /* text_offset of the next token */
  bool text_came;    /* some token had text */
} list_state;

static const legacy_form *form_of(const reply *r) {
  return r->question->extra;
}

/* ---- Log-probabilities ---- */

static size_t count_characters(const char *s, size_t n) {
  size_t count = 0;
  for (size_t i = 0; i < n; i++) count += ((unsigned char)s[i] & 0xC0) != 0x80;
  return count;
}

/* An entry of top_logprobs: a text and its number, the largest where texts are equal. */
typedef struct top_entry {
  byte_list text;
  double logprob;
} top_entry;

static void write_top(reply *r, const told_token *t, bool first) {
  top_entry entries[32];
  size_t n = 0;
  for (size_t i = t->n_entries > 1 ? 1 : 0; i <= t->n_entries && n < sizeof entries / sizeof *entries; i++) {
    const gale_logprob *e = &t->entries[i < t->n_entries ? i : 0];
    top_entry *now = &entries[n], *same = NULL;
    *now = (top_entry){.logprob = e->logprob};
    token_text(r->question->serving->tokenizer, e->token, first, &now->text);
    if (now->text.failed) r->out.failed = true;
    for (size_t k = 0; k < n; k++)
      if (slice_equal((slice){entries[k].text.bytes, entries[k].text.n}, (slice){now->text.bytes, now->text.n}))
        same = &entries[k];
    if (same) {
      same->logprob = fmax(same->logprob, now->logprob);
      free(now->text.bytes);
    } else {
      n++;
    }
  }
  out_text(r, "{");
  for (size_t i = 0; i < n; i++) {
    if (i) out_text(r, ",");
    out_string(r, (slice){entries[i].text.bytes, entries[i].text.n});
    out_text(r, ":");
    out_number(r, entries[i].logprob);
    free(entries[i].text.bytes);
  }
  out_text(r, "}");
}

static list_state *state_of(reply *r, choice *c) {
  if (!c->extra) c->extra = fields_new(&r->question->fields, 1, sizeof(list_state));
  return c->extra;
}

typedef enum list_part { LIST_TOKENS, LIST_NUMBERS, LIST_TOP, LIST_OFFSETS } list_part;

static void write_list(reply *r, choice *c, size_t from, list_part part, list_state *s) {
  const gale_tokenizer *t = r->question->serving->tokenizer;
  for (size_t i = from; i < c->n_tokens; i++) {
    const told_token *token = &c->tokens[i];
    bool first = !s->text_came && i < c->n_prompt;
    size_t n = 0;
    char *bytes = token_bytes(t, token->token, first, &n);
    byte_list text = {0};
    if (i > from) out_text(r, ",");
    if (part == LIST_TOKENS) {
      token_text(t, token->token, first, &text);
      out_string(r, (slice){text.bytes, text.n});
    } else if (part == LIST_OFFSETS) {
      out_format(r, "%zu", s->characters);
    } else if (token->n_entries == 0) {
      out_text(r, "null");
    } else if (part == LIST_NUMBERS) {
      out_number(r, token->entries[0].logprob);
    } else {
      write_top(r, token, first);
    }
    if (text.failed || !bytes) r->out.failed = true;
    s->characters += bytes ? count_characters(bytes, n) : 0;
    s->text_came |= n > 0;
    gale_free(bytes);
    free(text.bytes);
  }
}

static void write_logprobs(reply *r, choice *c) {
  static const char *const NAMES[] = {"{\"tokens\":[", "],\"token_logprobs\":[", "],\"top_logprobs\":[",
                                      "],\"text_offset\":["};
  list_state *s = form_of(r)->scored ? state_of(r, c) : NULL;
  if (!s) {
    out_text(r, "null");
    return;
  }
  list_state after = *s;
  for (list_part part = LIST_TOKENS; part <= LIST_OFFSETS; part++) {
    after = *s;
    out_text(r, NAMES[part]);
    write_list(r, c, c->n_shown, part, &after);
  }
  out_text(r, "]}");
  *s = after;
  c->n_shown = c->n_tokens;
}

/* ---- Answers and chunks, which look alike ---- */

static void head(reply *r) {
  out_format(r, "{\"id\":\"cmpl-%s\",\"object\":\"text_completion\",\"created\":%" PRId64 ",\"model\":", r->id,
             r->created);
  out_string(r, slice_of(r->question->model));
  out_format(r, ",\"system_fingerprint\":\"gale-%s\",\"choices\":[", gale_version());
}

static const char *reason(const choice *c) {
  if (!c->ended) return "null";
  return c->ended == ENDING_LENGTH || c->ended == ENDING_CONTEXT ? "\"length\"" : "\"stop\"";
}

static void write_choice(reply *r, choice *c, slice text, bool scores) {
  out_format(r, "{\"index\":%d,\"text\":", c->index);
  out_string(r, text);
  out_text(r, ",\"logprobs\":");
  if (scores)
    write_logprobs(r, c);
  else
    out_text(r, "null");
  out_format(r, ",\"finish_reason\":%s}", reason(c));
}

static void chunk(reply *r, choice *c, slice text) {
  event_begin(r, NULL);
  head(r);
  write_choice(r, c, text, c->n_shown < c->n_tokens);
  out_text(r, "]");
  if (r->question->usage_wanted) {
    out_text(r, ",\"usage\":null");
  } else if (c->ended && r->n_left == 0 && !r->question->usage_refused) {
    out_text(r, ",");
    openai_usage(r);
  }
  out_text(r, "}");
  event_end(r);
}

/* Adds the prompt's text where it is to be told too, with U+FFFD for bytes that are no text. */
static void add_echo(reply *r, const choice *c, byte_list *text) {
  const prompt_ids *p = &r->question->prompts[c->prompt];
  gale_detokenizer *stream = NULL;
  const char *piece;
  size_t n = 0;
  if (!form_of(r)->echo) return;
  gale_status status = gale_detokenizer_open(r->question->serving->tokenizer, false, &stream, NULL);
  for (size_t i = 0; i < p->n && !status; i++) {
    status = gale_detokenizer_push(stream, p->ids[i], &piece, &n, NULL);
    if (!status) bytes_add(text, (slice){piece, n});
  }
  if (!status) status = gale_detokenizer_finish(stream, &piece, &n, NULL);
  if (!status) bytes_add(text, (slice){piece, n});
  if (status || text->failed) r->out.failed = true;
  gale_detokenizer_close(&stream);
}

static void legacy_begin(reply *r, choice *c) {
  byte_list text = {0};
  add_echo(r, c, &text);
  if (form_of(r)->echo) chunk(r, c, (slice){text.bytes, text.n});
  free(text.bytes);
}

static void legacy_piece(reply *r, choice *c, const gale_piece *p) {
  chunk(r, c, (slice){p->text, p->length});
}

static void legacy_choice_end(reply *r, choice *c) {
  chunk(r, c, SLICE(""));
}

static void legacy_end(reply *r) {
  if (r->question->usage_wanted) {
    event_begin(r, NULL);
    head(r);
    out_text(r, "],");
    openai_usage(r);
    out_text(r, "}");
    event_end(r);
  }
  openai_end(r);
}

static void legacy_whole(reply *r) {
  head(r);
  for (size_t i = 0; i < r->n_choices; i++) {
    choice *c = &r->choices[i];
    byte_list all = {0};
    add_echo(r, c, &all);
    bytes_add(&all, (slice){c->content.bytes, c->content.n});
    if (i) out_text(r, ",");
    write_choice(r, c, (slice){all.bytes, all.n}, true);
    if (all.failed) r->out.failed = true;
    free(all.bytes);
  }
  out_text(r, "],");
  openai_usage(r);
  out_text(r, "}");
}

static const view LEGACY_VIEW = {
    .stream_type = "text/event-stream",
    .choice_begin = legacy_begin,
    .piece = legacy_piece,
    .choice_end = legacy_choice_end,
    .end = legacy_end,
    .failed = openai_failed,
    .quiet = openai_quiet,
    .whole = legacy_whole,
};

/* ---- The endpoint ---- */

enum { USUAL_LENGTH = 16 };

static void read_prompts(question *q, place body) {
  slice suffix = field_text(body, "suffix");
  const value *prompt = field_any(body, "prompt");
  if (!suffix.s) {
    question_prompts(q, body, "prompt");
  } else if (value_is(prompt, VALUE_STRING)) {
    question_fim(q, prompt->text, suffix, body, "suffix");
  } else {
    field_refuse(body, "prompt", FAILURE_FIELD, "with a suffix a string is needed");
  }
}

void completions_run(serving *s, http_exchange *x) {
  static const field_names NAMES = {
      .max_tokens = {"max_completion_tokens", "max_tokens"}, .max_least = 0, .stop = "stop", .seed = {"seed", NULL}};
  question *q = question_open(s, x, API_OPENAI);
  if (!q) return;
  place body = question_body(q), at = body;
  const char *key = NULL;
  openai_common(q, body, &NAMES);
  if (!q->max_given) q->max_tokens = USUAL_LENGTH;
  legacy_form *form = fields_new(&q->fields, 1, sizeof *form);
  q->extra = form;
  int64_t top = field_integer(body, "logprobs", 0, 20, -1);
  if (form) *form = (legacy_form){.echo = field_flag(body, "echo", false), .scored = top >= 0};
  q->logprobs = top >= 0;
  q->top_logprobs = top > 0 ? (int32_t)top : 0;
  q->prompt_logprobs = q->logprobs && form && form->echo;
  q->continued = true;
  read_prompts(q, body);
  const gale_constraint_options *content = question_format(q, body, &at, &key);
  question_constrain(q, content, at, key);
  answer_start(q, &LEGACY_VIEW);
}
