#include "gale/http/internal.h"

#include <stdlib.h>
#include <string.h>

bool buffer_reserve(buffer *b, size_t more) {
  if (more > SIZE_MAX / 4 - b->n) return false;
  if (b->n + more <= b->capacity) return true;
  size_t capacity = b->capacity ? b->capacity : 256;
  while (capacity < b->n + more) capacity *= 2;
  char *grown = realloc(b->bytes, capacity);
  if (!grown) return false;
  b->bytes = grown;
  b->capacity = capacity;
  return true;
}

bool buffer_add(buffer *b, const char *bytes, size_t n) {
  if (!buffer_reserve(b, n)) return false;
  if (n) memcpy(b->bytes + b->n, bytes, n);
  b->n += n;
  return true;
}

void buffer_free(buffer *b) {
  free(b->bytes);
  *b = (buffer){0};
}
