#include "base/checksum.h"

#include "base/random.h"

#include <string.h>

/* Fletcher's two sums over the integers, on lanes: of the words, and of the first sum after each word, which counts a
 * word as often as its place from the end. Halves of 64-bit words are summed apart, so that neither sum can wrap:
 * there are at most 2^16 steps, and 2^32 * 2^16 * (2^16 + 1) / 2 < 2^64. */
enum { LANES = 4, STEP = LANES * 8, AHEAD = 4608 / STEP };

/* Two lanes: what every processor has registers for. Vectors written as such, since compilers do not find them here. */
typedef uint64_t pair __attribute__((vector_size(16)));

typedef struct sums {
  pair low[LANES / 2], low_sum[LANES / 2], high[LANES / 2], high_sum[LANES / 2];
} sums;

_Static_assert(CHECKSUM_MOST / STEP <= 1 << 16, "more steps than the sums have room for");

static void add_steps(sums *s, const char *bytes, size_t n_steps) {
  const pair mask = {0xFFFFFFFFu, 0xFFFFFFFFu};
  sums t = *s;
  for (size_t i = 0; i < n_steps; i++) {
    pair words[LANES / 2];
    __builtin_prefetch(bytes + (i + AHEAD < n_steps ? i + AHEAD : i) * STEP);
    memcpy(words, bytes + i * STEP, STEP);
    for (int l = 0; l < LANES / 2; l++) {
      t.low[l] += words[l] & mask;
      t.high[l] += words[l] >> 32;
      t.low_sum[l] += t.low[l];
      t.high_sum[l] += t.high[l];
    }
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
  uint64_t sum = n, words[sizeof s / sizeof(uint64_t)];
  memcpy(words, &s, sizeof s);
  for (size_t i = 0; i < sizeof s / sizeof *words; i++) sum = random_at(sum, words[i]);
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
