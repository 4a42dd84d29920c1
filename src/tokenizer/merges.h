/* The heart of BPE: joining neighbouring symbols, the best-ranked pair first, the leftmost among equals. */
#ifndef TOKENIZER_MERGES_H
#define TOKENIZER_MERGES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "tokenizer/lookup.h"

#define RANK_NONE UINT32_MAX

/* left and right become symbol; a lower rank goes first. */
typedef struct merge {
  uint32_t left, right, rank, symbol;
} merge;

typedef struct merge_table {
  merge *slots; /* open addressing; rank RANK_NONE: empty */
  text_key key;
  uint32_t mask;
  int shift; /* of a hash, to a place */
} merge_table;

/* Room for n pairs; false when out of memory. */
bool merge_table_create(merge_table *m, arena *memory, const text_key *key, size_t n);

/* Adds a pair unless it is there already. At most n may be added. */
void merge_table_add(merge_table *m, merge pair);

/* Where the search for a pair begins. */
static inline uint32_t merge_place(const merge_table *m, uint32_t left, uint32_t right) {
  return (uint32_t)(hash_mix(&m->key, (uint64_t)left << 32 | right) >> m->shift);
}

/* The entry of a pair, or an empty one with rank RANK_NONE. */
static inline const merge *merge_find(const merge_table *m, uint32_t left, uint32_t right) {
  for (uint32_t i = merge_place(m, left, right);; i = (i + 1) & m->mask) {
    const merge *slot = &m->slots[i];
    if ((slot->left == left && slot->right == right) || slot->rank == RANK_NONE) return slot;
  }
}

/* Symbols of one word, each with the offset of its first byte, and the scratch memory for long words. */
typedef struct word {
  uint32_t *symbols, *at;
  size_t n, capacity;
  uint32_t *ranks, *next, *previous;
  uint64_t *heap;
  size_t scratch; /* symbols that the four arrays above have room for */
} word;

/* Room for n symbols; false when out of memory. word_free takes a zeroed word as well. */
bool word_reserve(word *w, size_t n);
void word_free(word *w);

/* Merges until `least` >= 1 symbols are left, or no pair is. O(n log n) for n symbols, 20 bytes of scratch memory each;
 * false when out of memory. */
bool word_merge(word *w, const merge_table *m, size_t least);

#endif
