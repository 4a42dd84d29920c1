#include "base/keyed_hash.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/random.h"

hash_key hash_key_random(void) {
  hash_key key;
  if (getrandom(&key, sizeof key, GRND_NONBLOCK) == (ssize_t)sizeof key) return key;
  /* Early at boot, or in a sandbox, there may be none; the address of the stack and the time differ from run to run. */
  struct timespec now = {0};
  clock_gettime(CLOCK_MONOTONIC, &now);
  key.half[0] = random_at((uint64_t)(uintptr_t)&now, (uint64_t)now.tv_nsec);
  key.half[1] = random_at(key.half[0], (uint64_t)now.tv_sec);
  return key;
}

static inline uint64_t rotate(uint64_t x, int n) {
  return x << n | x >> (64 - n);
}

static inline void mix(uint64_t v[4]) {
  v[0] += v[1];
  v[1] = rotate(v[1], 13) ^ v[0];
  v[0] = rotate(v[0], 32);
  v[2] += v[3];
  v[3] = rotate(v[3], 16) ^ v[2];
  v[0] += v[3];
  v[3] = rotate(v[3], 21) ^ v[0];
  v[2] += v[1];
  v[1] = rotate(v[1], 17) ^ v[2];
  v[2] = rotate(v[2], 32);
}

/* The bytes as a little-endian number. */
static inline uint64_t number_of(const char *s, size_t n) {
  uint64_t x = 0;
  for (size_t i = 0; i < n; i++) x |= (uint64_t)(unsigned char)s[i] << (8 * i);
  return x;
}

uint64_t keyed_hash(const hash_key *key, const char *s, size_t n) {
  uint64_t v[4] = {key->half[0] ^ 0x736F6D6570736575u, key->half[1] ^ 0x646F72616E646F6Du,
                   key->half[0] ^ 0x6C7967656E657261u, key->half[1] ^ 0x7465646279746573u};
  uint64_t last = (uint64_t)n << 56;
  for (; n >= 8; s += 8, n -= 8) {
    uint64_t word = number_of(s, 8);
    v[3] ^= word;
    mix(v);
    v[0] ^= word;
  }
  last |= number_of(s, n);
  v[3] ^= last;
  mix(v);
  v[0] ^= last;
  v[2] ^= 0xFF;
  for (int i = 0; i < 3; i++) mix(v);
  return v[0] ^ v[1] ^ v[2] ^ v[3];
}
