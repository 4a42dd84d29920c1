/* Choosing tokens: each setting by what it must and must not let through, and the same seed for the same text. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "engine/sampler.h"

enum { N = 8 };

/* exp of these is proportional to 8 1 4 2 16 1 4 2: token 4 leads, then 0. */
static const float logits[N] = {2.0794415f, 0, 1.3862944f, 0.6931472f, 2.7725887f, 0, 1.3862944f, 0.6931472f};
static const double probability[N] = {8 / 38., 1 / 38., 4 / 38., 2 / 38., 16 / 38., 1 / 38., 4 / 38., 2 / 38.};

static gale_sampler_options plain(void) {
  gale_sampler_options o;
  gale_sampler_defaults(&o);
  o.temperature = 1;
  o.top_k = 0;
  o.top_p = 1;
  o.min_p = 0;
  o.repeat_penalty = 1;
  o.seed = 7;
  return o;
}

/* A sampler with a scratch and a position of its own. What it accepts before its first choice is the prompt. */
typedef struct chooser {
  sampler *sampler;
  sampler_scratch *scratch;
  int64_t position;
} chooser;

static void chooser_close(chooser **opened) {
  chooser *s = *opened;
  if (!s) return;
  sampler_close(&s->sampler);
  sampler_scratch_close(&s->scratch);
  free(s);
  *opened = NULL;
}

static gale_status chooser_open(const gale_sampler_options *o, int32_t n, chooser **opened, gale_error *error) {
  chooser *s = calloc(1, sizeof *s);
  assert_non_null(s);
  gale_status status = sampler_open(o, n, &s->sampler, error);
  if (!status) status = sampler_scratch_open(n, NULL, &s->scratch, error);
  if (status)
    chooser_close(&s);
  else
    *opened = s;
  return status;
}

static gale_status chooser_accept(chooser *s, int32_t token, gale_error *error) {
  return sampler_accept(s->sampler, token, s->position > 0, error);
}

static gale_status chooser_choose(chooser *s, const float *row, int32_t *token, gale_error *error) {
  gale_status status = sampler_choose(s->sampler, s->scratch, row, s->position, NULL, token, error);
  if (!status) s->position++;
  return status;
}

static chooser *open_sampler(gale_sampler_options o) {
  chooser *s = NULL;
  gale_error error = {0};
  if (chooser_open(&o, N, &s, &error)) fail_msg("%s", error.message);
  return s;
}

static int32_t choose(chooser *s, const float *from) {
  int32_t token = -1;
  gale_error error = {0};
  if (chooser_choose(s, from, &token, &error)) fail_msg("%s", error.message);
  return token;
}

/* How often each token is chosen in `draws` draws. */
static void count_choices(gale_sampler_options o, int draws, int count[N]) {
  chooser *s = open_sampler(o);
  memset(count, 0, N * sizeof *count);
  for (int i = 0; i < draws; i++) count[choose(s, logits)]++;
  chooser_close(&s);
}

static void only(gale_sampler_options o, const char *allowed) {
  int count[N];
  count_choices(o, 4000, count);
  for (int t = 0; t < N; t++)
    if ((count[t] > 0) != (allowed[t] == '1')) fail_msg("token %d was chosen %d times", t, count[t]);
}

static void test_frequencies(void **state) {
  (void)state;
  enum { DRAWS = 200000 };
  int count[N];
  count_choices(plain(), DRAWS, count);
  for (int t = 0; t < N; t++) {
    /* Six standard deviations of a binomial count: a sound generator fails once in 10^8 runs, and the seed is fixed. */
    double p = probability[t], bound = 6 * sqrt((double)DRAWS * p * (1 - p));
    assert_true(fabs(count[t] - (double)DRAWS * p) < bound);
  }
}

static void test_temperature(void **state) {
  (void)state;
  enum { DRAWS = 100000 };
  gale_sampler_options o = plain();
  int count[N];
  o.temperature = 0.5; /* squares the probabilities */
  count_choices(o, DRAWS, count);
  double sum = 0;
  for (int t = 0; t < N; t++) sum += probability[t] * probability[t];
  double p = probability[4] * probability[4] / sum;
  assert_true(fabs(count[4] - (double)DRAWS * p) < 6 * sqrt((double)DRAWS * p * (1 - p)));
}

static void test_greedy(void **state) {
  (void)state;
  gale_sampler_options o = plain();
  o.temperature = 0;
  chooser *s = open_sampler(o);
  const float equal[N] = {1, 3, 3, 0, 3, -1, 2, 3}, infinite[N] = {1, -INFINITY, NAN, 0, 0.5f, 0, 0, 0};
  assert_int_equal(choose(s, logits), 4);
  assert_int_equal(choose(s, equal), 1);
  assert_int_equal(choose(s, infinite), 0);
  chooser_close(&s);
}

static void test_top_k(void **state) {
  (void)state;
  gale_sampler_options o = plain();
  o.top_k = 1;
  only(o, "00001000");
  o.top_k = 3; /* 4, 0, and of the equal 2 and 6 the smaller id */
  only(o, "10101000");
  o.top_k = N;
  only(o, "11111111");
  o.top_k = 1000;
  only(o, "11111111");
}

static void test_top_p(void **state) {
  (void)state;
  gale_sampler_options o = plain();
  o.top_p = 0.4; /* 16/38 = 0.42 is enough */
  only(o, "00001000");
  o.top_p = 0.5; /* 24/38 */
  only(o, "10001000");
  o.top_p = 0.7; /* 28/38, with the smaller id of the equal ones */
  only(o, "10101000");
  o.top_p = 1e-9;
  only(o, "00001000");
}

static void test_min_p(void **state) {
  (void)state;
  gale_sampler_options o = plain();
  o.min_p = 0.2; /* of 16: 3.2 and more */
  only(o, "10101010");
  o.min_p = 1;
  only(o, "00001000");
}

static void test_repeat_penalty(void **state) {
  (void)state;
  gale_sampler_options o = plain();
  o.temperature = 0;
  o.repeat_penalty = 2;
  o.repeat_last = 2;
  chooser *s = open_sampler(o);
  assert_int_equal(chooser_accept(s, 4, NULL), GALE_OK);
  assert_int_equal(choose(s, logits), 0); /* 2.77 / 2 is below 2.08 */
  assert_int_equal(chooser_accept(s, 0, NULL), GALE_OK);
  /* Now 4 is at 1.38629436, a bit above or below 2 and 6 by rounding, and 0 at 1.04. */
  int32_t next = choose(s, logits);
  assert_true(next == 4 || next == 2);
  assert_int_equal(chooser_accept(s, 1, NULL), GALE_OK);
  assert_int_equal(chooser_accept(s, 1, NULL), GALE_OK);
  assert_int_equal(choose(s, logits), 4); /* forgotten again */
  const float negative[N] = {-1, -3, -9, -9, -0.9f, -9, -9, -9};
  assert_int_equal(chooser_accept(s, 4, NULL), GALE_OK);
  assert_int_equal(choose(s, negative), 0); /* -0.9 * 2 is below -1 */
  chooser_close(&s);
}

static void test_seed(void **state) {
  (void)state;
  gale_sampler_options o = plain(), p = plain();
  p.seed = 8;
  chooser *a = open_sampler(o), *b = open_sampler(o), *c = open_sampler(p);
  int differ = 0;
  for (int i = 0; i < 100; i++) {
    int32_t x = choose(a, logits);
    assert_int_equal(x, choose(b, logits));
    differ += x != choose(c, logits);
  }
  assert_true(differ > 10);
  chooser_close(&a);
  chooser_close(&b);
  chooser_close(&c);
  assert_null(a);
}

static void test_no_finite_logit(void **state) {
  (void)state;
  chooser *s = open_sampler(plain());
  float nan[N];
  for (int i = 0; i < N; i++) nan[i] = i % 2 ? NAN : INFINITY;
  int32_t token = -1;
  gale_error error = {0};
  assert_int_equal(chooser_choose(s, nan, &token, &error), GALE_E_NUMERIC);
  assert_int_equal(token, -1);
  assert_true(*error.message);
  assert_int_equal(choose(s, logits) >= 0, true);
  chooser_close(&s);
}

static void test_ranges(void **state) {
  (void)state;
  struct {
    const char *name;
    gale_sampler_options o;
  } bad[9];
  for (int i = 0; i < 9; i++) bad[i].o = plain();
  bad[0].name = "temperature", bad[0].o.temperature = -1;
  bad[1].name = "temperature", bad[1].o.temperature = 1e308;
  bad[2].name = "temperature", bad[2].o.temperature = NAN;
  bad[3].name = "top_p", bad[3].o.top_p = -1;
  bad[4].name = "top_p", bad[4].o.top_p = 2;
  bad[5].name = "top_k", bad[5].o.top_k = -1;
  bad[6].name = "min_p", bad[6].o.min_p = 1.5;
  bad[7].name = "repeat_penalty", bad[7].o.repeat_penalty = 0;
  bad[8].name = "repeat_last", bad[8].o.repeat_last = -2;
  for (int i = 0; i < 9; i++) {
    chooser *s = NULL;
    gale_error error = {0};
    assert_int_equal(chooser_open(&bad[i].o, N, &s, &error), GALE_E_ARGUMENT);
    assert_non_null(strstr(error.message, bad[i].name));
    assert_null(s);
  }
  chooser *s = open_sampler(plain());
  assert_int_equal(chooser_accept(s, N, NULL), GALE_E_ARGUMENT);
  assert_int_equal(chooser_accept(s, -1, NULL), GALE_E_ARGUMENT);
  chooser_close(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_frequencies), cmocka_unit_test(test_temperature),
      cmocka_unit_test(test_greedy),      cmocka_unit_test(test_top_k),
      cmocka_unit_test(test_top_p),       cmocka_unit_test(test_min_p),
      cmocka_unit_test(test_seed),        cmocka_unit_test(test_repeat_penalty),
      cmocka_unit_test(test_ranges),      cmocka_unit_test(test_no_finite_logit),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
