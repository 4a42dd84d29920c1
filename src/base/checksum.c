#include "base/checksum.h"

#include "base/random.h"

#include <string.h>

/* Fletcher's two sums over the integers, on lanes: of the words, and of the first sum after each word, which counts a
 * word as often as its place from the end. Halves of 64-bit words are summed apart, so that neither sum can wrap:
 * there are at most 2^16 steps, and 2^32 * 2^16 * (2^16 + 1) / 2 < 2^64. */
enum { LANES = 4, STEP = LANES * 8 };

typedef struct sums {
  uint64_t low[LANES], low_sum[LANES], high[LANES], high_sum[LANES];
} sums;

_Static_assert(CHECKSUM_MOST / STEP <= 1 << 16, "more steps than the sums have room for");

static void add_steps(sums *s, const char *bytes, size_t n_steps) {
  sums t = *s;
  for (size_t i = 0; i < n_steps; i++) {
    uint64_t words[LANES];
    memcpy(words, bytes + i * STEP, STEP);
    for (int l = 0; l < LANES; l++) t.low[l] += words[l] & 0xFFFFFFFFu;
    for (int l = 0; l < LANES; l++) t.high[l] += words[l] >> 32;
    for (int l = 0; l < LANES; l++) t.low_sum[l] += t.low[l];
    for (int l = 0; l < LANES; l++) t.high_sum[l] += t.high[l];
  }
  *s = t;
}

uint64_t checksum(const void *bytes, size_t n) {
  sums s = {0};
  char last[STEP] = {0};
  size_t whole = n / STEP;
  add_steps(&s, bytes, whole);
  if (n % STEP) {
    memcpy(last, (const char *)bytes + whole * STEP, n % STEP);
    add_steps(&s, last, 1);
  }
  uint64_t sum = n;
  const uint64_t *parts = (const uint64_t *)&s;
  for (size_t i = 0; i < sizeof s / sizeof *parts; i++) sum = random_at(sum, parts[i]);
  return sum;
}

void digest_number(digest *d, uint64_t value) {
  d->half[0] = random_at(d->half[0], value);
  d->half[1] = random_at(d->half[1] ^ 0x6A09E667F3BCC908u, value + d->half[0]);
}

void digest_add(digest *d, const void *bytes, size_t n) {
  const char *from = bytes;
  digest_number(d, n);
  for (size_t i = 0; i < n; i += 8) {
    uint64_t word = 0;
    memcpy(&word, from + i, n - i < 8 ? n - i : 8);
    digest_number(d, word);
  }
}
