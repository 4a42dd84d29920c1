/* Memory that ends at a page that can't be read, random numbers, and the comparison of bits. */
#ifndef TESTS_KERNELS_BUFFERS_H
#define TESTS_KERNELS_BUFFERS_H

#include "base/half.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Bytes that end right before a page that faults. */
typedef struct guarded {
  void *data, *base;
  size_t mapped;
} guarded;

static inline guarded guarded_new(size_t bytes) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (bytes + page - 1) / page * page;
  guarded g = {.mapped = room + page};
  g.base = mmap(NULL, g.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (g.base == MAP_FAILED || mprotect((char *)g.base + room, page, PROT_NONE)) {
    perror("guarded memory");
    exit(1);
  }
  g.data = (char *)g.base + room - bytes;
  return g;
}

static inline void guarded_free(guarded g) {
  munmap(g.base, g.mapped);
}

static inline uint32_t random_bits(uint64_t *state) {
  *state += 0x9E3779B97F4A7C15u;
  uint64_t z = *state;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  return (uint32_t)(z >> 32);
}

static inline int random_below(uint64_t *state, int n) {
  return (int)(random_bits(state) % (uint32_t)n);
}

/* Uniform in [-1, 1). */
static inline float random_unit(uint64_t *state) {
  return (float)(int32_t)random_bits(state) * 0x1p-31f;
}

/* A float that tends to break things. */
static inline float random_special(uint64_t *state) {
  static const float values[] = {0.0f,      -0.0f,     1.0f,       -1.0f,           INFINITY,  -INFINITY, NAN,
                                 0x1p-149f, 0x1p-126f, -0x1p-140f, 0x1.fffffep127f, -0x1p127f, 0x1p-119f, 65504.0f,
                                 65520.0f,  5.96e-8f,  88.8f,      -87.4f,          127.5f,    0.5f};
  int i = random_below(state, 2 * (int)(sizeof values / sizeof *values));
  return i % 2 ? values[i / 2] : random_unit(state);
}

/* Equal bits; any NaN equals any other. */
static inline bool same_float(float a, float b) {
  return float_to_bits(a) == float_to_bits(b) || (isnan(a) && isnan(b));
}

#endif
