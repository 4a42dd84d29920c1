/* Row kernels: every level's bits against the portable C, and the portable elementary functions against
 * double precision. */
#include "backend/buffers.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/math.h"

#include <stdlib.h>

enum { LONGEST = 4096 };
static const int lengths[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 40, 63, 64, 65, 80, 100, 576, 1000, 4096};
enum { N_LENGTHS = sizeof lengths / sizeof *lengths };

/* What a kernel reads, and the results of the portable C and of a level, each before a guard page. */
typedef struct rows {
  int n;
  guarded in[4], out[2][3];
} rows;

static float *in(const rows *r, int i) {
  return r->in[i].data;
}
static float *out(const rows *r, int level) {
  return r->out[level][0].data;
}

/* Rows of n floats: 0 random, 1 with special values, 2 nothing but special values. */
static rows rows_new(int n, int kind, uint64_t seed) {
  rows r = {.n = n};
  for (int i = 0; i < 4; i++) {
    r.in[i] = guarded_new((size_t)n * sizeof(float));
    for (int j = 0; j < n; j++) {
      bool special = kind == 2 || (kind == 1 && random_below(&seed, 16) == 0);
      in(&r, i)[j] = special ? random_special(&seed) : random_unit(&seed) * 8;
    }
  }
  for (int l = 0; l < 2; l++)
    for (int i = 0; i < 3; i++) r.out[l][i] = guarded_new((size_t)n * sizeof(float));
  return r;
}

static void rows_free(rows r) {
  for (int i = 0; i < 4; i++) guarded_free(r.in[i]);
  for (int l = 0; l < 2; l++)
    for (int i = 0; i < 3; i++) guarded_free(r.out[l][i]);
}

static void run_norm(const cpu_kernels *k, const rows *r, int level) {
  k->norm(in(r, 0), in(r, 1), 1e-5f, out(r, level), r->n);
}

static void run_silu(const cpu_kernels *k, const rows *r, int level) {
  k->activate[BE_SILU](in(r, 0), in(r, 1), out(r, level), r->n);
}

static void run_gelu(const cpu_kernels *k, const rows *r, int level) {
  k->activate[BE_GELU_TANH](in(r, 0), in(r, 1), out(r, level), r->n);
}

static void run_soft_cap(const cpu_kernels *k, const rows *r, int level) {
  memcpy(out(r, level), in(r, 0), (size_t)r->n * sizeof(float));
  k->soft_cap(out(r, level), 30.0f, r->n);
}

static void run_fold(const cpu_kernels *k, const rows *r, int level) {
  memcpy(out(r, level), in(r, 0), (size_t)r->n * sizeof(float));
  k->fold(out(r, level), 0.75f, in(r, 1), 0.3f, r->n);
}

/* n / 2 pairs. The angles' rows end at a guard page as well. */
static void run_rotate(const cpu_kernels *k, const rows *r, int level) {
  int pairs = r->n / 2, used = 2 * pairs, spare = r->n - pairs;
  k->rotate(in(r, 0) + (r->n - used), in(r, 1) + spare, in(r, 2) + spare, out(r, level) + (r->n - used), pairs);
}

static void run_rotate_in_place(const cpu_kernels *k, const rows *r, int level) {
  int pairs = r->n / 2, used = 2 * pairs, spare = r->n - pairs;
  float *x = out(r, level) + (r->n - used);
  memcpy(x, in(r, 0) + (r->n - used), (size_t)used * sizeof(float));
  k->rotate(x, in(r, 1) + spare, in(r, 2) + spare, x, pairs);
}

/* The halves end at the guard page and are compared as floats. */
static void run_to_half(const cpu_kernels *k, const rows *r, int level) {
  uint16_t *half = (uint16_t *)r->out[level][1].data + r->n;
  k->to_half(in(r, 0), half, r->n);
  for (int i = 0; i < r->n; i++) out(r, level)[i] = half_to_float(half[i]);
}

/* Levels, scales and sums end at guard pages; all are compared as floats. */
static void run_quantize(const cpu_kernels *k, const rows *r, int level) {
  int blocks = r->n / QUANT_BLOCK, n = blocks * QUANT_BLOCK, end = r->n;
  int8_t *levels = (int8_t *)r->out[level][1].data + end * 4 - n;
  float *scale = (float *)r->out[level][0].data + end - blocks;
  int16_t *neg_sum = (int16_t *)r->out[level][2].data + 2 * (end - blocks);
  k->quantize(in(r, 0) + (end - n), n, levels, scale, neg_sum);
  for (int b = 0; b < blocks; b++) {
    int32_t sum[2] = {0};
    for (int i = 0; i < QUANT_BLOCK; i++) {
      sum[i / 16] += levels[b * QUANT_BLOCK + i];
      assert_true(levels[b * QUANT_BLOCK + i] >= -127);
    }
    for (int h = 0; h < 2; h++) assert_int_equal(sum[h], -neg_sum[2 * b + h]);
  }
  for (int i = 0; i < n && i < end - blocks; i++) out(r, level)[i] = (float)levels[i];
}

static const struct {
  const char *name;
  void (*run)(const cpu_kernels *k, const rows *r, int level);
} row_kernels[] = {
    {"norm", run_norm},
    {"silu", run_silu},
    {"gelu", run_gelu},
    {"soft_cap", run_soft_cap},
    {"fold", run_fold},
    {"rotate", run_rotate},
    {"rotate in place", run_rotate_in_place},
    {"to_half", run_to_half},
    {"quantize", run_quantize},
};

static void level_equals_portable(cpu_level level) {
  cpu_kernels portable, fast;
  cpu_kernels_fill(&portable, CPU_GENERIC);
  cpu_kernels_fill(&fast, level);
  for (size_t k = 0; k < sizeof row_kernels / sizeof *row_kernels; k++)
    for (int i = 0; i < N_LENGTHS; i++)
      for (int kind = 0; kind < 3; kind++) {
        char what[80];
        snprintf(what, sizeof what, "%s, %s, n %d, kind %d", row_kernels[k].name, cpu_level_name(level), lengths[i],
                 kind);
        rows r = rows_new(lengths[i], kind, (uint64_t)(i * 10 + kind));
        row_kernels[k].run(&portable, &r, 0);
        row_kernels[k].run(&fast, &r, 1);
        assert_same_floats(out(&r, 1), out(&r, 0), (size_t)r.n, what);
        rows_free(r);
      }
}

static void test_levels(void **state) {
  (void)state;
  for_each_level(level_equals_portable);
}

/* ---- All floats, in steps ---- */

enum { STEP = 1021, CHUNK = 4096 };

/* Calls check with CHUNK floats at a time whose bits run over all of 32 bits. */
static void sweep(void (*check)(const cpu_kernels *portable, const cpu_kernels *fast, const float *x),
                  const cpu_kernels *portable, const cpu_kernels *fast) {
  float x[CHUNK];
  for (uint64_t bits = 0; bits < 1ull << 32;) {
    for (int i = 0; i < CHUNK; i++, bits += STEP) x[i] = float_from_bits((uint32_t)bits);
    check(portable, fast, x);
  }
}

static void check_activations(const cpu_kernels *portable, const cpu_kernels *fast, const float *x) {
  static float one[CHUNK], a[CHUNK], b[CHUNK];
  for (int i = 0; i < CHUNK; i++) one[i] = 1;
  for (int activation = BE_SILU; activation <= BE_GELU_TANH; activation++) {
    portable->activate[activation](x, one, a, CHUNK);
    fast->activate[activation](x, one, b, CHUNK);
    assert_same_floats(b, a, CHUNK, activation == BE_SILU ? "silu" : "gelu");
  }
  memcpy(a, x, sizeof a);
  memcpy(b, x, sizeof b);
  portable->soft_cap(a, 50.0f, CHUNK);
  fast->soft_cap(b, 50.0f, CHUNK);
  assert_same_floats(b, a, CHUNK, "soft_cap");
}

static void check_half(const cpu_kernels *portable, const cpu_kernels *fast, const float *x) {
  static uint16_t a[CHUNK], b[CHUNK];
  portable->to_half(x, a, CHUNK);
  fast->to_half(x, b, CHUNK);
  assert_memory_equal(a, b, sizeof a);
}

static void check_quantize(const cpu_kernels *portable, const cpu_kernels *fast, const float *x) {
  static float y[CHUNK], scale[2][CHUNK / QUANT_BLOCK];
  static int8_t level[2][CHUNK];
  static int16_t neg_sum[2][CHUNK / 16];
  /* Each block has one float of the sweep as its largest magnitude, or near it. */
  for (int i = 0; i < CHUNK; i++) y[i] = x[i / QUANT_BLOCK * QUANT_BLOCK] * (1 - (float)(i % QUANT_BLOCK) / 33);
  portable->quantize(y, CHUNK, level[0], scale[0], neg_sum[0]);
  fast->quantize(y, CHUNK, level[1], scale[1], neg_sum[1]);
  assert_same_floats(scale[1], scale[0], CHUNK / QUANT_BLOCK, "scale");
  assert_memory_equal(level[1], level[0], sizeof level[0]);
  assert_memory_equal(neg_sum[1], neg_sum[0], sizeof neg_sum[0]);
}

static void level_sweeps(cpu_level level) {
  cpu_kernels portable, fast;
  cpu_kernels_fill(&portable, CPU_GENERIC);
  cpu_kernels_fill(&fast, level);
  sweep(check_activations, &portable, &fast);
  sweep(check_half, &portable, &fast);
  sweep(check_quantize, &portable, &fast);
}

static void test_sweeps(void **state) {
  (void)state;
  for_each_level(level_sweeps);
}

/* ---- Against double precision ---- */

/* |got - exact| in units of the last place of exact, which is a normal float. */
static double ulps(float got, double exact) {
  int exponent;
  frexp(exact, &exponent);
  return fabs((double)got - exact) / ldexp(1, exponent - 24);
}

/* 1/2 for the last sum in [1/sqrt 2, 1), 1/4 each for the remainder and for the sum before, below 1/2 both; the
 * rest is the polynomial's 8e-9 and the rounding of its small terms. */
#define EXP_ULPS 1.1

static void test_exp(void **state) {
  (void)state;
  double worst = 0;
  for (uint64_t bits = 0; bits < 1ull << 32; bits += 211) {
    float x = float_from_bits((uint32_t)bits);
    if (!(x >= EXP_LOW && x <= EXP_HIGH)) continue;
    double e = ulps(math_exp(x), exp((double)x));
    worst = e > worst ? e : worst;
  }
  print_message("exp: at most %.3f ulp\n", worst);
  assert_true(worst <= EXP_ULPS);
}

static void test_exp_ends(void **state) {
  (void)state;
  assert_true(math_exp(0.0f) == 1.0f && math_exp(-0.0f) == 1.0f);
  assert_true(math_exp(-INFINITY) == 0 && math_exp(INFINITY) == INFINITY);
  assert_true(isnan(math_exp(NAN)));
  assert_true(math_exp(EXP_HIGH) < INFINITY && math_exp(nextafterf(EXP_HIGH, 100)) == INFINITY);
  assert_true(math_exp(EXP_LOW) >= 0x1p-126f && math_exp(nextafterf(EXP_LOW, -100)) == 0);
  /* Neighbours of both ends rise. */
  float low = EXP_LOW, high = EXP_HIGH;
  for (int i = 0; i < 100000; i++) {
    assert_true(math_exp(nextafterf(low, 0)) >= math_exp(low));
    low = nextafterf(low, 0);
    assert_true(math_exp(nextafterf(high, 0)) <= math_exp(high));
    high = nextafterf(high, 0);
  }
}

/* x / (1 + e) with e within E ulp: the relative error is at most (E + 1) 2^-23 of e / (1 + e) and 2^-24 each
 * for the sum and the quotient. Where e^-x overflows, so near -88.7, the true value is below 1e-36. */
static void test_silu(void **state) {
  (void)state;
  for (uint64_t bits = 0; bits < 1ull << 32; bits += 211) {
    float x = float_from_bits((uint32_t)bits);
    if (!isfinite(x)) continue;
    double exact = (double)x / (1 + exp(-(double)x));
    double bound = fabs(exact) * ((EXP_ULPS + 1) * 0x1p-23 + 2 * 0x1p-24) + (x < -EXP_HIGH ? 1e-36 : 0x1p-149);
    if (!(fabs(math_silu(x) - exact) <= bound)) fail_msg("silu(%a) is %a, should be %a", x, math_silu(x), exact);
  }
  assert_true(math_silu(INFINITY) == INFINITY);
  assert_true(isnan(math_silu(NAN)));
}

/* gamma(n / 16 + 4) for the sum of squares, which is one of positive terms; its root halves that; then four
 * more operations. */
static void test_norm(void **state) {
  (void)state;
  cpu_kernels k;
  cpu_kernels_fill(&k, CPU_GENERIC);
  for (int i = 0; i < N_LENGTHS; i++) {
    rows r = rows_new(lengths[i], 0, (uint64_t)i);
    double sum = 0, bound = ((double)r.n / 16 + 6) / 2 * 0x1p-24 + 5 * 0x1p-24;
    for (int j = 0; j < r.n; j++) sum += (double)in(&r, 0)[j] * in(&r, 0)[j];
    double scale = 1 / sqrt(sum / r.n + (double)1e-5f);
    run_norm(&k, &r, 0);
    for (int j = 0; j < r.n; j++) {
      double exact = (double)in(&r, 0)[j] * scale * in(&r, 1)[j];
      assert_true(fabs(out(&r, 0)[j] - exact) <= fabs(exact) * bound);
    }
    rows_free(r);
  }
}

/* A level is within half a step of the value, but for the rounding of the factor and of the product. */
static void test_quantize(void **state) {
  (void)state;
  cpu_kernels k;
  cpu_kernels_fill(&k, CPU_GENERIC);
  rows r = rows_new(LONGEST, 0, 5);
  int8_t level[LONGEST];
  float scale[LONGEST / QUANT_BLOCK];
  int16_t neg_sum[LONGEST / 16];
  k.quantize(in(&r, 0), LONGEST, level, scale, neg_sum);
  for (int i = 0; i < LONGEST; i++) {
    double d = scale[i / QUANT_BLOCK], error = fabs(d * level[i] - in(&r, 0)[i]);
    assert_true(error <= d * (0.5 + 127 * 4 * 0x1p-24));
  }
  float x[QUANT_BLOCK] = {0};
  x[7] = NAN;
  k.quantize(x, QUANT_BLOCK, level, scale, neg_sum);
  assert_true(isnan(scale[0]) && neg_sum[0] == 0 && neg_sum[1] == 0);
  x[7] = -INFINITY;
  k.quantize(x, QUANT_BLOCK, level, scale, neg_sum);
  assert_true(isnan(scale[0]) && neg_sum[0] == 0 && neg_sum[1] == 0);
  x[7] = 0;
  k.quantize(x, QUANT_BLOCK, level, scale, neg_sum);
  assert_true(scale[0] == 0 && neg_sum[0] == 0 && neg_sum[1] == 0);
  rows_free(r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_levels),   cmocka_unit_test(test_sweeps), cmocka_unit_test(test_exp),
      cmocka_unit_test(test_exp_ends), cmocka_unit_test(test_silu),   cmocka_unit_test(test_norm),
      cmocka_unit_test(test_quantize),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
