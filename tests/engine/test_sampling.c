/* Every setting of a sampler, alone and together, against the plain version of direct_sampling.h: token by token, over
 * random logits, histories and settings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "engine/direct_sampling.h"
#include "engine/sampler.h"

enum { BIASES = 6, ENDS = 3, BREAKERS = 2 };

/* A case, all of it from one number. */
typedef struct sampling_case {
  uint64_t number, used;
  gale_sampler_options o;
  gale_logit_bias bias[BIASES];
  int32_t ends[ENDS], breakers[BREAKERS];
  uint32_t mask[DIRECT_MAX / 32];
  float logits[DIRECT_MAX];
  direct_text text;
  int n;
} sampling_case;

static double uniform(sampling_case *c) {
  return (double)(random_at(c->number, c->used++) >> 11) * 0x1p-53;
}

static int below(sampling_case *c, int n) {
  return (int)(uniform(c) * n);
}

static bool chance(sampling_case *c, double p) {
  return uniform(c) < p;
}

static double normal(sampling_case *c) {
  double sum = -6;
  for (int i = 0; i < 12; i++) sum += uniform(c);
  return sum;
}

/* Logits: like a model's, with ties, all equal, far apart, one far above, or with some that are not finite. */
static void make_logits(sampling_case *c) {
  int kind = below(c, 6);
  for (int i = 0; i < c->n; i++) {
    double x = 3 * normal(c);
    if (kind == 1) x = floor(x);
    if (kind == 2) x = -1;
    if (kind == 3) x *= 30;
    if (kind == 4 && i == c->n / 2) x = 40;
    c->logits[i] = (float)x;
    if (kind == 5 && i % 3) c->logits[i] = i % 4 == 0 ? NAN : i % 4 == 1 ? INFINITY : i % 4 == 2 ? -INFINITY : 1;
  }
}

static void make_text(sampling_case *c) {
  int words = 1 + below(c, c->n < 5 ? c->n : 5);
  c->text.n = chance(c, 0.1) ? 0 : below(c, 200);
  for (int i = 0; i < c->text.n; i++) {
    c->text.token[i] = (int32_t)((int64_t)below(c, words) * (c->n - 1) / words);
    c->text.generated[i] = i >= c->text.n / 2;
  }
}

static int by_number(const void *a, const void *b) {
  return *(const int32_t *)a - *(const int32_t *)b;
}

static void make_arrays(sampling_case *c) {
  if (chance(c, 0.4)) {
    c->o.bias = c->bias;
    for (int i = 0; i < BIASES && i < c->n; i++) {
      c->bias[i].token = (int32_t)((int64_t)(BIASES - 1 - i) * c->n / BIASES);
      bool twice = i > 0 && c->bias[i].token == c->bias[i - 1].token;
      c->bias[i].bias = chance(c, 0.2) && c->o.n_bias + 1 < (size_t)c->n ? -100 : chance(c, 0.1) ? 100 : 4 * normal(c);
      if (twice) break;
      c->o.n_bias++;
    }
  }
  if (chance(c, 0.4)) {
    c->o.ends = c->ends;
    c->o.n_ends = ENDS;
    for (int i = 0; i < ENDS; i++) c->ends[i] = below(c, c->n);
    c->o.min_tokens = 5;
    c->o.ignore_end = chance(c, 0.3);
  }
  c->o.dry_breakers = c->breakers;
  c->o.n_dry_breakers = chance(c, 0.5) ? BREAKERS : 0;
  for (int i = 0; i < BREAKERS; i++) c->breakers[i] = below(c, c->n);
  qsort(c->breakers, BREAKERS, sizeof *c->breakers, by_number);
  for (int i = 0; i < DIRECT_MAX / 32; i++) c->mask[i] = (uint32_t)random_at(c->number, c->used++) | 1;
}

/* Each setting is off more often than not. */
static void make_options(sampling_case *c) {
  gale_sampler_options *o = &c->o;
  gale_sampler_defaults(o);
  o->seed = random_at(c->number, c->used++);
  o->temperature = chance(c, 0.3) ? 1 : chance(c, 0.1) ? 0 : 3 * uniform(c) + 0.05;
  o->top_k = chance(c, 0.4) ? 1 + below(c, chance(c, 0.5) ? 20 : c->n + 3) : 0;
  o->top_p = chance(c, 0.4) ? uniform(c) : chance(c, 0.1) ? 0 : 1;
  o->min_p = chance(c, 0.4) ? uniform(c) * uniform(c) : 0;
  o->typical_p = chance(c, 0.2) ? 1 - uniform(c) : 1;
  o->top_n_sigma = chance(c, 0.2) ? 3 * uniform(c) : 0;
  if (chance(c, 0.2)) o->xtc_probability = uniform(c), o->xtc_threshold = 0.4 * uniform(c);
  if (chance(c, 0.4)) o->repeat_penalty = 0.5 + uniform(c), o->repeat_last = chance(c, 0.3) ? -1 : below(c, 100);
  if (chance(c, 0.4)) o->presence_penalty = 2 * normal(c);
  if (chance(c, 0.4)) o->frequency_penalty = 0.2 * normal(c);
  if (chance(c, 0.4)) {
    o->dry_multiplier = uniform(c);
    o->dry_base = 1 + uniform(c);
    o->dry_allowed_length = 1 + below(c, 4);
    o->dry_last = chance(c, 0.5) ? -1 : below(c, 150);
  }
}

static void make_case(sampling_case *c, uint64_t number) {
  static const int sizes[] = {1, 2, 7, 32, 255, 256, 257, 1000, 4096};
  *c = (sampling_case){.number = number};
  c->n = sizes[below(c, sizeof sizes / sizeof *sizes)];
  make_options(c);
  make_logits(c);
  make_text(c);
  make_arrays(c);
}

static sampler *open_case(const sampling_case *c) {
  sampler *s = NULL;
  gale_error error = {0};
  if (sampler_open(&c->o, c->n, &s, &error)) fail_msg("%s", error.message);
  for (int i = 0; i < c->text.n; i++)
    assert_int_equal(sampler_accept(s, c->text.token[i], c->text.generated[i], NULL), GALE_OK);
  return s;
}

static bool any_finite(const direct_row *r) {
  for (int i = 0; i < r->n; i++)
    if (isfinite(r->logit[i])) return true;
  return false;
}

static int32_t direct_greedy(const direct_row *r) {
  int32_t best = -1;
  for (int i = 0; i < r->n; i++)
    if (isfinite(r->logit[i]) && (best < 0 || r->logit[i] > r->logit[best])) best = i;
  return best;
}

/* What the plain version chooses; *sure is false where a double is too short to tell. */
static int32_t direct_choose(const sampling_case *c, int64_t position, const uint32_t *mask, double most_surprise,
                             direct_row *r, bool *sure) {
  double distance = 1;
  r->n = c->n;
  memcpy(r->logit, c->logits, sizeof r->logit);
  direct_logits(r, &c->o, &c->text, position, mask);
  *sure = true;
  if (!any_finite(r) || c->o.temperature == 0) return direct_greedy(r);
  if (!c->o.mirostat && c->o.top_n_sigma > 0) direct_sigma(r, c->o.top_n_sigma);
  direct_softmax(r, c->o.temperature);
  if (c->o.mirostat)
    direct_mirostat(r, most_surprise);
  else
    direct_truncate(r, &c->o, position);
  int32_t token = direct_draw(r, direct_random(&c->o, 0, position), &distance);
  *sure = distance > 1e-9;
  return token;
}

static void test_against_direct(void **state) {
  (void)state;
  enum { CASES = 1200, DRAWS = 6 };
  sampling_case *c = malloc(sizeof *c);
  direct_row *r = malloc(sizeof *r);
  sampler_scratch *scratch = NULL;
  assert_int_equal(sampler_scratch_open(DIRECT_MAX, NULL, &scratch, NULL), GALE_OK);
  int compared = 0;
  for (uint64_t number = 0; number < CASES; number++) {
    make_case(c, number);
    sampler *s = open_case(c);
    for (int64_t position = 0; position < DRAWS; position++) {
      const uint32_t *mask = position % 2 ? c->mask : NULL;
      bool sure;
      int32_t token = -1, expected = direct_choose(c, position, mask, 0, r, &sure);
      gale_status status = sampler_choose(s, scratch, c->logits, position, mask, &token, NULL);
      if (expected < 0 && status != GALE_E_ARGUMENT && status != GALE_E_NUMERIC)
        fail_msg("case %d, position %d: %d where nothing is left", (int)number, (int)position, token);
      if (sure && token != expected)
        fail_msg("case %d, position %d: %d instead of %d", (int)number, (int)position, token, expected);
      compared += sure;
    }
    sampler_close(&s);
  }
  assert_true(compared > CASES * DRAWS * 99 / 100);
  sampler_scratch_close(&scratch);
  free(c);
  free(r);
}

/* Answers of several tokens, in which each choice moves the surprise that is allowed for the next. */
static void test_mirostat(void **state) {
  (void)state;
  enum { CASES = 200, TOKENS = 40 };
  sampling_case *c = malloc(sizeof *c);
  direct_row *r = malloc(sizeof *r);
  sampler_scratch *scratch = NULL;
  assert_int_equal(sampler_scratch_open(DIRECT_MAX, NULL, &scratch, NULL), GALE_OK);
  for (uint64_t number = 0; number < CASES; number++) {
    make_case(c, number);
    c->text.n = 0;
    c->o.presence_penalty = c->o.frequency_penalty = c->o.dry_multiplier = 0;
    c->o.repeat_penalty = 1;
    c->o.mirostat = 2;
    if (c->o.temperature == 0) c->o.temperature = 1;
    c->o.mirostat_tau = 0.1 + 6 * uniform(c);
    c->o.mirostat_eta = uniform(c);
    sampler *s = open_case(c);
    double most = 2 * c->o.mirostat_tau;
    for (int64_t position = 0; position < TOKENS; position++) {
      bool sure;
      int32_t token = -1, expected = direct_choose(c, position, NULL, most, r, &sure);
      gale_status status = sampler_choose(s, scratch, c->logits, position, NULL, &token, NULL);
      if (expected < 0) assert_int_not_equal(status, GALE_OK);
      if (expected < 0 || !sure) break;
      if (token != expected) fail_msg("case %d, position %d: %d, not %d", (int)number, (int)position, token, expected);
      direct_softmax(r, c->o.temperature);
      most -= c->o.mirostat_eta * (-log2(r->p[token]) - c->o.mirostat_tau);
      assert_int_equal(sampler_accept(s, token, true, NULL), GALE_OK);
    }
    sampler_close(&s);
  }
  sampler_scratch_close(&scratch);
  free(c);
  free(r);
}

/* ---- The draw ---- */

enum { N = 6 };

static const float row[N] = {0, 1, 2, 1.5f, -1, 0.5f};

/* Pearson's statistic of `draws` choices against the softmax of the row; with 5 degrees of freedom it is below 25.7 in
 * all but 1 of 10^4 runs. */
static double chi_square(const int count[N], int draws) {
  double sum = 0, statistic = 0;
  for (int t = 0; t < N; t++) sum += exp((double)row[t]);
  for (int t = 0; t < N; t++) {
    double expected = draws * exp((double)row[t]) / sum;
    statistic += (count[t] - expected) * (count[t] - expected) / expected;
  }
  return statistic;
}

static gale_sampler_options all_off(void) {
  gale_sampler_options o;
  gale_sampler_defaults(&o);
  o.temperature = 1;
  o.top_k = 0;
  o.top_p = 1;
  o.min_p = 0;
  return o;
}

static int32_t choose_once(const gale_sampler_options *o, const float *logits, int32_t n, int64_t position,
                           const uint32_t *mask) {
  sampler *s = NULL;
  sampler_scratch *scratch = NULL;
  int32_t token = -1;
  assert_int_equal(sampler_scratch_open(n, NULL, &scratch, NULL), GALE_OK);
  assert_int_equal(sampler_open(o, n, &s, NULL), GALE_OK);
  gale_error error = {0};
  if (sampler_choose(s, scratch, logits, position, mask, &token, &error)) token = -(int32_t)error.code;
  sampler_close(&s);
  sampler_scratch_close(&scratch);
  return token;
}

static void test_seeds_and_places(void **state) {
  (void)state;
  enum { DRAWS = 20000 };
  int by_seed[N] = {0}, by_place[N] = {0}, pairs[N][N] = {{0}};
  for (int i = 0; i < DRAWS; i++) {
    gale_sampler_options o = all_off(), fixed = all_off();
    o.seed = (uint64_t)i;
    int32_t a = choose_once(&o, row, N, 0, NULL), b = choose_once(&o, row, N, 1, NULL);
    by_seed[a]++;
    pairs[a][b]++;
    by_place[choose_once(&fixed, row, N, i, NULL)]++;
  }
  assert_true(chi_square(by_seed, DRAWS) < 25.7);
  assert_true(chi_square(by_place, DRAWS) < 25.7);
  /* Given its first token, the second of an answer has the same distribution: 5 degrees of freedom for each of 6. */
  double statistic = 0;
  for (int a = 0; a < N; a++) statistic += chi_square(pairs[a], by_seed[a]);
  assert_true(statistic < 67);
}

/* XTC's own random number does not tell which token is drawn. */
static void test_xtc_rate(void **state) {
  (void)state;
  enum { DRAWS = 20000 };
  const float even[4] = {1, 1, 1, -2};
  gale_sampler_options o = all_off();
  o.xtc_probability = 0.25;
  o.xtc_threshold = 0.2;
  int count[4] = {0};
  for (int i = 0; i < DRAWS; i++) count[choose_once(&o, even, 4, i, NULL)]++;
  double tail = exp(-3), stay = 3 + tail, with = 1 + tail;
  double expected[4] = {0.75 / stay, 0.75 / stay, 0.75 / stay + 0.25 / with, 0.75 * tail / stay + 0.25 * tail / with};
  for (int t = 0; t < 4; t++)
    assert_true(fabs(count[t] - (double)DRAWS * expected[t]) <
                5 * sqrt((double)DRAWS * expected[t] * (1 - expected[t])));
}

/* With a threshold of 0 the least likely token is left: of those that can be drawn at all. */
static void test_xtc_leaves_something(void **state) {
  (void)state;
  const float tail[4] = {0, -30, -31.3f, -40};
  gale_sampler_options o = all_off();
  o.xtc_probability = 1;
  o.xtc_threshold = 0;
  assert_int_equal(choose_once(&o, tail, 4, 0, NULL), 1);
  assert_int_equal(choose_once(&o, tail + 2, 2, 0, NULL), 1);
  assert_int_equal(choose_once(&o, tail, 1, 0, NULL), 0);
}

/* ---- Bans and edges ---- */

static void test_padding_is_never_drawn(void **state) {
  (void)state;
  float padded[300];
  for (int i = 0; i < 300; i++) padded[i] = i < 260 ? 0 : 50;
  sampler_scratch *scratch = NULL;
  assert_int_equal(sampler_scratch_open(300, NULL, &scratch, NULL), GALE_OK);
  for (int kind = 0; kind < 4; kind++) {
    gale_sampler_options o = all_off();
    o.temperature = kind == 0 ? 0 : 1;
    o.top_k = kind == 1 ? 270 : 0;
    o.top_p = kind == 2 ? 0.99 : 1;
    sampler *s = NULL;
    assert_int_equal(sampler_open(&o, 260, &s, NULL), GALE_OK);
    for (int i = 0; i < 1000; i++) {
      int32_t token = -1;
      assert_int_equal(sampler_choose(s, scratch, padded, i, NULL, &token, NULL), GALE_OK);
      assert_in_range(token, 0, 259);
    }
    gale_logprob best[5], chosen = {.token = 3};
    size_t n_best;
    assert_int_equal(sampler_logprobs(scratch, padded, 260, &chosen, 5, best, &n_best, NULL), GALE_OK);
    assert_true(fabs(chosen.logprob + log(260)) < 1e-12);
    sampler_close(&s);
  }
  sampler_scratch_close(&scratch);
}

static void test_nothing_left(void **state) {
  (void)state;
  const float unsound[3] = {NAN, INFINITY, -INFINITY}, sound[3] = {NAN, 1, -INFINITY};
  const uint32_t none = 0, dead = 5;
  gale_sampler_options o = all_off();
  assert_int_equal(choose_once(&o, unsound, 3, 0, NULL), -GALE_E_NUMERIC);
  assert_int_equal(choose_once(&o, unsound, 3, 0, &none), -GALE_E_NUMERIC);
  assert_int_equal(choose_once(&o, sound, 3, 0, &none), -GALE_E_ARGUMENT);
  assert_int_equal(choose_once(&o, sound, 3, 0, &dead), -GALE_E_ARGUMENT);
  assert_int_equal(choose_once(&o, sound, 3, 0, NULL), 1);
  const gale_logit_bias all[3] = {{0, -100}, {1, -100}, {2, -100}};
  o.bias = all;
  o.n_bias = 3;
  sampler *s = NULL;
  gale_error error = {0};
  assert_int_equal(sampler_open(&o, 3, &s, &error), GALE_E_ARGUMENT);
  assert_non_null(strstr(error.message, "bans every token"));
  assert_null(s);
}

/* A bias of 100 is a choice, at any temperature and from any distance; a constraint goes before it. */
static void test_forced(void **state) {
  (void)state;
  const float far[4] = {500, -500, 1, -499};
  const gale_logit_bias force[2] = {{3, 100}, {1, 100}};
  const uint32_t not_1 = 13, neither = 5;
  gale_sampler_options o = all_off();
  o.temperature = 100;
  o.bias = force;
  o.n_bias = 2;
  int seen[4] = {0};
  for (int i = 0; i < 200; i++) seen[choose_once(&o, far, 4, i, NULL)]++;
  assert_true(seen[0] == 0 && seen[2] == 0 && seen[1] > 0 && seen[3] > 0);
  for (int i = 0; i < 50; i++) {
    assert_int_equal(choose_once(&o, far, 4, i, &not_1), 3);
    assert_int_not_equal(choose_once(&o, far, 4, i, &neither) % 2, 1);
  }
}

/* ---- Log-probabilities ---- */

static int by_logit(const void *a, const void *b) {
  const gale_logprob *x = a, *y = b;
  if (x->logprob != y->logprob) return x->logprob > y->logprob ? -1 : 1;
  return x->token - y->token;
}

static void check_logprobs(const sampling_case *c, sampler_scratch *scratch) {
  long double sum = 0, top = -INFINITY;
  gale_logprob all[DIRECT_MAX], best[DIRECT_MAX];
  int finite = 0;
  for (int i = 0; i < c->n; i++)
    if (isfinite(c->logits[i])) top = fmaxl(top, (long double)c->logits[i]);
  for (int i = 0; i < c->n; i++) {
    if (!isfinite(c->logits[i])) continue;
    sum += expl((long double)c->logits[i] - top);
    all[finite++] = (gale_logprob){i, (double)c->logits[i]};
  }
  qsort(all, (size_t)finite, sizeof *all, by_logit);
  size_t k = c->number % 3 ? c->number % 21 : (size_t)c->n, n_best = 0;
  gale_logprob chosen = {.token = (int32_t)(c->number % (uint64_t)c->n)};
  gale_status status = sampler_logprobs(scratch, c->logits, c->n, &chosen, k, best, &n_best, NULL);
  assert_int_equal(status, finite ? GALE_OK : GALE_E_NUMERIC);
  if (!finite) return;
  double bound = c->n * 0x1p-45 + 1e-13;
  float of_chosen = c->logits[chosen.token];
  if (isfinite(of_chosen))
    assert_true(fabsl((long double)of_chosen - top - logl(sum) - (long double)chosen.logprob) < (long double)bound);
  else
    assert_true(chosen.logprob == -INFINITY);
  assert_int_equal(n_best, k < (size_t)finite ? k : (size_t)finite);
  for (size_t i = 0; i < n_best; i++) {
    assert_int_equal(best[i].token, all[i].token);
    assert_true(fabsl((long double)all[i].logprob - top - logl(sum) - (long double)best[i].logprob) <
                (long double)bound);
  }
  int32_t greedy = all[0].token;
  gale_logprob of_greedy = {.token = greedy};
  assert_int_equal(sampler_logprobs(scratch, c->logits, c->n, &of_greedy, 0, NULL, NULL, NULL), GALE_OK);
  if (n_best) assert_true(of_greedy.logprob == best[0].logprob);
}

static void test_logprobs(void **state) {
  (void)state;
  sampling_case *c = malloc(sizeof *c);
  sampler_scratch *scratch = NULL;
  assert_int_equal(sampler_scratch_open(DIRECT_MAX, NULL, &scratch, NULL), GALE_OK);
  for (uint64_t number = 0; number < 300; number++) {
    make_case(c, number);
    check_logprobs(c, scratch);
  }
  sampler_scratch_close(&scratch);
  free(c);
}

/* ---- What is refused ---- */

static void test_refused(void **state) {
  (void)state;
  const gale_logit_bias outside = {8, 1}, infinite = {1, INFINITY}, twice[2] = {{1, 1}, {1, 2}};
  const int32_t negative = -1, beyond = 8;
  gale_sampler_options bad[16];
  for (int i = 0; i < 16; i++) bad[i] = all_off();
  bad[0].bias = &outside, bad[0].n_bias = 1;
  bad[1].bias = &infinite, bad[1].n_bias = 1;
  bad[2].bias = twice, bad[2].n_bias = 2;
  bad[3].ends = &negative, bad[3].n_ends = 1;
  bad[4].dry_breakers = &beyond, bad[4].n_dry_breakers = 1;
  bad[5].presence_penalty = NAN;
  bad[6].frequency_penalty = 101;
  bad[7].dry_multiplier = -1;
  bad[8].dry_base = 0.5;
  bad[9].dry_allowed_length = 0;
  bad[10].mirostat = 1;
  bad[11].typical_p = 0;
  bad[12].top_n_sigma = -1;
  bad[13].xtc_probability = 1.5;
  bad[14].min_tokens = -1;
  bad[15].mirostat_tau = 0;
  for (int i = 0; i < 16; i++) {
    sampler *s = NULL;
    gale_error error = {0};
    if (sampler_open(&bad[i], 8, &s, &error) != GALE_E_ARGUMENT) fail_msg("%d was taken", i);
    assert_true(*error.message);
    assert_null(s);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_against_direct),
      cmocka_unit_test(test_mirostat),
      cmocka_unit_test(test_seeds_and_places),
      cmocka_unit_test(test_xtc_rate),
      cmocka_unit_test(test_xtc_leaves_something),
      cmocka_unit_test(test_padding_is_never_drawn),
      cmocka_unit_test(test_nothing_left),
      cmocka_unit_test(test_forced),
      cmocka_unit_test(test_logprobs),
      cmocka_unit_test(test_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
