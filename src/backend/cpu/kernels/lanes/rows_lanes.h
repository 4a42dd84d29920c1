/* The kernels of rows_portable.c on sixteen lanes. Include math_avx512.h or math_avx2.h first. */
#ifndef LANES_ROWS_LANES_H
#define LANES_ROWS_LANES_H

#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/kernels/lanes/math_lanes.h"

/* Notes the outlier of a block, the only value whose bit is set; none if no bit is. Without branches: whether a block
 * has one can't be foreseen. */
static inline void note_outlier(const float *x, uint32_t bit, const be_act *to, int64_t block) {
  uint32_t at = bit ? 32 - (uint32_t)__builtin_clz(bit) : 0;
  to->outlier_at[block] = (uint8_t)at;
  to->outlier[block] = at ? x[(at - 1) % QUANT_BLOCK] : 0;
}

static inline void quantize_block(const float *x, const be_act *to, int64_t block, float least, bool query) {
  lanes low = lanes_load(x), high = lanes_load(x + LANES);
  int8_t *level = to->level + block * QUANT_BLOCK;
  int16_t *neg_sum = to->neg_sum + 2 * block;
  uint32_t bits = lanes_largest_bits(low, high);
  if (to->outlier_at) {
    uint32_t above = lanes_above(low, high, float_from_bits(bits) * to->outlier_rest);
    bool is = math_quantizable(bits) && float_from_bits(bits) > least && (above & (above - 1)) == 0;
    above = is ? above : 0;
    note_outlier(x, above, to, block);
    low = lanes_without(low, above);
    high = lanes_without(high, above >> LANES);
    bits = lanes_largest_bits(low, high);
  }
  float max = float_from_bits(bits), scale = query ? max / 127.0f : math_scale(max);
  to->scale[block] = bits < 0x7F800000u ? scale : NAN;
  if (math_quantizable(bits)) {
    lanes by = lanes_set(query ? 127.0f / max : scale);
    neg_sum[0] = (int16_t)-lanes_store_i8(level, query ? lanes_mul(low, by) : lanes_div(low, by));
    neg_sum[1] = (int16_t)-lanes_store_i8(level + LANES, query ? lanes_mul(high, by) : lanes_div(high, by));
  } else {
    memset(level, 0, QUANT_BLOCK);
    neg_sum[0] = neg_sum[1] = 0;
  }
}

static void quantize(const float *x, int64_t n, const be_act *to, int64_t at, float least) {
  for (int64_t b = 0; b < n / QUANT_BLOCK; b++)
    quantize_block(x + b * QUANT_BLOCK, to, at / QUANT_BLOCK + b, least, false);
}

static void quantize_query(const float *x, int64_t n, const be_act *to, int64_t at) {
  for (int64_t b = 0; b < n / QUANT_BLOCK; b++) quantize_block(x + b * QUANT_BLOCK, to, at / QUANT_BLOCK + b, 0, true);
}

/* Lanes of the last, partial vector of n; it may be none. */
static inline int rest_of(int64_t n) {
  return (int)(n % LANES);
}

/* Of a group, which has at most SUM_GROUP elements. */
static inline float sum_of_squares(const float *x, int64_t n) {
  lanes low = lanes_zero(), high = lanes_zero(), v;
  int64_t i = 0;
  for (; i + SUM_LANES <= n; i += SUM_LANES) {
    v = lanes_load(x + i);
    low = lanes_fma(v, v, low);
    v = lanes_load(x + i + LANES);
    high = lanes_fma(v, v, high);
  }
  int rest = (int)(n - i);
  if (rest >= LANES) {
    v = lanes_load(x + i);
    low = lanes_fma(v, v, low);
    v = lanes_load_n(x + i + LANES, rest - LANES);
    high = lanes_fma(v, v, high);
  } else if (rest > 0) {
    v = lanes_load_n(x + i, rest);
    low = lanes_fma(v, v, low);
  }
  return lanes_tree(lanes_add(low, high));
}

static float mean_square(const float *x, int64_t n) {
  float sum = 0;
  for (int64_t i = 0; i < n; i += SUM_GROUP) sum += sum_of_squares(x + i, n - i < SUM_GROUP ? n - i : SUM_GROUP);
  return sum / (float)n;
}

static float norm(const float *x, const float *weight, float eps, float *out, int64_t n) {
  int64_t i = 0, whole = n - rest_of(n);
  lanes r = lanes_set(1.0f / sqrtf(mean_square(x, n) + eps));
  for (; i < whole; i += LANES)
    lanes_store(out + i, lanes_mul(lanes_mul(lanes_load(x + i), r), lanes_load(weight + i)));
  lanes rest = lanes_mul(lanes_load_n(x + i, rest_of(n)), r);
  lanes_store_n(out + i, lanes_mul(rest, lanes_load_n(weight + i, rest_of(n))), rest_of(n));
  return sqrtf(mean_square(out, n));
}

static inline void activate(const float *gate, const float *up, float *out, int64_t n, lanes (*activation)(lanes)) {
  int64_t i = 0, whole = n - rest_of(n);
  for (; i < whole; i += LANES) lanes_store(out + i, lanes_mul(activation(lanes_load(gate + i)), lanes_load(up + i)));
  if (i == n) return;
  lanes g = lanes_load_n(gate + i, rest_of(n)), u = lanes_load_n(up + i, rest_of(n));
  lanes_store_n(out + i, lanes_mul(activation(g), u), rest_of(n));
}

static void silu_mul(const float *gate, const float *up, float *out, int64_t n) {
  activate(gate, up, out, n, lanes_silu);
}

static void gelu_mul(const float *gate, const float *up, float *out, int64_t n) {
  activate(gate, up, out, n, lanes_gelu_tanh);
}

static void soft_cap(float *x, float cap, int64_t n) {
  for (int64_t i = 0; i < n; i += LANES) {
    int count = n - i < LANES ? (int)(n - i) : LANES;
    lanes_store_n(x + i, lanes_soft_cap(lanes_load_n(x + i, count), cap), count);
  }
}

static void rotate(const float *x, const float *cos, const float *sin, float *out, int n) {
  for (int i = 0; i < n; i += LANES) {
    int count = n - i < LANES ? n - i : LANES;
    lanes a = lanes_load_n(x + i, count), b = lanes_load_n(x + i + n, count);
    lanes c = lanes_load_n(cos + i, count), s = lanes_load_n(sin + i, count);
    lanes_store_n(out + i, lanes_fma(a, c, lanes_negate(lanes_mul(b, s))), count);
    lanes_store_n(out + i + n, lanes_fma(b, c, lanes_mul(a, s)), count);
  }
}

static void to_half(const float *x, uint16_t *out, int64_t n) {
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES) lanes_store_f16(out + i, lanes_load(x + i));
  for (; i < n; i++) out[i] = half_from_float(x[i]);
}

static void fold(float *acc, float a, const float *x, float b, int64_t n) {
  int64_t i = 0, whole = n - rest_of(n);
  for (; i < whole; i += LANES)
    lanes_store(acc + i, lanes_fma(lanes_load(x + i), lanes_set(b), lanes_mul(lanes_load(acc + i), lanes_set(a))));
  lanes to = lanes_load_n(acc + i, rest_of(n)), from = lanes_load_n(x + i, rest_of(n));
  lanes_store_n(acc + i, lanes_fma(from, lanes_set(b), lanes_mul(to, lanes_set(a))), rest_of(n));
}

static void rows_fill(cpu_kernels *k) {
  k->quantize = quantize;
  k->quantize_query = quantize_query;
  k->norm = norm;
  k->activate[BE_SILU] = silu_mul;
  k->activate[BE_GELU_TANH] = gelu_mul;
  k->soft_cap = soft_cap;
  k->rotate = rotate;
  k->to_half = to_half;
  k->fold = fold;
}

#endif
