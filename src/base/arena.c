#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct arena_block {
  arena_block *next;
  size_t used, size;
  _Alignas(16) char bytes[];
};

enum { ARENA_BLOCK = 64 * 1024 };

void *arena_alloc(arena *a, size_t n) {
  if (n > SIZE_MAX / 2) return NULL;
  n = (n + 15) & ~(size_t)15;
  arena_block *b = a->blocks;
  if (!b || b->size - b->used < n) {
    size_t size = n > ARENA_BLOCK / 4 ? n : ARENA_BLOCK;
    arena_block *fresh = calloc(1, sizeof *fresh + size);
    if (!fresh) return NULL;
    fresh->size = size;
    /* A block of one large object goes behind the current one, whose rest stays usable. */
    if (b && size == n) {
      fresh->next = b->next;
      b->next = fresh;
    } else {
      fresh->next = b;
      a->blocks = fresh;
    }
    b = fresh;
  }
  void *p = b->bytes + b->used;
  b->used += n;
  return p;
}

void *arena_array(arena *a, size_t count, size_t size) {
  if (size != 0 && count > SIZE_MAX / 2 / size) return NULL;
  return arena_alloc(a, count * size);
}

char *arena_string(arena *a, const char *s, size_t n) {
  char *copy = arena_alloc(a, n + 1);
  if (copy) {
    memcpy(copy, s, n);
    copy[n] = 0;
  }
  return copy;
}

char *arena_printf(arena *a, const char *format, ...) {
  va_list arguments, again;
  va_start(arguments, format);
  va_copy(again, arguments);
  int n = vsnprintf(NULL, 0, format, arguments);
  va_end(arguments);
  char *s = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
  if (s) vsnprintf(s, (size_t)n + 1, format, again);
  va_end(again);
  return s;
}

void arena_free(arena *a) {
  for (arena_block *b = a->blocks; b;) {
    arena_block *next = b->next;
    free(b);
    b = next;
  }
  a->blocks = NULL;
}
