/* Masks of random states, against every token of the vocabulary tried byte by byte. GALE_BRUTE_TOKENIZER in the
 * environment names one more tokenizer's file, and GALE_BRUTE_STATES the states for each, 1000 unless set. */
#include "base/random.h"
#include "every_kind.h"
#include "tokenizer/built.h"
#include "tokenizer/text_cases.h"

/* A token's bytes behind other tokens, and at the beginning of a text; none for those that stand for no text. */
typedef struct token_bytes {
  char *bytes, *first;
  size_t n, n_first;
} token_bytes;

typedef struct world {
  gale_tokenizer *tokenizer;
  gale_mask_table *table;
  token_bytes *tokens;
  uint32_t *mask, *other;
  int32_t size;
  uint64_t rolls;
} world;

static uint32_t roll(world *w, uint32_t below) {
  return (uint32_t)(random_at(7, w->rolls++) % below);
}

static char *bytes_of(const gale_tokenizer *t, const int32_t *ids, size_t n_ids, size_t skipped, size_t *n) {
  char *bytes, *copy;
  size_t length;
  assert_int_equal(gale_detokenize(t, ids, n_ids, false, &bytes, &length, NULL), GALE_OK);
  *n = length - skipped;
  assert_non_null(copy = malloc(*n + 1));
  memcpy(copy, bytes + skipped, *n);
  gale_free(bytes);
  return copy;
}

static world open_world(gale_tokenizer *t) {
  world w = {.tokenizer = t, .size = gale_tokenizer_size(t)};
  gale_error error = {0};
  if (gale_mask_table_open(t, &w.table, &error)) fail_msg("%s", error.message);
  size_t words = gale_mask_table_words(w.table);
  assert_int_equal(words, (w.size + 31) / 32);
  assert_non_null(w.mask = malloc(words * sizeof *w.mask));
  assert_non_null(w.other = malloc(words * sizeof *w.other));
  assert_non_null(w.tokens = calloc((size_t)w.size, sizeof *w.tokens));
  int32_t *letter;
  size_t n, skipped;
  assert_int_equal(gale_tokenize(t, "a", 1, false, &letter, &n, NULL), GALE_OK);
  free(bytes_of(t, letter, 1, 0, &skipped));
  for (int32_t id = 0; id < w.size; id++) {
    token_bytes *b = &w.tokens[id];
    if (t->types[id] == TOKEN_UNKNOWN) continue;
    b->bytes = bytes_of(t, (const int32_t[]){*letter, id}, 2, skipped, &b->n);
    b->first = bytes_of(t, &id, 1, 0, &b->n_first);
  }
  gale_free(letter);
  return w;
}

static void close_world(world *w) {
  for (int32_t id = 0; id < w->size; id++) {
    free(w->tokens[id].bytes);
    free(w->tokens[id].first);
  }
  free(w->tokens);
  free(w->mask);
  free(w->other);
  gale_mask_table_close(&w->table);
  gale_tokenizer_close(&w->tokenizer);
}

static bool in_mask(const uint32_t *mask, int32_t id) {
  return mask[id / 32] >> (id % 32) & 1;
}

/* Whether the token's bytes may come: each of them is taken by a state of its own. */
static bool try_bytes(const gale_constraint_state *state, const char *bytes, size_t n) {
  gale_constraint_state *fork;
  size_t taken, total = 0;
  assert_int_equal(gale_constraint_fork(state, &fork, NULL), GALE_OK);
  do {
    assert_int_equal(gale_constraint_accept_bytes(fork, bytes + total, 1, &taken, NULL), GALE_OK);
    total += taken;
  } while (taken && total < n);
  gale_constraint_end(&fork);
  return total == n;
}

/* Compares the mask of a state; returns how many tokens may come. */
static size_t check_state(world *w, gale_constraint_state *state, bool first, const char *what) {
  size_t allowed = 0;
  gale_error error = {0};
  if (gale_constraint_mask(state, w->mask, &error)) fail_msg("%s: %s", what, error.message);
  for (int32_t id = 0; id < w->size; id++) {
    const token_bytes *b = &w->tokens[id];
    size_t n = first ? b->n_first : b->n;
    bool expected = gale_tokenizer_is_end(w->tokenizer, id)
                        ? gale_constraint_complete(state)
                        : b->n > 0 && (n == 0 || try_bytes(state, first ? b->first : b->bytes, n));
    if (expected != in_mask(w->mask, id))
      fail_msg("%s: token %d (%.*s) %s, says the mask", what, id, (int)b->n, b->bytes,
               expected ? "may not come" : "may come");
    allowed += expected;
  }
  for (int32_t id = w->size; id % 32 != 0; id++) assert_false(in_mask(w->mask, id));
  return allowed;
}

/* Takes a random token of the mask, as a token and as bytes: both must lead to the same mask. False at the end. */
static bool step(world *w, gale_constraint_state *state, bool first, size_t allowed) {
  uint32_t choice = roll(w, (uint32_t)allowed);
  int32_t id = -1;
  do id++;
  while (!in_mask(w->mask, id) || choice-- > 0);
  if (gale_tokenizer_is_end(w->tokenizer, id)) return false;
  gale_constraint_state *fork;
  const token_bytes *b = &w->tokens[id];
  size_t n = first ? b->n_first : b->n, taken = 0;
  assert_int_equal(gale_constraint_fork(state, &fork, NULL), GALE_OK);
  assert_int_equal(gale_constraint_accept_bytes(fork, first ? b->first : b->bytes, n, &taken, NULL), GALE_OK);
  assert_int_equal(taken, n);
  assert_int_equal(gale_constraint_accept(state, id, NULL), GALE_OK);
  assert_int_equal(gale_constraint_complete(state), gale_constraint_complete(fork));
  if (n) {
    assert_int_equal(gale_constraint_mask(state, w->mask, NULL), GALE_OK);
    assert_int_equal(gale_constraint_mask(fork, w->other, NULL), GALE_OK);
    assert_memory_equal(w->mask, w->other, gale_mask_table_words(w->table) * sizeof *w->mask);
  }
  gale_constraint_end(&fork);
  return true;
}

/* Tokens that a mask forbids are refused and change nothing. */
static void check_refusals(world *w, gale_constraint_state *state) {
  size_t words = gale_mask_table_words(w->table);
  assert_int_equal(gale_constraint_mask(state, w->mask, NULL), GALE_OK);
  for (int i = 0; i < 8; i++) {
    int32_t id = (int32_t)roll(w, (uint32_t)w->size);
    if (in_mask(w->mask, id)) continue;
    gale_error error = {0};
    assert_int_equal(gale_constraint_accept(state, id, &error), GALE_E_ARGUMENT);
    assert_true(*error.message);
    assert_int_equal(gale_constraint_mask(state, w->other, NULL), GALE_OK);
    assert_memory_equal(w->mask, w->other, words * sizeof *w->mask);
  }
  assert_int_equal(gale_constraint_accept(state, w->size, NULL), GALE_E_ARGUMENT);
  assert_int_equal(gale_constraint_accept(state, -1, NULL), GALE_E_ARGUMENT);
}

static size_t walk_constraint(world *w, const kind_case *c, size_t states) {
  gale_constraint_options o;
  gale_constraint_defaults(&o);
  o.kind = c->kind;
  o.text = c->text;
  o.length = c->text ? strlen(c->text) : 0;
  o.choices = c->choices;
  while (o.n_choices < 4 && c->choices[o.n_choices]) o.n_choices++;
  const char *what = c->text ? c->text : c->choices[0] ? c->choices[0] : "json";
  gale_constraint *constraint;
  gale_error error = {0};
  if (gale_constraint_open(w->table, &o, &constraint, &error)) fail_msg("%s: %s", what, error.message);
  size_t done = 0;
  while (done < states) {
    gale_constraint_state *state;
    assert_int_equal(gale_constraint_begin(constraint, &state, NULL), GALE_OK);
    for (uint32_t length = 0, most = 4 + roll(w, 40); length < most && done < states; length++, done++) {
      size_t allowed = check_state(w, state, length == 0, what);
      if (gale_constraint_final(state)) assert_true(gale_constraint_complete(state));
      check_refusals(w, state);
      if (allowed == 0 || !step(w, state, length == 0, allowed)) break;
    }
    done++;
    gale_constraint_end(&state);
  }
  gale_constraint_close(&constraint);
  return done;
}

static void check_tokenizer(const char *path) {
  enum { N = sizeof kind_cases / sizeof *kind_cases };
  const char *wanted = getenv("GALE_BRUTE_STATES");
  size_t states = wanted ? strtoul(wanted, NULL, 10) : 1000, done = 0;
  world w = open_world(load_tokenizer(path));
  for (size_t i = 0; i < N; i++) done += walk_constraint(&w, &kind_cases[i], (states + N - 1) / N);
  assert_true(done >= states);
  print_message("%s: %zu states\n", path, done);
  close_world(&w);
}

static void test_byte_level(void **state) {
  (void)state;
  check_tokenizer(TEST_DATA "/text/smollm.json");
}

static void test_tekken(void **state) {
  (void)state;
  check_tokenizer(TEST_DATA "/text/tekken.json");
}

static void test_sentencepiece(void **state) {
  (void)state;
  check_tokenizer(TEST_DATA "/text/cut.model");
}

static void test_sentencepiece_json(void **state) {
  (void)state;
  check_tokenizer(TEST_DATA "/text/twin.json");
}

static void test_another(void **state) {
  (void)state;
  const char *path = getenv("GALE_BRUTE_TOKENIZER");
  if (!path) skip();
  check_tokenizer(path);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_byte_level),         cmocka_unit_test(test_tekken),  cmocka_unit_test(test_sentencepiece),
      cmocka_unit_test(test_sentencepiece_json), cmocka_unit_test(test_another),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
