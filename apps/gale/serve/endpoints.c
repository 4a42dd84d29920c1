#include "gale/serve/endpoints.h"

#include "gale/serve/answer.h"
#include "gale/serve/openai.h"

#include <stdio.h>
#include <string.h>

const endpoint endpoint_table[] = {
    {"GET", "/", API_OPENAI, true, page_run, NULL, NULL},
    {"GET", "/web/*", API_OPENAI, true, page_file_run, NULL, NULL},
    {"GET", "/openapi.json", API_OPENAI, false, openapi_run, NULL, NULL},
    {"GET", "/v1/gale/info", API_OPENAI, false, info_run, NULL, NULL},
    {"GET", "/health", API_OPENAI, true, health_run, NULL, NULL},
    {"GET", "/ready", API_OPENAI, true, ready_run, NULL, NULL},
    {"POST", "/v1/chat/completions", API_OPENAI, false, chat_run, answer_gone, answer_quiet},
    {"POST", "/v1/completions", API_OPENAI, false, completions_run, answer_gone, answer_quiet},
    {"POST", "/v1/embeddings", API_OPENAI, false, embeddings_run, answer_gone, answer_quiet},
    {"POST", "/v1/fim/completions", API_MISTRAL, false, fim_run, answer_gone, answer_quiet},
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
