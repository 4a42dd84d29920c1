/* A hash of bytes under a secret key (SipHash-1-3 by Aumasson and Bernstein): who does not know the key cannot make
 * texts that collide, so that a table of untrusted texts stays fast. */
#ifndef BASE_KEYED_HASH_H
#define BASE_KEYED_HASH_H

#include <stddef.h>
#include <stdint.h>

typedef struct hash_key {
  uint64_t half[2];
} hash_key;

/* A fresh one from the system's random numbers. */
hash_key hash_key_random(void);

uint64_t keyed_hash(const hash_key *key, const char *s, size_t n);

#endif
