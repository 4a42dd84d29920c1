#include "tokenizer/lookup.h"

#include "base/keyed_hash.h"

text_key text_key_of(const uint64_t numbers[3]) {
  const uint64_t least = UINT64_C(1) << 32, prime = (UINT64_C(1) << 61) - 1;
  return (text_key){.point = least + numbers[0] % (prime - least), .first = numbers[1] | 1, .second = numbers[2] | 1};
}

text_key text_key_draw(void) {
  const hash_key key = hash_key_random();
  uint64_t numbers[3];
  for (int i = 0; i < 3; i++) numbers[i] = keyed_hash(&key, &"012"[i], 1);
  return text_key_of(numbers);
}

bool lookup_create(lookup *l, arena *memory, const text_key *key, texts t, size_t n) {
  size_t slots = 16;
  int shift = 60;
  for (; slots < 2 * n; slots *= 2) shift--;
  if (slots > UINT32_MAX / 2) return false;
  *l = (lookup){.texts = t,
                .key = *key,
                .mask = (uint32_t)(slots - 1),
                .shift = shift,
                .slots = arena_array(memory, slots, sizeof *l->slots)};
  if (!l->slots) return false;
  memset(l->slots, 0xFF, slots * sizeof *l->slots);
  return true;
}

bool lookup_add(lookup *l, uint32_t symbol) {
  size_t n;
  const char *s = texts_get(&l->texts, symbol, &n);
  uint64_t hash = text_hash(&l->key, s, n);
  if (lookup_find_hashed(l, s, n, hash) != SYMBOL_NONE) return false;
  uint32_t i = lookup_place(l, hash);
  while (l->slots[i].symbol != SYMBOL_NONE) i = (i + 1) & l->mask;
  l->slots[i] = (lookup_slot){.hash = (uint32_t)hash, .symbol = symbol};
  return true;
}
