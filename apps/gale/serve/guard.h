/* What is looked at before a request's body is: keys, Host and Origin, and what the body is said to be. */
#ifndef GALE_SERVE_GUARD_H
#define GALE_SERVE_GUARD_H

#include "gale/serve/serve.h"

/* The keys of the command line, of its files, and of the environment. */
typedef struct key_list {
  char **keys; /* [n], to be freed with keys_free() */
  size_t n;
} key_list;

/* Returns 0, or an exit status after saying what is wrong. */
int keys_read(const options *o, key_list *keys);
void keys_free(key_list *keys);

/* The host and the page that a request comes from; answers a preflight. False: it is answered. */
bool guard_origin(serving *s, http_exchange *x);
/* False: it lacks a key, which it was told. */
bool guard_key(serving *s, const key_list *keys, http_exchange *x);
/* False: its body is none that is taken, which it was told. */
bool guard_body(serving *s, http_exchange *x);

#endif
