#include "gale/pull/web.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MOST_REDIRECTS = 10 };

struct web {
  CURL *curl;
  char *authorization; /* a header; NULL: none */
  bool (*stop)(void);
};

/* A request on its way. */
typedef struct exchange {
  web *w;
  web_answer *answer;
  web_sink sink;
  void *user;
  bool refused; /* by the sink */
} exchange;

static int progress(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
  (void)a, (void)b, (void)c, (void)d;
  const web *w = user;
  return w->stop && w->stop();
}

web *web_open(const char *token, bool (*stop)(void)) {
  web *w = calloc(1, sizeof *w);
  if (!w) return NULL;
  w->stop = stop;
  w->curl = curl_global_init(CURL_GLOBAL_DEFAULT) ? NULL : curl_easy_init();
  int n = token ? asprintf(&w->authorization, "Authorization: Bearer %s", token) : 0;
  if (n < 0) w->authorization = NULL;
  if (!w->curl || n < 0) web_close(&w);
  return w;
}

void web_close(web **w) {
  if (!*w) return;
  if ((*w)->curl) curl_easy_cleanup((*w)->curl);
  curl_global_cleanup();
  free((*w)->authorization);
  free(*w);
  *w = NULL;
}

/* ---- Headers ---- */

/* The value of a header line if it has that name, without white space around it; NULL otherwise. */
static const char *value_of(const char *line, size_t n, const char *name, size_t *length) {
  size_t m = strlen(name);
  if (n <= m || strncasecmp(line, name, m) != 0 || line[m] != ':') return NULL;
  const char *value = line + m + 1, *end = line + n;
  while (value < end && (*value == ' ' || *value == '\t')) value++;
  while (end > value && strchr(" \t\r\n", end[-1])) end--;
  *length = (size_t)(end - value);
  return value;
}

static void copy_value(char *to, size_t size, const char *value, size_t n) {
  if (n < size) snprintf(to, size, "%.*s", (int)n, value);
}

/* W/"abc" and "abc" are abc. */
static void copy_etag(char *to, size_t size, const char *value, size_t n) {
  if (n > 2 && value[0] == 'W' && value[1] == '/') value += 2, n -= 2;
  if (n >= 2 && *value == '"' && value[n - 1] == '"') value++, n -= 2;
  copy_value(to, size, value, n);
}

static int64_t number_of(const char *value, size_t n) {
  char text[24];
  if (n == 0 || n >= sizeof text || strspn(value, "0123456789") < n) return -1;
  snprintf(text, sizeof text, "%.*s", (int)n, value);
  return strtoll(text, NULL, 10);
}

static size_t take_header(char *line, size_t size, size_t count, void *user) {
  const exchange *x = user;
  web_answer *a = x->answer;
  size_t total = size * count, n;
  const char *value;
  long status = 0;
  curl_easy_getinfo(x->w->curl, CURLINFO_RESPONSE_CODE, &status);
  a->status = status;
  if ((value = value_of(line, total, "x-repo-commit", &n)) && !*a->commit)
    copy_value(a->commit, sizeof a->commit, value, n);
  if ((value = value_of(line, total, "x-linked-etag", &n))) copy_etag(a->etag, sizeof a->etag, value, n);
  if ((value = value_of(line, total, "etag", &n)) && !*a->etag) copy_etag(a->etag, sizeof a->etag, value, n);
  if ((value = value_of(line, total, "x-linked-size", &n))) a->size = number_of(value, n);
  if ((value = value_of(line, total, "content-length", &n)) && a->size < 0 && status == 200)
    a->size = number_of(value, n);
  if ((value = value_of(line, total, "retry-after", &n))) a->retry_after = number_of(value, n);
  if ((value = value_of(line, total, "content-range", &n)) && n > 6 && strncasecmp(value, "bytes ", 6) == 0)
    a->begins = number_of(value + 6, strcspn(value + 6, "-/"));
  return total;
}

static size_t take_body(char *bytes, size_t size, size_t count, void *user) {
  exchange *x = user;
  if (!x->sink || (x->answer->status >= 300 && x->answer->status < 400)) return size * count;
  if (x->sink(x->user, x->answer, bytes, size * count)) return size * count;
  x->refused = true;
  return 0;
}

/* ---- Redirects ---- */

/* Scheme, host and port of a URL. */
static size_t origin_length(const char *url) {
  const char *host = strstr(url, "://");
  return host ? (size_t)(host + 3 - url) + strcspn(host + 3, "/?#") : 0;
}

static bool same_origin(const char *a, const char *b) {
  size_t n = origin_length(a);
  return n > 0 && n == origin_length(b) && strncasecmp(a, b, n) == 0;
}

/* One request without redirects. */
static CURLcode perform(exchange *x, const char *url, int64_t from, bool with_token) {
  CURL *c = x->w->curl;
  struct curl_slist *headers = curl_slist_append(NULL, "Accept-Encoding: identity");
  if (with_token && x->w->authorization) headers = curl_slist_append(headers, x->w->authorization);
  char range[32];
  snprintf(range, sizeof range, "%lld-", (long long)from);
  curl_easy_reset(c);
  curl_easy_setopt(c, CURLOPT_URL, url);
  curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(c, CURLOPT_NOBODY, x->sink ? 0L : 1L);
  curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
  if (from > 0) curl_easy_setopt(c, CURLOPT_RANGE, range);
  curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, take_header);
  curl_easy_setopt(c, CURLOPT_HEADERDATA, x);
  curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body);
  curl_easy_setopt(c, CURLOPT_WRITEDATA, x);
  curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, progress);
  curl_easy_setopt(c, CURLOPT_XFERINFODATA, x->w);
  curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, 20L);
  curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, 60L);
  curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(c, CURLOPT_USERAGENT, "gale");
  CURLcode code = curl_easy_perform(c);
  curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &x->answer->status);
  curl_slist_free_all(headers);
  return code;
}

/* Where the answer leads, for the caller to free; NULL: nowhere. */
static char *next_url(const web *w) {
  char *next = NULL;
  curl_easy_getinfo(w->curl, CURLINFO_REDIRECT_URL, &next);
  return next ? strdup(next) : NULL;
}

bool web_request(web *w, const char *url, int64_t from, web_sink sink, void *user, web_answer *answer) {
  *answer = (web_answer){.size = -1, .retry_after = -1};
  exchange x = {.w = w, .answer = answer, .sink = sink, .user = user};
  char *at = strdup(url);
  CURLcode code = CURLE_OK;
  for (int i = 0; at && i <= MOST_REDIRECTS; i++) {
    code = perform(&x, at, from, same_origin(url, at));
    bool redirected = code == CURLE_OK && answer->status >= 300 && answer->status < 400;
    char *next = redirected ? next_url(w) : NULL;
    /* What a HEAD request asks for is said by the hub itself, before it leads to where the bytes are. */
    bool away = next && !same_origin(url, next);
    free(at);
    at = next && (sink || !away) ? next : NULL;
    if (!at) free(next);
  }
  bool too_many = at != NULL;
  free(at);
  if (code == CURLE_OK && !too_many) return true;
  if (code != CURLE_OK && !x.refused) snprintf(answer->why, sizeof answer->why, "%s", curl_easy_strerror(code));
  if (too_many) snprintf(answer->why, sizeof answer->why, "more than %d redirects", MOST_REDIRECTS);
  return false;
}
