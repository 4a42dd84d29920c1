#include "engine/cache.h"

#include <stdlib.h>
#include <string.h>

/* ---- Opening ---- */

/* A pool of so many bytes is on large pages, which may take one of them more than the pages in use: 2 MB. */
enum { LARGE_POOL = 1 << 26 };

static int32_t layer_window(const model_config *m, int32_t layer, const cache_options *o) {
  int32_t window = o->window == GALE_WINDOW_NATIVE ? m->layers[layer].window : o->window;
  return window >= o->context ? 0 : window; /* a window that reaches over the whole context hides nothing */
}

static cache_group *group_of(cache *c, int32_t window) {
  for (int32_t g = 0; g < c->n_groups; g++)
    if (c->groups[g].window == window) return &c->groups[g];
  cache_group *g = &c->groups[c->n_groups++];
  g->window = window;
  return g;
}

static int32_t pages_for(int64_t positions) {
  return (int32_t)((positions + KV_PAGE - 1) / KV_PAGE);
}

static gale_status open_group(cache *c, cache_group *g, const cache_options *o, size_t layer_bytes, gale_error *error) {
  int32_t whole = pages_for(o->context);
  int32_t windowed = pages_for((int64_t)g->window + o->chunk) + 1;
  g->n_slots = g->window > 0 && windowed < whole ? windowed : whole;
  int64_t n_pages = (int64_t)g->n_slots * c->max_sequences;
  g->page_bytes = (size_t)g->n_layers * layer_bytes;
  if (n_pages > INT32_MAX || g->page_bytes == 0 || (uint64_t)n_pages > SIZE_MAX / 2 / g->page_bytes)
    return error_set(error, GALE_E_ARGUMENT, "a cache of %d sequences of %d positions is too large", c->max_sequences,
                     o->context);
  g->n_pages = (int32_t)n_pages;
  size_t sequences = (size_t)c->max_sequences, pages = (size_t)n_pages;
  g->tables = malloc(sequences * (size_t)g->n_slots * sizeof *g->tables);
  g->first = calloc(sequences, sizeof *g->first);
  g->end = calloc(sequences, sizeof *g->end);
  g->references = calloc(pages, sizeof *g->references);
  g->free_pages = malloc(pages * sizeof *g->free_pages);
  if (!g->tables || !g->first || !g->end || !g->references || !g->free_pages)
    return error_memory(error, pages * 3 * sizeof(int32_t));
  memset(g->tables, -1, pages * sizeof *g->tables);
  for (int32_t i = 0; i < g->n_pages; i++) g->free_pages[i] = g->n_pages - 1 - i;
  g->n_free = g->n_pages;
  g->pool = c->device->ops->alloc(c->device, pages * g->page_bytes, pages * g->page_bytes >= LARGE_POOL, error);
  c->reserved_bytes += pages * g->page_bytes;
  return g->pool ? GALE_OK : GALE_E_MEMORY;
}

gale_status cache_open(cache *c, const model_config *m, const be_device *device, const cache_options *o,
                       gale_error *error) {
  c->device = device;
  c->max_sequences = o->max_sequences;
  c->groups = calloc((size_t)m->n_layers, sizeof *c->groups);
  c->views = calloc((size_t)m->n_layers, sizeof *c->views);
  if (!c->groups || !c->views) return error_memory(error, (uint64_t)m->n_layers * sizeof *c->views);
  kv_layout layout = kv_layout_make(o->type, m->n_kv_heads, m->head_dim);
  for (int32_t l = 0; l < m->n_layers; l++) {
    cache_group *g = group_of(c, layer_window(m, l, o));
    c->views[l].layer_offset = (size_t)g->n_layers++ * layout.layer_bytes;
  }
  for (int32_t g = 0; g < c->n_groups; g++) {
    gale_status status = open_group(c, &c->groups[g], o, layout.layer_bytes, error);
    if (status) return status;
  }
  for (int32_t l = 0; l < m->n_layers; l++) {
    const cache_group *g = group_of(c, layer_window(m, l, o));
    c->views[l] = (kv_view){.layout = layout,
                            .pool = g->pool,
                            .page_bytes = g->page_bytes,
                            .layer_offset = c->views[l].layer_offset,
                            .tables = g->tables,
                            .n_slots = g->n_slots,
                            .window = g->window};
  }
  return GALE_OK;
}

void cache_close(cache *c) {
  for (int32_t i = 0; i < c->n_groups; i++) {
    cache_group *g = &c->groups[i];
    if (g->pool) c->device->ops->release(c->device, g->pool, (size_t)g->n_pages * g->page_bytes);
    free(g->tables);
    free(g->first);
    free(g->end);
    free(g->references);
    free(g->free_pages);
  }
  free(c->groups);
  free(c->views);
  *c = (cache){0};
}

/* ---- Pages ---- */

static int32_t *slot(const cache_group *g, int32_t sequence, int32_t page) {
  return &g->tables[(int64_t)sequence * g->n_slots + page % g->n_slots];
}

static int32_t take_page(cache *c, cache_group *g) {
  int32_t page = g->free_pages[--g->n_free];
  g->references[page] = 1;
  c->used_bytes += g->page_bytes;
  if (c->used_bytes > c->peak_bytes) c->peak_bytes = c->used_bytes;
  return page;
}

static void drop_page(cache *c, cache_group *g, int32_t *entry) {
  if (--g->references[*entry] == 0) {
    g->free_pages[g->n_free++] = *entry;
    c->used_bytes -= g->page_bytes;
  }
  *entry = -1;
}

/* Makes a page that is about to be written the sequence's own. */
static void own_page(cache *c, cache_group *g, int32_t *entry) {
  if (g->references[*entry] == 1) return;
  int32_t shared = *entry;
  *entry = take_page(c, g);
  g->references[shared]--;
  c->device->ops->copy_page(c->device, g->pool + (size_t)*entry * g->page_bytes,
                            g->pool + (size_t)shared * g->page_bytes, g->page_bytes);
}

void cache_extend(cache *c, int32_t sequence, int32_t length, int32_t n) {
  for (int32_t i = 0; i < c->n_groups; i++) {
    cache_group *g = &c->groups[i];
    if (length % KV_PAGE != 0) own_page(c, g, slot(g, sequence, length / KV_PAGE));
    for (; g->end[sequence] < pages_for((int64_t)length + n); g->end[sequence]++)
      *slot(g, sequence, g->end[sequence]) = take_page(c, g);
  }
}

/* The first page that a token at position length or later sees. */
static int32_t first_needed(const cache_group *g, int32_t length) {
  return g->window > 0 && length >= g->window ? (length - g->window + 1) / KV_PAGE : 0;
}

void cache_trim(cache *c, int32_t sequence, int32_t length) {
  for (int32_t i = 0; i < c->n_groups; i++) {
    cache_group *g = &c->groups[i];
    int32_t needed = first_needed(g, length);
    for (; g->first[sequence] < needed && g->first[sequence] < g->end[sequence]; g->first[sequence]++)
      drop_page(c, g, slot(g, sequence, g->first[sequence]));
  }
}

void cache_fill(cache *c, int32_t sequence, int32_t n, int32_t chunk, uint8_t byte) {
  const be_ops *be = c->device->ops;
  for (int32_t length = 0, step; length < n; length += step) {
    step = n - length < chunk ? n - length : chunk;
    cache_extend(c, sequence, length, step);
    for (int32_t i = 0; i < c->n_groups; i++) {
      const cache_group *g = &c->groups[i];
      for (int32_t page = length / KV_PAGE; page < pages_for((int64_t)length + step); page++)
        be->fill(c->device, g->pool + (size_t)*slot(g, sequence, page) * g->page_bytes, byte, g->page_bytes);
    }
    cache_trim(c, sequence, length + step);
  }
}

bool cache_truncate(cache *c, int32_t sequence, int32_t length) {
  for (int32_t i = 0; i < c->n_groups; i++)
    if (c->groups[i].first[sequence] > first_needed(&c->groups[i], length)) return false;
  for (int32_t i = 0; i < c->n_groups; i++) {
    cache_group *g = &c->groups[i];
    while (g->end[sequence] > pages_for(length)) drop_page(c, g, slot(g, sequence, --g->end[sequence]));
  }
  return true;
}

void cache_clear(cache *c, int32_t sequence) {
  for (int32_t i = 0; i < c->n_groups; i++) {
    cache_group *g = &c->groups[i];
    for (int32_t page = g->first[sequence]; page < g->end[sequence]; page++) drop_page(c, g, slot(g, sequence, page));
    g->first[sequence] = g->end[sequence] = 0;
  }
}

void cache_share(cache *c, int32_t from, int32_t to) {
  for (int32_t i = 0; i < c->n_groups; i++) {
    cache_group *g = &c->groups[i];
    g->first[to] = g->first[from];
    g->end[to] = g->end[from];
    for (int32_t page = g->first[to]; page < g->end[to]; page++) {
      *slot(g, to, page) = *slot(g, from, page);
      g->references[*slot(g, to, page)]++;
    }
  }
}
