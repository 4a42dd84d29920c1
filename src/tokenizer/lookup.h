/* From the bytes of a symbol to its number: a hash table over texts that lie end to end in memory. */
#ifndef TOKENIZER_LOOKUP_H
#define TOKENIZER_LOOKUP_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"

#define SYMBOL_NONE UINT32_MAX

/* Texts end to end: the bytes of text i are bytes[at[i]] to bytes[at[i + 1]]. */
typedef struct texts {
  const char *bytes;
  const uint32_t *at;
} texts;

static inline const char *texts_get(const texts *t, uint32_t i, size_t *length) {
  *length = t->at[i + 1] - t->at[i];
  return t->bytes + t->at[i];
}

static inline uint64_t text_mix(uint64_t x) {
  x *= UINT64_C(0x9E3779B97F4A7C15);
  return x ^ x >> 32;
}

/* Eight bytes a step; the last step takes what is left without reading past it. */
static inline uint64_t text_hash(const char *s, size_t n) {
  uint64_t h = n, word;
  for (; n > 8; n -= 8, s += 8) {
    memcpy(&word, s, 8);
    h = text_mix(h ^ word);
  }
  if (n >= 4) {
    uint32_t low, high;
    memcpy(&low, s, 4);
    memcpy(&high, s + n - 4, 4);
    word = low | (uint64_t)high << 32;
  } else if (n > 0) {
    word = (unsigned char)s[0] | (uint64_t)(unsigned char)s[n / 2] << 8 | (uint64_t)(unsigned char)s[n - 1] << 16;
  } else {
    word = 0;
  }
  return text_mix(text_mix(h ^ word));
}

typedef struct lookup_slot {
  uint32_t hash, symbol; /* symbol SYMBOL_NONE: empty */
} lookup_slot;

typedef struct lookup {
  texts texts;
  lookup_slot *slots;
  uint32_t mask;
} lookup;

/* Room for n symbols; false when out of memory. Texts may be added to t later. */
bool lookup_create(lookup *l, arena *memory, texts t, size_t n);

/* Adds a symbol unless its text is there already; true if it was added. At most n may be. */
bool lookup_add(lookup *l, uint32_t symbol);

/* Where the search for a text with this hash begins. */
static inline uint32_t lookup_place(const lookup *l, uint64_t hash) {
  return (uint32_t)(hash >> 32) & l->mask;
}

static inline uint32_t lookup_find_hashed(const lookup *l, const char *s, size_t n, uint64_t hash) {
  for (uint32_t i = lookup_place(l, hash);; i = (i + 1) & l->mask) {
    lookup_slot slot = l->slots[i];
    if (slot.symbol == SYMBOL_NONE) return SYMBOL_NONE;
    if (slot.hash != (uint32_t)hash) continue;
    size_t length;
    const char *text = texts_get(&l->texts, slot.symbol, &length);
    if (length == n && memcmp(text, s, n) == 0) return slot.symbol;
  }
}

/* The symbol with these bytes, or SYMBOL_NONE. */
static inline uint32_t lookup_find(const lookup *l, const char *s, size_t n) {
  return lookup_find_hashed(l, s, n, text_hash(s, n));
}

#endif
