/* Hidden states and embeddings: against the reference's logits through the output matrix, and the same bytes however
 * they were computed. */
#include "models/model_cases.h"

#include "engine/pool.h"
#include "format/checkpoint.h"

#include <math.h>

enum { TEXT = 40, TEXTS = 3, STEP = 16 };

#define BOUND 2e-4

typedef struct embedding_case {
  const char *model, *output; /* directory; name of the output matrix */
} embedding_case;

static const embedding_case CASES[] = {
    {"mistral-window-8", "lm_head.weight"},  {"llama-tied", "model.embed_tokens.weight"},
    {"mixtral-4x2", "lm_head.weight"},       {"gemma-tanh", "model.embed_tokens.weight"},
    {"gemma3", "model.embed_tokens.weight"},
};
enum { N_CASES = sizeof CASES / sizeof *CASES };

static size_t model_dim(const gale_model *model) {
  gale_model_info info;
  gale_model_get_info(model, &info);
  return (size_t)info.dim;
}

static void *must(void *memory) {
  assert_non_null(memory);
  return memory;
}

static model_case find_case(const char *name) {
  static model_case cases[MAX_CASES];
  size_t n = cases_read(cases);
  for (size_t i = 0; i < n; i++)
    if (strcmp(cases[i].name, name) == 0) return cases[i];
  fail_msg("cases.txt has no %s", name);
  return cases[0];
}

/* The output matrix as floats, [vocab_size][dim]. */
static float *read_output(const model_case *c, const char *name, size_t n) {
  char path[512];
  gale_error error = {0};
  checkpoint *of = NULL;
  snprintf(path, sizeof path, MODELS "%s", c->model);
  expect_ok(checkpoint_open(path, &of, &error), &error);
  const tensor *t = checkpoint_tensor(of, name);
  assert_non_null(t);
  const quant_info *type = quant_get(t->type);
  char *stored = must(malloc(t->bytes));
  float *matrix = must(malloc(n * sizeof *matrix));
  assert_int_equal(t->shape[0] * t->shape[1], n);
  expect_ok(checkpoint_read(of, t, 0, stored, t->bytes, &error), &error);
  assert_true(type->is_float);
  type->dequantize(type, stored, matrix, n);
  free(stored);
  checkpoint_close(&of);
  return matrix;
}

/* The output matrix times x equals the expected logits, up to a common factor: 1, or where scaled any positive one. */
static void expect_product(const float *output, const float *x, const double *expected, size_t rows, size_t dim,
                           bool scaled) {
  double *y = must(calloc(rows, sizeof *y)), dot = 0, square = 0, largest = 0;
  for (size_t r = 0; r < rows; r++) {
    for (size_t i = 0; i < dim; i++) y[r] += (double)output[r * dim + i] * x[i];
    dot += y[r] * expected[r];
    square += expected[r] * expected[r];
    largest = fmax(largest, fabs(y[r]));
  }
  double factor = scaled ? dot / square : 1;
  assert_true(factor > 0);
  for (size_t r = 0; r < rows; r++)
    if (!(fabs(y[r] - factor * expected[r]) <= BOUND * largest))
      fail_msg("row %zu: %g, not %g", r, y[r], factor * expected[r]);
  free(y);
}

static double length_of(const float *x, size_t n) {
  double square = 0;
  for (size_t i = 0; i < n; i++) square += (double)x[i] * x[i];
  return sqrt(square);
}

/* The logits of the reference are the output matrix times its hidden states, and their mean that times the mean. */
static void test_reference(void **state) {
  const embedding_case *of = *state;
  model_case c = find_case(of->model);
  reference r = reference_read(&c);
  gale_model *model = model_open_cpu(&c, NULL);
  gale_session_options options = session_options(GALE_KV_F32, STEP);
  gale_session *s = session_open(model, &options);
  size_t dim = model_dim(model), vocab = r.vocab_size;
  assert_int_equal(r.n_rows, r.n_ids);
  float *output = read_output(&c, of->output, vocab * dim), *embedding = must(malloc(dim * sizeof *embedding));
  double *mean = must(calloc(vocab, sizeof *mean)), *last = must(calloc(vocab, sizeof *last));
  gale_error error = {0};
  for (size_t t = 0; t < r.n_ids; t++)
    for (size_t i = 0; i < vocab; i++) mean[i] += (last[i] = r.logits[t * vocab + i]);
  expect_ok(gale_embed(s, r.ids, r.n_ids, GALE_POOLING_MEAN, embedding, &error), &error);
  assert_true(fabs(length_of(embedding, dim) - 1) < 1e-6);
  expect_product(output, embedding, mean, vocab, dim, true);
  expect_ok(gale_embed(s, r.ids, r.n_ids, GALE_POOLING_LAST, embedding, &error), &error);
  assert_true(fabs(length_of(embedding, dim) - 1) < 1e-6);
  expect_product(output, embedding, last, vocab, dim, true);
  int32_t sequence = sequence_open(s);
  feed(s, sequence, r.ids, r.n_ids - 1, STEP, vocab, NULL);
  gale_input in = {sequence, &r.ids[r.n_ids - 1], 1, GALE_HIDDEN_LAST};
  expect_ok(gale_step(s, &in, 1, &error), &error);
  expect_product(output, gale_hidden(s, sequence, 0), last, vocab, dim, false);
  free(mean);
  free(last);
  free(output);
  free(embedding);
  gale_session_close(&s);
  gale_model_close(&model);
  reference_free(&r);
}

/* ---- The same bytes ---- */

static const char *const SHAPES[] = {"shape:tiny@q4_0", "shape:tiny@f32", "shape:tiny@q8_0"};

static gale_model *open_shape(const char *name, const char *cpu) {
  gale_model_options o;
  gale_model_defaults(&o);
  o.cpu = cpu;
  o.threads = 1;
  gale_model *model = NULL;
  gale_error error = {0};
  gale_status status = gale_model_open(name, &o, &model, &error);
  if (cpu && status == GALE_E_UNSUPPORTED) return NULL;
  expect_ok(status, &error);
  return model;
}

static void make_ids(int32_t *ids, int n, int seed) {
  for (int i = 0; i < n; i++) ids[i] = (i * 37 + seed * 11 + i * i) % 256 + 4;
}

static void embed_alone(const gale_model *model, size_t chunk, int threads, int seed, gale_pooling pooling,
                        float *embedding) {
  int32_t ids[TEXT];
  make_ids(ids, TEXT, seed);
  gale_session_options options = session_options(GALE_KV_Q8, chunk);
  options.threads = threads;
  gale_session *s = session_open(model, &options);
  gale_error error = {0};
  expect_ok(gale_embed(s, ids, TEXT, pooling, embedding, &error), &error);
  /* The sequence is given back, with its pages. */
  gale_session_stats stats;
  gale_session_get_stats(s, &stats);
  assert_int_equal(stats.kv_page_bytes, 0);
  gale_session_close(&s);
}

static void test_same_bytes(void **state) {
  static const char *const levels[] = {NULL, "generic", "avx2", "avxvnni", "avx512", "amx", "neon"};
  const char *shape = *state;
  for (int pooling = GALE_POOLING_MEAN; pooling <= GALE_POOLING_LAST; pooling++) {
    float *expected = NULL;
    for (size_t l = 0; l < sizeof levels / sizeof *levels; l++) {
      gale_model *model = open_shape(shape, levels[l]);
      if (!model) continue;
      size_t dim = model_dim(model);
      float *got = must(malloc(dim * sizeof *got));
      for (size_t chunk = 1; chunk <= 64; chunk = chunk * 3 + 1)
        for (int threads = 1; threads <= 2; threads++) {
          embed_alone(model, chunk, threads, 5, (gale_pooling)pooling, got);
          if (!expected) {
            expected = must(malloc(dim * sizeof *got));
            memcpy(expected, got, dim * sizeof *got);
          }
          assert_memory_equal(got, expected, dim * sizeof *got);
        }
      free(got);
      gale_model_close(&model);
    }
    free(expected);
  }
}

/* Texts in one step, beside one whose logits are wanted: each as alone, in pieces of changing length. */
static void test_batched(void **state) {
  gale_model *model = open_shape(*state, NULL);
  gale_session_options options = session_options(GALE_KV_Q8, 64);
  options.max_sequences = TEXTS;
  gale_session *s = session_open(model, &options);
  size_t dim = model_dim(model);
  double *sums = must(calloc(TEXTS * dim, sizeof *sums));
  float *got = must(malloc(dim * sizeof *got)), *alone = must(malloc(dim * sizeof *alone));
  int32_t ids[TEXTS][TEXT], sequences[TEXTS];
  int done[TEXTS] = {0};
  gale_error error = {0};
  for (int i = 0; i < TEXTS; i++) {
    make_ids(ids[i], TEXT, i);
    sequences[i] = sequence_open(s);
  }
  for (int round = 0; done[0] + done[1] + done[2] < TEXTS * TEXT; round++) {
    gale_input in[TEXTS];
    int of[TEXTS];
    size_t n = 0;
    for (int i = 0; i < TEXTS; i++) {
      int now = 1 + (round * 5 + i * 7) % 9;
      if (now > TEXT - done[i]) now = TEXT - done[i];
      if (!now) continue;
      of[n] = i;
      in[n++] = (gale_input){sequences[i], ids[i] + done[i], now, i == 1 ? GALE_LOGITS_ALL : GALE_HIDDEN_ALL};
    }
    expect_ok(gale_step(s, in, n, &error), &error);
    for (size_t k = 0; k < n; k++) {
      size_t rows = gale_hidden_rows(s, in[k].sequence);
      assert_int_equal(rows, in[k].n_tokens);
      assert_int_equal(gale_logits_rows(s, in[k].sequence), of[k] == 1 ? rows : 0);
      pool_add(GALE_POOLING_MEAN, gale_hidden(s, in[k].sequence, 0), rows, dim, sums + (size_t)of[k] * dim);
      done[of[k]] += in[k].n_tokens;
    }
  }
  for (int i = 0; i < TEXTS; i++) {
    expect_ok(pool_finish(sums + (size_t)i * dim, dim, got, &error), &error);
    embed_alone(model, 7, 1, i, GALE_POOLING_MEAN, alone);
    assert_memory_equal(got, alone, dim * sizeof *got);
  }
  free(sums);
  free(got);
  free(alone);
  gale_session_close(&s);
  gale_model_close(&model);
}

/* Logits have the same bytes whatever others ask for, and rows end as those of logits do. */
static void test_rows(void **state) {
  gale_model *model = open_shape(*state, NULL);
  gale_session_options options = session_options(GALE_KV_F16, STEP);
  options.max_sequences = TEXTS;
  gale_session *s = session_open(model, &options);
  size_t vocab = model_vocab(model);
  int32_t ids[8], a = sequence_open(s), b = sequence_open(s), c;
  make_ids(ids, 8, 1);
  gale_input in[] = {{a, ids, 5, GALE_HIDDEN_LAST}, {b, ids, 5, GALE_LOGITS_LAST}};
  gale_error error = {0};
  expect_ok(gale_step(s, in, 2, &error), &error);
  assert_int_equal(gale_hidden_rows(s, a), 1);
  assert_int_equal(gale_logits_rows(s, a), 0);
  assert_null(gale_logits(s, a, 0));
  assert_memory_equal(gale_hidden(s, a, 0), gale_hidden(s, b, 0), model_dim(model) * sizeof(float));
  assert_ptr_not_equal(gale_hidden(s, a, 0), gale_hidden(s, b, 0));
  float *alone = run_text(model, &options, ids, 5);
  assert_memory_equal(gale_logits(s, b, 0), alone + 4 * vocab, vocab * sizeof *alone);
  free(alone);
  expect_ok(gale_sequence_fork(s, a, &c, &error), &error);
  assert_ptr_equal(gale_hidden(s, c, 0), gale_hidden(s, a, 0));
  assert_null(gale_hidden(s, a, 1));
  expect_ok(gale_sequence_truncate(s, a, 4, NULL, &error), &error);
  assert_int_equal(gale_hidden_rows(s, a), 0);
  assert_int_equal(gale_hidden_rows(s, c), 1);
  gale_session_close(&s);
  gale_model_close(&model);
}

static void test_refusals(void **state) {
  gale_model *model = open_shape(*state, NULL);
  gale_session_options options = session_options(GALE_KV_F16, STEP);
  options.context = TEXT - 1;
  gale_session *s = session_open(model, &options);
  size_t dim = model_dim(model);
  float *out = must(calloc(dim, sizeof *out)), *zero = must(calloc(dim, sizeof *zero));
  int32_t ids[TEXT], sequence;
  make_ids(ids, TEXT, 1);
  gale_error error = {0};
  assert_int_equal(gale_embed(s, ids, 0, GALE_POOLING_MEAN, out, &error), GALE_E_ARGUMENT);
  assert_int_equal(gale_embed(s, ids, 4, (gale_pooling)2, out, &error), GALE_E_ARGUMENT);
  assert_int_equal(gale_embed(s, ids, TEXT, GALE_POOLING_MEAN, out, &error), GALE_E_CONTEXT);
  ids[30] = -1;
  assert_int_equal(gale_embed(s, ids, TEXT - 1, GALE_POOLING_MEAN, out, &error), GALE_E_ARGUMENT);
  /* None of them keeps the only sequence. */
  expect_ok(gale_sequence_open(s, &sequence, &error), &error);
  assert_int_equal(gale_embed(s, ids, 4, GALE_POOLING_MEAN, out, &error), GALE_E_CONTEXT);
  double sum[3] = {0, 0, 0};
  assert_int_equal(pool_finish(sum, 3, out, &error), GALE_E_NUMERIC);
  sum[1] = NAN;
  assert_int_equal(pool_finish(sum, 3, out, &error), GALE_E_NUMERIC);
  assert_memory_equal(out, zero, dim * sizeof *out);
  free(out);
  free(zero);
  gale_session_close(&s);
  gale_model_close(&model);
}

#define OF(f, shape)                                                                                                   \
  { #f ", " #shape, f, NULL, NULL, (void *)SHAPES[shape] }

int main(void) {
  struct CMUnitTest tests[N_CASES + 7] = {OF(test_same_bytes, 0), OF(test_same_bytes, 1), OF(test_same_bytes, 2),
                                          OF(test_batched, 0),    OF(test_batched, 1),    OF(test_rows, 0),
                                          OF(test_refusals, 0)};
  for (size_t i = 0; i < N_CASES; i++)
    tests[7 + i] = (struct CMUnitTest){CASES[i].model, test_reference, NULL, NULL, (void *)(uintptr_t)&CASES[i]};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
