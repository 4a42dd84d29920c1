/* What views write: JSON, tokens, and server-sent events. */
#include "gale/serve/answer.h"

#include "base/utf8.h"
#include "json/value_number.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void out_text(reply *r, const char *text) {
  bytes_add(&r->out, slice_of(text));
}

void out_format(reply *r, const char *format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  int n = vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  if (n >= 0 && (size_t)n < sizeof text)
    bytes_add(&r->out, (slice){text, (size_t)n});
  else
    r->out.failed = true;
}

void out_string(reply *r, slice text) {
  bytes_add_string(&r->out, (slice){text.s ? text.s : "", text.n});
}

void out_number(reply *r, double number) {
  /* JSON has no infinity; -9999 stands for it in the field. */
  char text[REAL_BYTES];
  bytes_add(&r->out, (slice){text, write_real(isfinite(number) ? number : -9999.0, text)});
}

/* ---- Tokens ---- */

char *token_bytes(const gale_tokenizer *t, int32_t token, bool first, size_t *length) {
  /* The text of a token is that behind another one: the first of a text may lose the space in front. */
  const int32_t twice[2] = {token, token};
  char *once = NULL, *both = NULL;
  size_t n_once = 0, n_both = 0;
  bool good = !gale_detokenize(t, twice, 1, false, &once, &n_once, NULL) &&
              (first || !gale_detokenize(t, twice, 2, false, &both, &n_both, NULL));
  if (good && !first) {
    memmove(both, both + n_once, n_both - n_once);
    n_both -= n_once;
    both[n_both] = 0;
  }
  gale_free(first && good ? NULL : once);
  *length = first ? n_once : n_both;
  if (good) return first ? once : both;
  gale_free(both);
  return NULL;
}

static void add_escapes(byte_list *text, const char *bytes, size_t n) {
  bytes_add(text, SLICE("bytes:"));
  for (size_t i = 0; i < n; i++) {
    char byte[8];
    snprintf(byte, sizeof byte, "\\x%02x", (unsigned char)bytes[i]);
    bytes_add(text, (slice){byte, 4});
  }
}

void token_text(const gale_tokenizer *t, int32_t token, bool first, byte_list *text) {
  const char *stored;
  size_t n;
  bool control = false;
  if (!gale_tokenizer_token(t, token, &stored, &n, &control)) return;
  if (control) {
    bytes_add(text, (slice){stored, n});
    return;
  }
  char *bytes = token_bytes(t, token, first, &n);
  if (!bytes)
    text->failed = true;
  else if (utf8_valid(bytes, n))
    bytes_add(text, (slice){bytes, n});
  else
    add_escapes(text, bytes, n);
  gale_free(bytes);
}

void out_token(reply *r, int32_t token) {
  byte_list text = {0};
  token_text(r->question->serving->tokenizer, token, false, &text);
  if (text.failed) r->out.failed = true;
  out_string(r, (slice){text.bytes, text.n});
  free(text.bytes);
}

void out_token_bytes(reply *r, int32_t token) {
  size_t n = 0;
  const char *stored;
  bool control = false;
  const gale_tokenizer *t = r->question->serving->tokenizer;
  char *bytes = NULL;
  if (gale_tokenizer_token(t, token, &stored, &n, &control) && !control) {
    bytes = token_bytes(t, token, false, &n);
    stored = bytes;
  }
  out_text(r, "[");
  for (size_t i = 0; stored && i < n; i++) out_format(r, i ? ", %d" : "%d", (unsigned char)stored[i]);
  out_text(r, "]");
  gale_free(bytes);
}

static void out_logprob(reply *r, const gale_logprob *entry) {
  out_text(r, "{\"token\": ");
  out_token(r, entry->token);
  out_format(r, ", \"token_id\": %d, \"bytes\": ", entry->token);
  out_token_bytes(r, entry->token);
  out_text(r, ", \"logprob\": ");
  out_number(r, entry->logprob);
}

void out_logprobs(reply *r, const choice *c, size_t from) {
  out_text(r, "[");
  for (size_t i = from; i < c->n_tokens; i++) {
    const told_token *t = &c->tokens[i];
    if (i > from) out_text(r, ", ");
    const gale_logprob none = {t->token, -INFINITY};
    out_logprob(r, t->n_entries ? &t->entries[0] : &none);
    out_text(r, ", \"top_logprobs\": [");
    for (size_t k = 1; k < t->n_entries; k++) {
      if (k > 1) out_text(r, ", ");
      out_logprob(r, &t->entries[k]);
      out_text(r, "}");
    }
    out_text(r, "]}");
  }
  out_text(r, "]");
}

/* ---- Server-sent events ---- */

void event_begin(reply *r, const char *type) {
  if (type) {
    out_text(r, "event: ");
    out_text(r, type);
    out_text(r, "\n");
  }
  out_text(r, "data: ");
}

void event_end(reply *r) {
  out_text(r, "\n\n");
}

void out_arguments(reply *r, const told_call *call) {
  value *root = NULL;
  value_report report;
  slice text = {call->arguments.bytes ? call->arguments.bytes : "", call->arguments.n};
  value_status status = value_read(&r->question->fields.memory, text, VALUE_PROMPT, &root, &report);
  if (status == VALUE_OK && root->kind == VALUE_OBJECT)
    bytes_add_value(&r->out, root);
  else
    out_text(r, "{}");
}
