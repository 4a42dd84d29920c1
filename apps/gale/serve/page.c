/* GET /, the web page, /web/..., what it is made of, and /openapi.json: the files of the folder web. */
#include "gale/serve/endpoints.h"
#include "gale/serve/web_files.h"

#include <string.h>

static const char *const headers[][2] = {
    {"Content-Security-Policy",
     "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"},
    {"X-Content-Type-Options", "nosniff"},
    {"Referrer-Policy", "no-referrer"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {"Cache-Control", "no-cache"},
};

static const web_file *find(const char *path) {
  for (const web_file *f = web_files; f->path; f++)
    if (strcmp(f->path, path) == 0) return f;
  return NULL;
}

/* f NULL: there is no such file. */
static void respond(serving *s, http_exchange *x, const web_file *f) {
  if (!f) {
    serve_fail(s, x, FAILURE_PATH, NULL, "%s: there is no such path", http_path(x));
    return;
  }
  for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) http_add_header(x, headers[i][0], headers[i][1]);
  http_add_header(x, "ETag", f->tag);
  const char *known = http_header(x, "if-none-match");
  if (known && strstr(known, f->tag))
    http_respond(x, 304, NULL, "", 0);
  else
    http_respond_static(x, 200, f->type, f->bytes, (size_t)(f->end - f->bytes));
}

void page_run(serving *s, http_exchange *x) {
  respond(s, x, s->options->no_web ? NULL : find("index.html"));
}

void page_file_run(serving *s, http_exchange *x) {
  respond(s, x, s->options->no_web ? NULL : find(http_path(x) + strlen("/web/")));
}

void openapi_run(serving *s, http_exchange *x) {
  respond(s, x, find("openapi.json"));
}
