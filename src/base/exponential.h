/* e^x and ln x in double by gale's own arithmetic: the same bits on every machine, whatever its C library. Both are
 * plain operations on numbers and bits, which a compiler turns into vectors where they stand in a loop. */
#ifndef BASE_EXPONENTIAL_H
#define BASE_EXPONENTIAL_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define LOG2_E 0x1.71547652b82fep+0
#define LN2_HIGH 0x1.62e42fefa38p-1 /* 42 bits: n times it is exact for |n| < 2^11 */
#define LN2_LOW 0x1.ef35793c7673p-45

static inline uint64_t bits_of_double(double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

static inline double double_from_bits(uint64_t bits) {
  double x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* e^x for x in [-700, 700]; its error is below 1 unit in the last place. e^x = 2^n e^r with n = x / ln 2 rounded to
 * even; e^r by Taylor's series to degree 13, whose remainder is below 2^-57. exp(0) is 1 exactly. */
static inline double double_exp(double x) {
  const double to_even = 0x1.8p52; /* adding it leaves a whole number in the low bits */
  double t = fma(x, LOG2_E, to_even), n = t - to_even;
  double r = fma(-n, LN2_LOW, fma(-n, LN2_HIGH, x));
  double p = 1.0 / 6227020800.0;
  p = fma(p, r, 1.0 / 479001600.0);
  p = fma(p, r, 1.0 / 39916800.0);
  p = fma(p, r, 1.0 / 3628800.0);
  p = fma(p, r, 1.0 / 362880.0);
  p = fma(p, r, 1.0 / 40320.0);
  p = fma(p, r, 1.0 / 5040.0);
  p = fma(p, r, 1.0 / 720.0);
  p = fma(p, r, 1.0 / 120.0);
  p = fma(p, r, 1.0 / 24.0);
  p = fma(p, r, 1.0 / 6.0);
  p = fma(p, r, 0.5);
  p = fma(p, r, 1.0);
  p = fma(p, r, 1.0);
  return double_from_bits(bits_of_double(p) + (bits_of_double(t) << 52)); /* times 2^n */
}

/* ln x for normal x > 0; its error is below 2 units in the last place. x = 2^n m with m around
 * 1; ln m = 2 artanh f = 2 (f + f^3 / 3 + ... + f^21 / 21) with f = (m - 1) / (m + 1). ln(1) is 0 exactly. */
static inline double double_log(double x) {
  const uint64_t half_root = 0x3FE6A09E667F3BCDu; /* of sqrt(1/2): m is in [it, twice it) */
  uint64_t bits = bits_of_double(x), above = bits - half_root;
  double n = (double)((int64_t)above >> 52);
  double m = double_from_bits(half_root + (above & 0xFFFFFFFFFFFFFu));
  double f = (m - 1.0) / (m + 1.0), s = f * f, p = 0;
  for (int k = 21; k >= 3; k -= 2) p = fma(p, s, 1.0 / k);
  double ln = fma(2.0 * f, p * s, 2.0 * f);
  return fma(n, LN2_HIGH, fma(n, LN2_LOW, ln));
}

#endif
