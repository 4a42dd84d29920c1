/* The invariants of the cache of pages, for builds that check them (base/checks.h). */
#ifndef ENGINE_CACHE_CHECK_H
#define ENGINE_CACHE_CHECK_H

#include "base/checks.h"
#include "engine/cache.h"

#ifdef GALE_CHECKS
/* NULL, or which invariant is broken:
 *   - a sequence's ring has a page of the pool in the slots of the page numbers that it holds, and none in the others
 *   - a page is counted for as many slots as have it
 *   - pages counted for none are in the list of free pages, each once, and no others are */
const char *cache_check(cache *c);
#endif

#endif
