/* Memory that is given back all at once: the small objects of a parsed file. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

typedef struct arena_block arena_block;

/* Zero-initialise. Not thread-safe. */
typedef struct arena {
  arena_block *blocks;
} arena;

/* n bytes aligned to 16, zeroed; NULL when out of memory. n may be 0. */
void *arena_alloc(arena *a, size_t n);
/* count elements of size bytes, checked for overflow. */
void *arena_array(arena *a, size_t count, size_t size);
/* Copies n bytes and puts a NUL behind them. */
char *arena_string(arena *a, const char *s, size_t n);
char *arena_printf(arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
void arena_free(arena *a);

#endif
