/* Speculation changes no bit: sessions that computed drafts and took them back, and answers with and without drafts.
 * How much is drafted follows from what was right and from the times that steps are said to have taken. */
#include "gale_constraint.h"
#include "models/model_cases.h"

#include "base/random.h"
#include "engine/session.h"
#include "engine/speculation.h"

#include <time.h>

enum { TEXT = 250, CHUNK = 40, LARGEST = 8192, ANSWER = 120 };

static gale_model *open_shape(const char *name) {
  gale_model *m = NULL;
  gale_error error = {0};
  expect_ok(gale_model_open(name, NULL, &m, &error), &error);
  return m;
}

/* In place of the C library's: every step seems to take as long as any other, so that much is drafted. */
int clock_gettime(clockid_t clock, struct timespec *t) {
  static long milliseconds;
  (void)clock;
  milliseconds++;
  *t = (struct timespec){milliseconds / 1000, milliseconds % 1000 * 1000000};
  return 0;
}

/* ---- Sessions ---- */

/* One step of a token and a draft whose first tokens are right; the others are taken back. */
static size_t step_with_draft(gale_session *s, int32_t sequence, const int32_t *ids, size_t left, uint64_t random,
                              const float *expected, size_t vocab) {
  int32_t step[CHUNK];
  size_t n = random % CHUNK, right = random / CHUNK % (n + 1);
  if (n >= left) n = left - 1;
  if (right > n) right = n;
  for (size_t i = 0; i <= n; i++) step[i] = i <= right ? ids[i] : (ids[i] + 1) % (int32_t)vocab;
  int32_t draft = (int32_t)n;
  gale_input in = {sequence, step, (int32_t)(n + 1), GALE_LOGITS_ALL};
  gale_error error = {0};
  expect_ok(session_step(s, &in, 1, &draft, &error), &error);
  session_take_back(s, sequence, (int32_t)(n - right));
  assert_int_equal(gale_logits_rows(s, sequence), right + 1);
  for (size_t i = 0; i <= right; i++)
    assert_memory_equal(gale_logits(s, sequence, i), expected + i * vocab, vocab * sizeof(float));
  return right + 1;
}

static uint64_t pages_of(const gale_session *s) {
  gale_session_stats stats;
  gale_session_get_stats(s, &stats);
  return stats.kv_page_bytes;
}

/* Logits and pages are those of the text without drafts; a fork from before stays what it was. */
static void test_taken_back(void **state) {
  (void)state;
  static const int32_t windows[] = {GALE_WINDOW_NONE, 1, 17, 64, 130};
  gale_model *model = open_shape("shape:tiny@q4_0");
  size_t vocab = model_vocab(model);
  int32_t ids[TEXT], fork;
  for (size_t i = 0; i < TEXT; i++) ids[i] = (int32_t)(random_at(9, i) % vocab);
  for (size_t w = 0; w < sizeof windows / sizeof *windows; w++)
    for (int kv = GALE_KV_F16; kv <= GALE_KV_Q8; kv++) {
      gale_session_options o = session_options((gale_kv_type)kv, CHUNK);
      o.window = windows[w];
      o.max_sequences = 2;
      float *expected = run_text(model, &o, ids, TEXT);
      gale_session *s = session_open(model, &o), *plain = session_open(model, &o);
      int32_t sequence = sequence_open(s), other = sequence_open(plain);
      gale_error error = {0};
      size_t n = 70;
      feed(s, sequence, ids, n, CHUNK, vocab, NULL);
      expect_ok(gale_sequence_fork(s, sequence, &fork, &error), &error);
      for (uint64_t i = 0; n < 200; i++)
        n += step_with_draft(s, sequence, ids + n, 200 - n, random_at(w * 3 + (uint64_t)kv, i), expected + n * vocab,
                             vocab);
      float *rest = malloc((TEXT - 70) * vocab * sizeof *rest);
      assert_non_null(rest);
      feed(s, fork, ids + 70, TEXT - 70, 1, vocab, rest);
      assert_memory_equal(rest, expected + 70 * vocab, (TEXT - 70) * vocab * sizeof *rest);
      free(rest);
      expect_ok(gale_sequence_close(s, fork, &error), &error);
      feed(plain, other, ids, n, 1, vocab, NULL);
      assert_int_equal(pages_of(s), pages_of(plain));
      free(expected);
      gale_session_close(&s);
      gale_session_close(&plain);
    }
  gale_model_close(&model);
}

/* ---- Answers ---- */

typedef struct record {
  char text[LARGEST];
  size_t length, pieces, most_pieces;
  uint64_t logprobs; /* a hash of what was taken, piece by piece */
  gale_generation *of;
  gale_generation_result result;
  int32_t sequence_length;
} record;

static bool on_piece(void *user, const gale_piece *piece) {
  record *r = user;
  const gale_logprob *best;
  assert_true(r->length + piece->length < LARGEST);
  memcpy(r->text + r->length, piece->text, piece->length);
  r->length += piece->length;
  if (gale_generation_logprobs(r->of, &best)) {
    uint64_t bits;
    memcpy(&bits, &best->logprob, sizeof bits);
    r->logprobs = random_at(r->logprobs ^ bits, (uint64_t)best->token);
  }
  return ++r->pieces != r->most_pieces;
}

typedef struct kind {
  const char *name;
  gale_sampler_options sampling;
  gale_generation_options o;
  size_t most_pieces;
  bool few_pages;
} kind;

static void make_prompt(int32_t *prompt, size_t n) {
  for (size_t i = 0; i < n; i++) prompt[i] = (int32_t)(random_at(4, i % 11) % 250) + 4;
}

static void answer(const gale_model *model, const gale_session_options *session, const kind *k, int32_t speculate,
                   record *r, float *row) {
  enum { PROMPT = 50 };
  int32_t prompt[PROMPT];
  make_prompt(prompt, PROMPT);
  gale_generation_options o = k->o;
  gale_generation *g = NULL;
  gale_error error = {0};
  o.sampling = &k->sampling;
  o.prompt = prompt;
  o.n_prompt = PROMPT;
  o.speculate = speculate;
  *r = (record){.most_pieces = k->most_pieces};
  gale_session *s = session_open(model, session);
  int32_t sequence = sequence_open(s);
  expect_ok(gale_prefill(s, sequence, prompt, PROMPT, NULL, NULL, &error), &error);
  expect_ok(gale_generation_open(model, NULL, &o, &g, &error), &error);
  r->of = g;
  expect_ok(gale_generate(g, s, sequence, on_piece, r, &error), &error);
  gale_generation_get_result(g, &r->result);
  r->sequence_length = gale_sequence_length(s, sequence);
  size_t rows = gale_logits_rows(s, sequence);
  assert_true(rows > 0);
  memcpy(row, gale_logits(s, sequence, rows - 1), model_vocab(model) * sizeof *row);
  gale_generation_close(&g);
  gale_session_close(&s);
}

static void expect_same_answer(const kind *k, const record *a, const record *b) {
  bool same = a->length == b->length && memcmp(a->text, b->text, a->length) == 0 && a->pieces == b->pieces &&
              a->logprobs == b->logprobs && a->sequence_length == b->sequence_length &&
              a->result.finish == b->result.finish && a->result.stop == b->result.stop &&
              a->result.n_tokens == b->result.n_tokens;
  if (!same)
    fail_msg("%s: %d tokens, \"%s\", not %d, \"%s\"", k->name, b->result.n_tokens, b->text, a->result.n_tokens,
             a->text);
}

static gale_constraint *open_pattern(const gale_mask_table *table, const char *pattern) {
  gale_constraint_options o;
  gale_constraint_defaults(&o);
  o.kind = GALE_CONSTRAINT_REGEX;
  o.text = pattern;
  o.length = strlen(pattern);
  gale_constraint *c = NULL;
  gale_error error = {0};
  expect_ok(gale_constraint_open(table, &o, &c, &error), &error);
  return c;
}

static const char *const stops[] = {"never to be found", "e"};

/* What answers differ in; none ends by itself before it is long. */
static size_t make_kinds(kind *kinds, const gale_constraint *free_text, const gale_constraint *forced) {
  size_t n = 0;
  kind k = {.name = "greedy"};
  gale_sampler_defaults(&k.sampling);
  gale_generation_defaults(&k.o);
  k.sampling.ignore_end = true;
  k.o.max_tokens = ANSWER;
  k.sampling.temperature = 0;
  kinds[n++] = k;
  k.name = "to the context's end";
  k.o.max_tokens = -1;
  kinds[n++] = k;
  k.name = "to the pages' end";
  k.few_pages = true;
  kinds[n++] = k;
  k.few_pages = false;
  k.o.max_tokens = ANSWER;
  k.name = "cancelled";
  k.most_pieces = 37;
  kinds[n++] = k;
  k.most_pieces = 0;
  k.name = "stop text";
  k.o.stop = stops;
  k.o.n_stop = 2;
  kinds[n++] = k;
  k.o.stop = NULL;
  k.o.n_stop = 0;
  k.name = "sharp";
  k.sampling.temperature = 0.15;
  k.o.logprobs = true;
  k.o.top_logprobs = 3;
  kinds[n++] = k;
  k.name = "penalties";
  k.sampling.repeat_penalty = 1.05;
  k.sampling.repeat_last = 20;
  k.sampling.frequency_penalty = 0.02;
  k.sampling.dry_multiplier = 0.1;
  kinds[n++] = k;
  k.name = "mirostat";
  k.sampling.mirostat = 2;
  k.sampling.mirostat_tau = 2;
  k.sampling.mirostat_eta = 0.1;
  kinds[n++] = k;
  gale_sampler_defaults(&k.sampling);
  k.sampling.ignore_end = true;
  k.name = "defaults";
  kinds[n++] = k;
  k.name = "constrained";
  k.o.constraint = free_text;
  kinds[n++] = k;
  k.name = "forced";
  k.o.constraint = forced;
  kinds[n++] = k;
  return n;
}

static void test_answers(void **state) {
  (void)state;
  gale_model *model = open_shape("shape:tiny@q8_0");
  gale_mask_table *table = NULL;
  gale_error error = {0};
  expect_ok(gale_mask_table_open(gale_model_tokenizer(model), &table, &error), &error);
  gale_constraint *free_text = open_pattern(table, "([a-d]{2}x)*"),
                  *forced = open_pattern(table, "(All of this is always the same, whatever comes\\. [0-9]\\n)*");
  kind kinds[16];
  size_t n = make_kinds(kinds, free_text, forced), vocab = model_vocab(model);
  float *row = malloc(2 * vocab * sizeof *row);
  assert_non_null(row);
  static const int32_t windows[] = {GALE_WINDOW_NONE, 20, 70};
  int64_t drafted = 0, right = 0, forced_right = 0;
  for (size_t i = 0; i < n; i++)
    for (size_t w = 0; w < 3; w++)
      for (int kv = GALE_KV_F16; kv <= GALE_KV_Q8; kv++) {
        gale_session_options o = session_options((gale_kv_type)kv, CHUNK);
        o.context = 200;
        o.window = windows[w];
        if (kinds[i].few_pages) o.kv_bytes = 1 << 16;
        record a, b;
        answer(model, &o, &kinds[i], 0, &a, row);
        answer(model, &o, &kinds[i], 1 + (int32_t)(w * 3 + (size_t)kv) * 31 / 8, &b, row + vocab);
        assert_int_equal(a.result.n_drafted + a.result.n_right, 0);
        assert_true(b.result.n_right <= b.result.n_drafted);
        expect_same_answer(&kinds[i], &a, &b);
        assert_memory_equal(row, row + vocab, vocab * sizeof *row);
        drafted += b.result.n_drafted;
        right += b.result.n_right;
        if (kinds[i].o.constraint == forced) forced_right += b.result.n_right;
      }
  print_message("             %lld drafted, %lld right, %lld of them forced\n", (long long)drafted, (long long)right,
                (long long)forced_right);
  assert_true(right > 50 && right < drafted && forced_right > 0);
  free(row);
  gale_constraint_close(&free_text);
  gale_constraint_close(&forced);
  gale_mask_table_close(&table);
  gale_model_close(&model);
}

static void test_refused(void **state) {
  (void)state;
  gale_model *model = open_shape("shape:tiny@q8_0");
  gale_generation *g = NULL;
  gale_generation_options o;
  gale_generation_defaults(&o);
  o.speculate = 33;
  assert_int_equal(gale_generation_open(model, NULL, &o, &g, NULL), GALE_E_ARGUMENT);
  o.speculate = -1;
  assert_int_equal(gale_generation_open(model, NULL, &o, &g, NULL), GALE_E_ARGUMENT);
  assert_null(g);
  gale_model_close(&model);
}

/* ---- How much is drafted ---- */

/* Accepts n tokens of a text, one a step as far as drafts are wrong; a step with a draft of k takes 1 + cost * k.
 * Returns the time that all steps took. */
static double follow(speculation *s, const int32_t *text, size_t n, double cost) {
  double time = 0;
  int32_t draft[SPECULATION_MOST];
  for (size_t i = 0; i < n;) {
    size_t drafted = speculation_size(s, 1000), right = 0;
    if (drafted) speculation_propose(s, drafted, draft);
    double took = 1 + cost * (double)drafted;
    time += took;
    speculation_timed(s, drafted, took);
    while (right < drafted && i + right < n && draft[right] == text[i + right]) right++;
    for (size_t k = 0; k <= right && i < n; k++, i++) expect_ok(speculation_accept(s, text[i], NULL), NULL);
  }
  return time;
}

static double time_of(const int32_t *text, size_t prompt, size_t n, double cost) {
  speculation s = {0};
  expect_ok(speculation_open(&s, SPECULATION_MOST, text, prompt, NULL), NULL);
  double time = follow(&s, text + prompt, n - prompt, cost);
  speculation_close(&s);
  return time;
}

static void test_how_much(void **state) {
  (void)state;
  enum { PROMPT = 500, ALL = 1000 };
  int32_t text[ALL];
  /* The prompt again, with every 25th token another. */
  for (size_t i = 0; i < ALL; i++) text[i] = (int32_t)(random_at(1, i % PROMPT) % 5000);
  for (size_t i = PROMPT; i < ALL; i += 25) text[i] = 6000 + (int32_t)i;
  assert_true(time_of(text, PROMPT, ALL, 0.02) < PROMPT / 6.0);
  assert_true(time_of(text, PROMPT, ALL, 0.3) < PROMPT / 1.5);
  /* Where a token of a draft costs as much as a step, nothing is gained and little is lost. */
  assert_true(time_of(text, PROMPT, ALL, 1) < PROMPT * 1.1);
  assert_true(time_of(text, PROMPT, ALL, 3) < PROMPT * 1.1);
  /* Texts without order, of many tokens and of few. */
  for (uint64_t kinds = 2; kinds < 5000; kinds *= 3) {
    for (size_t i = 0; i < ALL; i++) text[i] = (int32_t)(random_at(2, i) % kinds);
    assert_true(time_of(text, PROMPT, ALL, 0.5) < PROMPT * 1.02);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_taken_back), cmocka_unit_test(test_answers),
                                     cmocka_unit_test(test_refused), cmocka_unit_test(test_how_much)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
