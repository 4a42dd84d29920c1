/* The loops over a row of logits: each instruction set like the portable one, bit for bit. */
#include "engine/candidates.h"
#include "engine/session.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "base/random.h"

enum { MOST = 1100 };

static void make_row(float *row, size_t n, uint64_t kind) {
  const float odd[8] = {NAN, INFINITY, -INFINITY, 0, -0.0f, 3e38f, -3e38f, 1e-42f};
  for (size_t i = 0; i < n; i++) {
    uint64_t random = random_at(kind, i);
    row[i] = (float)(random >> 40) * 0x1p-19f - 16;
    if (kind % 3 == 1) row[i] *= 1000;
    if (kind % 3 == 2 && random % 5 == 0) row[i] = odd[random / 5 % 8];
  }
}

static void compare_masked(const scan_kernels *k, const float *row, size_t n) {
  float masked[MOST];
  uint32_t mask[MOST / 32 + 1];
  for (size_t i = 0; i < MOST / 32 + 1; i++) mask[i] = (uint32_t)random_at(n, i);
  memcpy(masked, row, n * sizeof *row);
  k->mask(masked, n, mask);
  for (size_t i = 0; i < n; i++) {
    float expected = mask[i / 32] >> i % 32 & 1 ? row[i] : -INFINITY;
    assert_memory_equal(&masked[i], &expected, sizeof expected);
  }
}

static void compare(const scan_kernels *k, const float *row, size_t n, const scan_scale *by) {
  float maxima[2][8];
  uint64_t sums[2][8], weights[2][MOST];
  scan_portable.maxima(row, n, maxima[0]);
  k->maxima(row, n, maxima[1]);
  assert_memory_equal(maxima[0], maxima[1], scan_blocks(n) * sizeof(float));
  uint64_t total = scan_portable.sums(row, n, by, sums[0]);
  assert_true(total == k->sums(row, n, by, sums[1]));
  assert_memory_equal(sums[0], sums[1], scan_blocks(n) * sizeof(uint64_t));
  scan_portable.weights(row, n, by, weights[0]);
  k->weights(row, n, by, weights[1]);
  assert_memory_equal(weights[0], weights[1], n * sizeof(uint64_t));
  for (size_t i = 0; i < n; i++) total -= weights[0][i];
  assert_true(total == 0);
  double moments[2][2];
  size_t count = scan_portable.moments(row, n, by->top, &moments[0][0], &moments[0][1]);
  assert_true(count == k->moments(row, n, by->top, &moments[1][0], &moments[1][1]));
  assert_memory_equal(moments[0], moments[1], sizeof moments[0]);
  compare_masked(k, row, n);
}

static void test_instruction_sets(void **state) {
  (void)state;
  const scan_kernels *sets[3] = {scan_find(NULL)};
  int n_sets = 1;
#if defined(__x86_64__)
  if (cpu_supports(CPU_AVX2)) sets[n_sets++] = &scan_avx2;
  if (cpu_supports(CPU_AVX512)) sets[n_sets++] = &scan_avx512;
#endif
  float *row = malloc(MOST * sizeof *row);
  for (uint64_t kind = 0; kind < 300; kind++) {
    size_t n = 1 + random_at(kind, 1 << 20) % MOST;
    make_row(row, n, kind);
    scan_scale by = {.top = 16, .scale = kind % 5 ? 1.25 : 1e30, .one = kind % 2 ? 0x1p44 : 0x1p39};
    for (int i = 0; i < n_sets; i++) compare(sets[i], row, n, &by);
  }
  free(row);
}

/* A session's sampling uses no instruction set above the one that its model was opened for. */
static void test_the_highest_is_kept_to(void **state) {
  (void)state;
  assert_ptr_equal(scan_find("generic"), &scan_portable);
  assert_ptr_equal(scan_find("no such set"), scan_find(NULL));
#if defined(__x86_64__)
  if (cpu_supports(CPU_AVX2)) assert_ptr_equal(scan_find("avx2"), &scan_avx2);
  if (cpu_supports(CPU_AVX512)) assert_ptr_equal(scan_find("amx"), &scan_avx512);
#endif
  gale_model_options o;
  gale_session_options s;
  gale_model *model = NULL;
  gale_session *session = NULL;
  gale_model_defaults(&o);
  gale_session_defaults(&s);
  o.cpu = "generic";
  s.context = 64;
  assert_int_equal(gale_model_open("shape:tiny@f32", &o, &model, NULL), GALE_OK);
  assert_int_equal(gale_session_open(model, &s, &session, NULL), GALE_OK);
  assert_ptr_equal(session->sampling->scan, &scan_portable);
  gale_session_close(&session);
  gale_model_close(&model);
}

/* A weight is the nearest whole number, or its neighbour where the two are as good as equally near. */
static void test_weights(void **state) {
  (void)state;
  float *row = malloc(MOST * sizeof *row);
  uint64_t *weights = malloc(MOST * sizeof *weights);
  make_row(row, MOST, 3);
  scan_scale by = {.top = 16, .scale = 1.1, .one = 0x1p44};
  row[0] = 16;
  scan_find(NULL)->weights(row, MOST, &by, weights);
  assert_true(weights[0] == (uint64_t)1 << 44);
  for (size_t i = 0; i < MOST; i++) {
    double exact = ldexp(exp(((double)row[i] - 16) * 1.1), 44);
    assert_true(fabs((double)weights[i] - exact) <= 0.5 + exact * 0x1p-52);
  }
  free(row);
  free(weights);
}

static void test_maxima(void **state) {
  (void)state;
  float row[520], maxima[3];
  for (int i = 0; i < 520; i++) row[i] = i < 256 ? -5 : NAN;
  row[17] = INFINITY;
  row[200] = -1;
  row[300] = -INFINITY;
  row[519] = -7;
  scan_find(NULL)->maxima(row, 520, maxima);
  assert_true(maxima[0] == -1);
  assert_true(maxima[1] == -INFINITY);
  assert_true(maxima[2] == -7);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_instruction_sets),
      cmocka_unit_test(test_the_highest_is_kept_to),
      cmocka_unit_test(test_weights),
      cmocka_unit_test(test_maxima),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
