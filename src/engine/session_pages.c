#include "engine/session_pages.h"

bool session_leads(const gale_session *s, int32_t i) {
  const cache_group *groups = s->cache.groups;
  for (int32_t before = 0; before < i; before++)
    if (groups[before].window == groups[i].window) return false;
  return true;
}

char *session_page(const gale_session *s, int32_t group, int32_t sequence, int32_t page) {
  const cache *c = &s->cache;
  const cache_group *g = &c->groups[group];
  if (page < g->first[sequence] || page >= g->end[sequence]) return NULL;
  int32_t at = g->tables[(int64_t)sequence * g->n_slots + page % g->n_slots];
  return c->pool + (size_t)at * c->page_bytes;
}

bool session_reserve(gale_session *s, int32_t sequence, int32_t length) {
  cache *c = &s->cache;
  int32_t before = s->length[sequence], chunk = s->options.chunk;
  for (int32_t at = before, n; at < length; at += n) {
    n = length - at < chunk ? length - at : chunk;
    if (!cache_extend(c, &(cache_growth){sequence, at, n}, 1)) {
      cache_truncate(c, sequence, before);
      if (before == 0) cache_clear(c, sequence);
      return false;
    }
    cache_trim(c, sequence, at + n);
  }
  return true;
}

void session_restored(gale_session *s, int32_t sequence, int32_t length) {
  s->length[sequence] = length;
  s->own_rows[sequence].n = 0;
}

void session_give_up(gale_session *s, int32_t sequence) {
  cache_clear(&s->cache, sequence);
  s->length[sequence] = 0;
  s->own_rows[sequence].n = 0;
}
