/* The bytes of the logits are a function of model, text, window and cache type alone: not of threads,
 * chunks, instruction set, what else is in a step, nor how a sequence came to its content.
 *
 * Every property is a test for every case. Those about arithmetic run with each type of cache; those about
 * bookkeeping take one type for each case, in turn. */
#include "models/model_cases.h"

enum { LONGEST = 300, N_TEXTS = 3, STEP = 16 };

static const gale_kv_type KV_TYPES[] = {GALE_KV_F16, GALE_KV_Q8, GALE_KV_F32};
enum { N_KV_TYPES = sizeof KV_TYPES / sizeof KV_TYPES[0] };

/* A case's model and text, and a type of cache. */
typedef struct bench {
  const model_case *of;
  gale_model *model;
  reference r;
  size_t n, vocab_size; /* n: of the text's ids, those to use */
  gale_kv_type kv;
} bench;

static bench bench_open(const model_case *c, size_t longest) {
  bench b = {.of = c, .model = model_open_cpu(c, NULL), .r = reference_read(c)};
  b.n = b.r.n_ids < longest ? b.r.n_ids : longest;
  b.vocab_size = b.r.vocab_size;
  return b;
}

static void bench_close(bench *b) {
  gale_model_close(&b->model);
  reference_free(&b->r);
}

static void expect_same(const bench *b, const char *what, const float *expected, const float *got, size_t n) {
  if (memcmp(expected, got, n * b->vocab_size * sizeof *got) == 0) return;
  size_t i = 0;
  while (memcmp(expected + i, got + i, sizeof *got) == 0) i++;
  fail_msg("%s, cache type %d, %s: position %zu, logit %zu: %a, not %a", b->of->name, (int)b->kv, what,
           i / b->vocab_size, i % b->vocab_size, (double)got[i], (double)expected[i]);
}

static void expect_run(const bench *b, const gale_model *model, const gale_session_options *options, const char *what,
                       const float *expected) {
  float *logits = run_text(model, options, b->r.ids, b->n);
  expect_same(b, what, expected, logits, b->n);
  free(logits);
}

/* A text in one step on one thread: what all else is compared with. */
static float *run_whole(const bench *b, const int32_t *ids) {
  gale_session_options options = session_options(b->kv, b->n);
  return run_text(b->model, &options, ids, b->n);
}

/* The case's first n_same ids, then others. */
static int32_t *variant(const bench *b, size_t n_same, int32_t shift) {
  int32_t *ids = malloc(b->n * sizeof *ids);
  assert_non_null(ids);
  for (size_t i = 0; i < b->n; i++) ids[i] = (b->r.ids[i] + (i < n_same ? 0 : shift)) % (int32_t)b->vocab_size;
  return ids;
}

static float *rows_make(const bench *b) {
  float *rows = calloc(b->n * b->vocab_size, sizeof *rows);
  assert_non_null(rows);
  return rows;
}

/* ---- Arithmetic ---- */

static void threads_and_chunks(bench *b) {
  const struct {
    int threads;
    size_t chunk;
  } ways[] = {{1, 1}, {1, 7}, {1, 64}, {2, b->n}, {2, 7}, {2, 1}, {3, b->n}, {3, 64}};
  float *whole = run_whole(b, b->r.ids);
  for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
    gale_session_options options = session_options(b->kv, ways[i].chunk);
    options.threads = ways[i].threads;
    char what[64];
    snprintf(what, sizeof what, "%d threads, chunk %zu", ways[i].threads, ways[i].chunk);
    expect_run(b, b->model, &options, what, whole);
  }
  free(whole);
}

static void instruction_sets(bench *b) {
  static const char *const levels[] = {"generic", "avx2", "avxvnni", "avx512", "amx", "neon"};
  float *best = run_whole(b, b->r.ids);
  for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
    gale_model *model = model_open_cpu(b->of, levels[i]);
    if (!model) {
      assert_true(i > 0); /* the processor lacks it, which can't be said of portable C */
      continue;
    }
    gale_session_options options = session_options(b->kv, b->n);
    expect_run(b, model, &options, levels[i], best);
    options.chunk = 5;
    expect_run(b, model, &options, levels[i], best);
    gale_model_close(&model);
  }
  free(best);
}

/* A window as wide as the text hides nothing. */
static void wide_window(bench *b) {
  gale_session_options options = session_options(b->kv, b->n);
  options.window = GALE_WINDOW_NONE;
  float *full = run_text(b->model, &options, b->r.ids, b->n);
  options.window = (int32_t)b->n;
  options.chunk = 7;
  expect_run(b, b->model, &options, "window = length, chunk 7", full);
  free(full);
}

/* In one step over the whole text nothing leaves the cache before the step ends, so the window is a mask over
 * a full cache; in short steps the cache holds little more than the window. */
static void window_and_mask(bench *b) {
  static const int32_t windows[] = {1, 17, 64, 300};
  static const size_t chunks[] = {1, 100};
  for (size_t w = 0; w < sizeof windows / sizeof windows[0]; w++) {
    gale_session_options options = session_options(b->kv, b->n);
    options.window = windows[w];
    float *masked = run_text(b->model, &options, b->r.ids, b->n);
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
      char what[64];
      options.chunk = (int32_t)chunks[i];
      snprintf(what, sizeof what, "window %d, chunk %zu", windows[w], chunks[i]);
      expect_run(b, b->model, &options, what, masked);
    }
    free(masked);
  }
}

/* ---- Bookkeeping ---- */

/* Several texts of the bench's length in one session, and what each gives alone. */
typedef struct texts {
  int32_t *ids[N_TEXTS], sequences[N_TEXTS];
  float *alone[N_TEXTS], *got[N_TEXTS];
  size_t done[N_TEXTS];
} texts;

/* One step with some tokens of every text that has any left, in turning order; true while any has. */
static bool step_together(gale_session *session, const bench *b, texts *t, unsigned round) {
  gale_input inputs[N_TEXTS];
  unsigned of[N_TEXTS];
  size_t n = 0;
  for (unsigned i = 0; i < N_TEXTS; i++) {
    unsigned s = (i + round) % N_TEXTS;
    size_t left = b->n - t->done[s], want = (round * 7 + s * 3) % 5 + (s == 1 ? 6 : 0);
    if (want > left) want = left;
    if (want == 0) continue;
    inputs[n] = (gale_input){t->sequences[s], t->ids[s] + t->done[s], (int32_t)want, GALE_LOGITS_ALL};
    of[n++] = s;
  }
  gale_error error = {0};
  if (n > 0) expect_ok(gale_step(session, inputs, n, &error), &error);
  for (size_t i = 0; i < n; i++) {
    assert_int_equal(gale_logits_rows(session, inputs[i].sequence), inputs[i].n_tokens);
    for (size_t k = 0; k < (size_t)inputs[i].n_tokens; k++) {
      const float *logits = gale_logits(session, inputs[i].sequence, k);
      assert_non_null(logits);
      memcpy(t->got[of[i]] + t->done[of[i]]++ * b->vocab_size, logits, b->vocab_size * sizeof *logits);
    }
  }
  return t->done[0] < b->n || t->done[1] < b->n || t->done[2] < b->n;
}

static void in_a_batch(bench *b) {
  gale_session_options options = session_options(b->kv, 32);
  options.max_sequences = N_TEXTS;
  options.threads = 2;
  gale_session *session = session_open(b->model, &options);
  texts t = {0};
  for (int s = 0; s < N_TEXTS; s++) {
    t.ids[s] = variant(b, 0, s * 5);
    t.alone[s] = run_whole(b, t.ids[s]);
    t.got[s] = rows_make(b);
    t.sequences[s] = sequence_open(session);
  }
  for (unsigned round = 0; step_together(session, b, &t, round); round++) {
  }
  gale_session_close(&session);
  for (int s = 0; s < N_TEXTS; s++) {
    expect_same(b, "in a batch", t.alone[s], t.got[s], b->n);
    free(t.ids[s]);
    free(t.alone[s]);
    free(t.got[s]);
  }
}

/* Where to fork or cut: early, inside a page, at a page's end if the text has one, and late. */
static size_t places(const bench *b, size_t at[4]) {
  at[0] = 1;
  at[1] = b->n / 2;
  at[2] = b->n > 128 ? 128 : b->n / 3;
  at[3] = b->n - 1;
  return 4;
}

/* After a common start the sequence and its fork go on with texts of their own, taking turns. */
static void fork_at(const bench *b, size_t start) {
  gale_session_options options = session_options(b->kv, STEP);
  options.max_sequences = 2;
  gale_session *session = session_open(b->model, &options);
  gale_error error = {0};
  int32_t *ids[2] = {variant(b, b->n, 0), variant(b, start, 9)}, sequences[2] = {sequence_open(session), -1};
  float *got[2] = {rows_make(b), rows_make(b)};
  feed(session, sequences[0], ids[0], start, STEP, b->vocab_size, got[0]);
  expect_ok(gale_sequence_fork(session, sequences[0], &sequences[1], &error), &error);
  assert_int_equal(gale_sequence_length(session, sequences[1]), start);
  for (size_t done = start; done < b->n; done += STEP) {
    size_t now = b->n - done < STEP ? b->n - done : STEP;
    for (int s = 1; s >= 0; s--)
      feed(session, sequences[s], ids[s] + done, now, STEP, b->vocab_size, got[s] + done * b->vocab_size);
  }
  gale_session_close(&session);
  for (int s = 0; s < 2; s++) {
    float *fresh = run_whole(b, ids[s]);
    expect_same(b, s ? "fork" : "forked", fresh + start * b->vocab_size, got[s] + start * b->vocab_size, b->n - start);
    free(fresh);
    free(got[s]);
    free(ids[s]);
  }
}

static void forked(bench *b) {
  size_t at[4], n = places(b, at);
  for (size_t i = 0; i < n; i++) fork_at(b, at[i]);
}

/* The whole text, cut to length, then another from what is kept. */
static void truncate_to(const bench *b, size_t length) {
  gale_session_options options = session_options(b->kv, STEP);
  gale_session *session = session_open(b->model, &options);
  gale_error error = {0};
  int32_t sequence = sequence_open(session), kept = -1;
  feed(session, sequence, b->r.ids, b->n, STEP, b->vocab_size, NULL);
  expect_ok(gale_sequence_truncate(session, sequence, (int32_t)length, &kept, &error), &error);
  if (kept != 0) assert_int_equal(kept, length);
  assert_int_equal(gale_sequence_length(session, sequence), kept);
  int32_t *ids = variant(b, length, 9);
  size_t from = (size_t)kept;
  float *fresh = run_whole(b, ids), *got = rows_make(b);
  feed(session, sequence, ids + from, b->n - from, STEP, b->vocab_size, got);
  expect_same(b, "truncated and fed again", fresh + from * b->vocab_size, got, b->n - from);
  gale_session_close(&session);
  free(fresh);
  free(got);
  free(ids);
}

static void truncated(bench *b) {
  size_t at[4], n = places(b, at);
  truncate_to(b, 0);
  for (size_t i = 0; i < n; i++) truncate_to(b, at[i]);
}

static void prefilled(bench *b) {
  float *whole = run_whole(b, b->r.ids);
  gale_session_options options = session_options(b->kv, 13);
  gale_session *session = session_open(b->model, &options);
  gale_error error = {0};
  int32_t sequence = sequence_open(session);
  expect_ok(gale_prefill(session, sequence, b->r.ids, b->n, NULL, NULL, &error), &error);
  assert_int_equal(gale_logits_rows(session, sequence), 1);
  expect_same(b, "prefill", whole + (b->n - 1) * b->vocab_size, gale_logits(session, sequence, 0), 1);
  gale_session_close(&session);
  free(whole);
}

/* Two sessions that get the same calls, one of them with little memory: until its pages run out they agree in
 * everything, and where they do nothing has changed. */
typedef struct twins {
  gale_session *roomy, *tight;
  uint32_t random;
  int refused;
} twins;

static uint32_t next_random(twins *t, uint32_t below) {
  t->random = t->random * 1664525u + 1013904223u;
  return (t->random >> 8) % below;
}

static uint64_t page_bytes_of(const gale_session *s) {
  gale_session_stats stats;
  gale_session_get_stats(s, &stats);
  return stats.kv_page_bytes;
}

static void twins_step(const bench *b, twins *t, const int32_t *open, size_t n_open) {
  gale_input inputs[N_TEXTS];
  size_t n = 0, first = next_random(t, (uint32_t)n_open);
  for (size_t i = 0; i < n_open && n < 2; i++) {
    int32_t s = open[(first + i) % n_open], want = 1 + (int32_t)next_random(t, STEP / 2);
    if (gale_sequence_length(t->roomy, s) + want > (int32_t)b->n) continue;
    inputs[n++] = (gale_input){s, b->r.ids + next_random(t, (uint32_t)b->n - STEP), want, GALE_LOGITS_ALL};
  }
  if (n == 0) return;
  gale_error error = {0};
  uint64_t needed, available, before = page_bytes_of(t->tight);
  expect_ok(gale_step_pages(t->tight, inputs, n, &needed, &available, &error), &error);
  if (gale_step(t->tight, inputs, n, &error)) {
    assert_int_equal(error.code, GALE_E_CONTEXT);
    assert_true(needed > available);
    assert_int_equal(page_bytes_of(t->tight), before);
    t->refused++;
    return;
  }
  assert_true(needed <= available);
  expect_ok(gale_step(t->roomy, inputs, n, &error), &error);
  for (size_t i = 0; i < n; i++)
    for (int32_t k = 0; k < inputs[i].n_tokens; k++)
      expect_same(b, "with few pages", gale_logits(t->roomy, inputs[i].sequence, (size_t)k),
                  gale_logits(t->tight, inputs[i].sequence, (size_t)k), 1);
}

static void twins_change(twins *t, int32_t sequence, size_t n_open) {
  gale_session *const both[] = {t->roomy, t->tight};
  int32_t got[2] = {-1, -1}, length = gale_sequence_length(t->roomy, sequence);
  uint32_t kind = next_random(t, n_open < N_TEXTS ? 3 : 2), cut = next_random(t, (uint32_t)length + 1);
  gale_error error = {0};
  for (int i = 0; i < 2; i++) {
    if (kind == 0) expect_ok(gale_sequence_truncate(both[i], sequence, (int32_t)cut, &got[i], &error), &error);
    if (kind == 1 && n_open > 1) expect_ok(gale_sequence_close(both[i], sequence, &error), &error);
    if (kind == 2) expect_ok(gale_sequence_fork(both[i], sequence, &got[i], &error), &error);
  }
  assert_int_equal(got[0], got[1]);
}

static void few_pages(bench *b) {
  gale_session_options options = session_options(b->kv, STEP);
  options.max_sequences = N_TEXTS;
  options.context = (int32_t)b->n;
  twins t = {.roomy = session_open(b->model, &options), .random = (uint32_t)b->n};
  gale_session_get_options(t.roomy, &options);
  options.kv_bytes /= 4;
  t.tight = session_open(b->model, &options);
  sequence_open(t.roomy), sequence_open(t.tight);
  for (int round = 0; round < 300; round++) {
    int32_t open[N_TEXTS];
    size_t n_open = 0;
    for (int32_t s = 0; s < N_TEXTS; s++) {
      assert_int_equal(gale_sequence_length(t.roomy, s), gale_sequence_length(t.tight, s));
      if (gale_sequence_length(t.roomy, s) >= 0) open[n_open++] = s;
    }
    if (next_random(&t, 4) > 0)
      twins_step(b, &t, open, n_open);
    else
      twins_change(&t, open[next_random(&t, (uint32_t)n_open)], n_open);
  }
  if (b->n > 200) assert_true(t.refused > 0);
  gale_session_close(&t.roomy);
  gale_session_close(&t.tight);
}

/* The case's whole text, far beyond 4,096 positions in the longest. */
static void long_text(bench *b) {
  float *whole = run_whole(b, b->r.ids);
  gale_session_options options = session_options(b->kv, 100);
  options.threads = 2;
  expect_run(b, b->model, &options, "2 threads, chunk 100", whole);
  free(whole);
}

/* ---- The list of tests ---- */

typedef struct property {
  const char *name;
  void (*test)(bench *b);
  bool every_kv_type;
  size_t shortest, longest; /* texts shorter than that are left out, longer ones are cut */
} property;

static const property PROPERTIES[] = {
    {"threads and chunks", threads_and_chunks, true, 0, LONGEST},
    {"instruction sets", instruction_sets, true, 0, LONGEST},
    {"window as wide as the text", wide_window, true, 0, LONGEST},
    {"window and mask", window_and_mask, true, 500, 600},
    {"in a batch", in_a_batch, false, 0, LONGEST},
    {"forked", forked, false, 0, LONGEST},
    {"truncated", truncated, false, 0, LONGEST},
    {"prefill", prefilled, false, 0, LONGEST},
    {"few pages", few_pages, false, 128, LONGEST},
    {"long text", long_text, false, 4096, SIZE_MAX},
};
enum { N_PROPERTIES = sizeof PROPERTIES / sizeof PROPERTIES[0] };

typedef struct check {
  char title[128];
  const property *of;
  const model_case *on;
  size_t index;
} check;

static void test_property(void **state) {
  const check *k = *state;
  bench b = bench_open(k->on, k->of->longest);
  size_t n_types = k->of->every_kv_type ? N_KV_TYPES : 1;
  for (size_t i = 0; i < n_types; i++) {
    b.kv = KV_TYPES[(k->index + i) % N_KV_TYPES];
    k->of->test(&b);
  }
  bench_close(&b);
}

/* Number of ids that a case's reference holds. */
static size_t text_length(const model_case *c) {
  reference r = reference_read(c);
  size_t n = r.n_ids;
  reference_free(&r);
  return n;
}

int main(void) {
  static model_case cases[MAX_CASES];
  static check checks[N_PROPERTIES * MAX_CASES];
  static struct CMUnitTest tests[N_PROPERTIES * MAX_CASES];
  size_t n_cases = cases_read(cases), n = 0;
  for (size_t p = 0; p < N_PROPERTIES; p++) {
    for (size_t i = 0; i < n_cases; i++) {
      if (case_first_twin(cases, &cases[i]) != &cases[i]) continue; /* test_twins.c finds it equal to the first */
      /* Models made for very long texts have a test of their own. */
      size_t length = text_length(&cases[i]);
      if (length < PROPERTIES[p].shortest || (length > 4096 && PROPERTIES[p].test != long_text)) continue;
      checks[n] = (check){.of = &PROPERTIES[p], .on = &cases[i], .index = i};
      snprintf(checks[n].title, sizeof checks[n].title, "%s: %.63s", PROPERTIES[p].name, cases[i].name);
      tests[n] = (struct CMUnitTest){checks[n].title, test_property, NULL, NULL, &checks[n]};
      n++;
    }
  }
  return _cmocka_run_group_tests("properties", tests, n, NULL, NULL);
}
