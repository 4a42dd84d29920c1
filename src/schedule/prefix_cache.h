/* Sequences that are kept when their answers are over, so that texts that begin alike need not be computed again.
 *
 * A text is found by its pages: the hash of each, chained over those before it and the salt, leads to the texts that
 * have it, whose ids are then compared. Pages are shared as forks share them. Space is made by cutting the text that
 * was kept longest ago from its end, a page at a time: whoever uses a part of a text is kept anew with that part, so a
 * page's age is that of its last use, and it goes after those that follow it.
 *
 * A text can be continued from a place if each group of layers still has the pages that its window needs there. Where
 * layers have windows, whoever computes a text keeps a fork of it at places that others may begin from. */
#ifndef SCHEDULE_PREFIX_CACHE_H
#define SCHEDULE_PREFIX_CACHE_H

#include "base/keyed_hash.h"
#include "engine/session.h"

/* A page of a text, in the list of its bucket. */
typedef struct cached_page {
  struct cached_page *next, **before; /* before: what points at it */
  uint64_t hash;
  int32_t text, index;
} cached_page;

typedef struct cached_text {
  int32_t sequence; /* -1: the place is free */
  int32_t length;
  int32_t *ids;       /* [length] */
  cached_page *pages; /* [length / KV_PAGE] */
  char *salt;
  uint64_t used;
} cached_text;

typedef struct prefix_cache {
  gale_session *session;
  cached_text *texts; /* [most] */
  int32_t most, n;
  bool windows; /* some layers have one */
  cached_page **buckets;
  size_t n_buckets; /* a power of two */
  uint64_t *hashes; /* [context / KV_PAGE + 1]: of the text that is looked for */
  hash_key key;
  uint64_t clock;
  uint64_t evicted; /* pages cut off */
} prefix_cache;

/* most: texts that are kept at a time; 0: none ever. p must be zeroed; on failure prefix_cache_close() releases what
 * there is. */
gale_status prefix_cache_open(prefix_cache *p, gale_session *session, int32_t most, gale_error *error);
void prefix_cache_close(prefix_cache *p);

/* A beginning of a text that is there. */
typedef struct prefix_found {
  int32_t sequence, length; /* a fork of it can be cut to that; length 0: there is none */
  int32_t known;            /* positions that some text has in common, whether or not it can be continued from there */
} prefix_found;

/* The longest beginning, of at least a page, of n ids. */
prefix_found prefix_cache_find(prefix_cache *p, const char *salt, const int32_t *ids, int32_t n);

/* Takes over a sequence that has these ids; it is closed at once where keeping it brings nothing. salt is never NULL.
 */
void prefix_cache_keep(prefix_cache *p, int32_t sequence, const char *salt, const int32_t *ids);

/* Keeps a fork of a sequence that has these ids. */
void prefix_cache_fork(prefix_cache *p, int32_t sequence, const char *salt, const int32_t *ids);

/* Cuts texts until so many bytes of pages are free. False if there is nothing left to cut. */
bool prefix_cache_shrink(prefix_cache *p, uint64_t bytes);

/* Forgets all texts. */
void prefix_cache_clear(prefix_cache *p);

#endif
