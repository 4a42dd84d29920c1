/* Requests to a hub over HTTP. https://curl.se/libcurl does them; redirects are followed here, so that the token never
 * leaves the host that it is for. */
#ifndef GALE_PULL_WEB_H
#define GALE_PULL_WEB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct web web;

/* What came of a request. Strings are "" where there is none. */
typedef struct web_answer {
  long status; /* of HTTP; 0: no answer came, and why says what happened */
  char why[256];
  char commit[128]; /* X-Repo-Commit, X-Linked-Etag else ETag without quotes, and X-Linked-Size else Content-Length: of
                     */
  char etag[128];   /* the first answer that has them, before redirects that leave the host */
  int64_t size;     /* -1: not said */
  int64_t begins;   /* of a part (206): where it begins; else 0 */
  int64_t retry_after; /* seconds; -1: not said */
} web_answer;

/* Takes bytes of a body; false stops. status is the answer's. */
typedef bool (*web_sink)(void *user, const web_answer *answer, const char *bytes, size_t n);

/* token may be NULL. NULL without memory. stop is asked now and then whether to give up. */
web *web_open(const char *token, bool (*stop)(void));
void web_close(web **w);

/* HEAD if sink is NULL, else GET, from byte `from` on. True if an answer came whole; the status may be any. */
bool web_request(web *w, const char *url, int64_t from, web_sink sink, void *user, web_answer *answer);

#endif
