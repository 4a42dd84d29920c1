#include "gale/eval/draws.h"

#include <stdlib.h>
#include <string.h>

enum { MIDDLE = 397 };

static void seed_plainly(draws *d, uint32_t seed) {
  d->state[0] = seed;
  for (uint32_t i = 1; i < DRAWS_STATE; i++) {
    uint32_t last = d->state[i - 1];
    d->state[i] = 1812433253u * (last ^ last >> 30) + i;
  }
}

/* A place of the state as a sum of what is there and of a product of its neighbour; the first is also the last. */
static void stir(draws *d, uint32_t *i, uint32_t factor, uint32_t added) {
  uint32_t last = d->state[*i - 1];
  d->state[*i] = (d->state[*i] ^ (last ^ last >> 30) * factor) + added;
  if (++*i == DRAWS_STATE) {
    d->state[0] = d->state[DRAWS_STATE - 1];
    *i = 1;
  }
}

void draws_start(draws *d, uint64_t seed) {
  const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
  uint32_t words = key[1] ? 2 : 1, i = 1;
  seed_plainly(d, 19650218u);
  for (uint32_t n = 0; n < DRAWS_STATE; n++) stir(d, &i, 1664525u, key[n % words] + n % words);
  for (uint32_t n = 1; n < DRAWS_STATE; n++) stir(d, &i, 1566083941u, 0u - i);
  d->state[0] = 0x80000000u;
  d->at = DRAWS_STATE;
}

static void refill(draws *d) {
  for (int i = 0; i < DRAWS_STATE; i++) {
    uint32_t both = (d->state[i] & 0x80000000u) | (d->state[(i + 1) % DRAWS_STATE] & 0x7FFFFFFFu);
    d->state[i] = d->state[(i + MIDDLE) % DRAWS_STATE] ^ both >> 1 ^ (both & 1 ? 0x9908B0DFu : 0);
  }
  d->at = 0;
}

uint32_t draws_next(draws *d) {
  if (d->at == DRAWS_STATE) refill(d);
  uint32_t y = d->state[d->at++];
  y ^= y >> 11;
  y ^= y << 7 & 0x9D2C5680u;
  y ^= y << 15 & 0xEFC60000u;
  return y ^ y >> 18;
}

/* A number below n >= 1: as many bits as n has, again until they are below it. */
static uint32_t draw_below(draws *d, uint32_t n) {
  int bits = 32;
  while (!(n >> (bits - 1) & 1)) bits--;
  uint32_t drawn;
  do drawn = draws_next(d) >> (32 - bits);
  while (drawn >= n);
  return drawn;
}

/* Whether sample() draws from a list: where that is no larger than the set of what was drawn would be. */
static bool from_list(uint32_t n, uint32_t k) {
  uint64_t set = 21, power = 1;
  while (power < 3 * (uint64_t)k) power *= 4;
  if (k > 5) set += power;
  return n <= set;
}

static bool sample_list(draws *d, uint32_t n, uint32_t k, uint32_t *picked) {
  uint32_t *pool = calloc((size_t)n + 1, sizeof *pool);
  if (!pool) return false;
  for (uint32_t i = 0; i < n; i++) pool[i] = i;
  for (uint32_t i = 0; i < k; i++) {
    uint32_t j = draw_below(d, n - i);
    picked[i] = pool[j];
    pool[j] = pool[n - i - 1];
  }
  free(pool);
  return true;
}

static bool among(const uint32_t *picked, uint32_t n, uint32_t number) {
  for (uint32_t i = 0; i < n; i++)
    if (picked[i] == number) return true;
  return false;
}

bool draws_sample(draws *d, uint32_t n, uint32_t k, uint32_t *picked) {
  if (from_list(n, k)) return sample_list(d, n, k, picked);
  for (uint32_t i = 0; i < k; i++) {
    do picked[i] = draw_below(d, n);
    while (among(picked, i, picked[i]));
  }
  return true;
}
