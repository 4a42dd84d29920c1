/* What Ollama's clients ask about models: GET /api/tags, /api/ps and /api/version, POST /api/show; and what changes
 * Ollama's store, which is not here. */
#include "gale/serve/ollama.h"
#include "gale/serve/openai_form.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void text(byte_list *to, const char *s) {
  bytes_add(to, slice_of(s));
}

static void string(byte_list *to, const char *s) {
  bytes_add_string(to, slice_of(s ? s : ""));
}

static void number(byte_list *to, const char *format, int64_t n) {
  char digits[96];
  snprintf(digits, sizeof digits, format, n);
  text(to, digits);
}

static void respond(serving *s, http_exchange *x, byte_list *out) {
  if (out->failed)
    serve_fail(s, x, FAILURE_MEMORY, NULL, "out of memory");
  else
    http_respond(x, 200, "application/json", out->bytes, out->n);
  free(out->bytes);
}

/* "7.2B", "134.5M". */
static void write_parameters(byte_list *to, int64_t n) {
  char size[32];
  double x = (double)n;
  if (x >= 1e9)
    snprintf(size, sizeof size, "%.1fB", x / 1e9);
  else
    snprintf(size, sizeof size, "%.1fM", x / 1e6);
  string(to, size);
}

/* The type of most weights. */
static void write_type(byte_list *to, const char *types) {
  bytes_add_string(to, (slice){types, strcspn(types, ",")});
}

static void write_details(byte_list *to, const gale_model_info *info) {
  bool gguf = strcmp(info->format, "GGUF") == 0;
  text(to, "\"details\":{\"parent_model\":\"\",\"format\":");
  string(to, gguf ? "gguf" : "safetensors");
  text(to, ",\"family\":");
  string(to, info->family);
  text(to, ",\"families\":[");
  string(to, info->family);
  text(to, "],\"parameter_size\":");
  write_parameters(to, info->n_parameters);
  text(to, ",\"quantization_level\":");
  write_type(to, info->types);
  text(to, "}");
}

/* Clients use a digest to tell models apart. This one is drawn from what is known of the model, not from its file. */
static void write_digest(byte_list *to, const gale_model_info *info) {
  uint64_t hash = 14695981039346656037u;
  char facts[512], digest[65];
  snprintf(facts, sizeof facts, "%s|%s|%s|%" PRIu64, info->name, info->family, info->types, info->weight_bytes);
  for (const char *c = facts; *c; c++) hash = (hash ^ (unsigned char)*c) * 1099511628211u;
  for (int i = 0; i < 4; i++, hash = hash * 6364136223846793005u + 1442695040888963407u)
    snprintf(digest + 16 * (size_t)i, 17, "%016" PRIx64, hash);
  string(to, digest);
}

static void write_model(byte_list *to, const serving *s) {
  text(to, "{\"name\":");
  string(to, s->names[0]);
  text(to, ",\"model\":");
  string(to, s->names[0]);
  text(to, ",\"modified_at\":");
  string(to, ollama_time(s->created * 1000000000).text);
  number(to, ",\"size\":%" PRId64, (int64_t)s->info.weight_bytes);
  text(to, ",\"digest\":");
  write_digest(to, &s->info);
  text(to, ",");
  write_details(to, &s->info);
}

void ollama_tags_run(serving *s, http_exchange *x) {
  byte_list out = {0};
  text(&out, "{\"models\":[");
  write_model(&out, s);
  text(&out, "}]}");
  respond(s, x, &out);
}

void ollama_ps_run(serving *s, http_exchange *x) {
  byte_list out = {0};
  text(&out, "{\"models\":[");
  write_model(&out, s);
  /* The model stays; clients read a time. */
  text(&out, ",\"expires_at\":\"2318-01-01T00:00:00Z\",\"size_vram\":0");
  number(&out, ",\"context_length\":%" PRId64 "}]}", s->context);
  respond(s, x, &out);
}

void ollama_version_run(serving *s, http_exchange *x) {
  byte_list out = {0};
  text(&out, "{\"version\":");
  string(&out, gale_version());
  text(&out, "}");
  respond(s, x, &out);
}

/* Whether the vocabulary can fill in the middle. */
static bool can_insert(const serving *s) {
  int32_t *ids = NULL;
  size_t n = 0;
  bool can = s->tokenizer && gale_fim_prompt(s->tokenizer, "a", 1, "b", 1, &ids, &n, NULL) == GALE_OK;
  gale_free(ids);
  return can;
}

static void write_info(byte_list *to, const gale_model_info *info) {
  const struct {
    const char *key;
    int64_t number;
  } rows[] = {{"context_length", info->context},
              {"embedding_length", info->dim},
              {"block_count", info->n_layers},
              {"feed_forward_length", info->hidden_dim},
              {"attention.head_count", info->n_heads},
              {"attention.head_count_kv", info->n_kv_heads},
              {"attention.sliding_window", info->sliding_window},
              {"vocab_size", info->vocab_size}};
  text(to, "\"model_info\":{\"general.architecture\":");
  string(to, info->family);
  number(to, ",\"general.parameter_count\":%" PRId64, info->n_parameters);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    text(to, ",\"");
    text(to, info->family);
    text(to, ".");
    text(to, rows[i].key);
    number(to, "\":%" PRId64, rows[i].number);
  }
  text(to, "}");
}

void ollama_show_run(serving *s, http_exchange *x) {
  question *q = question_open(s, x, API_OLLAMA);
  if (!q) return;
  place body = question_body(q);
  slice name = field_text(body, "name");
  question_model(q, body);
  if (name.s && name.n && !q->fields.refused && !model_is_served(s, name))
    fields_refuse(&q->fields, FAILURE_MODEL, "the model \"%.*s\" is not served", (int)(name.n < 80 ? name.n : 80),
                  name.s);
  if (q->fields.refused) {
    question_fail(q);
    question_close(&q);
    return;
  }
  byte_list out = {0};
  text(&out, "{\"license\":\"\",\"modelfile\":\"\",\"parameters\":\"\",\"template\":");
  string(&out, s->template_name);
  text(&out, ",");
  write_details(&out, &s->info);
  text(&out, ",");
  write_info(&out, &s->info);
  text(&out, ",\"capabilities\":[\"completion\",\"tools\"");
  if (can_insert(s)) text(&out, ",\"insert\"");
  if (template_thinks(s->template_name)) text(&out, ",\"thinking\"");
  text(&out, "],\"modified_at\":");
  string(&out, ollama_time(s->created * 1000000000).text);
  text(&out, "}");
  respond(s, x, &out);
  question_close(&q);
}

void ollama_store_run(serving *s, http_exchange *x) {
  serve_fail(s, x, FAILURE_NOT_THERE, NULL, "the server has one model, and no store that could be changed");
}
