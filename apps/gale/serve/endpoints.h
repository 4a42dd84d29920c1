/* What the endpoints are called: rows of the table in endpoints.c. */
#ifndef GALE_SERVE_ENDPOINTS_H
#define GALE_SERVE_ENDPOINTS_H

#include "gale/serve/serve.h"

/* The row of a request. NULL: there is none; then *allow, of allow_size bytes, lists the methods that the path has: ""
 * for a path that is not there. */
const endpoint *endpoint_find(const char *method, const char *path, char *allow, size_t allow_size);

void health_run(serving *s, http_exchange *x);
void ready_run(serving *s, http_exchange *x);
void page_run(serving *s, http_exchange *x);
void page_file_run(serving *s, http_exchange *x);
void openapi_run(serving *s, http_exchange *x);
void info_run(serving *s, http_exchange *x);
void metrics_run(serving *s, http_exchange *x);
void models_run(serving *s, http_exchange *x);
void model_run(serving *s, http_exchange *x);
void tokenize_run(serving *s, http_exchange *x);
void detokenize_run(serving *s, http_exchange *x);
void tokenizer_info_run(serving *s, http_exchange *x);

#endif
