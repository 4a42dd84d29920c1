/* The paged key/value cache of a session: which page holds which positions of which sequence.
 *
 * Layers are grouped by their window; each group has, for each sequence, a ring of n_slots entries that says where the
 * page of positions p .. p + KV_PAGE - 1 is. A page that lies wholly outside the window of every later token goes back
 * to the pool, so a sequence never holds more than n_slots pages of a group: ceil((window + chunk) / KV_PAGE) + 1, or
 * what the whole context takes. Pages are counted by the sequences that hold them; a shared page is copied before it is
 * written.
 *
 * All groups take their pages from one pool, whose size is the session's budget. Their pages are of one size: where
 * windows differ, the layers of each window are cut into groups of as many layers as divides all their numbers. So a
 * page that one group gives back serves any other, and whatever mix of long and short texts a session gets can use all
 * of its memory. */
#ifndef ENGINE_CACHE_H
#define ENGINE_CACHE_H

#include "backend/backend.h"
#include "model/config.h"

typedef struct cache_group {
  int32_t window;       /* 0: none */
  int32_t n_slots;      /* of a sequence's ring */
  int32_t *tables;      /* [max_sequences][n_slots] pages, -1: none */
  int32_t *first, *end; /* [max_sequences] page numbers (position / KV_PAGE) held: first .. end - 1 */
} cache_group;

typedef struct cache {
  const be_device *device;
  int32_t max_sequences, n_groups;
  cache_group *groups;
  kv_view *views; /* [n_layers] */
  size_t page_bytes;
  int32_t n_pages;
  char *pool;          /* [n_pages][page_bytes], memory of the device */
  int32_t *references; /* [n_pages] */
  int32_t *free_pages; /* [n_pages], the first n_free are free; last in, first out */
  int32_t n_free;
  int32_t peak_pages; /* the most that were held */
} cache;

typedef struct cache_options {
  gale_kv_type type;
  int32_t context, window, chunk, max_sequences; /* window as in gale_session_options */
  uint64_t bytes;                                /* of the pool; 0: the default of gale_session_options */
} cache_options;

/* Reserves everything. c must be zeroed; on failure cache_close() releases what there is. */
gale_status cache_open(cache *c, const model_config *m, const be_device *device, const cache_options *o,
                       gale_error *error);
void cache_close(cache *c);

/* n more positions, at most a chunk, of a sequence that has `length`. */
typedef struct cache_growth {
  int32_t sequence, length, n;
} cache_growth;

/* How many pages cache_extend() would take. The sequences differ. */
int64_t cache_pages_needed(const cache *c, const cache_growth *growths, size_t n_growths);

/* Makes room for all of the positions: afterwards their pages are the sequences' alone. False, and nothing done, if too
 * few pages are free. */
bool cache_extend(cache *c, const cache_growth *growths, size_t n_growths);

/* Appends n positions to an empty sequence as computing them would, but with the byte everywhere in their pages. False,
 * and the sequence empty, if too few pages are free. */
bool cache_fill(cache *c, int32_t sequence, int32_t n, int32_t chunk, uint8_t byte);

/* The first page that a token at position length or later sees. */
int32_t cache_first_needed(const cache_group *g, int32_t length);

/* Gives back the pages that no token from position length on can see. */
void cache_trim(cache *c, int32_t sequence, int32_t length);

/* Whether cache_truncate() to that length, at most the sequence's own, would be done. */
bool cache_reaches(const cache *c, int32_t sequence, int32_t length);

/* Forgets positions from length on. False, and nothing done, if a window has let go of what a token at
 * position length must see. */
bool cache_truncate(cache *c, int32_t sequence, int32_t length);

/* Gives back all pages of a sequence. */
void cache_clear(cache *c, int32_t sequence);

/* Marks a sequence's pages in marks [n_pages]. Returns how many of them were not marked before. */
int32_t cache_mark(const cache *c, int32_t sequence, bool *marks);

/* Makes the empty sequence `to` share all pages of `from`. */
void cache_share(cache *c, int32_t from, int32_t to);

#endif
