/* Models that lie on this machine: gale's own folder, and the stores of other tools, which are read where they are and
 * never written or locked. A store is a file and a row of the table in stores.c. */
#ifndef GALE_STORES_STORE_H
#define GALE_STORES_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum store_status {
  STORE_FOUND,
  STORE_NONE,   /* no such model; why is empty */
  STORE_FAILED, /* it cannot be used: why says so */
  STORE_MEMORY,
} store_status;

/* A model that was found. Strings are the caller's, by store_model_free(). */
typedef struct store_model {
  char *path;     /* as gale_model_open() takes it */
  uint64_t bytes; /* of its weights' files */
  /* What an Ollama model states beside its weights: files that lie there, NULL without. */
  char *params, *system, *template;
  char why[768]; /* with STORE_FAILED */
} store_model;

void store_model_free(store_model *m);

/* Names, in the order in which they were found; each is what find() takes. */
typedef struct store_names {
  char **items;
  size_t length;
  bool failed; /* without memory */
} store_names;

void store_names_add(store_names *to, const char *format, ...) __attribute__((format(printf, 2, 3)));
void store_names_free(store_names *names);

typedef struct store {
  const char *name;  /* in front of the colon */
  bool plain, parts; /* a bare name without, or with a slash is looked for here */
  /* *m is zeroed before. name follows the rules of store_name_ok(). */
  store_status (*find)(const char *name, store_model *m);
  void (*list)(store_names *names);
  /* Writes the folder that is looked into, for messages. */
  char *(*root)(void);
} store;

extern const store store_own, store_ollama, store_hf, store_lmstudio, store_llamacpp;
extern const store *const store_table[]; /* in the order in which bare names are looked for; ended by NULL */

/* Characters A-Z, a-z, 0-9, '.', '_', '-', and of `more`; parts between slashes are not empty, "." or "..". */
bool store_name_ok(const char *name, const char *more);

/* ORG/NAME[@REV][:TAG], taken apart. */
typedef struct hf_name {
  char *repo;      /* ORG/NAME */
  char *folder;    /* models--ORG--NAME */
  char *rev, *tag; /* NULL: not given */
} hf_name;
/* False if it is none, or without memory. The caller frees it either way. */
bool hf_name_read(const char *name, hf_name *n);
void hf_name_free(hf_name *n);

/* NAME without a store in front, or STORE:NAME: where it is. *from is the store that has it. */
store_status store_resolve(const char *name, store_model *m, const store **from);

#endif
