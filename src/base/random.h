/* A counter-based random generator (splitmix64's mixing function): the i-th value of stream `seed`. */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stdint.h>

static inline uint64_t random_at(uint64_t seed, uint64_t i) {
  uint64_t z = seed + (i + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  return z ^ z >> 31;
}

/* The value for a place in a text, of the stream that a seed has for one purpose. */
static inline uint64_t random_for(uint64_t seed, uint64_t purpose, uint64_t place) {
  return random_at(random_at(seed, purpose), place);
}

#endif
