/* What the endpoints of the server share: the model and its engine, the family of APIs that an endpoint belongs to,
 * and errors in that family's form. All of it is for the loop's thread alone. */
#ifndef GALE_SERVE_SERVE_H
#define GALE_SERVE_SERVE_H

#include "gale/cli/options.h"
#include "gale/http/http.h"
#include "gale_engine.h"

/* Whose clients an endpoint speaks to: it decides the form of answers and of errors. */
typedef enum api_family { API_OPENAI, API_MISTRAL, API_ANTHROPIC, API_OLLAMA } api_family;

typedef struct serving serving;

/* What requests may ask for; of the command line. */
typedef struct request_limits {
  int depth; /* of JSON */
  int32_t n, stop, tools;
} request_limits;

/* An endpoint: a row of the table in endpoints.c. */
typedef struct endpoint {
  const char *method, *path; /* a path that ends with an asterisk has anything in its place */
  api_family family;
  bool open; /* needs no key, and no model that is loaded */
  /* Answers the exchange, or keeps it and answers later. */
  void (*run)(serving *s, http_exchange *x);
  /* Of an exchange that was kept: the client has gone. May be NULL. */
  void (*gone)(serving *s, http_exchange *x);
  /* Of an exchange that was kept: its stream has been quiet for a while. May be NULL. */
  void (*quiet)(serving *s, http_exchange *x);
} endpoint;

extern const endpoint endpoint_table[]; /* ended by a row without a path */

struct serving {
  const options *options;
  http_server *http;
  gale_model *model; /* NULL while it loads */
  gale_engine *engine;
  const gale_tokenizer *tokenizer;
  gale_model_info info;
  const char *template_name; /* of prompts; NULL: none is known */
  const char *const *names;  /* [n_names] under which the model may be asked for; the first is the one that is served */
  size_t n_names;
  bool any_name;
  int32_t context; /* positions of one request */
  request_limits limits;
  gale_pooling pooling; /* of embeddings */
  bool draining;
  int64_t created; /* seconds since 1970 when the model was loaded */
  struct metrics *metrics;
  struct answering *answering; /* answer.h: exchanges whose requests are with the engine, constraints that are kept */
};

/* ---- Errors ---- */

/* Why a request is refused, as SERVE.md's table of errors has it: a row of the table in failures.c. */
typedef enum failure {
  FAILURE_FIELD,       /* 400: a field has no such value */
  FAILURE_JSON,        /* 400 invalid_json */
  FAILURE_CONTEXT,     /* 400 context_length_exceeded */
  FAILURE_TEMPLATE,    /* 400 chat_template_unknown */
  FAILURE_UNSUPPORTED, /* 400 unsupported */
  FAILURE_LIMIT,       /* 400 limit_exceeded */
  FAILURE_KEY,         /* 401 */
  FAILURE_FORBIDDEN,   /* 403 */
  FAILURE_MODEL,       /* 404 model_not_found */
  FAILURE_PATH,        /* 404 not_found */
  FAILURE_METHOD,      /* 405 */
  FAILURE_TIMEOUT,     /* 408 */
  FAILURE_LENGTH,      /* 411 */
  FAILURE_TOO_LARGE,   /* 413 */
  FAILURE_URI,         /* 414 */
  FAILURE_TYPE,        /* 415 */
  FAILURE_HEADERS,     /* 431 */
  FAILURE_MESSAGE,     /* 400: no message of HTTP */
  FAILURE_NUMERIC,     /* 500 numeric */
  FAILURE_DEAD_END,    /* 500 grammar_dead_end */
  FAILURE_NOT_THERE,   /* 501: what Ollama does to its store */
  FAILURE_QUEUE,       /* 503 queue_full, with Retry-After as the others of 503 */
  FAILURE_LOADING,     /* 503 loading */
  FAILURE_DRAINING,    /* 503 shutting_down */
  FAILURE_MEMORY,      /* 503 out_of_memory */
} failure;

/* The family of a path, for errors too. */
api_family family_of(const char *path);

/* What a failure is called; strings are static. */
typedef struct failure_words {
  int status;
  const char *type, *code;    /* OpenAI's and Mistral's; code may be NULL */
  const char *anthropic_type; /* Anthropic's */
} failure_words;
const failure_words *failure_get(failure f);

/* The body of an error: JSON, ended by NUL, to be freed; NULL without memory. param: the path of a field, or NULL. */
char *failure_body(api_family family, failure f, const char *param, const char *message, const char *request_id);

/* Answers with an error. */
void serve_fail(serving *s, http_exchange *x, failure f, const char *param, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* The same with a whole message; close: the connection is closed behind it. */
void serve_refuse(serving *s, http_exchange *x, failure f, const char *param, const char *message, bool close);

/* ---- The command ---- */

/* Serves until it is asked to end. Returns the exit status. */
int serve_run(const options *o);

#endif
