#include "engine/cache.h"

#include "base/limits.h"
#include "engine/cache_check.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- Opening ---- */

/* A pool of so many bytes or more lies in the system's large pages: up to 2 MB of memory beyond the cache's pages in
 * use. */
enum { LARGE_POOL = 1 << 26 };

static int32_t layer_window(const model_config *m, int32_t layer, const cache_options *o) {
  int32_t window = o->window == GALE_WINDOW_NATIVE ? m->layers[layer].window : o->window;
  return window >= o->context ? 0 : window; /* a window that reaches over the whole context hides nothing */
}

/* How many of the first n layers have the window of `layer`. */
static int32_t layers_alike(const model_config *m, const cache_options *o, int32_t layer, int32_t n) {
  int32_t count = 0;
  for (int32_t l = 0; l < n; l++) count += layer_window(m, l, o) == layer_window(m, layer, o);
  return count;
}

static int32_t common_divisor(int32_t a, int32_t b) {
  return b == 0 ? a : common_divisor(b, a % b);
}

static int32_t layers_of_a_page(const model_config *m, const cache_options *o) {
  int32_t n = 0;
  for (int32_t l = 0; l < m->n_layers; l++) n = common_divisor(n, layers_alike(m, o, l, m->n_layers));
  return n > 0 ? n : 1;
}

static int32_t pages_for(int64_t positions) {
  return (int32_t)((positions + KV_PAGE - 1) / KV_PAGE);
}

static gale_status too_large(const cache_options *o, gale_error *error) {
  return error_set(error, GALE_E_ARGUMENT, "a cache of %d sequences of %d positions is too large", o->max_sequences,
                   o->context);
}

static gale_status open_group(cache_group *g, int32_t window, const cache_options *o, gale_error *error) {
  int32_t whole = pages_for(o->context), windowed = pages_for((int64_t)window + o->chunk) + 1;
  g->window = window;
  g->n_slots = window > 0 && windowed < whole ? windowed : whole;
  size_t sequences = (size_t)o->max_sequences, slots = sequences * (size_t)g->n_slots;
  if (slots > INT32_MAX) return too_large(o, error);
  g->tables = malloc(slots * sizeof *g->tables);
  g->first = calloc(sequences, sizeof *g->first);
  g->end = calloc(sequences, sizeof *g->end);
  if (!g->tables || !g->first || !g->end) return error_memory(error, slots * sizeof *g->tables);
  memset(g->tables, -1, slots * sizeof *g->tables);
  return GALE_OK;
}

/* The last group of that window. */
static cache_group *last_group(cache *c, int32_t window) {
  cache_group *g = &c->groups[c->n_groups - 1];
  while (g->window != window) g--;
  return g;
}

static gale_status open_groups(cache *c, const model_config *m, const cache_options *o, gale_error *error) {
  kv_layout layout = kv_layout_make(o->type, m->n_kv_heads, m->head_dim);
  int32_t per_page = layers_of_a_page(m, o);
  c->page_bytes = (size_t)per_page * layout.layer_bytes;
  for (int32_t l = 0; l < m->n_layers; l++) {
    int32_t window = layer_window(m, l, o), place = layers_alike(m, o, l, l) % per_page;
    gale_status status = place == 0 ? open_group(&c->groups[c->n_groups++], window, o, error) : GALE_OK;
    if (status) return status;
    const cache_group *g = last_group(c, window);
    c->views[l] = (kv_view){.layout = layout,
                            .page_bytes = c->page_bytes,
                            .layer_offset = (size_t)place * layout.layer_bytes,
                            .tables = g->tables,
                            .n_slots = g->n_slots,
                            .window = window};
  }
  return GALE_OK;
}

/* Pages of the pool: what all sequences can hold, as far as the budget goes. */
static gale_status count_pages(cache *c, const cache_options *o, gale_error *error) {
  uint64_t all = 0, bytes = o->bytes, least = (uint64_t)c->n_groups;
  for (int32_t g = 0; g < c->n_groups; g++) all += (uint64_t)o->max_sequences * (uint64_t)c->groups[g].n_slots;
  if (bytes == 0) {
    bytes = limits_memory("") / 2;
    if (bytes / c->page_bytes < least) bytes = least * c->page_bytes;
  }
  if (bytes / c->page_bytes < least)
    return error_set(error, GALE_E_ARGUMENT,
                     "kv_bytes is %" PRIu64 ": at least %" PRIu64 " is accepted, with which a sequence can "
                     "hold %d positions",
                     o->bytes, least * c->page_bytes, KV_PAGE);
  uint64_t pages = bytes / c->page_bytes < all ? bytes / c->page_bytes : all;
  if (pages > INT32_MAX || pages > SIZE_MAX / 2 / c->page_bytes) return too_large(o, error);
  c->n_pages = (int32_t)pages;
  return GALE_OK;
}

static gale_status open_pool(cache *c, gale_error *error) {
  size_t pages = (size_t)c->n_pages, bytes = pages * c->page_bytes;
  if (pages == 0) return error_set(error, GALE_E_ARGUMENT, "a cache without pages");
  c->references = calloc(pages, sizeof *c->references);
  c->free_pages = malloc(pages * sizeof *c->free_pages);
  if (!c->references || !c->free_pages) return error_memory(error, pages * 2 * sizeof(int32_t));
  for (int32_t i = 0; i < c->n_pages; i++) c->free_pages[i] = c->n_pages - 1 - i;
  c->n_free = c->n_pages;
  c->pool = c->device->ops->alloc(c->device, bytes, bytes >= LARGE_POOL, error);
  return c->pool ? GALE_OK : GALE_E_MEMORY;
}

gale_status cache_open(cache *c, const model_config *m, const be_device *device, const cache_options *o,
                       gale_error *error) {
  c->device = device;
  c->max_sequences = o->max_sequences;
  c->groups = calloc((size_t)m->n_layers, sizeof *c->groups);
  c->views = calloc((size_t)m->n_layers, sizeof *c->views);
  if (!c->groups || !c->views) return error_memory(error, (uint64_t)m->n_layers * sizeof *c->views);
  gale_status status = open_groups(c, m, o, error);
  if (!status) status = count_pages(c, o, error);
  if (!status) status = open_pool(c, error);
  for (int32_t l = 0; l < m->n_layers && !status; l++) c->views[l].pool = c->pool;
  return status;
}

void cache_close(cache *c) {
  for (int32_t i = 0; i < c->n_groups; i++) {
    free(c->groups[i].tables);
    free(c->groups[i].first);
    free(c->groups[i].end);
  }
  if (c->pool) c->device->ops->release(c->device, c->pool, (size_t)c->n_pages * c->page_bytes);
  free(c->references);
  free(c->free_pages);
  free(c->groups);
  free(c->views);
  *c = (cache){0};
}

/* ---- Pages ---- */

static int32_t *slot(const cache_group *g, int32_t sequence, int32_t page) {
  return &g->tables[(int64_t)sequence * g->n_slots + page % g->n_slots];
}

/* One is free: cache_extend() has made sure. */
static int32_t take_page(cache *c) {
  int32_t page = c->free_pages[--c->n_free];
  c->references[page] = 1;
  if (c->n_pages - c->n_free > c->peak_pages) c->peak_pages = c->n_pages - c->n_free;
  return page;
}

static void drop_page(cache *c, int32_t *entry) {
  if (--c->references[*entry] == 0) c->free_pages[c->n_free++] = *entry;
  *entry = -1;
}

static char *page_data(const cache *c, int32_t page) {
  return c->pool + (size_t)page * c->page_bytes;
}

/* Makes a page that is about to be written the sequence's own. */
static void own_page(cache *c, int32_t *entry) {
  if (c->references[*entry] == 1) return;
  int32_t shared = *entry;
  *entry = take_page(c);
  c->references[shared]--;
  c->device->ops->copy_page(c->device, page_data(c, *entry), page_data(c, shared), c->page_bytes);
}

/* The page, partly filled, that a growth continues; -1: it begins with a page of its own. */
static int32_t begun_page(const cache_group *g, const cache_growth *growth) {
  return growth->length % KV_PAGE ? *slot(g, growth->sequence, growth->length / KV_PAGE) : -1;
}

/* True if the i-th growth has to copy the page it begins in: the last of the page's holders keeps it. */
static bool must_copy(const cache *c, const cache_group *g, const cache_growth *growths, size_t i) {
  int32_t page = begun_page(g, &growths[i]);
  if (page < 0 || c->references[page] == 1) return false;
  int32_t holders = c->references[page];
  for (size_t before = 0; before < i; before++) holders -= begun_page(g, &growths[before]) == page;
  return holders > 1;
}

int64_t cache_pages_needed(const cache *c, const cache_growth *growths, size_t n_growths) {
  int64_t n = 0;
  for (int32_t i = 0; i < c->n_groups; i++) {
    const cache_group *g = &c->groups[i];
    for (size_t k = 0; k < n_growths; k++) {
      int32_t end = pages_for((int64_t)growths[k].length + growths[k].n);
      n += end - g->end[growths[k].sequence] + must_copy(c, g, growths, k);
    }
  }
  return n;
}

bool cache_extend(cache *c, const cache_growth *growths, size_t n_growths) {
  if (cache_pages_needed(c, growths, n_growths) > c->n_free) return false;
  for (size_t k = 0; k < n_growths; k++) {
    int32_t sequence = growths[k].sequence, end = pages_for((int64_t)growths[k].length + growths[k].n);
    for (int32_t i = 0; i < c->n_groups; i++) {
      cache_group *g = &c->groups[i];
      if (begun_page(g, &growths[k]) >= 0) own_page(c, slot(g, sequence, growths[k].length / KV_PAGE));
      for (; g->end[sequence] < end; g->end[sequence]++) *slot(g, sequence, g->end[sequence]) = take_page(c);
    }
  }
  CHECK_INVARIANTS(cache_check(c));
  return true;
}

int32_t cache_first_needed(const cache_group *g, int32_t length) {
  return g->window > 0 && length >= g->window ? (length - g->window + 1) / KV_PAGE : 0;
}

void cache_trim(cache *c, int32_t sequence, int32_t length) {
  for (int32_t i = 0; i < c->n_groups; i++) {
    cache_group *g = &c->groups[i];
    int32_t needed = cache_first_needed(g, length);
    for (; g->first[sequence] < needed && g->first[sequence] < g->end[sequence]; g->first[sequence]++)
      drop_page(c, slot(g, sequence, g->first[sequence]));
  }
  CHECK_INVARIANTS(cache_check(c));
}

bool cache_fill(cache *c, int32_t sequence, int32_t n, int32_t chunk, uint8_t byte) {
  const be_ops *be = c->device->ops;
  for (int32_t length = 0, step; length < n; length += step) {
    step = n - length < chunk ? n - length : chunk;
    if (!cache_extend(c, &(cache_growth){sequence, length, step}, 1)) {
      cache_clear(c, sequence);
      return false;
    }
    for (int32_t i = 0; i < c->n_groups; i++) {
      const cache_group *g = &c->groups[i];
      for (int32_t page = length / KV_PAGE; page < pages_for((int64_t)length + step); page++)
        be->fill(c->device, page_data(c, *slot(g, sequence, page)), byte, c->page_bytes);
    }
    cache_trim(c, sequence, length + step);
  }
  return true;
}

bool cache_reaches(const cache *c, int32_t sequence, int32_t length) {
  for (int32_t i = 0; i < c->n_groups; i++)
    if (c->groups[i].first[sequence] > cache_first_needed(&c->groups[i], length)) return false;
  return true;
}

bool cache_truncate(cache *c, int32_t sequence, int32_t length) {
  if (!cache_reaches(c, sequence, length)) return false;
  for (int32_t i = 0; i < c->n_groups; i++) {
    cache_group *g = &c->groups[i];
    while (g->end[sequence] > pages_for(length)) drop_page(c, slot(g, sequence, --g->end[sequence]));
  }
  CHECK_INVARIANTS(cache_check(c));
  return true;
}

void cache_clear(cache *c, int32_t sequence) {
  for (int32_t i = 0; i < c->n_groups; i++) {
    cache_group *g = &c->groups[i];
    for (int32_t page = g->first[sequence]; page < g->end[sequence]; page++) drop_page(c, slot(g, sequence, page));
    g->first[sequence] = g->end[sequence] = 0;
  }
  CHECK_INVARIANTS(cache_check(c));
}

void cache_share(cache *c, int32_t from, int32_t to) {
  for (int32_t i = 0; i < c->n_groups; i++) {
    cache_group *g = &c->groups[i];
    g->first[to] = g->first[from];
    g->end[to] = g->end[from];
    for (int32_t page = g->first[to]; page < g->end[to]; page++) {
      *slot(g, to, page) = *slot(g, from, page);
      c->references[*slot(g, to, page)]++;
    }
  }
  CHECK_INVARIANTS(cache_check(c));
}

int32_t cache_mark(const cache *c, int32_t sequence, bool *marks) {
  int32_t n = 0;
  for (int32_t i = 0; i < c->n_groups; i++) {
    const cache_group *g = &c->groups[i];
    for (int32_t page = g->first[sequence]; page < g->end[sequence]; page++) {
      bool *mark = &marks[*slot(g, sequence, page)];
      n += !*mark;
      *mark = true;
    }
  }
  return n;
}
