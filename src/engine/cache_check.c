#include "engine/cache_check.h"

#ifdef GALE_CHECKS

/* Adds `change` to the count of each page that a ring has. */
static void count_again(cache *c, int32_t change) {
  for (int32_t i = 0; i < c->n_groups; i++) {
    const cache_group *g = &c->groups[i];
    for (int64_t at = 0; at < (int64_t)c->max_sequences * g->n_slots; at++)
      if (g->tables[at] >= 0) c->references[g->tables[at]] += change;
  }
}

static const char *check_ring(const cache *c, const cache_group *g, int32_t sequence) {
  const int32_t first = g->first[sequence], end = g->end[sequence];
  if (first < 0 || first > end || end - first > g->n_slots)
    return "a sequence holds more pages than its ring has slots";
  for (int32_t i = 0; i < g->n_slots; i++) {
    int32_t entry = g->tables[(int64_t)sequence * g->n_slots + i], behind = i - first % g->n_slots;
    bool held = (behind < 0 ? behind + g->n_slots : behind) < end - first;
    if (held && (entry < 0 || entry >= c->n_pages)) return "a sequence holds a page that is not of the pool";
    if (!held && entry != -1) return "a slot has a page that its sequence does not hold";
  }
  return NULL;
}

/* Free pages have the count 0; -1 marks those that were met, so that a page that is twice in the list, or missing in
 * it, shows. */
static const char *check_free(cache *c) {
  const char *broken = NULL;
  int32_t n = 0;
  for (; n < c->n_free && !broken; n++) {
    int32_t page = c->free_pages[n];
    if (page < 0 || page >= c->n_pages) return "a free page is not of the pool";
    if (c->references[page] != 0) broken = "a free page is held, or free twice";
    c->references[page]--;
  }
  for (int32_t page = 0; page < c->n_pages && !broken; page++)
    if (c->references[page] == 0) broken = "a page is neither held nor free";
  while (n-- > 0) c->references[c->free_pages[n]]++;
  return broken;
}

const char *cache_check(cache *c) {
  if (c->n_free < 0 || c->n_free > c->n_pages) return "more pages are free than there are";
  if (c->peak_pages < c->n_pages - c->n_free) return "more pages are in use than ever were";
  for (int32_t i = 0; i < c->n_groups; i++)
    for (int32_t s = 0; s < c->max_sequences; s++) {
      const char *broken = check_ring(c, &c->groups[i], s);
      if (broken) return broken;
    }
  const char *broken = check_free(c);
  if (broken) return broken;
  count_again(c, -1);
  for (int32_t page = 0; page < c->n_pages; page++)
    if (c->references[page] != 0) broken = "a page is counted for other slots than have it";
  count_again(c, 1);
  return broken;
}

#endif
