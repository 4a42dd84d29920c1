/* POST /v1/embeddings. */
#include "gale/serve/openai.h"

#include <inttypes.h>
#include <string.h>

/* ---- Answers ---- */

/* Little-endian 32-bit floats in base64. */
static void write_base64(reply *r, const float *x, size_t n) {
  static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  size_t bytes = n * sizeof *x;
  out_text(r, "\"");
  for (size_t i = 0; i < bytes; i += 3) {
    unsigned char from[3] = {0};
    for (size_t k = i; k < bytes && k < i + 3; k++) {
      uint32_t bits;
      memcpy(&bits, &x[k / sizeof *x], sizeof bits);
      from[k - i] = (unsigned char)(bits >> (8 * (k % sizeof *x)));
    }
    uint32_t group = (uint32_t)from[0] << 16 | (uint32_t)from[1] << 8 | from[2];
    char to[4];
    for (int d = 0; d < 4; d++) to[d] = i + (size_t)d > bytes ? '=' : DIGITS[group >> (18 - 6 * d) & 63];
    bytes_add(&r->out, (slice){to, sizeof to});
  }
  out_text(r, "\"");
}

static void write_list(reply *r, const float *x, size_t n) {
  out_text(r, "[");
  for (size_t i = 0; i < n; i++) {
    /* Nine digits give every 32-bit float back. */
    out_format(r, i ? ",%.9g" : "%.9g", (double)x[i]);
  }
  out_text(r, "]");
}

static void embeddings_whole(reply *r) {
  const bool *base64 = r->question->extra;
  usage u = reply_usage(r);
  out_format(r, "{\"object\":\"list\",\"id\":\"embd-%s\",\"model\":", r->id);
  out_string(r, slice_of(r->question->model));
  out_text(r, ",\"data\":[");
  for (size_t i = 0; i < r->n_choices; i++) {
    const choice *c = &r->choices[i];
    out_format(r, "%s{\"object\":\"embedding\",\"index\":%zu,\"embedding\":", i ? "," : "", i);
    *base64 ? write_base64(r, c->embedding, c->n_embedding) : write_list(r, c->embedding, c->n_embedding);
    out_text(r, "}");
  }
  out_format(r, "],\"usage\":{\"prompt_tokens\":%" PRId64 ",\"total_tokens\":%" PRId64 "}}", u.prompt, u.prompt);
}

static const view EMBEDDINGS_VIEW = {.whole = embeddings_whole};

/* ---- The endpoint ---- */

void embeddings_run(serving *s, http_exchange *x) {
  static const char *const FORMATS[] = {"float", "base64", NULL};
  question *q = question_open(s, x, API_OPENAI);
  if (!q) return;
  place body = question_body(q);
  question_model(q, body);
  bool *base64 = fields_new(&q->fields, 1, sizeof *base64);
  if (base64) *base64 = field_choice(body, "encoding_format", FORMATS) == 1;
  q->extra = base64;
  int64_t dimensions = field_integer(body, "dimensions", 1, INT32_MAX, s->info.dim);
  if (dimensions != s->info.dim)
    field_refuse(body, "dimensions", FAILURE_UNSUPPORTED, "%d is what this model has", s->info.dim);
  question_prompts(q, body, "input");
  q->embed = true;
  q->pooling = s->pooling;
  answer_start(q, &EMBEDDINGS_VIEW);
}
