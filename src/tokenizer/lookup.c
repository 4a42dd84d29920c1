#include "tokenizer/lookup.h"

bool lookup_create(lookup *l, arena *memory, texts t, size_t n) {
  size_t slots = 16;
  while (slots < 2 * n) slots *= 2;
  if (slots > UINT32_MAX / 2) return false;
  *l = (lookup){.texts = t, .mask = (uint32_t)(slots - 1), .slots = arena_array(memory, slots, sizeof *l->slots)};
  if (!l->slots) return false;
  memset(l->slots, 0xFF, slots * sizeof *l->slots);
  return true;
}

bool lookup_add(lookup *l, uint32_t symbol) {
  size_t n;
  const char *s = texts_get(&l->texts, symbol, &n);
  uint64_t hash = text_hash(s, n);
  if (lookup_find_hashed(l, s, n, hash) != SYMBOL_NONE) return false;
  uint32_t i = lookup_place(l, hash);
  while (l->slots[i].symbol != SYMBOL_NONE) i = (i + 1) & l->mask;
  l->slots[i] = (lookup_slot){.hash = (uint32_t)hash, .symbol = symbol};
  return true;
}
