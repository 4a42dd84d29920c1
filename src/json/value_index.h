/* A table of an object's members by key. */
#ifndef JSON_VALUE_INDEX_H
#define JSON_VALUE_INDEX_H

#include "base/keyed_hash.h"
#include "json/value.h"

/* Objects with fewer members have none: comparing each is as fast. */
enum { INDEX_FROM = 16 };

typedef struct value_index {
  hash_key hash;
  size_t mask;    /* slots - 1; they are a power of two */
  value *slots[]; /* NULL: empty; at most half of them are taken */
} value_index;

value *index_find(const value_index *index, slice key);
/* Adds object's last member, whose key no other has, to object->index, which is made or grown as is needed; key is that
 * of a new table. False when out of memory. */
bool index_add(arena *memory, value *object, value *member, const hash_key *key);

#endif
