/* Loops over a whole row of logits: the part of sampling whose time grows with the vocabulary. */
#ifndef ENGINE_SCAN_H
#define ENGINE_SCAN_H

#include <stddef.h>
#include <stdint.h>

enum { SCAN_BLOCK = 256 }; /* tokens; the last block of a row may hold fewer */

static inline size_t scan_blocks(size_t n) {
  return (n + SCAN_BLOCK - 1) / SCAN_BLOCK;
}

/* The weight of a logit l is the whole number nearest to one * e^((l - top) * scale), of two the even one; a logit that
 * is above top or not finite weighs nothing. */
typedef struct scan_scale {
  double top;   /* the largest logit */
  double scale; /* 1 / temperature */
  double one;   /* weight of the likeliest token, a power of two up to 2^51 */
} scan_scale;

typedef struct scan_kernels {
  /* The largest finite logit of each block; -INFINITY if it has none. */
  void (*maxima)(const float *row, size_t n, float *maxima);
  /* The sum of weights of each block; returns that of all. */
  uint64_t (*sums)(const float *row, size_t n, const scan_scale *by, uint64_t *sums);
  void (*weights)(const float *row, size_t n, const scan_scale *by, uint64_t *weights);
  /* Logits whose bit in the mask is not set become -INFINITY: bit i % 32 of word i / 32. */
  void (*mask)(float *row, size_t n, const uint32_t *mask);
  /* How many logits are finite; the sum of how far these are below top, and of the squares (docs/NUMERICS.md). */
  size_t (*moments)(const float *row, size_t n, double top, double *sum, double *squares);
} scan_kernels;

/* The fastest up to an instruction set, by its name (cpu.h); NULL, or a device's that is none: the fastest that this
 * processor has. They all give the same. */
const scan_kernels *scan_find(const char *isa);

extern const scan_kernels scan_portable, scan_avx2, scan_avx512; /* the latter two on x86-64 only */

#endif
