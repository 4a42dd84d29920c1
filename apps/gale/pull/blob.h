/* A file of a repository, on its way into the cache: BLOBS/ETAG.incomplete until its bytes are all there and have the
 * hash that the hub states, then BLOBS/ETAG. */
#ifndef GALE_PULL_BLOB_H
#define GALE_PULL_BLOB_H

#include "gale/cli/console.h"
#include "gale/pull/web.h"

typedef struct blob {
  const char *url, *name; /* the file's, for messages */
  const char *folder;     /* BLOBS */
  const char *locks;      /* the folder of the files that are locked meanwhile */
  const char *etag;       /* 64 hexadecimal digits: its SHA-256; 40: git's hash of it */
  int64_t size;           /* -1: not known */
  int64_t done;           /* so far */
  void (*progress)(void *user, const struct blob *b);
  void *user;
} blob;

/* What a hub calls the file can be checked: 40 or 64 hexadecimal digits. */
bool blob_etag_ok(const char *etag);

/* Does nothing if the blob is there. Goes on where an earlier call ended. Returns 0, or an exit status after saying
 * what is wrong; what came so far stays for the next call, unless its hash is wrong. */
int blob_fetch(web *w, blob *b);

/* "gale: ...": what an answer that is not 200 means; returns the exit status. */
int web_fail(const web_answer *answer, const char *what);

#endif
