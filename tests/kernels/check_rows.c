/* Operations on rows of activations, and the elementary functions that they are made of. */
#include "check.h"

#include "backend/cpu/kernels/portable/math.h"

enum { LONGEST = 4096, OUTPUTS = 5, RETURNED = 4 };
static const int lengths[] = {1,  2,  3,  7,   8,   9,   15,  16,  17,  24,  31,   32,   33,   40,  63,
                              64, 65, 80, 100, 511, 512, 513, 528, 545, 576, 1000, 1024, 1055, 4096};
enum { N_LENGTHS = sizeof lengths / sizeof *lengths };

/* What a kernel reads, and the results of the portable C and of an instruction set, each before a guard page. */
typedef struct rows {
  int n;
  guarded in[4], out[2][OUTPUTS];
} rows;

static float *in(const rows *r, int i) {
  return r->in[i].data;
}
static float *out(const rows *r, int set) {
  return r->out[set][0].data;
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
    for (int i = 0; i < OUTPUTS; i++) r.out[l][i] = guarded_new((size_t)n * sizeof(float));
  return r;
}

static void rows_free(rows r) {
  for (int i = 0; i < 4; i++) guarded_free(r.in[i]);
  for (int l = 0; l < 2; l++)
    for (int i = 0; i < OUTPUTS; i++) guarded_free(r.out[l][i]);
}

/* ---- Running them: set 0 is the portable C ---- */

static void run_norm(const cpu_kernels *k, const rows *r, int set) {
  *(float *)r->out[set][RETURNED].data = k->norm(in(r, 0), in(r, 1), 1e-5f, out(r, set), r->n);
}

static void run_silu(const cpu_kernels *k, const rows *r, int set) {
  k->activate[BE_SILU](in(r, 0), in(r, 1), out(r, set), r->n);
}

static void run_gelu(const cpu_kernels *k, const rows *r, int set) {
  k->activate[BE_GELU_TANH](in(r, 0), in(r, 1), out(r, set), r->n);
}

static void run_soft_cap(const cpu_kernels *k, const rows *r, int set) {
  memcpy(out(r, set), in(r, 0), (size_t)r->n * sizeof(float));
  k->soft_cap(out(r, set), 30.0f, r->n);
}

static void run_fold(const cpu_kernels *k, const rows *r, int set) {
  memcpy(out(r, set), in(r, 0), (size_t)r->n * sizeof(float));
  k->fold(out(r, set), 0.75f, in(r, 1), 0.3f, r->n);
}

/* n / 2 pairs. The angles' rows end at a guard page as well. */
static void run_rotate(const cpu_kernels *k, const rows *r, int set) {
  int pairs = r->n / 2, used = 2 * pairs, spare = r->n - pairs;
  k->rotate(in(r, 0) + (r->n - used), in(r, 1) + spare, in(r, 2) + spare, out(r, set) + (r->n - used), pairs);
}

static void run_rotate_in_place(const cpu_kernels *k, const rows *r, int set) {
  int pairs = r->n / 2, used = 2 * pairs, spare = r->n - pairs;
  float *x = out(r, set) + (r->n - used);
  memcpy(x, in(r, 0) + (r->n - used), (size_t)used * sizeof(float));
  k->rotate(x, in(r, 1) + spare, in(r, 2) + spare, x, pairs);
}

/* The halves end at the guard page and are compared as floats. */
static void run_to_half(const cpu_kernels *k, const rows *r, int set) {
  uint16_t *half = (uint16_t *)r->out[set][1].data + r->n;
  k->to_half(in(r, 0), half, r->n);
  for (int i = 0; i < r->n; i++) out(r, set)[i] = half_to_float(half[i]);
}

/* Everything ends at guard pages; levels are compared as floats, and where a row has room the rest. */
typedef enum { AS_PLAIN, AS_OUTLIERS, AS_QUERY } quantized;

static void quantize(const cpu_kernels *k, const rows *r, int set, const float *x, quantized as) {
  int blocks = r->n / QUANT_BLOCK, n = blocks * QUANT_BLOCK, end = r->n, room = end - 5 * blocks;
  be_act to = {.level = (int8_t *)r->out[set][1].data + end * 4 - n,
               .scale = (float *)r->out[set][0].data + end - blocks,
               .neg_sum = (int16_t *)r->out[set][2].data + 2 * (end - blocks)};
  if (as == AS_OUTLIERS) {
    to.outlier_rest = 0.5f;
    to.outlier_at = (uint8_t *)r->out[set][3].data + end * 4 - blocks;
    to.outlier = (float *)r->out[set][4].data + end - blocks;
  }
  if (as == AS_QUERY)
    k->quantize_query(x + (end - n), n, &to, 0);
  else
    k->quantize(x + (end - n), n, &to, 0, 2);
  for (int i = 0; i < n && i < room; i++) out(r, set)[i] = (float)to.level[i];
  for (int i = 0; i < 2 * blocks; i++) out(r, set)[end - 3 * blocks + i] = (float)to.neg_sum[i];
  for (int i = 0; i < blocks && as == AS_OUTLIERS; i++) {
    out(r, set)[room + i] = (float)to.outlier_at[i];
    out(r, set)[room + blocks + i] = to.outlier[i];
  }
}

static void run_quantize(const cpu_kernels *k, const rows *r, int set) {
  quantize(k, r, set, in(r, 0), AS_PLAIN);
}

static void run_quantize_query(const cpu_kernels *k, const rows *r, int set) {
  quantize(k, r, set, in(r, 0), AS_QUERY);
}

/* One value of each block is up to four times as far from the others as it was. */
static void run_quantize_outliers(const cpu_kernels *k, const rows *r, int set) {
  float *x = in(r, 3);
  for (int i = 0; i < r->n; i++) {
    int block = (r->n - 1 - i) / QUANT_BLOCK, place = (r->n - 1 - i) % QUANT_BLOCK;
    x[i] = in(r, 0)[i] * (place == block * 11 % QUANT_BLOCK ? 1 : 1 - (float)(block % 4) * 0.25f);
  }
  quantize(k, r, set, x, AS_OUTLIERS);
}

/* Those that take one row of any floats give one, so that all floats can be swept through them. */
static const struct {
  const char *name;
  void (*run)(const cpu_kernels *k, const rows *r, int set);
  bool sweep;
} kernels[] = {
    {"norm", run_norm, false},
    {"silu", run_silu, true},
    {"gelu", run_gelu, true},
    {"soft_cap", run_soft_cap, true},
    {"fold", run_fold, false},
    {"rotate", run_rotate, false},
    {"rotate_in_place", run_rotate_in_place, false},
    {"to_half", run_to_half, true},
    {"quantize", run_quantize, true},
    {"quantize_outliers", run_quantize_outliers, true},
    {"quantize_query", run_quantize_query, true},
    {"exp", NULL, false},
};
enum {
  NORM = 0,
  SILU = 1,
  QUANTIZE = 8,
  OUTLIERS = 9,
  QUERY = 10,
  EXP = 11,
  N_KERNELS = sizeof kernels / sizeof *kernels
};

static const char *type_name(int type) {
  return kernels[type].name;
}

/* All of an instruction set's row kernels are its own, or none is; exp is no kernel. */
static bool differs(const cpu_kernels *a, const cpu_kernels *b, int type) {
  return a->norm != b->norm && kernels[type].run;
}

/* ---- Equality ---- */

static void compare(check *c, const rows *r, int type) {
  kernels[type].run(c->portable, r, 0);
  kernels[type].run(c->kernels, r, 1);
  check_same(c, out(r, 1), out(r, 0), (size_t)r->n, "output");
  if (type == NORM) check_same(c, r->out[1][RETURNED].data, r->out[0][RETURNED].data, 1, "root mean square");
}

/* The step through all 2^32 floats that takes `each` of them for each case asked for. */
static uint64_t sweep_step(const check *c, uint64_t each) {
  return (1ull << 32) / ((uint64_t)c->cases * each) | 1;
}

/* Floats whose bits run over all of 32 bits. A block that is quantised has one of them as its largest magnitude. */
static void sweep(check *c, int type) {
  enum { CHUNK = 4096 };
  rows r = rows_new(CHUNK, 0, c->seed);
  bool blocks = type == QUANTIZE || type == OUTLIERS || type == QUERY;
  uint64_t bits = 0, step = sweep_step(c, 10000) * (blocks ? QUANT_BLOCK : 1);
  for (int i = 0; i < CHUNK; i++) in(&r, 1)[i] = 1;
  while (bits < 1ull << 32 && !c->failed) {
    check_case(c, "rows %s %s: floats from %08llx on", kernels[type].name, cpu_isa_name(c->isa),
               (unsigned long long)bits);
    for (int i = 0; i < CHUNK; i++) {
      int at = blocks ? i % QUANT_BLOCK : 0;
      in(&r, 0)[i] = float_from_bits((uint32_t)bits) * (1 - (float)at / 33);
      bits += !blocks || at == QUANT_BLOCK - 1 ? step : 0;
    }
    compare(c, &r, type);
  }
  rows_free(r);
}

static void equal(check *c, int type) {
  uint64_t seed = c->seed;
  for (int i = 0; i < c->cases && !c->failed; i++) {
    int n = i < N_LENGTHS ? lengths[i] : random_below(&seed, i % 4 ? 400 : 1600) + 1, kind = random_below(&seed, 3);
    check_case(c, "rows %s %s: n %d, kind %d, case %llu", kernels[type].name, cpu_isa_name(c->isa), n, kind,
               (unsigned long long)seed);
    rows r = rows_new(n, kind, seed);
    compare(c, &r, type);
    rows_free(r);
  }
  if (kernels[type].sweep) sweep(c, type);
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

/* Both ends, whose neighbours rise. */
static void exp_ends(check *c) {
  check_case(c, "exp: its ends");
  check_that(c, math_exp(0.0f) == 1.0f && math_exp(-0.0f) == 1.0f, "exp(0) is not 1");
  check_that(c, math_exp(-INFINITY) == 0 && math_exp(INFINITY) == INFINITY, "infinities");
  check_that(c, isnan(math_exp(NAN)), "NaN");
  check_that(c, math_exp(EXP_HIGH) < INFINITY && math_exp(nextafterf(EXP_HIGH, 100)) == INFINITY, "the upper end");
  check_that(c, math_exp(EXP_LOW) >= 0x1p-126f && math_exp(nextafterf(EXP_LOW, -100)) == 0, "the lower end");
  float low = EXP_LOW, high = EXP_HIGH;
  for (int i = 0; i < 100000; i++) {
    check_that(c, math_exp(nextafterf(low, 0)) >= math_exp(low), "falls at %a", (double)low);
    low = nextafterf(low, 0);
    check_that(c, math_exp(nextafterf(high, 0)) <= math_exp(high), "falls at %a", (double)high);
    high = nextafterf(high, 0);
  }
}

static void exact_exp(check *c) {
  double worst = 0;
  check_case(c, "exp");
  for (uint64_t bits = 0, step = sweep_step(c, 40000); bits < 1ull << 32; bits += step) {
    float x = float_from_bits((uint32_t)bits);
    if (!(x >= EXP_LOW && x <= EXP_HIGH)) continue;
    double e = ulps(math_exp(x), exp((double)x));
    worst = e > worst ? e : worst;
  }
  printf("exp: at most %.3f units in the last place\n", worst);
  check_that(c, worst <= EXP_ULPS, "should be %g", EXP_ULPS);
  exp_ends(c);
}

/* x / (1 + e) with e within E ulp: the relative error is at most (E + 1) 2^-23 of e / (1 + e) and 2^-24 each
 * for the sum and the quotient. Where e^-x overflows, so near -88.7, the true value is below 1e-36. */
static void exact_silu(check *c) {
  check_case(c, "silu");
  for (uint64_t bits = 0, step = sweep_step(c, 40000); bits < 1ull << 32; bits += step) {
    float x = float_from_bits((uint32_t)bits);
    if (!isfinite(x)) continue;
    double exact = (double)x / (1 + exp(-(double)x));
    double bound = fabs(exact) * ((EXP_ULPS + 1) * 0x1p-23 + 2 * 0x1p-24) + (x < -EXP_HIGH ? 1e-36 : 0x1p-149);
    check_that(c, fabs(math_silu(x) - exact) <= bound, "silu(%a) is %a, should be %a", (double)x, (double)math_silu(x),
               exact);
  }
  check_that(c, math_silu(INFINITY) == INFINITY, "infinity");
  check_that(c, isnan(math_silu(NAN)), "NaN");
}

/* Operations that a term of a row's sum of squares goes through: up to 16 of a lane, a tree of five levels, the groups
 * but for the first. */
static double sum_operations(int n) {
  return (n < 512 ? (n + 31) / 32 : 16) + 5 + (n - 1) / 512;
}

/* The terms are positive, so that each operation costs at most half a unit in the last place of the sum. The division
 * and eps add two more; the root halves them all; then four more operations. */
static void exact_norm(check *c) {
  for (int i = 0; i < N_LENGTHS; i++) {
    check_case(c, "norm: n %d", lengths[i]);
    rows r = rows_new(lengths[i], 0, c->seed + (uint64_t)i);
    double sum = 0, bound = 1.01 * ((sum_operations(r.n) + 2) / 2 + 4) * 0x1p-24;
    for (int j = 0; j < r.n; j++) sum += (double)in(&r, 0)[j] * in(&r, 0)[j];
    double scale = 1 / sqrt(sum / r.n + (double)1e-5f);
    run_norm(c->portable, &r, 0);
    double squares = 0, size = *(float *)r.out[0][RETURNED].data;
    for (int j = 0; j < r.n; j++) squares += (double)out(&r, 0)[j] * out(&r, 0)[j];
    check_that(c, fabs(size - sqrt(squares / r.n)) <= size * bound, "the root mean square is %a", size);
    for (int j = 0; j < r.n; j++) {
      double exact = (double)in(&r, 0)[j] * scale * in(&r, 1)[j], is = out(&r, 0)[j];
      check_that(c, fabs(is - exact) <= fabs(exact) * bound, "element %d is %a, should be %a", j, is, exact);
    }
    rows_free(r);
  }
}

/* Of all numbers of four bits the scale is the smallest that is not below max / 127.49, as a float. */
static void check_scale(check *c, float scale, float max) {
  int exponent;
  double bits = ldexp(frexp((double)scale, &exponent), 4), least = (double)(max / 127.49f);
  check_that(c, bits == rint(bits), "a scale %a of more than four bits", (double)scale);
  double below = ldexp(bits > 8 ? bits - 1 : 7.5, exponent - 4);
  check_that(c, (double)scale >= least && below < least, "the scale %a of %a", (double)scale, (double)max);
}

/* An outlier is the value itself, at least twice as large as the others and above the least one. */
static void exact_outliers(check *c) {
  check_case(c, "quantize with outliers");
  for (int i = 0; i < 200; i++) {
    uint64_t seed = c->seed + (uint64_t)i;
    float x[QUANT_BLOCK], scale, outlier, largest[2] = {0};
    int8_t level[QUANT_BLOCK];
    int16_t neg_sum[2];
    uint8_t at;
    const be_act to = {QUANT_BLOCK, NULL, level, &scale, neg_sum, 0.5f, &at, &outlier};
    for (int j = 0; j < QUANT_BLOCK; j++) x[j] = random_unit(&seed);
    int place = random_below(&seed, QUANT_BLOCK);
    x[place] = random_unit(&seed) * 4;
    for (int j = 0; j < QUANT_BLOCK; j++) {
      if (fabsf(x[j]) > largest[0])
        largest[1] = largest[0], largest[0] = fabsf(x[j]);
      else if (fabsf(x[j]) > largest[1])
        largest[1] = fabsf(x[j]);
    }
    float least = (float)(i % 3);
    c->portable->quantize(x, QUANT_BLOCK, &to, 0, least);
    bool is = largest[1] <= largest[0] * 0.5f && largest[0] > least;
    check_that(c, (at > 0) == is, "%d at %d, largest %a and %a", i, at, (double)largest[0], (double)largest[1]);
    check_that(c, !is || (outlier == x[at - 1] && fabsf(outlier) == largest[0] && level[at - 1] == 0), "%d is not it",
               i);
    check_scale(c, scale, largest[is]);
  }
}

static void quantize_either(check *c, const float *x, int n, const be_act *to, bool query) {
  if (query)
    c->portable->quantize_query(x, n, to, 0);
  else
    c->portable->quantize(x, n, to, 0, 0);
}

/* A level is within half a step of the value, but for the rounding of its quotient or factor; and within 127, which the
 * kernels of linear layers rely on. */
static void exact_quantize(check *c, bool query) {
  check_case(c, "quantize%s", query ? " queries" : "");
  rows r = rows_new(LONGEST, 0, c->seed + 4);
  int8_t level[LONGEST];
  float scale[LONGEST / QUANT_BLOCK];
  int16_t neg_sum[LONGEST / 16] = {0};
  const be_act to = {.level = level, .scale = scale, .neg_sum = neg_sum};
  quantize_either(c, in(&r, 0), LONGEST, &to, query);
  int sum = 0;
  for (int i = 0; i < LONGEST; i++) {
    double d = scale[i / QUANT_BLOCK], error = fabs(d * level[i] - in(&r, 0)[i]);
    check_that(c, error <= d * (0.5 + 127 * 4 * 0x1p-24), "element %d is %g off, with steps of %g", i, error, d);
    check_that(c, level[i] >= -127, "level %d is -128", i);
    sum = i % 16 ? sum + level[i] : level[i];
    if (i % 16 == 15) check_that(c, neg_sum[i / 16] == -sum, "neg_sum %d is %d", i / 16, neg_sum[i / 16]);
  }
  static const float odd[] = {NAN, -INFINITY, 0};
  for (int i = 0; i < 3; i++) {
    float x[QUANT_BLOCK] = {0};
    x[7] = odd[i];
    quantize_either(c, x, QUANT_BLOCK, &to, query);
    check_that(c, odd[i] == 0 ? scale[0] == 0 : isnan(scale[0]), "the scale of a block with %g", (double)odd[i]);
    check_that(c, neg_sum[0] == 0 && neg_sum[1] == 0, "the sums of a block with %g", (double)odd[i]);
  }
  rows_free(r);
}

static void accurate(check *c, int type) {
  if (type == NORM) exact_norm(c);
  if (type == SILU) exact_silu(c);
  if (type == QUANTIZE || type == QUERY) exact_quantize(c, type == QUERY);
  if (type == OUTLIERS) exact_outliers(c);
  if (type == EXP) exact_exp(c);
}

/* ---- Timing ---- */

typedef struct job {
  const cpu_kernels *kernels;
  const rows *rows;
  int type;
} job;

enum { TIMES = 16 }; /* so that the clock doesn't count */

static void run_job(void *argument) {
  const job *j = argument;
  for (int i = 0; i < TIMES; i++) kernels[j->type].run(j->kernels, j->rows, 0);
}

static void time_type(const timing *t, int type) {
  if (!kernels[type].run) return;
  rows r = rows_new(LONGEST, 0, 1);
  job fast = {t->kernels, &r, type}, portable = {t->portable, &r, type};
  char what[80];
  snprintf(what, sizeof what, "rows %s %s, %d times %d floats", kernels[type].name, cpu_isa_name(t->isa), TIMES,
           LONGEST);
  double took = timing_best(t, run_job, &fast);
  timing_print(what, took, TIMES * LONGEST * sizeof(float), 0,
               t->isa == CPU_GENERIC ? 0 : timing_best(t, run_job, &portable));
  rows_free(r);
}

const kernel_op op_rows = {.name = "rows",
                           .n_types = N_KERNELS,
                           .type = type_name,
                           .differs = differs,
                           .equal = equal,
                           .exact = accurate,
                           .time = time_type};
