/* POST /tokenize and /detokenize, GET /tokenizer_info. */
#include "gale/serve/endpoints.h"
#include "gale/serve/question.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add(byte_list *to, const char *text) {
  bytes_add(to, slice_of(text));
}

/* Answers with what was made, or with why not. */
static void respond(question *q, byte_list *body) {
  fields *f = &q->fields;
  if (body->failed) fields_memory(f);
  if (f->refused)
    serve_fail(q->serving, q->exchange, f->why, *f->param ? f->param : NULL, "%s", f->message);
  else
    http_respond(q->exchange, 200, "application/json", body->bytes, body->n);
  free(body->bytes);
  question_close(&q);
}

static void add_tokens(question *q, byte_list *to, const int32_t *ids, size_t n) {
  char number[32];
  add(to, "{\"tokens\":[");
  for (size_t i = 0; i < n; i++) {
    snprintf(number, sizeof number, i ? ",%d" : "%d", ids[i]);
    add(to, number);
  }
  snprintf(number, sizeof number, "],\"count\":%zu", n);
  add(to, number);
  snprintf(number, sizeof number, ",\"max_model_len\":%d}", q->serving->context);
  add(to, number);
}

/* The control token that is called so, or -1. */
static int32_t control_token(const gale_tokenizer *t, slice name) {
  for (int32_t id = 0; id < gale_tokenizer_size(t); id++) {
    const char *text;
    size_t n;
    bool control;
    if (gale_tokenizer_token(t, id, &text, &n, &control) && control && slice_equal((slice){text, n}, name)) return id;
  }
  return -1;
}

static void tokenize_text(question *q, slice text, bool bos, byte_list *to) {
  const gale_tokenizer *t = q->serving->tokenizer;
  int32_t control = control_token(t, text), *ids = NULL;
  size_t n = 0;
  gale_error error = {0};
  if (control >= 0) {
    add_tokens(q, to, &control, 1);
    return;
  }
  gale_status status = gale_tokenize(t, text.s, text.n, bos && gale_tokenizer_adds_bos(t), &ids, &n, &error);
  if (status)
    fields_refuse(&q->fields, failure_of(status), "%s", error.message);
  else
    add_tokens(q, to, ids, n);
  gale_free(ids);
}

void tokenize_run(serving *s, http_exchange *x) {
  question *q = question_open(s, x, API_OPENAI);
  if (!q) return;
  place body = question_body(q);
  byte_list answer = {0};
  question_model(q, body);
  slice prompt = field_text(body, "prompt"), content = field_text(body, "content");
  bool special = field_flag(body, "add_special", false), specials = field_flag(body, "add_special_tokens", true);
  if (field_any(body, "messages")) {
    conversation c = {0};
    question_conversation(q, body, &c);
    question_chat(q, &c);
    if (!q->fields.refused) add_tokens(q, &answer, q->prompts[0].ids, q->prompts[0].n);
  } else if (!prompt.s && !content.s) {
    field_refuse(body, "prompt", FAILURE_FIELD, "prompt, content or messages is needed");
  } else if (!q->fields.refused) {
    tokenize_text(q, prompt.s ? prompt : content, prompt.s ? specials : special, &answer);
  }
  respond(q, &answer);
}

/* The text of ids, with U+FFFD where bytes are no text. */
static void detokenize(question *q, place list, byte_list *text) {
  gale_detokenizer *stream = NULL;
  gale_error error = {0};
  const char *piece;
  size_t n, i = 0;
  gale_status status = gale_detokenizer_open(q->serving->tokenizer, false, &stream, &error);
  for (const value *v = list.v->first; v && !status && !q->fields.refused; v = v->next, i++) {
    int64_t id = -1;
    if (!value_int64(v, &id) || id < 0 || id >= gale_tokenizer_size(q->serving->tokenizer)) {
      field_refuse(place_item(list, i, v), NULL, FAILURE_FIELD, "an id from 0 to %d is accepted",
                   gale_tokenizer_size(q->serving->tokenizer) - 1);
      break;
    }
    status = gale_detokenizer_push(stream, (int32_t)id, &piece, &n, &error);
    if (!status) bytes_add(text, (slice){piece, n});
  }
  if (!status) status = gale_detokenizer_finish(stream, &piece, &n, &error);
  if (!status) bytes_add(text, (slice){piece, n});
  if (status) fields_refuse(&q->fields, failure_of(status), "%s", error.message);
  gale_detokenizer_close(&stream);
}

void detokenize_run(serving *s, http_exchange *x) {
  question *q = question_open(s, x, API_OPENAI);
  if (!q) return;
  byte_list text = {0}, answer = {0};
  place list = field_list(question_body(q), "tokens");
  question_model(q, question_body(q));
  if (!list.v)
    field_refuse(question_body(q), "tokens", FAILURE_FIELD, "a list of ids is needed");
  else
    detokenize(q, list, &text);
  slice whole = {text.n ? text.bytes : "", text.n};
  add(&answer, "{\"prompt\":");
  bytes_add_string(&answer, whole);
  add(&answer, ",\"content\":");
  bytes_add_string(&answer, whole);
  add(&answer, "}");
  if (text.failed) answer.failed = true;
  free(text.bytes);
  respond(q, &answer);
}

static void add_token(byte_list *to, const char *name, const gale_tokenizer *t, int32_t id) {
  const char *text;
  size_t n;
  bool control;
  add(to, name);
  if (gale_tokenizer_token(t, id, &text, &n, &control))
    bytes_add_string(to, (slice){text, n});
  else
    add(to, "null");
}

void tokenizer_info_run(serving *s, http_exchange *x) {
  byte_list body = {0};
  char numbers[96];
  add_token(&body, "{\"bos_token\":", s->tokenizer, gale_tokenizer_bos(s->tokenizer));
  add_token(&body, ",\"eos_token\":", s->tokenizer, gale_tokenizer_eos(s->tokenizer));
  snprintf(numbers, sizeof numbers,
           ",\"pad_token\":null,\"vocab_size\":%d,\"max_model_len\":%d,\"chat_template\":", s->info.vocab_size,
           s->context);
  add(&body, numbers);
  if (s->template_name)
    bytes_add_string(&body, slice_of(s->template_name));
  else
    add(&body, "null");
  add(&body, "}");
  if (body.failed)
    serve_fail(s, x, FAILURE_MEMORY, NULL, "out of memory");
  else
    http_respond(x, 200, "application/json", body.bytes, body.n);
  free(body.bytes);
}
