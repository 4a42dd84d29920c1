/* Sets of bytes. */
#ifndef CONSTRAINT_BYTE_SET_H
#define CONSTRAINT_BYTE_SET_H

#include <stdbool.h>
#include <stdint.h>

typedef struct byte_set {
  uint64_t bits[4];
} byte_set;

static inline bool byte_set_has(const byte_set *s, unsigned b) {
  return s->bits[b >> 6] >> (b & 63) & 1;
}

static inline void byte_set_add(byte_set *s, unsigned first, unsigned last) {
  for (unsigned b = first; b <= last; b++) s->bits[b >> 6] |= UINT64_C(1) << (b & 63);
}

static inline int byte_set_count(const byte_set *s) {
  int n = 0;
  for (int i = 0; i < 4; i++) n += __builtin_popcountll(s->bits[i]);
  return n;
}

static inline byte_set byte_set_of(unsigned first, unsigned last) {
  byte_set s = {{0}};
  byte_set_add(&s, first, last);
  return s;
}

#endif
