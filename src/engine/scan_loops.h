/* The loops of scan.h, compiled once for each instruction set by the files that include this. */
#ifndef ENGINE_SCAN_LOOPS_H
#define ENGINE_SCAN_LOOPS_H

#include "base/exponential.h"
#include "engine/scan.h"

#include <float.h>
#include <stdbool.h>

static inline uint64_t scan_weight(float logit, const scan_scale by) {
  const double least = -64; /* where the weight is 0 with any `one` */
  double x = ((double)logit - by.top) * by.scale;
  x = x >= least ? x : least; /* NaN as well */
  x = x <= 0 ? x : least;
  return bits_of_double(double_exp(x) * by.one + 0x1p52) - 0x4330000000000000u;
}

static float scan_block_maximum(const float *x, size_t n) {
  enum { LANES = 16 };
  float lane[LANES], most = -INFINITY;
  for (int j = 0; j < LANES; j++) lane[j] = -INFINITY;
  size_t i = 0;
  for (; i + LANES <= n; i += LANES)
    for (int j = 0; j < LANES; j++) lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
  for (; i < n; i++) lane[0] = x[i] > lane[0] ? x[i] : lane[0];
  for (int j = 0; j < LANES; j++) most = lane[j] > most ? lane[j] : most;
  if (most < INFINITY) return most;
  most = -INFINITY;
  for (i = 0; i < n; i++) most = x[i] > most && x[i] < INFINITY ? x[i] : most;
  return most;
}

static size_t scan_length(size_t n, size_t first) {
  return n - first < SCAN_BLOCK ? n - first : SCAN_BLOCK;
}

static void scan_maxima(const float *row, size_t n, float *maxima) {
  for (size_t i = 0; i < n; i += SCAN_BLOCK) maxima[i / SCAN_BLOCK] = scan_block_maximum(row + i, scan_length(n, i));
}

static uint64_t scan_sums(const float *row, size_t n, const scan_scale *by, uint64_t *sums) {
  const scan_scale s = *by;
  uint64_t total = 0;
  for (size_t i = 0; i < n; i += SCAN_BLOCK) {
    size_t length = scan_length(n, i);
    uint64_t sum = 0;
    for (size_t j = 0; j < length; j++) sum += scan_weight(row[i + j], s);
    total += sums[i / SCAN_BLOCK] = sum;
  }
  return total;
}

static void scan_weights(const float *row, size_t n, const scan_scale *by, uint64_t *weights) {
  const scan_scale s = *by;
  for (size_t i = 0; i < n; i++) weights[i] = scan_weight(row[i], s);
}

static void scan_mask(float *row, size_t n, const uint32_t *mask) {
  enum { WORD = 32 };
  size_t whole = n / WORD;
  for (size_t w = 0; w < whole; w++)
    for (uint32_t j = 0; j < WORD; j++) row[w * WORD + j] = mask[w] >> j & 1 ? row[w * WORD + j] : -INFINITY;
  for (size_t i = whole * WORD; i < n; i++) row[i] = mask[whole] >> i % WORD & 1 ? row[i] : -INFINITY;
}

enum { SCAN_LANES = 16 };

typedef struct scan_moments_of {
  double sum[SCAN_LANES], squares[SCAN_LANES], count[SCAN_LANES];
} scan_moments_of;

static inline void scan_add_moments(scan_moments_of *m, float logit, double top, size_t lane) {
  bool finite = fabsf(logit) <= FLT_MAX;
  double below = finite ? top - (double)logit : 0;
  m->sum[lane] += below;
  m->squares[lane] = fma(below, below, m->squares[lane]);
  m->count[lane] += finite ? 1 : 0;
}

static size_t scan_moments(const float *row, size_t n, double top, double *sum, double *squares) {
  double count = 0;
  *sum = *squares = 0;
  for (size_t first = 0; first < n; first += SCAN_BLOCK) {
    scan_moments_of m = {{0}, {0}, {0}};
    size_t length = scan_length(n, first), i = 0;
    for (; i + SCAN_LANES <= length; i += SCAN_LANES)
      for (size_t j = 0; j < SCAN_LANES; j++) scan_add_moments(&m, row[first + i + j], top, j);
    for (; i < length; i++) scan_add_moments(&m, row[first + i], top, i % SCAN_LANES);
    for (size_t half = SCAN_LANES / 2; half > 0; half /= 2) {
      for (size_t j = 0; j < half; j++) {
        m.sum[j] += m.sum[j + half];
        m.squares[j] += m.squares[j + half];
        m.count[j] += m.count[j + half];
      }
    }
    *sum += m.sum[0];
    *squares += m.squares[0];
    count += m.count[0];
  }
  return (size_t)count;
}

#define SCAN_KERNELS                                                                                                   \
  { .maxima = scan_maxima, .sums = scan_sums, .weights = scan_weights, .mask = scan_mask, .moments = scan_moments }

#endif
