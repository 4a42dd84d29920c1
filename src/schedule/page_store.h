/* A directory of files of pages that processes share: how much is in it, and what goes first.
 *
 * A small file of its own holds the secret key of the names' hashes, so that who does not know it cannot make texts
 * that collide, and how many bytes all files take; a lock (flock) on it guards the count, which is raised before a file
 * is there. So a process that is killed leaves it too high at most; each removal of old files, and each opening, counts
 * anew. Files that were not used for longest go first, by their times of change, which are set at each use. */
#ifndef SCHEDULE_PAGE_STORE_H
#define SCHEDULE_PAGE_STORE_H

#include "base/fresh_file.h"
#include "base/keyed_hash.h"

#include <stdatomic.h>

/* What the names of files that are being written begin with. */
#define PAGE_UNFINISHED "paging-"

typedef struct page_store {
  char *directory;
  int fd, lock_fd; /* the directory; its file with key and count. -1: none */
  uint64_t limit;  /* bytes */
  hash_key keys[2];
  atomic_ullong bytes, removed; /* in all files, when last looked; files that this process removed to make room */
} page_store;

/* A chained hash: names a page by all that comes before it. */
typedef struct page_hash {
  uint64_t half[2];
} page_hash;

/* Makes the directory unless it is there. On failure s holds nothing. */
gale_status page_store_open(page_store *s, const char *directory, uint64_t limit, gale_error *error);
void page_store_close(page_store *s);

/* The hash of what comes before, and n bytes. */
page_hash page_store_hash(const page_store *s, const page_hash *before, const void *bytes, size_t n);

enum { PAGE_NAME = 64 };

/* The name of the file with a page of the layers with a window. */
void page_store_name(char name[PAGE_NAME], const page_hash *hash, int32_t window);

/* Notes that a file was used then, in nanoseconds since 1970. False if there is no such file. Thread-safe. */
bool page_store_touch(const page_store *s, const char *name, int64_t when);

/* Begins a file that will take at most so many bytes, for which room is made. The count includes it from now on. */
gale_status page_store_create(page_store *s, fresh_file *f, uint64_t bytes, gale_error *error);
/* After page_store_create(): gives the file its name and time of use. */
gale_status page_store_commit(page_store *s, fresh_file *f, const char *name, int64_t when, gale_error *error);

/* Removes a file that is damaged, or is none of the user's own. Thread-safe. */
void page_store_remove(page_store *s, const char *name);

#endif
