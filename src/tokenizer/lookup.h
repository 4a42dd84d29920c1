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

/* The key of a tokenizer's hashes: random numbers, so that nobody can write a vocabulary whose tokens collide. Only
 * places in hash tables depend on it. */
typedef struct text_key {
  uint64_t point;         /* in [2^32, 2^61 - 1) */
  uint64_t first, second; /* odd */
} text_key;

/* A key from random numbers of the system. */
text_key text_key_draw(void);
/* The key that three numbers give. */
text_key text_key_of(const uint64_t numbers[3]);

/* A bijection of 64-bit numbers, whose highest bits are then a place in a table: two numbers share these by chance
 * alone. */
static inline uint64_t hash_mix(const text_key *key, uint64_t x) {
  x *= key->first;
  return (x ^ x >> 32) * key->second;
}

/* x * y modulo 2^61 - 1, but for one multiple of that: x below 2^62, y below 2^61. */
static inline uint64_t hash_multiply(uint64_t x, uint64_t y) {
  unsigned __int128 product = (unsigned __int128)x * y;
  return ((uint64_t)product & ((UINT64_C(1) << 61) - 1)) + (uint64_t)(product >> 61);
}

/* The polynomial whose coefficients are the text's length and its bytes, seven at a time, at the key's point modulo
 * 2^61 - 1: two texts of n bytes are equal there for at most n / 7 + 1 of all points. The last step reads no byte
 * behind the text. */
static inline uint64_t text_hash(const text_key *key, const char *s, size_t n) {
  uint64_t h = n, word;
  for (; n > 7; n -= 7, s += 7) {
    memcpy(&word, s, 8);
    h = hash_multiply(h, key->point) + (word & ((UINT64_C(1) << 56) - 1));
    h = (h & ((UINT64_C(1) << 61) - 1)) + (h >> 61);
  }
  if (n >= 4) {
    uint32_t low, high;
    memcpy(&low, s, 4);
    memcpy(&high, s + n - 4, 4);
    word = low | (uint64_t)high >> 8 * (8 - n) << 32;
  } else if (n > 0) {
    word = (unsigned char)s[0] | (uint64_t)(unsigned char)s[n / 2] << 8 | (uint64_t)(unsigned char)s[n - 1] << 16;
  } else {
    word = 0;
  }
  h = hash_multiply(h, key->point) + word;
  h = (h & ((UINT64_C(1) << 61) - 1)) + (h >> 61);
  return hash_mix(key, h);
}

typedef struct lookup_slot {
  uint32_t hash, symbol; /* symbol SYMBOL_NONE: empty */
} lookup_slot;

typedef struct lookup {
  texts texts;
  text_key key;
  lookup_slot *slots;
  uint32_t mask;
  int shift; /* of a hash, to a place */
} lookup;

/* Room for n symbols; false when out of memory. Texts may be added to t later. */
bool lookup_create(lookup *l, arena *memory, const text_key *key, texts t, size_t n);

/* Adds a symbol unless its text is there already; true if it was added. At most n may be. */
bool lookup_add(lookup *l, uint32_t symbol);

/* Where the search for a text with this hash begins. */
static inline uint32_t lookup_place(const lookup *l, uint64_t hash) {
  return (uint32_t)(hash >> l->shift);
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
  return lookup_find_hashed(l, s, n, text_hash(&l->key, s, n));
}

#endif
