/* The prefix cache on disk: whole pages of texts, in files that processes share and that survive them.
 *
 * A file holds the page of all layers with one window, KV_PAGE positions; its name is a hash of all that its bytes
 * depend on: model, layout, salt, and the ids up to its end. Files are checked by sums when they are read; one that is
 * damaged is removed, and its page is computed.
 *
 * The engine's thread calls all of these. It copies pages to memory that is bounded, from where a thread of the cache
 * writes them; another one reads files into pages of a sequence that nobody else uses meanwhile. Where pages come
 * faster than they are written, some are left out; they are written when a text that has them is used again. Nothing
 * that goes wrong with files fails a request. */
#ifndef SCHEDULE_DISK_CACHE_H
#define SCHEDULE_DISK_CACHE_H

#include "engine/session_pages.h"
#include "schedule/page_store.h"

#include <pthread.h>
#include <stdatomic.h>

typedef enum disk_reading { DISK_IDLE, DISK_READING, DISK_READ, DISK_FAILED } disk_reading;

/* A text that has a sequence, as the cache knows it. */
typedef struct disk_text {
  const int32_t *ids;
  page_hash salt;    /* of what comes before the first page */
  page_hash *hashes; /* [n_hashes]: of its pages, as far as they were needed */
  int32_t n_hashes, room;
  int32_t saved;   /* pages that are written, or given to be */
  int32_t doubted; /* pages from here on are written even if there are files of them; the caller's to set */
  int64_t when;    /* it was begun, nanoseconds since 1970 */

  int32_t sequence;     /* into whose pages it is read; -1: it is not */
  int32_t first, end;   /* those pages */
  disk_reading reading; /* under the cache's lock */
  int32_t failed;       /* the page that could not be read */
  atomic_bool unwanted;
  struct disk_text *next;
} disk_text;

typedef struct page_job page_job;

typedef struct disk_cache {
  gale_session *session; /* NULL: there is no cache on disk */
  page_store store;
  digest key;
  size_t most_queued;
  pthread_t writer, reader;
  bool writes, reads; /* the threads were started */

  pthread_mutex_t lock; /* of what follows */
  pthread_cond_t work, done;
  page_job *jobs, **last_job, *spare; /* to be written, and memory of those that were */
  size_t queued;                      /* bytes of both */
  disk_text *texts, **last_text;      /* to be read, */
  disk_text *current;                 /* and the one that is being read */
  bool closing;
} disk_cache;

/* d must be zeroed. On failure disk_cache_close() releases what there is. */
gale_status disk_cache_open(disk_cache *d, gale_session *session, const char *directory, uint64_t limit,
                            gale_error *error);
/* Waits until all is written. No text is being read. */
void disk_cache_close(disk_cache *d);

/* A text with these ids, which may move when they become more: disk_text.ids is the caller's to keep. NULL without
 * memory, or without a cache. */
disk_text *disk_text_open(const disk_cache *d, const char *salt, const int32_t *ids);
void disk_text_close(disk_text *t);

/* How many of the first `most` positions can be read: a multiple of KV_PAGE. */
int32_t disk_cache_find(const disk_cache *d, disk_text *t, int32_t most);

/* Begins to read what session_reserve() made room for, up to a length that disk_cache_find() gave. */
void disk_cache_read(disk_cache *d, disk_text *t, int32_t sequence, int32_t length);
/* What has become of it. */
disk_reading disk_cache_state(disk_cache *d, const disk_text *t);
/* Ends the reading, if need be before all is read. */
void disk_cache_stop(disk_cache *d, disk_text *t);
/* Waits until some text was read or could not be, for a few milliseconds at most. */
void disk_cache_wait(disk_cache *d);

/* Hands out at most so many whole pages of the text, of which the sequence has n positions, to be written unless they
 * are there. */
void disk_cache_save(disk_cache *d, disk_text *t, int32_t sequence, int32_t n, int32_t most);

#endif
