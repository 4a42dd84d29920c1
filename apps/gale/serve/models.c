/* GET /v1/models and /v1/models/ID, in OpenAI's form, or in Anthropic's for who sends its version. */
#include "gale/serve/endpoints.h"
#include "gale/serve/question.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void add(byte_list *to, const char *text) {
  bytes_add(to, slice_of(text));
}

static bool knows_fim(const serving *s) {
  int32_t *ids = NULL;
  size_t n = 0;
  gale_error error = {0};
  bool knows = s->tokenizer && gale_fim_prompt(s->tokenizer, "a", 1, "b", 1, &ids, &n, &error) == GALE_OK;
  gale_free(ids);
  return knows;
}

static void add_anthropic(byte_list *to, const serving *s, const char *name) {
  char created[32];
  time_t at = (time_t)s->created;
  struct tm t;
  gmtime_r(&at, &t);
  strftime(created, sizeof created, "%Y-%m-%dT%H:%M:%SZ", &t);
  add(to, "{\"type\":\"model\",\"id\":");
  bytes_add_string(to, slice_of(name));
  add(to, ",\"display_name\":");
  bytes_add_string(to, slice_of(s->info.name));
  add(to, ",\"created_at\":\"");
  add(to, created);
  add(to, "\"}");
}

static void add_openai(byte_list *to, const serving *s, const char *name) {
  char rest[320];
  const char *chat = s->template_name ? "true" : "false";
  snprintf(rest, sizeof rest,
           ",\"object\":\"model\",\"created\":%" PRId64 ",\"owned_by\":\"gale\",\"type\":\"base\",\"capabilities\":"
           "{\"completion_chat\":%s,\"completion_fim\":%s,\"function_calling\":%s,\"vision\":false},"
           "\"max_context_length\":%d,\"max_model_len\":%d}",
           s->created, chat, knows_fim(s) ? "true" : "false", chat, s->context, s->context);
  add(to, "{\"id\":");
  bytes_add_string(to, slice_of(name));
  add(to, rest);
}

static void respond(serving *s, http_exchange *x, byte_list *body) {
  if (body->failed)
    serve_fail(s, x, FAILURE_MEMORY, NULL, "out of memory");
  else
    http_respond(x, 200, "application/json", body->bytes, body->n);
  free(body->bytes);
}

void models_run(serving *s, http_exchange *x) {
  bool anthropic = http_header(x, "anthropic-version") != NULL;
  const text_list *aliases = &s->options->aliases;
  byte_list body = {0};
  const char *last = s->names[0];
  add(&body, anthropic ? "{\"data\":[" : "{\"object\":\"list\",\"data\":[");
  for (size_t i = 0; i <= aliases->length; i++) {
    const char *name = i ? aliases->items[i - 1] : s->names[0];
    if (i && strcmp(name, "*") == 0) continue;
    if (i) add(&body, ",");
    (anthropic ? add_anthropic : add_openai)(&body, s, name);
    last = name;
  }
  add(&body, "]");
  if (anthropic) {
    add(&body, ",\"has_more\":false,\"first_id\":");
    bytes_add_string(&body, slice_of(s->names[0]));
    add(&body, ",\"last_id\":");
    bytes_add_string(&body, slice_of(last));
  }
  add(&body, "}");
  respond(s, x, &body);
}

static int digit(char c) {
  return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* A name in a path, with its escapes read; to be freed. */
static char *name_of(const char *path) {
  char *name = malloc(strlen(path) + 1), *to = name;
  for (const char *p = path; name && *p; p++) {
    bool escape = *p == '%' && digit(p[1]) >= 0 && digit(p[2]) >= 0;
    *to++ = escape ? (char)(16 * digit(p[1]) + digit(p[2])) : *p;
    if (escape) p += 2;
  }
  if (name) *to = 0;
  return name;
}

void model_run(serving *s, http_exchange *x) {
  char *name = name_of(http_path(x) + strlen("/v1/models/"));
  byte_list body = {0};
  if (!name) {
    serve_fail(s, x, FAILURE_MEMORY, NULL, "out of memory");
  } else if (!model_is_served(s, slice_of(name))) {
    serve_fail(s, x, FAILURE_MODEL, NULL, "this model is not served; %s is", s->names[0]);
  } else {
    (http_header(x, "anthropic-version") ? add_anthropic : add_openai)(&body, s, name);
    respond(s, x, &body);
  }
  free(name);
}
