#include "gale/eval/logits.h"

#include "base/exponential.h"

#include <stdbool.h>

enum { LANES = 16 };

/* e^-700 of the largest is nothing beside it, and the exponential is defined down to there. */
static const double farthest = -700;

static inline __attribute__((always_inline)) float largest(const float *x, int32_t n) {
  float tops[LANES];
  int32_t i = 0;
  for (int32_t k = 0; k < LANES; k++) tops[k] = x[0];
  for (; i + LANES <= n; i += LANES)
    for (int32_t k = 0; k < LANES; k++) tops[k] = x[i + k] > tops[k] ? x[i + k] : tops[k];
  for (; i < n; i++) tops[0] = x[i] > tops[0] ? x[i] : tops[0];
  for (int32_t k = 1; k < LANES; k++) tops[0] = tops[k] > tops[0] ? tops[k] : tops[0];
  return tops[0];
}

static inline __attribute__((always_inline)) double exp_below(float x, double top) {
  double d = (double)x - top;
  /* One that is no number stays none. */
  return double_exp(d < farthest ? farthest : d);
}

static inline __attribute__((always_inline)) double sum_of(const float *x, int32_t n) {
  double sums[LANES] = {0}, top = (double)largest(x, n);
  int32_t i = 0;
  for (; i + LANES <= n; i += LANES)
    for (int32_t k = 0; k < LANES; k++) sums[k] += exp_below(x[i + k], top);
  for (; i < n; i++) sums[0] += exp_below(x[i], top);
  for (int32_t half = LANES / 2; half >= 1; half /= 2)
    for (int32_t k = 0; k < half; k++) sums[k] += sums[k + half];
  return top + double_log(sums[0]);
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) static double sum_avx2(const float *x, int32_t n) {
  return sum_of(x, n);
}

__attribute__((target("avx512f,avx512dq,avx512vl,avx2,fma"))) static double sum_avx512(const float *x, int32_t n) {
  return sum_of(x, n);
}
#endif

static double sum_portable(const float *x, int32_t n) {
  return sum_of(x, n);
}

double logits_sum(const float *logits, int32_t n) {
  for (int32_t i = 0; i < n; i++)
    if (!isfinite(logits[i])) return NAN;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    return sum_avx512(logits, n);
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return sum_avx2(logits, n);
#endif
  return sum_portable(logits, n);
}
