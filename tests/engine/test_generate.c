/* Generation over a synthetic model: limits, stop texts, callbacks, and what is in the sequence afterwards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gale.h"

enum { LARGEST = 4096 };

typedef struct fixture {
  gale_model *model;
  gale_session *session;
  const gale_tokenizer *tokenizer;
  int32_t sequence;
} fixture;

typedef struct record {
  char text[LARGEST];
  size_t length;
  int32_t tokens[256];
  int n_tokens, calls, most_calls;
} record;

static void check(gale_status status, const gale_error *error) {
  if (status) fail_msg("%s", error->message);
}

static int setup(void **state) {
  static fixture f;
  gale_error error = {0};
  gale_session_options o;
  gale_session_defaults(&o);
  o.threads = 1;
  o.context = 128;
  check(gale_model_open("shape:tiny@q8_0", NULL, &f.model, &error), &error);
  check(gale_session_open(f.model, &o, &f.session, &error), &error);
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

static bool on_text(void *user, int32_t token, const char *text, size_t length) {
  record *r = user;
  assert_true(r->length + length < LARGEST);
  memcpy(r->text + r->length, text, length);
  r->length += length;
  r->text[r->length] = 0;
  if (token >= 0) r->tokens[r->n_tokens++] = token;
  return ++r->calls != r->most_calls;
}

static gale_status generate_from(gale_session *session, int32_t sequence, const gale_tokenizer *tokenizer,
                                 gale_generate_options o, uint64_t seed, record *r, gale_generate_result *result,
                                 gale_error *error) {
  gale_sampler_options settings;
  gale_sampler *sampler = NULL;
  gale_sampler_defaults(&settings);
  settings.seed = seed;
  check(gale_sampler_open(&settings, 320, &sampler, error), error);
  o.text = on_text;
  o.user = r;
  gale_status status = gale_generate(session, sequence, tokenizer, sampler, &o, result, error);
  gale_sampler_close(&sampler);
  return status;
}

/* Starts anew from a prompt and generates. */
static gale_generate_result generate(fixture *f, gale_generate_options o, uint64_t seed, record *r) {
  static const int32_t prompt[] = {1, 270, 281, 300};
  gale_error error = {0};
  gale_generate_result result = {0};
  check(gale_sequence_truncate(f->session, f->sequence, 0, NULL, &error), &error);
  check(gale_prefill(f->session, f->sequence, prompt, 4, NULL, NULL, &error), &error);
  check(generate_from(f->session, f->sequence, f->tokenizer, o, seed, r, &result, &error), &error);
  return result;
}

static gale_generate_options options(int32_t max_tokens) {
  gale_generate_options o;
  gale_generate_defaults(&o);
  o.max_tokens = max_tokens;
  o.ignore_end = true;
  return o;
}

static void test_length(void **state) {
  fixture *f = *state;
  record r = {0};
  gale_generate_result result = generate(f, options(20), 1, &r);
  assert_int_equal(result.finish, GALE_FINISH_LENGTH);
  assert_int_equal(result.n_tokens, 20);
  assert_int_equal(r.n_tokens, 20);
  assert_int_equal(gale_sequence_length(f->session, f->sequence), 4 + 19);
}

static void test_context(void **state) {
  fixture *f = *state;
  record r = {0};
  gale_generate_result result = generate(f, options(-1), 1, &r);
  assert_int_equal(result.finish, GALE_FINISH_LENGTH);
  assert_int_equal(gale_sequence_length(f->session, f->sequence), 128);
  assert_int_equal(result.n_tokens, 128 - 4 + 1);
}

static void test_same_seed_same_text(void **state) {
  fixture *f = *state;
  record a = {0}, b = {0}, c = {0};
  generate(f, options(40), 5, &a);
  generate(f, options(40), 5, &b);
  generate(f, options(40), 6, &c);
  assert_string_equal(a.text, b.text);
  assert_memory_equal(a.tokens, b.tokens, sizeof a.tokens);
  assert_memory_not_equal(a.tokens, c.tokens, sizeof a.tokens);
}

static bool begins_character(char c) {
  return ((unsigned char)c & 0xC0) != 0x80;
}

/* Stops at three characters of the text that the same seed is known to give, wherever they were cut into tokens. */
static void test_stop(void **state) {
  fixture *f = *state;
  record whole = {0};
  generate(f, options(60), 3, &whole);
  int tried = 0;
  for (size_t at = 1; at < whole.length && tried < 30; at++) {
    size_t end = at, characters = 0;
    while (end < whole.length && characters < 3) characters += begins_character(whole.text[++end]);
    if (!begins_character(whole.text[at]) || characters < 3) continue;
    char stop[16] = {0};
    memcpy(stop, whole.text + at, end - at);
    const char *stops[] = {"never in the text", stop};
    gale_generate_options o = options(60);
    o.stop = stops;
    o.n_stop = 2;
    record r = {0};
    gale_generate_result result = generate(f, o, 3, &r);
    size_t expected = (size_t)(strstr(whole.text, stop) - whole.text);
    assert_int_equal(result.finish, GALE_FINISH_STOP);
    assert_int_equal(r.length, expected);
    assert_memory_equal(r.text, whole.text, expected);
    tried++;
  }
  assert_true(tried > 5);
}

/* A fork starts from its source's logits, and from nobody's once another sequence was computed. */
static void test_fork(void **state) {
  static const int32_t prompt[] = {1, 270, 281, 300};
  fixture *f = *state;
  gale_session_options o;
  gale_session_defaults(&o);
  o.threads = 1;
  o.context = 128;
  o.max_sequences = 3;
  gale_session *session = NULL;
  gale_error error = {0};
  int32_t a, b, c;
  record alone = {0}, forked = {0};
  generate(f, options(20), 5, &alone);
  check(gale_session_open(f->model, &o, &session, &error), &error);
  check(gale_sequence_open(session, &a, &error), &error);
  check(gale_prefill(session, a, prompt, 4, NULL, NULL, &error), &error);
  check(gale_sequence_fork(session, a, &b, &error), &error);
  check(gale_sequence_fork(session, a, &c, &error), &error);
  gale_generate_result result;
  check(generate_from(session, b, f->tokenizer, options(20), 5, &forked, &result, &error), &error);
  assert_memory_equal(forked.tokens, alone.tokens, sizeof alone.tokens);
  record none = {0};
  for (int i = 0; i < 2; i++) {
    error = (gale_error){0};
    assert_int_equal(generate_from(session, i ? a : c, f->tokenizer, options(20), 5, &none, &result, &error),
                     GALE_E_ARGUMENT);
    assert_non_null(strstr(error.message, "no logits"));
  }
  assert_int_equal(none.calls, 0);
  gale_session_close(&session);
}

static void test_callback_stops(void **state) {
  fixture *f = *state;
  record r = {.most_calls = 5};
  gale_generate_result result = generate(f, options(60), 3, &r);
  assert_int_equal(result.finish, GALE_FINISH_CANCELLED);
  assert_int_equal(result.n_tokens, 5);
}

static void test_empty_stop_is_refused(void **state) {
  fixture *f = *state;
  const char *stops[] = {""};
  gale_generate_options o = options(4);
  gale_sampler *sampler = NULL;
  gale_error error = {0};
  o.stop = stops;
  o.n_stop = 1;
  check(gale_sampler_open(NULL, 320, &sampler, &error), &error);
  assert_int_equal(gale_generate(f->session, f->sequence, f->tokenizer, sampler, &o, NULL, &error), GALE_E_ARGUMENT);
  gale_sampler_close(&sampler);
}

/* Steps that must be refused leave the sequence as it was. */
static void test_bad_steps(void **state) {
  fixture *f = *state;
  record r = {0};
  generate(f, options(4), 1, &r);
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
      cmocka_unit_test(test_length),
      cmocka_unit_test(test_context),
      cmocka_unit_test(test_same_seed_same_text),
      cmocka_unit_test(test_stop),
      cmocka_unit_test(test_fork),
      cmocka_unit_test(test_callback_stops),
      cmocka_unit_test(test_empty_stop_is_refused),
      cmocka_unit_test(test_bad_steps),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
