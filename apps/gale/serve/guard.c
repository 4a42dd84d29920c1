#include "gale/serve/guard.h"

#include "gale/cli/console.h"
#include "gale/cli/input.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- Keys ---- */

static int key_add(key_list *keys, const char *key, size_t n) {
  char **grown = realloc(keys->keys, (keys->n + 1) * sizeof *grown);
  if (!grown) return fail_memory();
  keys->keys = grown;
  keys->keys[keys->n] = strndup(key, n);
  return keys->keys[keys->n++] ? 0 : fail_memory();
}

static int keys_of_file(const char *path, key_list *keys) {
  text t = {0};
  int code = input_read(path, &t);
  if (code) return code;
  size_t at = 0, n, before = keys->n;
  const char *line;
  while (!code && input_line(&t, &at, &line, &n)) {
    while (n && strchr(" \t\r", line[n - 1])) n--;
    if (n) code = key_add(keys, line, n);
  }
  free(t.bytes);
  if (!code && keys->n == before) return fail("%s: no key: one a line is accepted", path);
  return code;
}

int keys_read(const options *o, key_list *keys) {
  int code = 0;
  for (size_t i = 0; !code && i < o->api_keys.length; i++)
    code = key_add(keys, o->api_keys.items[i], strlen(o->api_keys.items[i]));
  for (size_t i = 0; !code && i < o->api_key_files.length; i++) code = keys_of_file(o->api_key_files.items[i], keys);
  const char *environment = getenv("GALE_API_KEY");
  if (!code && environment && *environment) code = key_add(keys, environment, strlen(environment));
  return code;
}

void keys_free(key_list *keys) {
  for (size_t i = 0; i < keys->n; i++) free(keys->keys[i]);
  free(keys->keys);
  *keys = (key_list){0};
}

/* In a time that depends on the length of what was sent alone. */
static bool same_key(const char *key, const char *sent, size_t n_sent) {
  size_t n = strlen(key);
  volatile size_t difference = n ^ n_sent;
  for (size_t i = 0; i < n_sent; i++) difference |= (unsigned char)(sent[i] ^ key[i % (n + 1)]);
  return difference == 0;
}

bool guard_key(serving *s, const key_list *keys, http_exchange *x) {
  if (!keys->n) return true;
  const char *sent = http_header(x, "x-api-key"), *authorization = http_header(x, "authorization");
  if (authorization && strncasecmp(authorization, "Bearer ", 7) == 0)
    sent = authorization + 7 + strspn(authorization + 7, " ");
  size_t found = 0, n = sent ? strlen(sent) : 0;
  for (size_t i = 0; i < keys->n; i++) found |= (size_t)(n > 0 && same_key(keys->keys[i], sent, n));
  if (found) return true;
  serve_fail(s, x, FAILURE_KEY, NULL,
             sent ? "the API key is wrong" : "an API key is needed: Authorization: Bearer KEY");
  return false;
}

/* ---- Host and Origin ---- */

static bool listed(const text_list *list, const char *name, size_t n) {
  for (size_t i = 0; i < list->length; i++)
    if (strlen(list->items[i]) == n && strncasecmp(list->items[i], name, n) == 0) return true;
  return false;
}

/* The part of a Host header before its port. */
static size_t host_length(const char *host) {
  size_t n = host[0] == '[' ? strcspn(host, "]") : strcspn(host, ":");
  if (host[0] == '[' && host[n]) n++;
  return host[n] && (host[n] != ':' || host[n + 1 + strspn(host + n + 1, "0123456789")]) ? 0 : n;
}

/* Names may be made to lead here by whoever owns them, for the sake of pages that were loaded from there; addresses
 * lead nowhere else. */
static bool host_allowed(const options *o, const char *host) {
  char address[64];
  unsigned char parsed[16];
  size_t n = host_length(host);
  if (n == 0) return false;
  if ((n == 9 && strncasecmp(host, "localhost", 9) == 0) || listed(&o->allow_hosts, host, n)) return true;
  bool is_6 = host[0] == '[';
  if (n >= sizeof address || (is_6 && host[n - 1] != ']')) return false;
  memcpy(address, host + is_6, n - 2 * (size_t)is_6);
  address[n - 2 * (size_t)is_6] = 0;
  return inet_pton(is_6 ? AF_INET6 : AF_INET, address, parsed) == 1;
}

static bool same_site(const char *origin, const char *host) {
  const char *authority = strstr(origin, "://");
  return authority && host && strcasecmp(authority + 3, host) == 0;
}

static void add_cors(http_exchange *x, const char *origin) {
  http_add_header(x, "Access-Control-Allow-Origin", origin);
  http_add_header(x, "Access-Control-Expose-Headers", "x-request-id, request-id, x-gale-seed, retry-after");
  http_add_header(x, "Vary", "Origin");
}

/* A browser asks whether a page may send what it wants to. */
static void answer_preflight(http_exchange *x) {
  const char *headers = http_header(x, "access-control-request-headers");
  http_add_header(x, "Access-Control-Allow-Methods", "GET, POST");
  if (headers) http_add_header(x, "Access-Control-Allow-Headers", headers);
  http_add_header(x, "Access-Control-Max-Age", "600");
  http_respond(x, 204, NULL, NULL, 0);
}

bool guard_origin(serving *s, http_exchange *x) {
  const options *o = s->options;
  const char *host = http_header(x, "host"), *origin = http_header(x, "origin");
  if (http_header_count(x, "host") > 1 || (!host && http_version(x) > 10)) {
    serve_refuse(s, x, FAILURE_MESSAGE, NULL, "one Host header is needed", true);
    return false;
  }
  if (host && !host_allowed(o, host)) {
    serve_fail(s, x, FAILURE_FORBIDDEN, NULL, "the Host is not localhost, an address, or one of --allow-host");
    return false;
  }
  if (!origin) return true;
  bool cors = listed(&o->cors, origin, strlen(origin));
  if (http_header_count(x, "origin") > 1 || (!cors && !same_site(origin, host))) {
    serve_fail(s, x, FAILURE_FORBIDDEN, NULL, "pages of this origin may not use the server: --cors lets them");
    return false;
  }
  if (cors) add_cors(x, origin);
  bool preflight = strcmp(http_method(x), "OPTIONS") == 0 && http_header(x, "access-control-request-method");
  if (!cors || !preflight) return true;
  answer_preflight(x);
  return false;
}

/* ---- Bodies ---- */

static bool is_json(const char *type) {
  static const char json[] = "application/json";
  size_t n = sizeof json - 1;
  return strncasecmp(type, json, n) == 0 && (!type[n] || strchr("; \t", type[n]));
}

bool guard_body(serving *s, http_exchange *x) {
  const char *type = http_header(x, "content-type"), *encoding = http_header(x, "content-encoding");
  if (encoding && strcasecmp(encoding, "identity") != 0)
    serve_fail(s, x, FAILURE_TYPE, NULL, "Content-Encoding: bodies are not compressed");
  else if (type && (!is_json(type) || http_header_count(x, "content-type") > 1))
    serve_fail(s, x, FAILURE_TYPE, NULL, "Content-Type: application/json is accepted");
  else if (!http_header(x, "content-length") && !http_header(x, "transfer-encoding"))
    serve_fail(s, x, FAILURE_LENGTH, NULL, "Content-Length is missing");
  else
    return true;
  return false;
}
