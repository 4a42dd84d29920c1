#include "json/value_index.h"

/* The key's slot, or the empty one where it would be. */
static value **slot_of(value_index *index, slice key) {
  size_t i = keyed_hash(&index->hash, key.s, key.n) & index->mask;
  while (index->slots[i] && !slice_equal(index->slots[i]->key, key)) i = (i + 1) & index->mask;
  return &index->slots[i];
}

value *index_find(const value_index *index, slice key) {
  return *slot_of((value_index *)index, key);
}

static bool rebuild(arena *memory, value *object, const hash_key *key) {
  size_t n = object->index ? 2 * (object->index->mask + 1) : 4 * INDEX_FROM;
  value_index *fresh = arena_alloc(memory, sizeof *fresh + n * sizeof *fresh->slots);
  if (!fresh) return false;
  fresh->hash = *key;
  fresh->mask = n - 1;
  for (value *m = object->first; m; m = m->next) *slot_of(fresh, m->key) = m;
  object->index = fresh;
  return true;
}

bool index_add(arena *memory, value *object, value *member, const hash_key *key) {
  value_index *index = object->index;
  if (!index || object->count > (index->mask + 1) / 2) return rebuild(memory, object, key);
  *slot_of(index, member->key) = member;
  return true;
}
