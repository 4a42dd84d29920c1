/* Linear layers: one output is one chain of multiply-adds in order of the inputs. */
#include "backend/cpu/kernels/portable/portable.h"

#include "base/half.h"

#include <math.h>

/* Writes or adds acc [16], the sums of one token and panel, to the output. */
static void finish(const linear_task *t, int64_t panel, int32_t token, const float *acc) {
  float *out = t->out + token * t->stride + panel * PANEL_ROWS;
  int64_t left = t->n_rows - panel * PANEL_ROWS;
  for (int r = 0; r < PANEL_ROWS && r < left; r++) out[r] = t->add ? out[r] + acc[r] : acc[r];
}

/* ---- Float weights: acc = fma(w, x, acc) ---- */

static float load_f32(const char *p) {
  float f;
  memcpy(&f, p, sizeof f);
  return f;
}

static uint16_t load_u16(const char *p) {
  uint16_t h;
  memcpy(&h, p, sizeof h);
  return h;
}

static float load_f16(const char *p) {
  return half_to_float(load_u16(p));
}
static float load_bf16(const char *p) {
  return bfloat_to_float(load_u16(p));
}

static void linear_float(const linear_task *t, size_t element, float (*load)(const char *)) {
  for (int64_t panel = 0; panel < t->n_panels; panel++) {
    const char *weights = t->panels + (size_t)panel * t->panel_bytes;
    for (int32_t token = 0; token < t->n_tokens; token++) {
      const float *x = t->x->f32 + token * t->x->cols;
      float acc[PANEL_ROWS] = {0};
      for (int64_t c = 0; c < t->x->cols; c++)
        for (int r = 0; r < PANEL_ROWS; r++)
          acc[r] = fmaf(load(weights + (size_t)(c * PANEL_ROWS + r) * element), x[c], acc[r]);
      finish(t, panel, token, acc);
    }
  }
}

void portable_linear_f32(const linear_task *t) {
  linear_float(t, 4, load_f32);
}
void portable_linear_f16(const linear_task *t) {
  linear_float(t, 2, load_f16);
}
void portable_linear_bf16(const linear_task *t) {
  linear_float(t, 2, load_bf16);
}

/* ---- Quantised weights: for each sub-block (a block, or half of one where halves have factors),
 * acc = fma((weight scale * factor) * activation scale, D, acc) with the integer dot product D, and for types with a
 * minimum acc = fma(min * its factor, activation scale * Q, acc) with Q the sum of the activation's levels. Halves have
 * 11 bits and factors at most 8, so that their products are exact; so are D and Q as floats, being at most 32 * 127 *
 * 128. ---- */

static int32_t dot(const int8_t *a, const int8_t *b) {
  int32_t sum = 0;
  for (int i = 0; i < QUANT_BLOCK / 2; i++) sum += a[i] * b[i];
  return sum;
}

static int32_t sum_of(const int8_t *a) {
  int32_t sum = 0;
  for (int i = 0; i < QUANT_BLOCK / 2; i++) sum += a[i];
  return sum;
}

/* Sub-block h of `count`. */
static void add_sub_block(const quant_levels *w, const be_act *x, int64_t block, int h, int count, bool has_min,
                          float *acc) {
  enum { HALF = QUANT_BLOCK / 2 };
  const int8_t *level = x->level + block * QUANT_BLOCK + h * HALF;
  float scale = x->scale[block];
  int32_t sum = sum_of(level) + (count == 1 ? sum_of(level + HALF) : 0);
  for (int r = 0; r < PANEL_ROWS; r++) {
    const int8_t *weights = w->level[r] + h * HALF;
    int32_t product = dot(weights, level) + (count == 1 ? dot(weights + HALF, level + HALF) : 0);
    acc[r] = fmaf(w->scale[r] * (float)w->scales[r][h] * scale, (float)product, acc[r]);
    if (has_min) acc[r] = fmaf(w->min[r] * (float)w->mins[r][h], scale * (float)sum, acc[r]);
  }
}

static int sub_blocks(const quant_info *q) {
  return q->factors == FACTORS_SCALES || q->factors == FACTORS_SCALES_MINS ? 2 : 1;
}

static void linear_quantized(const linear_task *t, const quant_info *q) {
  enum { TOKENS = 32 };
  int64_t n_blocks = t->x->cols / QUANT_BLOCK;
  for (int64_t panel = 0; panel < t->n_panels; panel++)
    for (int32_t first = 0; first < t->n_tokens; first += TOKENS) {
      int32_t n = t->n_tokens - first < TOKENS ? t->n_tokens - first : TOKENS;
      float acc[TOKENS][PANEL_ROWS] = {{0}};
      for (int64_t b = 0; b < n_blocks; b++) {
        quant_levels w;
        q->levels(q, t->panels + (size_t)panel * t->panel_bytes, (size_t)t->x->cols, (size_t)b, &w);
        for (int32_t i = 0; i < n; i++)
          for (int h = 0; h < sub_blocks(q); h++)
            add_sub_block(&w, t->x, (first + i) * n_blocks + b, h, sub_blocks(q), q->has_min, acc[i]);
      }
      for (int32_t i = 0; i < n; i++) finish(t, panel, first + i, acc[i]);
    }
}

/* ---- Outliers: out = fma(weight, value, out), the weight being what dequantize gives: the product of a half with 11
 * bits and of an integer below 2^13 is exact ---- */

static void add_outlier(const quant_levels *w, float value, int at, bool has_min, float *out, int64_t rows) {
  int half = at / (QUANT_BLOCK / 2);
  for (int r = 0; r < PANEL_ROWS && r < rows; r++) {
    float weight = w->scale[r] * (float)(w->scales[r][half] * w->level[r][at]);
    if (has_min) weight = fmaf(w->min[r], (float)w->mins[r][half], weight);
    out[r] = fmaf(weight, value, out[r]);
  }
}

static void add_outliers(const linear_task *t, const quant_info *q) {
  int64_t n_blocks = t->x->cols / QUANT_BLOCK;
  for (int64_t panel = 0; panel < t->n_panels; panel++)
    for (int64_t b = 0; b < n_blocks; b++) {
      quant_levels w;
      bool loaded = false;
      for (int32_t token = 0; token < t->n_tokens; token++) {
        int64_t at = token * n_blocks + b, row = panel * PANEL_ROWS;
        if (!t->x->outlier_at[at]) continue;
        if (!loaded) q->levels(q, t->panels + (size_t)panel * t->panel_bytes, (size_t)t->x->cols, (size_t)b, &w);
        loaded = true;
        add_outlier(&w, t->x->outlier[at], t->x->outlier_at[at] - 1, q->has_min, t->out + token * t->stride + row,
                    t->n_rows - row);
      }
    }
}

#define QUANTISED(LOWER)                                                                                               \
  void portable_linear_##LOWER(const linear_task *t) {                                                                 \
    linear_quantized(t, &quant_##LOWER);                                                                               \
  }                                                                                                                    \
  void portable_outliers_##LOWER(const linear_task *t) {                                                               \
    add_outliers(t, &quant_##LOWER);                                                                                   \
  }

QUANTISED(q8_0)
QUANTISED(q4_0)
QUANTISED(q4_1)
QUANTISED(q5_0)
QUANTISED(q5_1)
QUANTISED(q2_k)
QUANTISED(q3_k)
QUANTISED(q4_k)
QUANTISED(q5_k)
QUANTISED(q6_k)
QUANTISED(iq4_nl)
QUANTISED(iq4_xs)
