/* POST /api/embed and /api/embeddings. */
#include "gale/serve/ollama.h"

#include <inttypes.h>

static void write_vector(reply *r, const choice *c) {
  out_text(r, "[");
  /* Nine digits give every 32-bit float back. */
  for (size_t i = 0; i < c->n_embedding; i++) out_format(r, i ? ",%.9g" : "%.9g", (double)c->embedding[i]);
  out_text(r, "]");
}

static void embed_whole(reply *r) {
  const int64_t *begun = r->question->extra;
  out_text(r, "{\"model\":");
  out_string(r, slice_of(r->question->model));
  out_text(r, ",\"embeddings\":[");
  for (size_t i = 0; i < r->n_choices; i++) {
    if (i) out_text(r, ",");
    write_vector(r, &r->choices[i]);
  }
  out_format(r, "],\"total_duration\":%" PRId64 ",\"load_duration\":0,\"prompt_eval_count\":%" PRId64 "}",
             ollama_now() - *begun, reply_usage(r).prompt);
}

static void embeddings_whole(reply *r) {
  out_text(r, "{\"embedding\":");
  write_vector(r, &r->choices[0]);
  out_text(r, "}");
}

static const view EMBED_VIEW = {.whole = embed_whole}, EMBEDDINGS_VIEW = {.whole = embeddings_whole};

static void run(serving *s, http_exchange *x, const char *key, const view *v) {
  question *q = question_open(s, x, API_OLLAMA);
  if (!q) return;
  place body = question_body(q);
  int64_t *begun = fields_new(&q->fields, 1, sizeof *begun);
  if (begun) *begun = ollama_now();
  q->extra = begun;
  q->n = 1;
  question_model(q, body);
  int64_t dimensions = field_integer(body, "dimensions", 1, INT32_MAX, s->info.dim);
  if (dimensions != s->info.dim)
    field_refuse(body, "dimensions", FAILURE_UNSUPPORTED, "%d is what this model has", s->info.dim);
  question_prompts(q, body, key);
  q->embed = true;
  q->pooling = s->pooling;
  answer_start(q, v);
}

void ollama_embed_run(serving *s, http_exchange *x) {
  run(s, x, "input", &EMBED_VIEW);
}

void ollama_embeddings_run(serving *s, http_exchange *x) {
  run(s, x, "prompt", &EMBEDDINGS_VIEW);
}
