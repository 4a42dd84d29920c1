/* Operations on one row of activations, and the table of all portable kernels. */
#include "backend/cpu/kernels/portable/portable.h"

#include "backend/cpu/kernels/portable/math.h"

/* Compared as integers, magnitudes keep their order and infinity and NaN come out on top. */
static uint32_t largest_bits(const float *x) {
  uint32_t bits = 0;
  for (int i = 0; i < QUANT_BLOCK; i++) {
    uint32_t magnitude = float_to_bits(x[i]) & 0x7FFFFFFFu;
    bits = magnitude > bits ? magnitude : bits;
  }
  return bits;
}

/* Takes the outlier out of a block with this largest magnitude. Returns 1 + its place, 0 where there is none. */
static uint8_t take_outlier(float *x, float max, float rest, float *value) {
  int above = 0, at = 0;
  for (int i = 0; i < QUANT_BLOCK; i++)
    if (fabsf(x[i]) > max * rest) above++, at = i;
  if (above != 1) return 0;
  *value = x[at];
  x[at] = 0;
  return (uint8_t)(1 + at);
}

static void quantize_block(const float *from, const be_act *to, int64_t block, float least, bool query) {
  float x[QUANT_BLOCK], outlier = 0;
  memcpy(x, from, sizeof x);
  uint32_t bits = largest_bits(x);
  if (to->outlier_at) {
    bool large = math_quantizable(bits) && float_from_bits(bits) > least;
    to->outlier_at[block] = large ? take_outlier(x, float_from_bits(bits), to->outlier_rest, &outlier) : 0;
    to->outlier[block] = outlier;
    if (to->outlier_at[block]) bits = largest_bits(x);
  }
  float max = float_from_bits(bits), scale = query ? max / 127.0f : math_scale(max);
  int32_t sum[2] = {0};
  for (int i = 0; i < QUANT_BLOCK; i++) {
    float steps = query ? x[i] * (127.0f / max) : x[i] / scale;
    int8_t level = math_quantizable(bits) ? (int8_t)rintf(steps) : 0;
    to->level[block * QUANT_BLOCK + i] = level;
    sum[i / 16] += level;
  }
  to->scale[block] = bits < 0x7F800000u ? scale : NAN;
  for (int h = 0; h < 2; h++) to->neg_sum[2 * block + h] = (int16_t)-sum[h];
}

static void quantize(const float *x, int64_t n, const be_act *to, int64_t at, float least) {
  for (int64_t b = 0; b < n / QUANT_BLOCK; b++)
    quantize_block(x + b * QUANT_BLOCK, to, at / QUANT_BLOCK + b, least, false);
}

static void quantize_query(const float *x, int64_t n, const be_act *to, int64_t at) {
  for (int64_t b = 0; b < n / QUANT_BLOCK; b++) quantize_block(x + b * QUANT_BLOCK, to, at / QUANT_BLOCK + b, 0, true);
}

static float mean_square(const float *x, int64_t n) {
  float sum = 0;
  for (int64_t at = 0; at < n; at += SUM_GROUP) {
    float lane[SUM_LANES] = {0};
    for (int64_t i = at; i < n && i < at + SUM_GROUP; i++) lane[i % SUM_LANES] = fmaf(x[i], x[i], lane[i % SUM_LANES]);
    for (int i = 0; i < SUM_LANES / 2; i++) lane[i] += lane[i + SUM_LANES / 2];
    sum += math_tree16(lane);
  }
  return sum / (float)n;
}

static float norm(const float *x, const float *weight, float eps, float *out, int64_t n) {
  float r = 1.0f / sqrtf(mean_square(x, n) + eps);
  for (int64_t i = 0; i < n; i++) out[i] = x[i] * r * weight[i];
  return sqrtf(mean_square(out, n));
}

static void silu_mul(const float *gate, const float *up, float *out, int64_t n) {
  for (int64_t i = 0; i < n; i++) out[i] = math_silu(gate[i]) * up[i];
}

static void gelu_mul(const float *gate, const float *up, float *out, int64_t n) {
  for (int64_t i = 0; i < n; i++) out[i] = math_gelu_tanh(gate[i]) * up[i];
}

static void soft_cap(float *x, float cap, int64_t n) {
  for (int64_t i = 0; i < n; i++) x[i] = math_soft_cap(x[i], cap);
}

static void rotate(const float *x, const float *cos, const float *sin, float *out, int n) {
  for (int i = 0; i < n; i++) {
    float a = x[i], b = x[i + n];
    out[i] = fmaf(a, cos[i], -(b * sin[i]));
    out[i + n] = fmaf(b, cos[i], a * sin[i]);
  }
}

static void to_half(const float *x, uint16_t *out, int64_t n) {
  for (int64_t i = 0; i < n; i++) out[i] = half_from_float(x[i]);
}

static void fold(float *acc, float a, const float *x, float b, int64_t n) {
  for (int64_t i = 0; i < n; i++) acc[i] = fmaf(x[i], b, acc[i] * a);
}

void cpu_kernels_portable(cpu_kernels *k) {
  *k = (cpu_kernels){
      .linear = {[QUANT_F32] = portable_linear_f32,
                 [QUANT_F16] = portable_linear_f16,
                 [QUANT_BF16] = portable_linear_bf16,
                 [QUANT_Q8_0] = portable_linear_q8_0,
                 [QUANT_Q4_0] = portable_linear_q4_0,
                 [QUANT_Q4_1] = portable_linear_q4_1,
                 [QUANT_Q5_0] = portable_linear_q5_0,
                 [QUANT_Q5_1] = portable_linear_q5_1,
                 [QUANT_Q2_K] = portable_linear_q2_k,
                 [QUANT_Q3_K] = portable_linear_q3_k,
                 [QUANT_Q4_K] = portable_linear_q4_k,
                 [QUANT_Q5_K] = portable_linear_q5_k,
                 [QUANT_Q6_K] = portable_linear_q6_k,
                 [QUANT_IQ4_NL] = portable_linear_iq4_nl,
                 [QUANT_IQ4_XS] = portable_linear_iq4_xs},
      .add_outliers = {[QUANT_Q8_0] = portable_outliers_q8_0,
                       [QUANT_Q4_0] = portable_outliers_q4_0,
                       [QUANT_Q4_1] = portable_outliers_q4_1,
                       [QUANT_Q5_0] = portable_outliers_q5_0,
                       [QUANT_Q5_1] = portable_outliers_q5_1,
                       [QUANT_Q2_K] = portable_outliers_q2_k,
                       [QUANT_Q3_K] = portable_outliers_q3_k,
                       [QUANT_Q4_K] = portable_outliers_q4_k,
                       [QUANT_Q5_K] = portable_outliers_q5_k,
                       [QUANT_Q6_K] = portable_outliers_q6_k,
                       [QUANT_IQ4_NL] = portable_outliers_iq4_nl,
                       [QUANT_IQ4_XS] = portable_outliers_iq4_xs},
      .attend =
          {[GALE_KV_F16] = portable_attend_f16, [GALE_KV_F32] = portable_attend_f32, [GALE_KV_Q8] = portable_attend_q8},
      .quantize = quantize,
      .quantize_query = quantize_query,
      .norm = norm,
      .activate = {[BE_SILU] = silu_mul, [BE_GELU_TANH] = gelu_mul},
      .soft_cap = soft_cap,
      .rotate = rotate,
      .to_half = to_half,
      .fold = fold,
  };
  portable_probe(k);
}
