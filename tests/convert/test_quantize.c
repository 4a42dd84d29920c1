/* gale_quantize() and weights quantised at load: what they refuse, what they leave behind, and how near the results
 * are. Families, tokenizers and bytes are the matter of tests/cli/test_quantize.py. */
#include "gale_tools.h"
#include "models/model_cases.h"

#include <math.h>
#include <unistd.h>

static char path[64];

static int make_path(void **state) {
  (void)state;
  strcpy(path, "/tmp/gale-quantize-XXXXXX");
  int fd = mkstemp(path);
  return fd < 0 || close(fd) || unlink(path);
}

static int remove_path(void **state) {
  (void)state;
  unlink(path);
  return 0;
}

static void refuse(const char *in, const char *out, const char *type, int threads, gale_status wanted,
                   const char *says) {
  gale_error error = {0};
  gale_status status = gale_quantize(in, out, type, threads, NULL, NULL, &error);
  if (status != wanted || error.code != wanted || !strstr(error.message, says))
    fail_msg("status %d: %s; %d and \"%s\" are wanted", (int)status, error.message, (int)wanted, says);
  assert_int_not_equal(access(path, F_OK), 0);
}

static void wrong_arguments(void **state) {
  (void)state;
  static const char good[] = MODELS "gguf-f32/model.gguf";
  refuse(good, path, "q8_0", -1, GALE_E_ARGUMENT, "threads");
  refuse(good, path, "q8_0", 1025, GALE_E_ARGUMENT, "threads");
  refuse(good, path, "", 1, GALE_E_ARGUMENT, "q4_k_m");
  refuse(good, path, "q2_k", 1, GALE_E_ARGUMENT, "q4_k_m");
  refuse(good, "/nowhere/x.gguf", "q8_0", 1, GALE_E_IO, "/nowhere/x.gguf");
  refuse(good, "/tmp", "q8_0", 1, GALE_E_IO, "/tmp");
  refuse(MODELS "none", path, "q8_0", 1, GALE_E_IO, "none");
  refuse(good, good, "q8_0", 1, GALE_E_ARGUMENT, "another name");
  refuse(MODELS "llama-sharded", MODELS "llama-sharded/model-00002-of-00003.safetensors", "q8_0", 1, GALE_E_ARGUMENT,
         "another name");
}

typedef struct countdown {
  int left;
  double last;
} countdown;

static bool count(void *user, double fraction, const char *stage) {
  countdown *c = user;
  assert_non_null(stage);
  assert_true(fraction >= c->last && fraction <= 1);
  c->last = fraction;
  return c->left-- > 0;
}

static void stopping_leaves_nothing(void **state) {
  (void)state;
  static const char in[] = MODELS "gguf-f32/model.gguf";
  for (int left = 0; left < 5; left++) {
    countdown c = {.left = left};
    gale_error error = {0};
    assert_int_equal(gale_quantize(in, path, "q8_0", 2, count, &c, &error), GALE_E_CANCELLED);
    assert_int_not_equal(access(path, F_OK), 0);
  }
  countdown all = {.left = 1000000};
  gale_error error = {0};
  expect_ok(gale_quantize(in, path, "q8_0", 2, count, &all, &error), &error);
  assert_true(all.last == 1);
}

/* ---- Nearness ---- */

static gale_model *open_as(const char *name, const char *quantize, bool metadata_only) {
  gale_model_options options;
  gale_model_defaults(&options);
  options.threads = 2;
  options.quantize = quantize;
  options.metadata_only = metadata_only;
  gale_model *model = NULL;
  gale_error error = {0};
  expect_ok(gale_model_open(name, &options, &model, &error), &error);
  return model;
}

/* Mean over the rows of the divergence of softmax(q) from softmax(p). */
static double mean_kl(const float *p, const float *q, size_t rows, size_t n) {
  double total = 0;
  for (size_t r = 0; r < rows; r++, p += n, q += n) {
    double sum_p = 0, sum_q = 0, mean = 0;
    for (size_t i = 0; i < n; i++) {
      sum_p += exp((double)p[i]);
      sum_q += exp((double)q[i]);
    }
    for (size_t i = 0; i < n; i++) mean += exp((double)p[i]) / sum_p * ((double)p[i] - (double)q[i]);
    total += mean - log(sum_p) + log(sum_q);
  }
  return total / (double)rows;
}

/* Bounds are twice what these types and this model give; a wrong scale or a wrong row gives more than 1. */
static void quantised_models_stay_near(void **state) {
  (void)state;
  static const char name[] = MODELS "mistral-head-dim-128";
  static const struct {
    const char *type;
    double bound;
  } types[] = {{"f16", 1e-6},    {"bf16", 1e-4}, {"q8_0", 1.2e-3}, {"q6_k", 1.4e-3},
               {"q5_1", 2.4e-2}, {"q5_0", 4e-2}, {"q4_1", 9e-2},   {"q4_0", 0.18}};
  enum { N_TOKENS = 64 };
  int32_t ids[N_TOKENS];
  gale_session_options options = session_options(GALE_KV_F32, N_TOKENS);
  gale_model *source = open_as(name, NULL, false);
  size_t n = model_vocab(source);
  for (int i = 0; i < N_TOKENS; i++) ids[i] = (int32_t)((size_t)i * 37 % n);
  float *expected = run_text(source, &options, ids, N_TOKENS);
  for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
    gale_model *model = open_as(name, types[t].type, false);
    float *logits = run_text(model, &options, ids, N_TOKENS);
    double kl = mean_kl(expected, logits, N_TOKENS, n);
    if (!(kl <= types[t].bound)) fail_msg("%s: mean KL %g, at most %g is wanted", types[t].type, kl, types[t].bound);
    print_message("%s: mean KL %.2g\n", types[t].type, kl);
    free(logits);
    gale_model_close(&model);
  }
  free(expected);
  gale_model_close(&source);
}

static void a_model_tells_what_it_holds(void **state) {
  (void)state;
  static const char name[] = MODELS "mistral-head-dim-128";
  gale_model_info stored, held;
  gale_model *source = open_as(name, NULL, true), *model = open_as(name, "q8_0", true);
  gale_model_get_info(source, &stored);
  gale_model_get_info(model, &held);
  assert_non_null(strstr(held.types, "Q8_0"));
  assert_null(strstr(stored.types, "Q8_0"));
  assert_string_equal(held.format, stored.format);
  assert_int_equal(held.weight_bytes, stored.weight_bytes);
  assert_int_equal(held.n_parameters, stored.n_parameters);
  assert_int_equal(held.sliding_window, stored.sliding_window);
  assert_int_equal(gale_model_tensors(model), gale_model_tensors(source));
  gale_model_close(&model);
  gale_model_close(&source);

  gale_model_options options;
  gale_model_defaults(&options);
  options.quantize = "q3";
  gale_error error = {0};
  assert_int_equal(gale_model_open(name, &options, &model, &error), GALE_E_ARGUMENT);
  assert_non_null(strstr(error.message, "q4_k_m"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(wrong_arguments, make_path, remove_path),
      cmocka_unit_test_setup_teardown(stopping_leaves_nothing, make_path, remove_path),
      cmocka_unit_test(quantised_models_stay_near),
      cmocka_unit_test(a_model_tells_what_it_holds),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
