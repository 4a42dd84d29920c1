/* The checkpoints of tests/data/models with their reference logits, and running a model over a text.
 * tools/make_checkpoints.py made them and says what the columns of cases.txt mean. */
#ifndef MODELS_MODEL_CASES_H
#define MODELS_MODEL_CASES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gale.h"

#define MODELS TEST_DATA "/models/"

enum { MAX_CASES = 128 };

typedef struct model_case {
  char name[64], model[128], reference[128], kind[16]; /* as in cases.txt; kind "float" or "kl" */
  double f16_bound, q8_bound;                          /* shares of the largest logit */
} model_case;

/* n_rows rows of vocab_size logits, row r being of position rows[r]. */
typedef struct reference {
  int32_t *ids, *rows;
  size_t n_ids, n_rows, vocab_size;
  float *logits;
} reference;

static inline size_t cases_read(model_case cases[MAX_CASES]) {
  FILE *f = fopen(MODELS "cases.txt", "r");
  assert_non_null(f);
  size_t n = 0;
  char line[512];
  while (fgets(line, sizeof line, f)) {
    if (line[0] == '#') continue;
    assert_true(n < MAX_CASES);
    model_case *c = &cases[n++];
    assert_int_equal(sscanf(line, "%63s %127s %127s %15s %lf %lf", c->name, c->model, c->reference, c->kind,
                            &c->f16_bound, &c->q8_bound),
                     6);
  }
  fclose(f);
  return n;
}

/* The first case with the same reference, which is the same model in another kind of file; c itself where there is none
 * before it. */
static inline const model_case *case_first_twin(const model_case *cases, const model_case *c) {
  const model_case *first = cases;
  while (strcmp(first->reference, c->reference) != 0) first++;
  return first;
}

/* Integers separated by white space; NULL if there is no such file. */
static inline int32_t *integers_read(const char *path, size_t *n) {
  FILE *f = fopen(path, "r");
  *n = 0;
  if (!f) return NULL;
  size_t capacity = 8192;
  int32_t *values = malloc(capacity * sizeof *values);
  assert_non_null(values);
  while (*n < capacity && fscanf(f, "%d", &values[*n]) == 1) ++*n;
  assert_true(*n < capacity);
  fclose(f);
  return values;
}

/* A two-dimensional little-endian float32 array in C order, as numpy saves it: 6 bytes of magic, two of
 * version, two with the length of a header that is a Python dictionary, then the data. */
static inline float *npy_read(const char *path, size_t *rows, size_t *columns) {
  FILE *f = fopen(path, "rb");
  assert_non_null(f);
  unsigned char start[10];
  char header[1024] = "";
  assert_int_equal(fread(start, 1, sizeof start, f), sizeof start);
  assert_memory_equal(start, "\x93NUMPY\x01", 7);
  size_t length = start[8] + 256u * start[9];
  assert_true(length < sizeof header);
  assert_int_equal(fread(header, 1, length, f), length);
  assert_non_null(strstr(header, "'descr': '<f4'"));
  assert_non_null(strstr(header, "'fortran_order': False"));
  const char *shape = strstr(header, "'shape': (");
  assert_non_null(shape);
  assert_int_equal(sscanf(shape, "'shape': (%zu, %zu)", rows, columns), 2);
  float *values = malloc(*rows * *columns * sizeof *values);
  assert_non_null(values);
  assert_int_equal(fread(values, sizeof *values, *rows * *columns, f), *rows * *columns);
  fclose(f);
  return values;
}

static inline reference reference_read(const model_case *c) {
  reference r = {0};
  char path[512];
  snprintf(path, sizeof path, MODELS "%s/ids.txt", c->reference);
  r.ids = integers_read(path, &r.n_ids);
  assert_non_null(r.ids);
  snprintf(path, sizeof path, MODELS "%s/logits.npy", c->reference);
  r.logits = npy_read(path, &r.n_rows, &r.vocab_size);
  snprintf(path, sizeof path, MODELS "%s/rows.txt", c->reference);
  size_t n_listed;
  r.rows = integers_read(path, &n_listed);
  if (!r.rows) {
    n_listed = r.n_ids;
    r.rows = malloc(n_listed * sizeof *r.rows);
    assert_non_null(r.rows);
    for (size_t i = 0; i < n_listed; i++) r.rows[i] = (int32_t)i;
  }
  assert_int_equal(n_listed, r.n_rows);
  return r;
}

static inline void reference_free(reference *r) {
  free(r->ids);
  free(r->rows);
  free(r->logits);
}

static inline void expect_ok(gale_status status, const gale_error *error) {
  if (status != GALE_OK) fail_msg("status %d: %s", (int)status, error->message);
}

/* NULL if the processor lacks the instruction set; cpu NULL means its best. */
static inline gale_model *model_open_cpu(const model_case *c, const char *cpu) {
  char path[512];
  snprintf(path, sizeof path, MODELS "%s", c->model);
  gale_model_options options;
  gale_model_defaults(&options);
  options.cpu = cpu;
  options.threads = 1;
  gale_model *model = NULL;
  gale_error error = {0};
  gale_status status = gale_model_open(path, &options, &model, &error);
  if (cpu && status == GALE_E_UNSUPPORTED) return NULL;
  expect_ok(status, &error);
  return model;
}

static inline size_t model_vocab(const gale_model *model) {
  gale_model_info info;
  gale_model_get_info(model, &info);
  return (size_t)info.vocab_size;
}

/* Options for a text of n tokens in steps of chunk, one sequence, one thread. */
static inline gale_session_options session_options(gale_kv_type kv, size_t chunk) {
  gale_session_options o;
  gale_session_defaults(&o);
  o.threads = 1;
  o.chunk = (int32_t)chunk;
  o.max_sequences = 1;
  o.kv_type = kv;
  return o;
}

static inline gale_session *session_open(const gale_model *model, const gale_session_options *options) {
  gale_session *session = NULL;
  gale_error error = {0};
  expect_ok(gale_session_open(model, options, &session, &error), &error);
  return session;
}

static inline int32_t sequence_open(gale_session *session) {
  int32_t sequence = -1;
  gale_error error = {0};
  expect_ok(gale_sequence_open(session, &sequence, &error), &error);
  return sequence;
}

/* Appends n tokens in steps of chunk; logits, unless NULL, receives a row for each of them. */
static inline void feed(gale_session *session, int32_t sequence, const int32_t *ids, size_t n, size_t chunk,
                        size_t vocab_size, float *logits) {
  gale_error error = {0};
  for (size_t done = 0; done < n;) {
    size_t now = n - done < chunk ? n - done : chunk;
    gale_input input = {sequence, ids + done, (int32_t)now, logits ? GALE_LOGITS_ALL : GALE_LOGITS_NONE};
    expect_ok(gale_step(session, &input, 1, &error), &error);
    for (size_t i = 0; logits && i < now; i++) {
      const float *row = gale_logits(session, sequence, i);
      assert_non_null(row);
      memcpy(logits + (done + i) * vocab_size, row, vocab_size * sizeof *row);
    }
    done += now;
  }
}

/* Logits [n][vocab_size] of a text in a fresh session, for free(). */
static inline float *run_text(const gale_model *model, const gale_session_options *options, const int32_t *ids,
                              size_t n) {
  size_t vocab_size = model_vocab(model);
  float *logits = malloc(n * vocab_size * sizeof *logits);
  assert_non_null(logits);
  gale_session *session = session_open(model, options);
  feed(session, sequence_open(session), ids, n, (size_t)options->chunk, vocab_size, logits);
  gale_session_close(&session);
  return logits;
}

#endif
