/* Generation over a synthetic model: what ends an answer, its pieces, log-probabilities, and what is in the sequence
 * afterwards. */
#include "gale_constraint.h"
#include "models/model_cases.h"

#include <math.h>

enum { LARGEST = 4096, VOCABULARY = 320 };

typedef struct fixture {
  gale_model *model;
  gale_session *session;
  const gale_tokenizer *tokenizer;
  int32_t sequence;
} fixture;

/* What a generation gave. */
typedef struct record {
  char text[LARGEST];
  size_t length;
  int calls, most_calls;
  gale_generation_result result;
} record;

static const int32_t PROMPT[] = {1, 270, 281, 300};

static void check(gale_status status, const gale_error *error) {
  if (status) fail_msg("%s", error->message);
}

static gale_session *open_session(const gale_model *model, int32_t sequences, uint64_t kv_bytes) {
  gale_session_options o;
  gale_session *session = NULL;
  gale_error error = {0};
  gale_session_defaults(&o);
  o.threads = 1;
  o.context = 128;
  o.max_sequences = sequences;
  o.kv_bytes = kv_bytes;
  check(gale_session_open(model, &o, &session, &error), &error);
  return session;
}

static int setup(void **state) {
  static fixture f;
  gale_error error = {0};
  check(gale_model_open("shape:tiny@q8_0", NULL, &f.model, &error), &error);
  f.session = open_session(f.model, 1, 0);
  check(gale_sequence_open(f.session, &f.sequence, &error), &error);
  f.tokenizer = gale_model_tokenizer(f.model);
  *state = &f;
  return 0;
}

static int teardown(void **state) {
  fixture *f = *state;
  gale_session_close(&f->session);
  gale_model_close(&f->model);
  return 0;
}

static bool on_piece(void *user, const gale_piece *piece) {
  record *r = user;
  assert_int_equal(piece->kind, GALE_PIECE_CONTENT);
  assert_true(piece->length > 0 && r->length + piece->length < LARGEST);
  memcpy(r->text + r->length, piece->text, piece->length);
  r->length += piece->length;
  r->text[r->length] = 0;
  return ++r->calls != r->most_calls;
}

static void take_pieces(gale_generation *g, record *r) {
  for (const gale_piece *p; (p = gale_generation_next(g));) on_piece(r, p);
}

typedef struct settings {
  gale_generation_options o;
  gale_sampler_options sampling;
} settings;

static settings *set(settings *s, int32_t max_tokens, uint64_t seed) {
  gale_generation_defaults(&s->o);
  gale_sampler_defaults(&s->sampling);
  s->o.max_tokens = max_tokens;
  s->sampling.seed = seed;
  s->sampling.ignore_end = true;
  s->o.sampling = &s->sampling;
  return s;
}

static gale_generation *open_generation(const fixture *f, const settings *s) {
  gale_generation *g = NULL;
  gale_error error = {0};
  check(gale_generation_open(f->model, f->tokenizer, &s->o, &g, &error), &error);
  return g;
}

static void start(fixture *f) {
  gale_error error = {0};
  check(gale_sequence_truncate(f->session, f->sequence, 0, NULL, &error), &error);
  check(gale_prefill(f->session, f->sequence, PROMPT, 4, NULL, NULL, &error), &error);
}

/* Starts anew from a prompt and generates. */
static gale_generation_result generate(fixture *f, const settings *s, record *r) {
  gale_error error = {0};
  gale_generation *g = open_generation(f, s);
  start(f);
  check(gale_generate(g, f->session, f->sequence, on_piece, r, &error), &error);
  gale_generation_get_result(g, &r->result);
  gale_generation_close(&g);
  assert_null(g);
  return r->result;
}

static void test_length(void **state) {
  fixture *f = *state;
  settings s;
  record r = {0};
  gale_generation_result result = generate(f, set(&s, 20, 1), &r);
  assert_int_equal(result.finish, GALE_FINISH_LENGTH);
  assert_int_equal(result.n_tokens, 20);
  assert_int_equal(result.n_thinking, 0);
  assert_int_equal(result.stop, -1);
  assert_int_equal(gale_sequence_length(f->session, f->sequence), 4 + 19);
  /* The maximum may be nothing at all. */
  record none = {0};
  result = generate(f, set(&s, 0, 1), &none);
  assert_int_equal(result.finish, GALE_FINISH_LENGTH);
  assert_int_equal(result.n_tokens + none.calls, 0);
}

static void test_context(void **state) {
  fixture *f = *state;
  settings s;
  record r = {0};
  gale_generation_result result = generate(f, set(&s, -1, 1), &r);
  assert_int_equal(result.finish, GALE_FINISH_CONTEXT);
  assert_int_equal(gale_sequence_length(f->session, f->sequence), 128);
  assert_int_equal(result.n_tokens, 128 - 4 + 1);
}

/* Where pages run out before the context does, the answer ends with what there is. */
static void test_pages(void **state) {
  fixture *f = *state;
  settings s;
  record whole = {0}, r = {0};
  gale_error error = {0};
  gale_session *session = open_session(f->model, 1, 0);
  gale_session_stats stats;
  int32_t sequence = sequence_open(session);
  check(gale_prefill(session, sequence, PROMPT, 4, NULL, NULL, &error), &error);
  gale_session_get_stats(session, &stats);
  gale_session_close(&session);
  session = open_session(f->model, 1, stats.kv_page_bytes);
  sequence = sequence_open(session);
  check(gale_prefill(session, sequence, PROMPT, 4, NULL, NULL, &error), &error);
  gale_generation *g = open_generation(f, set(&s, -1, 1));
  check(gale_generate(g, session, sequence, on_piece, &r, &error), &error);
  gale_generation_get_result(g, &r.result);
  assert_int_equal(error.code, GALE_OK);
  assert_int_equal(r.result.finish, GALE_FINISH_CONTEXT);
  assert_int_equal(gale_sequence_length(session, sequence), 64);
  assert_int_equal(r.result.n_tokens, 64 - 4 + 1);
  generate(f, set(&s, 61, 1), &whole);
  assert_string_equal(r.text, whole.text);
  gale_generation_close(&g);
  gale_session_close(&session);
}

static void test_same_seed_same_text(void **state) {
  fixture *f = *state;
  settings s;
  record a = {0}, b = {0}, c = {0};
  generate(f, set(&s, 40, 5), &a);
  generate(f, set(&s, 40, 5), &b);
  generate(f, set(&s, 40, 6), &c);
  assert_string_equal(a.text, b.text);
  assert_string_not_equal(a.text, c.text);
}

static bool begins_character(char c) {
  return ((unsigned char)c & 0xC0) != 0x80;
}

/* Stops at three characters of the text that the same seed is known to give, wherever they were cut into tokens. */
static void test_stop(void **state) {
  fixture *f = *state;
  settings s;
  record whole = {0};
  generate(f, set(&s, 60, 3), &whole);
  int tried = 0;
  for (size_t at = 1; at < whole.length && tried < 30; at++) {
    size_t end = at, characters = 0;
    while (end < whole.length && characters < 3) characters += begins_character(whole.text[++end]);
    if (!begins_character(whole.text[at]) || characters < 3) continue;
    char stop[16] = {0};
    memcpy(stop, whole.text + at, end - at);
    const char *stops[] = {"never in the text", stop};
    set(&s, 60, 3);
    s.o.stop = stops;
    s.o.n_stop = 2;
    record r = {0};
    gale_generation_result result = generate(f, &s, &r);
    size_t expected = (size_t)(strstr(whole.text, stop) - whole.text);
    assert_int_equal(result.finish, GALE_FINISH_STOP);
    assert_int_equal(result.stop, 1);
    assert_int_equal(r.length, expected);
    assert_memory_equal(r.text, whole.text, expected);
    tried++;
  }
  assert_true(tried > 5);
}

/* A fork starts from its source's logits, and from nobody's once another sequence was computed. */
static void test_fork(void **state) {
  fixture *f = *state;
  settings s;
  gale_error error = {0};
  record alone = {0}, forked = {0}, none = {0};
  generate(f, set(&s, 20, 5), &alone);
  gale_session *session = open_session(f->model, 3, 0);
  int32_t a = sequence_open(session), b, c;
  check(gale_prefill(session, a, PROMPT, 4, NULL, NULL, &error), &error);
  check(gale_sequence_fork(session, a, &b, &error), &error);
  check(gale_sequence_fork(session, a, &c, &error), &error);
  gale_generation *g = open_generation(f, &s);
  check(gale_generate(g, session, b, on_piece, &forked, &error), &error);
  assert_string_equal(forked.text, alone.text);
  gale_generation_close(&g);
  for (int i = 0; i < 2; i++) {
    g = open_generation(f, &s);
    error = (gale_error){0};
    assert_int_equal(gale_generate(g, session, i ? a : c, on_piece, &none, &error), GALE_E_ARGUMENT);
    assert_non_null(strstr(error.message, "no row 0 of logits"));
    gale_generation_get_result(g, &none.result);
    assert_int_equal(none.result.finish, GALE_FINISH_NONE);
    gale_generation_close(&g);
  }
  assert_int_equal(none.calls, 0);
  gale_session_close(&session);
}

/* ---- Many at once ---- */

enum { MANY = 12 };

/* Answers of different lengths and seeds, some with stop texts, computed together give what each gives alone. */
static void test_many(void **state) {
  fixture *f = *state;
  static record alone[MANY], together[MANY];
  static const char *const STOPS[] = {"e", "\xC3"};
  settings s[MANY];
  gale_generation *g[MANY];
  gale_session *session = open_session(f->model, MANY, 0);
  gale_error error = {0};
  int32_t sequences[MANY], next[MANY];
  for (int i = 0; i < MANY; i++) {
    set(&s[i], 5 + 7 * i % 40, (uint64_t)i);
    s[i].sampling.repeat_penalty = i % 3 ? 1 : 1.3;
    s[i].sampling.temperature = i % 4;
    s[i].o.stop = STOPS;
    s[i].o.n_stop = i % 2;
    s[i].o.prompt = PROMPT;
    s[i].o.n_prompt = 4;
    memset(&alone[i], 0, sizeof alone[i]);
    memset(&together[i], 0, sizeof together[i]);
    generate(f, &s[i], &alone[i]);
    g[i] = open_generation(f, &s[i]);
    sequences[i] = sequence_open(session);
  }
  gale_input inputs[MANY];
  size_t n_inputs = MANY;
  for (int i = 0; i < MANY; i++) inputs[i] = (gale_input){sequences[i], PROMPT, 4, GALE_LOGITS_LAST};
  while (n_inputs > 0) {
    check(gale_step(session, inputs, n_inputs, &error), &error);
    n_inputs = 0;
    for (int i = MANY - 1; i >= 0; i--) {
      gale_generation_get_result(g[i], &together[i].result);
      if (together[i].result.finish) continue;
      check(gale_generation_take(g[i], session, sequences[i], 0, &next[i], &error), &error);
      take_pieces(g[i], &together[i]);
      gale_generation_get_result(g[i], &together[i].result);
      if (!together[i].result.finish) inputs[n_inputs++] = (gale_input){sequences[i], &next[i], 1, GALE_LOGITS_LAST};
    }
  }
  for (int i = 0; i < MANY; i++) {
    assert_string_equal(together[i].text, alone[i].text);
    assert_int_equal(together[i].result.n_tokens, alone[i].result.n_tokens);
    assert_int_equal(together[i].result.finish, alone[i].result.finish);
    gale_generation_close(&g[i]);
  }
  gale_session_close(&session);
}

/* The rows of several tokens of one step, taken one after another, give the answer that was fed in. */
static void test_rows_of_a_step(void **state) {
  fixture *f = *state;
  settings s;
  gale_error error = {0};
  int32_t ids[4 + 20], token;
  gale_generation *g = open_generation(f, set(&s, 20, 9));
  start(f);
  memcpy(ids, PROMPT, sizeof PROMPT);
  for (int i = 0; i < 20; i++) {
    check(gale_generation_take(g, f->session, f->sequence, 0, &ids[4 + i], &error), &error);
    gale_input in = {f->sequence, &ids[4 + i], 1, GALE_LOGITS_LAST};
    check(gale_step(f->session, &in, 1, &error), &error);
  }
  gale_generation_close(&g);
  check(gale_sequence_truncate(f->session, f->sequence, 0, NULL, &error), &error);
  gale_input in = {f->sequence, ids, 4 + 19, GALE_LOGITS_ALL};
  check(gale_step(f->session, &in, 1, &error), &error);
  g = open_generation(f, &s);
  for (size_t i = 0; i < 20; i++) {
    check(gale_generation_take(g, f->session, f->sequence, 3 + i, &token, &error), &error);
    assert_int_equal(token, ids[4 + i]);
  }
  gale_generation_close(&g);
}

/* ---- Ends ---- */

/* The tokenizer's end and one that the options add; neither is drawn before min_tokens or where ends are ignored. */
static void test_ends(void **state) {
  fixture *f = *state;
  gale_error error = {0};
  const int32_t eos = gale_tokenizer_eos(f->tokenizer), added = 300;
  gale_logit_bias forced[] = {{eos, 100}, {280, 5}};
  assert_true(eos >= 0);
  for (int i = 0; i < 3; i++) {
    settings s;
    record r = {0};
    set(&s, 10, 1);
    s.sampling.ignore_end = i == 2;
    s.sampling.min_tokens = 4;
    s.sampling.ends = &added;
    s.sampling.n_ends = 1;
    s.sampling.bias = forced;
    s.sampling.n_bias = 1;
    forced[0].token = i ? added : eos;
    gale_generation_result result = generate(f, &s, &r);
    assert_int_equal(result.finish, i == 2 ? GALE_FINISH_LENGTH : GALE_FINISH_END);
    assert_int_equal(result.n_tokens, i == 2 ? 10 : 5);
    gale_generation *g = open_generation(f, &s);
    start(f);
    int32_t token;
    check(gale_generation_accept(g, forced[0].token, &error), &error);
    gale_generation_get_result(g, &result);
    assert_int_equal(result.finish, i == 2 ? GALE_FINISH_NONE : GALE_FINISH_END);
    gale_status after = gale_generation_take(g, f->session, f->sequence, 0, &token, &error);
    assert_int_equal(after, i == 2 ? GALE_OK : GALE_E_ARGUMENT);
    gale_generation_close(&g);
  }
}

static void test_callback_stops(void **state) {
  fixture *f = *state;
  settings s;
  record r = {.most_calls = 5};
  gale_generation_result result = generate(f, set(&s, 60, 3), &r);
  assert_int_equal(result.finish, GALE_FINISH_CANCELLED);
  assert_int_equal(r.calls, 5);
  assert_true(result.n_tokens >= 5 && result.n_tokens < 60);
}

static void test_refusals(void **state) {
  fixture *f = *state;
  const char *empty[] = {""};
  settings s;
  gale_error error = {0};
  gale_generation *g = NULL;
  const struct {
    const char *what;
    gale_status status;
  } cases[] = {{"a stop text is empty", GALE_E_ARGUMENT},     {"max_tokens is -2", GALE_E_ARGUMENT},
               {"top_logprobs is 2000", GALE_E_ARGUMENT},     {"top_logprobs is 2 without", GALE_E_ARGUMENT},
               {"constraint is of another", GALE_E_ARGUMENT}, {"no-such", GALE_E_ARGUMENT},
               {"temperature is -1", GALE_E_ARGUMENT},        {"token is 320", GALE_E_ARGUMENT},
               {"there is no tokenizer", GALE_E_ARGUMENT}};
  const int32_t outside = 320;
  gale_tokenizer *foreign = NULL;
  gale_mask_table *table = NULL;
  gale_constraint *constraint = NULL;
  gale_constraint_options any;
  gale_constraint_defaults(&any);
  assert_int_equal(gale_tokenizer_open(TEST_DATA "/text/smollm.json", &foreign, NULL), GALE_OK);
  assert_int_equal(gale_mask_table_open(foreign, &table, NULL), GALE_OK);
  assert_int_equal(gale_constraint_open(table, &any, &constraint, NULL), GALE_OK);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    set(&s, i == 1 ? -2 : 4, 1);
    if (i == 0) s.o.stop = empty, s.o.n_stop = 1;
    if (i == 2 || i == 3) s.o.top_logprobs = i == 2 ? 2000 : 2, s.o.logprobs = i == 2;
    if (i == 4) s.o.constraint = constraint;
    if (i == 5) s.o.form = "no-such";
    if (i == 6) s.sampling.temperature = -1;
    if (i == 7) s.o.prompt = &outside, s.o.n_prompt = 1;
    error = (gale_error){0};
    assert_int_equal(gale_generation_open(i == 8 ? NULL : f->model, NULL, &s.o, &g, &error), cases[i].status);
    if (!strstr(error.message, cases[i].what)) fail_msg("%s", error.message);
    assert_null(g);
  }
  gale_constraint_close(&constraint);
  gale_mask_table_close(&table);
  gale_tokenizer_close(&foreign);
  gale_generation_close(&g);
  g = open_generation(f, set(&s, 4, 1));
  assert_int_equal(gale_generation_accept(g, -1, &error), GALE_E_ARGUMENT);
  assert_int_equal(gale_generation_accept(g, 320, &error), GALE_E_ARGUMENT);
  assert_int_equal(gale_generation_end(g, GALE_FINISH_END, &error), GALE_E_ARGUMENT);
  gale_generation_result result;
  gale_generation_get_result(g, &result);
  assert_int_equal(result.finish + result.n_tokens, 0);
  gale_generation_close(&g);
  /* Without a model, or for another, nothing can be taken. */
  gale_model *other = NULL;
  int32_t token = -1;
  check(gale_model_open("shape:tiny@f32", NULL, &other, &error), &error);
  start(f);
  for (int i = 0; i < 2; i++) {
    check(gale_generation_open(i ? other : NULL, f->tokenizer, NULL, &g, &error), &error);
    assert_int_equal(gale_generation_take(g, f->session, f->sequence, 0, &token, &error), GALE_E_ARGUMENT);
    assert_int_equal(token, -1);
    gale_generation_close(&g);
  }
  gale_model_close(&other);
}

/* ---- Log-probabilities ---- */

static double log_softmax(const float *logits, int32_t token) {
  double sum = 0, top = -INFINITY;
  for (int i = 0; i < VOCABULARY; i++) top = fmax(top, (double)logits[i]);
  for (int i = 0; i < VOCABULARY; i++) sum += exp((double)logits[i] - top);
  return (double)logits[token] - top - log(sum);
}

static void test_logprobs(void **state) {
  fixture *f = *state;
  settings s;
  gale_error error = {0};
  set(&s, 10, 2);
  s.o.logprobs = true;
  const gale_logprob *entries;
  for (int32_t top = 0; top <= 3; top += 3) {
    s.o.top_logprobs = top;
    s.sampling.temperature = top ? 0 : 2;
    gale_generation *g = open_generation(f, &s);
    start(f);
    for (int i = 0; i < 10; i++) {
      int32_t token;
      assert_true(i > 0 || gale_generation_logprobs(g, &entries) == 0);
      check(gale_generation_take(g, f->session, f->sequence, 0, &token, &error), &error);
      assert_int_equal(gale_generation_logprobs(g, &entries), 1 + top);
      const float *logits = gale_logits(f->session, f->sequence, 0);
      assert_int_equal(entries[0].token, token);
      for (int32_t k = 0; k <= top; k++)
        assert_true(fabs(entries[k].logprob - log_softmax(logits, entries[k].token)) < 1e-9);
      for (int32_t k = 2; k <= top; k++) assert_true(entries[k].logprob <= entries[k - 1].logprob);
      if (top) assert_true(entries[1].token == token && entries[1].logprob == entries[0].logprob);
      gale_input in = {f->sequence, &token, 1, GALE_LOGITS_LAST};
      check(gale_step(f->session, &in, 1, &error), &error);
    }
    gale_generation_close(&g);
  }
  gale_generation *g = open_generation(f, set(&s, 10, 2));
  check(gale_generation_accept(g, 5, &error), &error);
  assert_int_equal(gale_generation_logprobs(g, &entries), 0);
  gale_generation_close(&g);
}

/* ---- Steps ---- */

/* Steps that must be refused leave the sequence as it was. */
static void test_bad_steps(void **state) {
  fixture *f = *state;
  settings s;
  record r = {0};
  generate(f, set(&s, 4, 1), &r);
  int32_t length = gale_sequence_length(f->session, f->sequence), many[200] = {0}, bad[] = {3, 320}, low[] = {-1};
  const struct {
    gale_input input;
    gale_status status;
  } cases[] = {
      {{f->sequence, many, 0, GALE_LOGITS_LAST}, GALE_E_ARGUMENT},
      {{f->sequence, many, 200, GALE_LOGITS_LAST}, GALE_E_CONTEXT},
      {{f->sequence, bad, 2, GALE_LOGITS_LAST}, GALE_E_ARGUMENT},
      {{f->sequence, low, 1, GALE_LOGITS_LAST}, GALE_E_ARGUMENT},
      {{f->sequence + 1, many, 1, GALE_LOGITS_LAST}, GALE_E_ARGUMENT},
      {{-1, many, 1, GALE_LOGITS_LAST}, GALE_E_ARGUMENT},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    gale_error error = {0};
    assert_int_equal(gale_step(f->session, &cases[i].input, 1, &error), cases[i].status);
    assert_true(*error.message);
    assert_int_equal(gale_sequence_length(f->session, f->sequence), length);
  }
  gale_input twice[] = {{f->sequence, many, 1, GALE_LOGITS_NONE}, {f->sequence, many, 1, GALE_LOGITS_NONE}};
  assert_int_equal(gale_step(f->session, twice, 2, NULL), GALE_E_ARGUMENT);
  assert_int_equal(gale_step(f->session, twice, 0, NULL), GALE_E_ARGUMENT);
  assert_int_equal(gale_step(f->session, twice, 1, NULL), GALE_OK);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_length),    cmocka_unit_test(test_context),
      cmocka_unit_test(test_pages),     cmocka_unit_test(test_same_seed_same_text),
      cmocka_unit_test(test_stop),      cmocka_unit_test(test_fork),
      cmocka_unit_test(test_many),      cmocka_unit_test(test_rows_of_a_step),
      cmocka_unit_test(test_ends),      cmocka_unit_test(test_callback_stops),
      cmocka_unit_test(test_refusals),  cmocka_unit_test(test_logprobs),
      cmocka_unit_test(test_bad_steps),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
