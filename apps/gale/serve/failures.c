/* Errors, in the form of each family. */
#include "gale/serve/metrics.h"

#include "json/value.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INVALID "invalid_request_error"
#define SERVER "server_error"

static const failure_words words[] = {
    [FAILURE_FIELD] = {400, INVALID, NULL, INVALID},
    [FAILURE_JSON] = {400, INVALID, "invalid_json", INVALID},
    [FAILURE_CONTEXT] = {400, INVALID, "context_length_exceeded", INVALID},
    [FAILURE_TEMPLATE] = {400, INVALID, "chat_template_unknown", INVALID},
    [FAILURE_UNSUPPORTED] = {400, INVALID, "unsupported", INVALID},
    [FAILURE_LIMIT] = {400, INVALID, "limit_exceeded", INVALID},
    [FAILURE_KEY] = {401, INVALID, "invalid_api_key", "authentication_error"},
    [FAILURE_FORBIDDEN] = {403, INVALID, "forbidden", "permission_error"},
    [FAILURE_MODEL] = {404, INVALID, "model_not_found", "not_found_error"},
    [FAILURE_PATH] = {404, INVALID, "not_found", "not_found_error"},
    [FAILURE_METHOD] = {405, INVALID, NULL, INVALID},
    [FAILURE_TIMEOUT] = {408, INVALID, NULL, INVALID},
    [FAILURE_LENGTH] = {411, INVALID, NULL, INVALID},
    [FAILURE_TOO_LARGE] = {413, INVALID, NULL, "request_too_large"},
    [FAILURE_URI] = {414, INVALID, NULL, INVALID},
    [FAILURE_TYPE] = {415, INVALID, NULL, INVALID},
    [FAILURE_HEADERS] = {431, INVALID, NULL, INVALID},
    [FAILURE_MESSAGE] = {400, INVALID, NULL, INVALID},
    [FAILURE_NUMERIC] = {500, SERVER, "numeric", "api_error"},
    [FAILURE_DEAD_END] = {500, SERVER, "grammar_dead_end", "api_error"},
    [FAILURE_NOT_THERE] = {501, INVALID, NULL, INVALID},
    [FAILURE_QUEUE] = {503, SERVER, "queue_full", "overloaded_error"},
    [FAILURE_LOADING] = {503, SERVER, "loading", "overloaded_error"},
    [FAILURE_DRAINING] = {503, SERVER, "shutting_down", "overloaded_error"},
    [FAILURE_MEMORY] = {503, SERVER, "out_of_memory", "overloaded_error"},
};

const failure_words *failure_get(failure f) {
  return &words[f];
}

static bool is_below(const char *path, const char *folder) {
  size_t n = strlen(folder);
  return strncmp(path, folder, n) == 0 && (!path[n] || path[n] == '/');
}

api_family family_of(const char *path) {
  if (is_below(path, "/v1/messages")) return API_ANTHROPIC;
  if (is_below(path, "/v1/fim")) return API_MISTRAL;
  if (is_below(path, "/api")) return API_OLLAMA;
  return API_OPENAI;
}

static void add(byte_list *to, const char *text) {
  bytes_add(to, slice_of(text));
}

static void add_string(byte_list *to, const char *text) {
  if (text)
    bytes_add_string(to, slice_of(text));
  else
    add(to, "null");
}

/* What OpenAI and Mistral say of an error. */
static void add_members(byte_list *to, failure f, const char *param, const char *message) {
  add(to, "\"message\":");
  add_string(to, message);
  add(to, ",\"type\":");
  add_string(to, words[f].type);
  add(to, ",\"param\":");
  add_string(to, param);
  add(to, ",\"code\":");
  add_string(to, words[f].code);
}

char *failure_body(api_family family, failure f, const char *param, const char *message, const char *request_id) {
  byte_list b = {0};
  switch (family) {
  case API_ANTHROPIC:
    add(&b, "{\"type\":\"error\",\"error\":{\"type\":");
    add_string(&b, words[f].anthropic_type);
    add(&b, ",\"message\":");
    add_string(&b, message);
    add(&b, "},\"request_id\":");
    add_string(&b, request_id);
    add(&b, "}");
    break;
  case API_OLLAMA:
    add(&b, "{\"error\":");
    add_string(&b, message);
    add(&b, "}");
    break;
  case API_MISTRAL:
    add(&b, "{\"object\":\"error\",");
    add_members(&b, f, param, message);
    add(&b, "}");
    break;
  case API_OPENAI:
    add(&b, "{\"error\":{");
    add_members(&b, f, param, message);
    add(&b, "}}");
    break;
  }
  bytes_add(&b, (slice){"", 1});
  if (!b.failed) return b.bytes;
  free(b.bytes);
  return NULL;
}

void serve_fail(serving *s, http_exchange *x, failure f, const char *param, const char *format, ...) {
  char message[1024];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  serve_refuse(s, x, f, param, message, false);
}

void serve_refuse(serving *s, http_exchange *x, failure f, const char *param, const char *message, bool close) {
  metrics_rejected(s->metrics, f);
  int status = words[f].status;
  if (status == 503) http_add_header(x, "Retry-After", f == FAILURE_DRAINING || f == FAILURE_LOADING ? "5" : "1");
  if (status == 401) http_add_header(x, "WWW-Authenticate", "Bearer");
  char *body = failure_body(family_of(http_path(x)), f, param, message, http_request_id(x));
  const char *text = body ? body : "{}";
  (close ? http_refuse : http_respond)(x, status, "application/json", text, strlen(text));
  free(body);
}
