/* The generator of Python's random module, so that examples are those that a published protocol draws. */
#ifndef GALE_EVAL_DRAWS_H
#define GALE_EVAL_DRAWS_H

#include <stdbool.h>
#include <stdint.h>

enum { DRAWS_STATE = 624 };

/* MT19937 as random.Random(seed) sets it up. */
typedef struct draws {
  uint32_t state[DRAWS_STATE];
  int at;
} draws;

void draws_start(draws *d, uint64_t seed);

/* The next 32 bits. */
uint32_t draws_next(draws *d);

/* random.sample(range(n), k) with 0 <= k <= n: k different numbers below n, in the order in which they were drawn.
 * False when out of memory. */
bool draws_sample(draws *d, uint32_t n, uint32_t k, uint32_t *picked);

#endif
