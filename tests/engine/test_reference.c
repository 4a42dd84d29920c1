/* Whole models against the logits of the field's reference implementation.
 *
 * Bounds, on the largest error as a share of the reference's largest logit, or on the mean KL:
 *
 *   float weights, f32 cache   2e-4
 *   float weights, f16 cache   2e-4 + the case's bound
 *   float weights, q8 cache    2e-4 + the case's bound
 *   quantised weights          KL 1e-3, against the same weights dequantised; f32 and f16 cache
 *
 * A cache's bound is a property of the model: an f16 cache changes each key and value by at most 2^-11 of
 * itself, a q8 cache by at most 1/254 of its block's largest element, queries included, and how much of that
 * reaches the logits depends on the weights. tools/make_checkpoints.py lets the reference implementation
 * itself run with uniform random errors of that size and takes twice the largest effect it sees. */
#include <math.h>

#include "models/model_cases.h"

#define FLOAT_BOUND 2e-4
#define KL_BOUND 1e-3

typedef struct check {
  char title[96];
  const model_case *of;
  gale_kv_type kv;
  double bound;
} check;

/* Largest error over the rows kept, divided by the largest logit. */
static double relative_error(const reference *r, const float *logits) {
  double worst = 0, largest = 0;
  for (size_t row = 0; row < r->n_rows; row++) {
    const float *expected = r->logits + row * r->vocab_size;
    const float *got = logits + (size_t)r->rows[row] * r->vocab_size;
    for (size_t i = 0; i < r->vocab_size; i++) {
      double error = fabs((double)expected[i] - got[i]);
      if (!(error <= worst)) worst = error; /* a NaN must not pass */
      largest = fmax(largest, fabs(expected[i]));
    }
  }
  return worst / largest;
}

static double log_sum_exp(const float *x, size_t n) {
  double largest = x[0], sum = 0;
  for (size_t i = 1; i < n; i++) largest = x[i] > largest ? x[i] : largest;
  for (size_t i = 0; i < n; i++) sum += exp(x[i] - largest);
  return largest + log(sum);
}

/* Mean over the rows kept of KL(reference || logits), in nats. */
static double mean_kl(const reference *r, const float *logits) {
  double total = 0;
  for (size_t row = 0; row < r->n_rows; row++) {
    const float *p = r->logits + row * r->vocab_size;
    const float *q = logits + (size_t)r->rows[row] * r->vocab_size;
    double p_norm = log_sum_exp(p, r->vocab_size), q_norm = log_sum_exp(q, r->vocab_size);
    for (size_t i = 0; i < r->vocab_size; i++) {
      double log_p = p[i] - p_norm;
      total += exp(log_p) * (log_p - (q[i] - q_norm));
    }
  }
  return total / (double)r->n_rows;
}

static void test_case_against_reference(void **state) {
  const check *k = *state;
  reference r = reference_read(k->of);
  gale_model *model = model_open_cpu(k->of, NULL);
  assert_int_equal(model_vocab(model), r.vocab_size);
  gale_session_options options = session_options(k->kv, r.n_ids > 100 ? 512 : 16);
  float *logits = run_text(model, &options, r.ids, r.n_ids);
  double error = strcmp(k->of->kind, "kl") == 0 ? mean_kl(&r, logits) : relative_error(&r, logits);
  print_message("             %.2e of %.2e\n", error, k->bound);
  free(logits);
  gale_model_close(&model);
  reference_free(&r);
  if (!(error <= k->bound)) fail_msg("%s: %.3e is more than %.3e", k->title, error, k->bound);
}

static size_t checks_of_case(const model_case *c, check checks[3]) {
  static const char *const names[] = {[GALE_KV_F16] = "f16", [GALE_KV_F32] = "f32", [GALE_KV_Q8] = "q8"};
  bool kl = strcmp(c->kind, "kl") == 0;
  size_t n = 0;
  checks[n++] = (check){.of = c, .kv = GALE_KV_F32, .bound = kl ? KL_BOUND : FLOAT_BOUND};
  checks[n++] = (check){.of = c, .kv = GALE_KV_F16, .bound = kl ? KL_BOUND : FLOAT_BOUND + c->f16_bound};
  if (!kl) checks[n++] = (check){.of = c, .kv = GALE_KV_Q8, .bound = FLOAT_BOUND + c->q8_bound};
  for (size_t i = 0; i < n; i++)
    snprintf(checks[i].title, sizeof checks[i].title, "%s, %s cache", c->name, names[checks[i].kv]);
  return n;
}

int main(void) {
  static model_case cases[MAX_CASES];
  static check checks[3 * MAX_CASES];
  static struct CMUnitTest tests[3 * MAX_CASES];
  size_t n_cases = cases_read(cases), n = 0;
  for (size_t i = 0; i < n_cases; i++) n += checks_of_case(&cases[i], checks + n);
  for (size_t i = 0; i < n; i++)
    tests[i] = (struct CMUnitTest){checks[i].title, test_case_against_reference, NULL, NULL, &checks[i]};
  return _cmocka_run_group_tests("reference", tests, n, NULL, NULL);
}
