/* The check of the cache's invariants, which only some builds have, accepts every state that a session's calls lead to
 * (the other tests run with it) and finds each of them broken. */
#include "engine/cache_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#ifdef GALE_CHECKS
/* Two sequences with a ring of three slots over a pool of four pages: both hold page number 4 and share page 2 of the
 * pool for it, the first also number 5. */
enum { SEQUENCES = 2, SLOTS = 3, PAGES = 4 };

typedef struct small_cache {
  int32_t tables[SEQUENCES * SLOTS], first[SEQUENCES], end[SEQUENCES], references[PAGES], free_pages[PAGES];
  cache_group group;
  cache cache;
} small_cache;

static void fill(small_cache *s) {
  *s = (small_cache){.tables = {-1, 2, 0, -1, 2, -1},
                     .first = {4, 4},
                     .end = {6, 5},
                     .references = {1, 0, 2, 0},
                     .free_pages = {3, 1, 0, 0}};
  s->group = (cache_group){.n_slots = SLOTS, .tables = s->tables, .first = s->first, .end = s->end};
  s->cache = (cache){.max_sequences = SEQUENCES,
                     .n_groups = 1,
                     .groups = &s->group,
                     .n_pages = PAGES,
                     .references = s->references,
                     .free_pages = s->free_pages,
                     .n_free = 2,
                     .peak_pages = 3};
}

static void test_finds(void **state) {
  (void)state;
  small_cache s;
  fill(&s);
  assert_null(cache_check(&s.cache));
  assert_int_equal(s.references[0] + 10 * s.references[2], 21); /* left as it was */
  assert_int_equal(s.references[1] + 10 * s.references[3], 0);
  static const struct {
    size_t at;     /* of a number in small_cache */
    int32_t value; /* that breaks something */
    const char *found;
  } cases[] = {
      {offsetof(small_cache, references[2]), 1, "a page is counted for other slots than have it"},
      {offsetof(small_cache, references[2]), 3, "a page is counted for other slots than have it"},
      {offsetof(small_cache, references[2]), 0, "a page is neither held nor free"},
      {offsetof(small_cache, references[1]), 1, "a free page is held, or free twice"},
      {offsetof(small_cache, free_pages[1]), 3, "a free page is held, or free twice"},
      {offsetof(small_cache, free_pages[1]), 4, "a free page is not of the pool"},
      {offsetof(small_cache, cache.n_free), 1, "a page is neither held nor free"},
      {offsetof(small_cache, cache.n_free), 5, "more pages are free than there are"},
      {offsetof(small_cache, cache.peak_pages), 1, "more pages are in use than ever were"},
      {offsetof(small_cache, tables[0]), 1, "a slot has a page that its sequence does not hold"},
      {offsetof(small_cache, tables[1]), -1, "a sequence holds a page that is not of the pool"},
      {offsetof(small_cache, tables[1]), 4, "a sequence holds a page that is not of the pool"},
      {offsetof(small_cache, tables[2]), 2, "a page is counted for other slots than have it"},
      {offsetof(small_cache, end[1]), 3, "a sequence holds more pages than its ring has slots"},
      {offsetof(small_cache, end[0]), 8, "a sequence holds more pages than its ring has slots"},
      {offsetof(small_cache, end[0]), 5, "a slot has a page that its sequence does not hold"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fill(&s);
    memcpy((char *)&s + cases[i].at, &cases[i].value, sizeof cases[i].value);
    const char *found = cache_check(&s.cache);
    assert_non_null(found);
    assert_string_equal(found, cases[i].found);
  }
}
#else
static void test_finds(void **state) {
  (void)state;
  skip();
}
#endif

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_finds)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
