#include "gale/serve/endpoints.h"

#include "gale/serve/answer.h"
#include "gale/serve/anthropic.h"
#include "gale/serve/ollama.h"
#include "gale/serve/openai.h"
#include "gale/serve/responses.h"

#include <stdio.h>
#include <string.h>

const endpoint endpoint_table[] = {
    {"GET", "/", API_OPENAI, true, page_run, NULL, NULL},
    {"GET", "/web/*", API_OPENAI, true, page_file_run, NULL, NULL},
    {"GET", "/openapi.json", API_OPENAI, false, openapi_run, NULL, NULL},
    {"GET", "/v1/gale/info", API_OPENAI, false, info_run, NULL, NULL},
    {"GET", "/health", API_OPENAI, true, health_run, NULL, NULL},
    {"GET", "/ready", API_OPENAI, true, ready_run, NULL, NULL},
    {"GET", "/metrics", API_OPENAI, false, metrics_run, NULL, NULL},
    {"GET", "/v1/models", API_OPENAI, false, models_run, NULL, NULL},
    {"GET", "/v1/models/*", API_OPENAI, false, model_run, NULL, NULL},
    {"POST", "/tokenize", API_OPENAI, false, tokenize_run, NULL, NULL},
    {"POST", "/detokenize", API_OPENAI, false, detokenize_run, NULL, NULL},
    {"GET", "/tokenizer_info", API_OPENAI, false, tokenizer_info_run, NULL, NULL},
    {"POST", "/v1/chat/completions", API_OPENAI, false, chat_run, answer_gone, answer_quiet},
    {"POST", "/v1/completions", API_OPENAI, false, completions_run, answer_gone, answer_quiet},
    {"POST", "/v1/embeddings", API_OPENAI, false, embeddings_run, answer_gone, answer_quiet},
    {"POST", "/v1/fim/completions", API_MISTRAL, false, fim_run, answer_gone, answer_quiet},
    {"POST", "/v1/responses", API_OPENAI, false, responses_run, answer_gone, answer_quiet},
    {"POST", "/v1/messages", API_ANTHROPIC, false, messages_run, answer_gone, answer_quiet},
    {"POST", "/v1/messages/count_tokens", API_ANTHROPIC, false, count_tokens_run, NULL, NULL},
    {"POST", "/api/chat", API_OLLAMA, false, ollama_chat_run, answer_gone, NULL},
    {"POST", "/api/generate", API_OLLAMA, false, ollama_generate_run, answer_gone, NULL},
    {"POST", "/api/embed", API_OLLAMA, false, ollama_embed_run, answer_gone, NULL},
    {"POST", "/api/embeddings", API_OLLAMA, false, ollama_embeddings_run, answer_gone, NULL},
    {"GET", "/api/tags", API_OLLAMA, false, ollama_tags_run, NULL, NULL},
    {"GET", "/api/ps", API_OLLAMA, false, ollama_ps_run, NULL, NULL},
    {"POST", "/api/show", API_OLLAMA, false, ollama_show_run, NULL, NULL},
    {"GET", "/api/version", API_OLLAMA, false, ollama_version_run, NULL, NULL},
    {"POST", "/api/pull", API_OLLAMA, false, ollama_store_run, NULL, NULL},
    {"POST", "/api/push", API_OLLAMA, false, ollama_store_run, NULL, NULL},
    {"POST", "/api/create", API_OLLAMA, false, ollama_store_run, NULL, NULL},
    {"POST", "/api/copy", API_OLLAMA, false, ollama_store_run, NULL, NULL},
    {"DELETE", "/api/delete", API_OLLAMA, false, ollama_store_run, NULL, NULL},
    {"POST", "/api/blobs/*", API_OLLAMA, false, ollama_store_run, NULL, NULL},
    {"GET", "/api/blobs/*", API_OLLAMA, false, ollama_store_run, NULL, NULL},
    {0},
};

static bool matches(const char *pattern, const char *path) {
  size_t n = strlen(pattern);
  return pattern[n - 1] == '*' ? strncmp(pattern, path, n - 1) == 0 && path[n - 1] : strcmp(pattern, path) == 0;
}

const endpoint *endpoint_find(const char *method, const char *path, char *allow, size_t allow_size) {
  size_t n = 0;
  allow[0] = 0;
  for (const endpoint *e = endpoint_table; e->path; e++) {
    if (!matches(e->path, path)) continue;
    if (strcmp(e->method, method) == 0) return e;
    const char *shown = strcmp(e->method, "GET") == 0 ? "GET, HEAD" : e->method;
    int added = snprintf(allow + n, allow_size - n, "%s%s", n ? ", " : "", shown);
    n = added > 0 && (size_t)added < allow_size - n ? n + (size_t)added : n;
  }
  return NULL;
}
