/* The functions of math.h on sixteen lanes. Include math_avx512.h or math_avx2.h first: it says what a lane is. */
#ifndef LANES_MATH_LANES_H
#define LANES_MATH_LANES_H

#include "backend/cpu/kernels/portable/math.h"

static inline lanes lanes_exp(lanes x) {
  lanes n = lanes_round(lanes_mul(x, lanes_set(EXP_LOG2E)));
  lanes r = lanes_fma(n, lanes_set(-EXP_LN2_LOW), lanes_fma(n, lanes_set(-EXP_LN2_HIGH), x));
  lanes p = lanes_fma(lanes_set(EXP_C6), r, lanes_set(EXP_C5));
  p = lanes_fma(p, r, lanes_set(EXP_C4));
  p = lanes_fma(p, r, lanes_set(EXP_C3));
  p = lanes_fma(p, r, lanes_set(EXP_C2));
  p = lanes_add(lanes_fma(p, lanes_mul(r, r), r), lanes_set(1.0f));
  p = lanes_less(lanes_set(EXP_HIGH), x, lanes_set(INFINITY), lanes_scale(p, n));
  return lanes_less(x, lanes_set(EXP_LOW), lanes_zero(), p);
}

static inline lanes lanes_silu(lanes x) {
  return lanes_div(x, lanes_add(lanes_set(1.0f), lanes_exp(lanes_negate(x))));
}

static inline lanes lanes_gelu_tanh(lanes x) {
  lanes cube = lanes_fma(lanes_mul(lanes_set(0.044715f), x), x, lanes_set(1.0f));
  lanes u = lanes_mul(lanes_mul(lanes_set(1.59576912f), x), cube);
  return lanes_div(x, lanes_add(lanes_set(1.0f), lanes_exp(lanes_negate(u))));
}

static inline lanes lanes_soft_cap(lanes x, float cap) {
  lanes e = lanes_exp(lanes_mul(lanes_set(2.0f), lanes_div(x, lanes_set(cap)))), one = lanes_set(1.0f);
  return lanes_mul(lanes_set(cap), lanes_sub(one, lanes_div(lanes_set(2.0f), lanes_add(one, e))));
}

#endif
