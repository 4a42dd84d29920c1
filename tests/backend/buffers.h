/* What the kernels' tests share: memory that ends at a page that can't be read, random numbers, and the
 * comparison of bits. */
#ifndef TESTS_BUFFERS_H
#define TESTS_BUFFERS_H

#include "base/cpu.h"
#include "base/half.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

/* Bytes that end right before a page that faults. */
typedef struct guarded {
  void *data, *base;
  size_t mapped;
} guarded;

static inline guarded guarded_new(size_t bytes) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (bytes + page - 1) / page * page;
  guarded g = {.mapped = room + page};
  g.base = mmap(NULL, g.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  assert_true(g.base != MAP_FAILED);
  assert_int_equal(mprotect((char *)g.base + room, page, PROT_NONE), 0);
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

static inline void assert_same_floats(const float *a, const float *b, size_t n, const char *what) {
  for (size_t i = 0; i < n; i++)
    if (!same_float(a[i], b[i]))
      fail_msg("%s: element %zu of %zu is %a (%08x), should be %a (%08x)", what, i, n, a[i], float_to_bits(a[i]), b[i],
               float_to_bits(b[i]));
}

/* Runs `test` for each level above the portable one that this processor has. */
static inline void for_each_level(void (*test)(cpu_level level)) {
  for (int l = CPU_GENERIC + 1; l < CPU_LEVELS; l++)
    if (cpu_supports((cpu_level)l)) test((cpu_level)l);
}

#endif
