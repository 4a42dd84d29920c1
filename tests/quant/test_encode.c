/* From floats to storage blocks: levels are the nearest ones, errors are below a plain quantiser's, and a block is a
 * function of its own weights. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/random.h"
#include "quant/quant_encode.h"

enum { N = 256 * 24, MOST_BYTES = 4 * N };

/* ---- Weights ---- */

static double uniform(uint64_t seed, uint64_t i) {
  return ((double)(random_at(seed, i) >> 11) + 0.5) * 0x1p-53;
}

static double normal(uint64_t seed, uint64_t i) {
  return sqrt(-2 * log(uniform(seed, 2 * i))) * cos(6.283185307179586 * uniform(seed, 2 * i + 1));
}

/* Kinds of weights; each fills N. */
static const char *const kinds[] = {"normal",  "heavy",   "uniform", "positive", "negative",
                                    "shifted", "outlier", "small",   "large"};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

static float weight(int kind, uint64_t i) {
  double g = normal(7, i), u = uniform(8, i);
  const double values[N_KINDS] = {0.02 * g,    0.02 * g / sqrt(u),          u - 0.5,  u,       -fabs(g),
                                  1 + 0.1 * g, i % 256 == 77 ? 9 : 0.1 * g, 1e-4 * g, 4000 * g};
  return (float)values[kind];
}

static void fill(int kind, float x[N]) {
  for (uint64_t i = 0; i < N; i++) x[i] = weight(kind, i);
}

/* ---- A plain quantiser: the extremes at the ends of the levels, nothing searched ---- */

static float rounded(float x) {
  return half_to_float(half_from_float(x));
}

static double plain_line(const float *x, int n, float scale, float min, float low, float high) {
  double error = 0;
  for (int i = 0; i < n; i++) {
    float q = scale ? rintf((x[i] - min) / scale) : 0;
    q = q < low ? low : q > high ? high : q;
    double r = (double)x[i] - ((double)scale * (double)q + (double)min);
    error += r * r;
  }
  return error;
}

static void extremes(const float *x, int n, float *low, float *high) {
  *low = *high = x[0];
  for (int i = 1; i < n; i++) {
    *low = fminf(*low, x[i]);
    *high = fmaxf(*high, x[i]);
  }
}

/* A block of 32 by itself. */
static double plain_block(const quant_info *q, const float *x) {
  float low, high, levels = (float)((1 << q->level_bits) - 1);
  extremes(x, 32, &low, &high);
  if (q->has_min) return plain_line(x, 32, rounded((high - low) / levels), rounded(low), 0, levels);
  if (q->level_bits == 8) return plain_line(x, 32, rounded(fmaxf(high, -low) / 127), 0, -127, 127);
  float big = -low > high ? low : high;
  return plain_line(x, 32, rounded(big / (float)-q->zero), 0, (float)-q->zero, levels - (float)q->zero);
}

/* A superblock: factors nearest to what each part asks for. */
static double plain_superblock(const quant_info *q, const float *x) {
  int n = q->has_min ? 32 : 16, parts = 256 / n;
  float scale[16], min[16], most_scale = 0, most_min = 0, levels = (float)((1 << q->level_bits) - 1);
  for (int p = 0; p < parts; p++) {
    float low, high;
    extremes(x + p * n, n, &low, &high);
    min[p] = q->has_min ? fminf(low, 0) : 0;
    scale[p] = q->has_min ? (high - min[p]) / levels : (-low > high ? low : high) / (float)-q->zero;
    most_scale = fmaxf(most_scale, fabsf(scale[p]));
    most_min = fmaxf(most_min, -min[p]);
  }
  float top = q->has_min ? 63 : 127, d = rounded(most_scale / top), m = rounded(most_min / top);
  double error = 0;
  for (int p = 0; p < parts; p++) {
    float s = d ? fminf(fmaxf(rintf(scale[p] / d), -top), top) * d : 0, o = m ? -fminf(rintf(-min[p] / m), top) * m : 0;
    error += plain_line(x + p * n, n, s, o, (float)-q->zero, levels - (float)q->zero);
  }
  return error;
}

/* ---- Tests ---- */

static double squared_error(const float *x, const float *y, size_t n) {
  double error = 0;
  for (size_t i = 0; i < n; i++) error += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
  return error;
}

static bool is_quantised(int type) {
  return quant_can_encode((quant_type)type) && !quant_get((quant_type)type)->is_float;
}

/* In all, and for each block but for what rounding a scale to a half may cost. */
static void error_is_below_that_of_a_plain_quantiser(void **state) {
  (void)state;
  static float x[N], y[N];
  static uint8_t stored[MOST_BYTES];
  for (int type = 0; type < QUANT_TYPES; type++)
    for (int kind = 0; kind < N_KINDS && is_quantised(type); kind++) {
      const quant_info *q = quant_get((quant_type)type);
      fill(kind, x);
      quant_encode((quant_type)type, x, stored, N);
      q->dequantize(q, stored, y, N);
      double ours = 0, plain = 0;
      for (int b = 0; b < N; b += q->block) {
        double error = squared_error(x + b, y + b, (size_t)q->block);
        double other = q->block == 32 ? plain_block(q, x + b) : plain_superblock(q, x + b);
        if (error > 1.1 * other) fail_msg("%s, %s, block at %d: %g, plain %g", q->name, kinds[kind], b, error, other);
        ours += error;
        plain += other;
      }
      if (ours > plain) fail_msg("%s, %s: %g, plain %g", q->name, kinds[kind], ours, plain);
    }
}

/* No other level of the same scale and minimum is nearer; so no weight is off by more than half a step but beyond the
 * ends of the range. */
static void levels_are_the_nearest(void **state) {
  (void)state;
  static float x[N];
  static uint8_t stored[MOST_BYTES];
  for (int type = 0; type < QUANT_TYPES; type++)
    for (int kind = 0; kind < N_KINDS && is_quantised(type); kind++) {
      const quant_info *q = quant_get((quant_type)type);
      fill(kind, x);
      quant_encode((quant_type)type, x, stored, N);
      for (int i = 0; i < N; i++) {
        quant_block piece;
        q->load(stored + i / q->block * q->block_bytes, i % q->block / 32, &piece);
        int h = i % 32 / 16, level = piece.level[i % 32] - q->zero, low = -q->zero,
            high = (1 << q->level_bits) - 1 - q->zero;
        if (q->level_bits == 8) low = -127;
        double scale = (double)half_to_float(piece.d) * piece.scale[h];
        double min = q->has_min ? (double)half_to_float(piece.m) * piece.min[h] : 0;
        double off = (double)x[i] - (scale * level + min),
               allowed = fabs(scale) * (0.5 + 1e-4) + 1e-6 * fabs((double)x[i]);
        assert_in_range(level - low, 0, high - low);
        bool beyond = (level == low && off / scale < 0) || (level == high && off / scale > 0);
        if (scale != 0 && !beyond && fabs(off) > allowed)
          fail_msg("%s, %s: weight %d is off by %g, step %g", q->name, kinds[kind], i, off, scale);
      }
    }
}

static void a_block_depends_on_its_weights_alone(void **state) {
  (void)state;
  static float x[N];
  static uint8_t whole[MOST_BYTES], alone[MOST_BYTES];
  fill(0, x);
  for (int type = 0; type < QUANT_TYPES; type++) {
    if (!quant_can_encode((quant_type)type)) continue;
    const quant_info *q = quant_get((quant_type)type);
    size_t bytes = quant_bytes((quant_type)type, N);
    quant_encode((quant_type)type, x, whole, N);
    for (int step = 1; step <= 7; step++) {
      memset(alone, 0xAA, sizeof alone);
      for (int b = 0; b < N / q->block; b += step) {
        int n = N / q->block - b < step ? N / q->block - b : step;
        quant_encode((quant_type)type, x + b * q->block, alone + b * q->block_bytes, (size_t)(n * q->block));
      }
      assert_memory_equal(whole, alone, bytes);
    }
  }
}

/* All weights the same: what is off is what halves, factors and levels cannot state. */
static void constants(void **state) {
  (void)state;
  static const float values[] = {0, 1, -1, 0.3f, -0.3f, 1e-3f, -1e-3f, 1e-6f, 65504, -65504};
  float x[256], y[256];
  uint8_t stored[1024];
  for (int type = 0; type < QUANT_TYPES; type++)
    for (size_t v = 0; v < sizeof values / sizeof *values && is_quantised(type); v++) {
      const quant_info *q = quant_get((quant_type)type);
      for (int i = 0; i < 256; i++) x[i] = values[v];
      quant_encode((quant_type)type, x, stored, 256);
      q->dequantize(q, stored, y, 256);
      for (int i = 0; i < 256; i++)
        if (!(fabsf(y[i] - x[i]) <= 0.02f * fabsf(x[i]) + 1e-6f))
          fail_msg("%s: %g became %g", q->name, (double)x[i], (double)y[i]);
    }
}

/* Whatever finite weights there are, what comes out is finite, and zeros among them do no harm. */
static void extreme_weights_stay_finite(void **state) {
  (void)state;
  static const float values[] = {0,     -0.0f,  1e-45f, -1e-38f, 1e-20f,          6e-8f, 3e-8f, -1e-5f,
                                 65504, -65504, 1e10f,  -1e30f,  0x1.fffffep127f, 1,     -1,    1e-10f};
  float x[256], y[256];
  uint8_t stored[1024];
  for (int type = 0; type < QUANT_TYPES; type++)
    for (uint64_t trial = 0; trial < 200 && is_quantised(type); trial++) {
      const quant_info *q = quant_get((quant_type)type);
      uint64_t n_values = 1 + random_at(trial, 1000) % 16;
      for (uint64_t i = 0; i < 256; i++) x[i] = values[random_at(trial, i) % n_values];
      quant_encode((quant_type)type, x, stored, 256);
      q->dequantize(q, stored, y, 256);
      for (int i = 0; i < 256; i++) assert_true(isfinite(y[i]));
    }
}

static void floats_are_rounded_to_nearest(void **state) {
  (void)state;
  const float x[] = {1, -0.1f, 0x1.004p0f, 0x1.00cp0f, 1e-7f, 65504, 0x1.01p0f, 0x1.03p0f};
  float y[8];
  uint8_t stored[32];
  quant_encode(QUANT_F32, x, y, 8);
  assert_memory_equal(x, y, sizeof x);
  quant_encode(QUANT_F16, x, stored, 8);
  quant_get(QUANT_F16)->dequantize(quant_get(QUANT_F16), stored, y, 8);
  assert_true(y[0] == 1 && y[2] == 0x1.004p0f && y[3] == 0x1.00cp0f && y[5] == 65504);
  assert_true(fabsf(y[1] - x[1]) <= 0x1p-15f && fabsf(y[4] - x[4]) <= 0x1p-25f);
  quant_encode(QUANT_BF16, x, stored, 8);
  quant_get(QUANT_BF16)->dequantize(quant_get(QUANT_BF16), stored, y, 8);
  assert_true(y[0] == 1 && y[6] == 1 && y[7] == 0x1.04p0f); /* ties to even */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(error_is_below_that_of_a_plain_quantiser),
      cmocka_unit_test(levels_are_the_nearest),
      cmocka_unit_test(a_block_depends_on_its_weights_alone),
      cmocka_unit_test(constants),
      cmocka_unit_test(extreme_weights_stay_finite),
      cmocka_unit_test(floats_are_rounded_to_nearest),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
