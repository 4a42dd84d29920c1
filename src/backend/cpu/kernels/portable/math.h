/* The elementary functions of docs/NUMERICS.md in portable C. A vector version evaluates the same
 * operations on each lane and so gives the same bits. */
#ifndef PORTABLE_MATH_H
#define PORTABLE_MATH_H

#include "base/half.h"

#include <math.h>
#include <stdbool.h>

/* e^x = 2^n e^r with n = x / ln 2 rounded to even and |r| <= ln 2 / 2; e^r = 1 + r + r^2 p(r), p of degree
 * 4 (Chebyshev fit, relative error 8e-9). Below EXP_LOW the result would be subnormal: it is 0. */
#define EXP_LOW (-87.33654f)
#define EXP_HIGH 88.72283f
#define EXP_LOG2E 1.44269504f
#define EXP_LN2_HIGH 0x1.62e4p-1f   /* 15 bits: n times it is exact */
#define EXP_LN2_LOW 0x1.7f7d1cp-20f /* ln 2 minus EXP_LN2_HIGH */
#define EXP_C2 0x1.000000p-1f
#define EXP_C3 0x1.5554dep-3f
#define EXP_C4 0x1.55551ap-5f
#define EXP_C5 0x1.120b62p-7f
#define EXP_C6 0x1.6d10fcp-10f

static inline float math_exp(float x) {
  if (!(x >= EXP_LOW)) return x < EXP_LOW ? 0.0f : x; /* else NaN */
  if (x > EXP_HIGH) return INFINITY;
  float n = rintf(x * EXP_LOG2E);
  float r = fmaf(-n, EXP_LN2_LOW, fmaf(-n, EXP_LN2_HIGH, x));
  float p = fmaf(EXP_C6, r, EXP_C5);
  p = fmaf(p, r, EXP_C4);
  p = fmaf(p, r, EXP_C3);
  p = fmaf(p, r, EXP_C2);
  p = fmaf(p, r * r, r) + 1.0f;
  /* n is in [-126, 128]; two factors keep both exponents in range at 128. */
  int half = (int)n / 2, rest = (int)n - half;
  return p * float_from_bits((uint32_t)(half + 127) << 23) * float_from_bits((uint32_t)(rest + 127) << 23);
}

/* The scale of a block's levels, max being its largest magnitude: max / 127.49 rounded up to four significant bits, so
 * that no level is beyond 127, and products of scales with integers of 20 bits are exact. */
#define SCALE_DIVISOR 127.49f
#define SCALE_DROPPED 0xFFFFFu /* bits of the significand */
static inline float math_scale(float max) {
  return float_from_bits((float_to_bits(max / SCALE_DIVISOR) + SCALE_DROPPED) & ~SCALE_DROPPED);
}

/* Blocks whose largest magnitude has bits below this (2^-119) are quantised to zero levels: further down the scale
 * would be subnormal. */
#define QUANTIZE_LEAST 0x04000000u
static inline bool math_quantizable(uint32_t largest_bits) {
  return largest_bits >= QUANTIZE_LEAST && largest_bits < 0x7F800000u;
}

static inline float math_silu(float x) {
  return x / (1.0f + math_exp(-x));
}

/* 0.5 x (1 + tanh(u)) with u = sqrt(2 / pi) (x + 0.044715 x^3), written as x times the logistic function of 2 u. */
static inline float math_gelu_tanh(float x) {
  float u = 1.59576912f * x * fmaf(0.044715f * x, x, 1.0f);
  return x / (1.0f + math_exp(-u));
}

/* tanh by 1 - 2 / (1 + e^2x): absolute error of some 1e-7, which is all that a soft-cap needs. */
static inline float math_tanh(float x) {
  return 1.0f - 2.0f / (1.0f + math_exp(2.0f * x));
}

static inline float math_soft_cap(float x, float cap) {
  return cap * math_tanh(x / cap);
}

/* Sums over a row are those of groups of so many elements, element i of each in lane i mod SUM_LANES. */
enum { SUM_GROUP = 512, SUM_LANES = 32 };

/* The sum of 16 virtual lanes: halves added until one is left. */
static inline float math_tree16(const float lane[16]) {
  float a[8];
  for (int i = 0; i < 8; i++) a[i] = lane[i] + lane[i + 8];
  for (int i = 0; i < 4; i++) a[i] += a[i + 4];
  return (a[0] + a[2]) + (a[1] + a[3]);
}

#endif
