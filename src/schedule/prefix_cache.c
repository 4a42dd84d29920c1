#include "schedule/prefix_cache.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

gale_status prefix_cache_open(prefix_cache *p, gale_session *session, int32_t most, gale_error *error) {
  size_t n_pages = (size_t)session->options.context / KV_PAGE + 1;
  p->session = session;
  for (int32_t i = 0; i < session->cache.n_groups; i++) p->windows |= session->cache.groups[i].window > 0;
  if (most == 0) return GALE_OK;
  p->n_buckets = 1024;
  while (p->n_buckets < (size_t)session->cache.n_pages) p->n_buckets *= 2;
  p->key = hash_key_random();
  p->texts = calloc((size_t)most, sizeof *p->texts);
  p->buckets = calloc(p->n_buckets, sizeof *p->buckets);
  p->hashes = malloc(n_pages * sizeof *p->hashes);
  if (!p->texts || !p->buckets || !p->hashes)
    return error_memory(error, (uint64_t)most * sizeof *p->texts + p->n_buckets * sizeof *p->buckets);
  p->most = most;
  for (int32_t i = 0; i < most; i++) p->texts[i].sequence = -1;
  return GALE_OK;
}

void prefix_cache_close(prefix_cache *p) {
  prefix_cache_clear(p);
  free(p->texts);
  free(p->buckets);
  free(p->hashes);
  *p = (prefix_cache){0};
}

/* ---- Pages ---- */

static void unlink_page(cached_page *page) {
  *page->before = page->next;
  if (page->next) page->next->before = page->before;
}

static cached_page **bucket_of(const prefix_cache *p, uint64_t hash) {
  return &p->buckets[hash & (p->n_buckets - 1)];
}

static void link_page(prefix_cache *p, cached_page *page) {
  cached_page **bucket = bucket_of(p, page->hash);
  page->next = *bucket;
  page->before = bucket;
  if (page->next) page->next->before = &page->next;
  *bucket = page;
}

/* Hashes the whole pages of a text. Returns how many there are. */
static int32_t hash_pages(prefix_cache *p, const char *salt, const int32_t *ids, int32_t n) {
  struct {
    uint64_t before;
    int32_t ids[KV_PAGE];
  } page = {.before = keyed_hash(&p->key, salt, strlen(salt))};
  for (int32_t i = 0; i < n / KV_PAGE; i++) {
    memcpy(page.ids, ids + (size_t)i * KV_PAGE, sizeof page.ids);
    page.before = p->hashes[i] = keyed_hash(&p->key, (const char *)&page, sizeof page);
  }
  return n / KV_PAGE;
}

/* ---- Texts ---- */

static void forget(prefix_cache *p, cached_text *t) {
  for (int32_t i = 0; i < t->length / KV_PAGE; i++) unlink_page(&t->pages[i]);
  gale_sequence_close(p->session, t->sequence, NULL);
  free(t->ids); /* NOLINT(clang-analyzer-unix.Malloc): another text's were freed */
  free(t->pages);
  free(t->salt);
  *t = (cached_text){.sequence = -1};
  p->n--;
}

void prefix_cache_clear(prefix_cache *p) {
  for (int32_t i = 0; i < p->most; i++)
    if (p->texts[i].sequence >= 0) forget(p, &p->texts[i]);
}

static cached_text *oldest(const prefix_cache *p) {
  cached_text *found = NULL;
  for (int32_t i = 0; i < p->most; i++) {
    cached_text *t = &p->texts[i];
    if (t->sequence >= 0 && (!found || t->used < found->used)) found = t;
  }
  return found;
}

/* Cuts off the last page, or what there is of it. */
static void cut(prefix_cache *p, cached_text *t) {
  int32_t length = (t->length - 1) / KV_PAGE * KV_PAGE, kept = 0;
  p->evicted++;
  if (length > 0) gale_sequence_truncate(p->session, t->sequence, length, &kept, NULL);
  if (kept == 0) {
    forget(p, t);
    return;
  }
  for (int32_t i = kept / KV_PAGE; i < t->length / KV_PAGE; i++) unlink_page(&t->pages[i]);
  t->length = kept;
}

bool prefix_cache_shrink(prefix_cache *p, uint64_t bytes) {
  const cache *c = &p->session->cache;
  if (p->n == 0) return false;
  while (p->n > 0 && (uint64_t)c->n_free * c->page_bytes < bytes) cut(p, oldest(p));
  return true;
}

/* ---- Finding ---- */

static int32_t common(const cached_text *t, const int32_t *ids, int32_t n) {
  int32_t i = 0, end = n < t->length ? n : t->length;
  while (i < end && t->ids[i] == ids[i]) i++;
  return i;
}

/* How much of the text can be continued, of at most n ids that it begins with, whole pages if not all. */
static int32_t usable(const prefix_cache *p, const cached_text *t, int32_t n) {
  const cache *c = &p->session->cache;
  if (cache_reaches(c, t->sequence, n)) return n;
  n = n / KV_PAGE * KV_PAGE;
  return n > 0 && cache_reaches(c, t->sequence, n) ? n : 0;
}

/* Whether the text can be continued from some place within that page or at the end of it, as far as its windows go:
 * comparing ids takes longer. */
static bool may_reach(const prefix_cache *p, const cached_text *t, int32_t page) {
  int32_t last = (page + 2) * KV_PAGE - 1;
  return cache_reaches(&p->session->cache, t->sequence, t->length < last ? t->length : last);
}

prefix_found prefix_cache_find(prefix_cache *p, const char *salt, const int32_t *ids, int32_t n) {
  prefix_found found = {.sequence = -1};
  if (p->n == 0) return found;
  for (int32_t page = hash_pages(p, salt, ids, n) - 1; page >= 0 && found.length == 0; page--)
    for (const cached_page *c = *bucket_of(p, p->hashes[page]); c; c = c->next) {
      const cached_text *t = &p->texts[c->text];
      if (c->hash != p->hashes[page] || c->index != page || strcmp(t->salt, salt) != 0) continue;
      if (found.known > page * KV_PAGE && !may_reach(p, t, page)) continue;
      int32_t shared = common(t, ids, n), use = shared <= page * KV_PAGE ? 0 : usable(p, t, shared);
      if (shared > found.known) found.known = shared;
      if (use <= found.length) continue;
      found.length = use;
      found.sequence = t->sequence;
    }
  return found;
}

/* ---- Keeping ---- */

/* Forgets texts that another one, of these ids, begins with: it serves whoever they could. */
static void forget_covered(prefix_cache *p, const char *salt, const int32_t *ids, int32_t n) {
  for (int32_t i = 0; i < p->most; i++) {
    cached_text *t = &p->texts[i];
    if (t->sequence < 0 || t->length > n) continue;
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): those that were forgotten have no sequence */
    if (t->ids[t->length - 1] != ids[t->length - 1]) continue;
    if (strcmp(t->salt, salt) == 0 && common(t, ids, n) == t->length) forget(p, t);
  }
}

static cached_text *free_place(prefix_cache *p) {
  if (p->n == p->most) forget(p, oldest(p));
  cached_text *t = p->texts;
  while (t->sequence >= 0) t++;
  return t;
}

static bool copy_text(cached_text *t, const char *salt, const int32_t *ids, int32_t n) {
  t->ids = malloc((size_t)n * sizeof *ids);
  t->pages = malloc((size_t)(n / KV_PAGE) * sizeof *t->pages);
  t->salt = strdup(salt);
  if (t->ids && t->pages && t->salt) {
    memcpy(t->ids, ids, (size_t)n * sizeof *ids);
    return true;
  }
  free(t->ids);
  free(t->pages);
  free(t->salt);
  *t = (cached_text){.sequence = -1};
  return false;
}

/* False if the sequence is not kept. */
static bool keep(prefix_cache *p, int32_t sequence, const char *salt, const int32_t *ids, int32_t n) {
  if (n < KV_PAGE || p->most == 0) return false;
  if (!p->windows) forget_covered(p, salt, ids, n);
  cached_text *t = free_place(p);
  if (!copy_text(t, salt, ids, n)) return false;
  t->sequence = sequence;
  t->length = n;
  t->used = ++p->clock;
  p->n++;
  int32_t n_pages = hash_pages(p, salt, ids, n);
  for (int32_t i = 0; i < n_pages; i++) {
    t->pages[i] = (cached_page){.hash = p->hashes[i], .text = (int32_t)(t - p->texts), .index = i};
    link_page(p, &t->pages[i]);
  }
  return true;
}

void prefix_cache_keep(prefix_cache *p, int32_t sequence, const char *salt, const int32_t *ids) {
  if (!keep(p, sequence, salt, ids, gale_sequence_length(p->session, sequence)))
    gale_sequence_close(p->session, sequence, NULL);
}

void prefix_cache_fork(prefix_cache *p, int32_t sequence, const char *salt, const int32_t *ids) {
  int32_t fork;
  if (p->most == 0) return;
  if (p->n == p->most) forget(p, oldest(p));
  if (!gale_sequence_fork(p->session, sequence, &fork, NULL)) prefix_cache_keep(p, fork, salt, ids);
}
