/* Masks against every token tried byte by byte, in random states, with each kind of tokenizer. */
#include "constraint_cases.h"

#include "base/random.h"

typedef struct walk_case {
  gale_constraint_kind kind;
  const char *text;
} walk_case;

static const walk_case CASES[] = {
    {GALE_CONSTRAINT_JSON, NULL},
    {GALE_CONSTRAINT_REGEX, "[a-z ]{3,40}"},
    {GALE_CONSTRAINT_REGEX, "\"([^\"\\\\]{2,9}|none)\"( [0-9]+)*"},
    {GALE_CONSTRAINT_REGEX, " ?.{1,30}"},
    {GALE_CONSTRAINT_REGEX, "(\\w+, )*\\w+\\."},
    {GALE_CONSTRAINT_REGEX, "[\\u0100-\\uFFFF]*x"},
};

/* The bytes of a token as it would be detokenised here, or NULL where it has none. */
static char *token_bytes(const gale_tokenizer *t, int32_t id, bool first, size_t *n) {
  const char *stored;
  bool control;
  size_t length, before = 0;
  if (!gale_tokenizer_token(t, id, &stored, &length, &control) || control) return NULL;
  int32_t ids[2] = {0, id};
  if (length == 5 && memcmp(stored, "<unk>", 5) == 0) return NULL;
  char *text;
  /* Behind another token nothing is dropped; what that one is does not matter. */
  for (; !first && ids[0] < 300; ids[0]++) {
    if (gale_detokenize(t, ids, 1, false, &text, &before, NULL)) return NULL;
    bool some = before > 0;
    gale_free(text);
    if (some) break;
  }
  assert_int_equal(gale_detokenize(t, ids + first, first ? 1 : 2, false, &text, n, NULL), GALE_OK);
  if (!first) {
    *n -= before;
    memmove(text, text + before, *n + 1);
  }
  return text;
}

static bool allowed(const uint32_t *mask, int32_t id) {
  return mask[id / 32] >> (id % 32) & 1;
}

static int compare(const gale_tokenizer *t, const gale_constraint_state *s, const uint32_t *mask, bool first,
                   char **texts, const size_t *lengths) {
  int wrong = 0;
  for (int32_t id = 0; id < gale_tokenizer_size(t); id++) {
    bool expected = false;
    size_t n = lengths[id], taken;
    char *own = NULL, *text = texts[id];
    if (first) text = own = token_bytes(t, id, true, &n);
    if (gale_tokenizer_is_end(t, id)) {
      expected = gale_constraint_complete(s);
    } else if (text && (n > 0 || (first && lengths[id] > 0))) {
      gale_constraint_state *fork = NULL;
      assert_int_equal(gale_constraint_fork(s, &fork, NULL), GALE_OK);
      assert_int_equal(gale_constraint_accept_bytes(fork, text, n, &taken, NULL), GALE_OK);
      expected = taken == n;
      gale_constraint_end(&fork);
    }
    if (allowed(mask, id) != expected && wrong++ < 3)
      print_message("token %d '%.*s' is %s\n", id, text ? (int)n : 0, text ? text : "",
                    expected ? "forbidden" : "allowed");
    gale_free(own);
  }
  return wrong;
}

static int random_texts(const gale_tokenizer *t, const char *name, int per_case, int steps) {
  gale_mask_table *table = NULL;
  gale_error error = {0};
  assert_int_equal(gale_mask_table_open(t, &table, &error), GALE_OK);
  int32_t size = gale_tokenizer_size(t);
  uint32_t *mask = malloc(gale_mask_table_words(table) * sizeof *mask);
  char **texts = calloc((size_t)size, sizeof *texts);
  size_t *lengths = calloc((size_t)size, sizeof *lengths);
  for (int32_t id = 0; id < size; id++) texts[id] = token_bytes(t, id, false, &lengths[id]);
  int wrong = 0, states = 0;
  uint64_t draw = 0;
  for (size_t i = 0; i < COUNT(CASES); i++) {
    gale_constraint *c = open_constraint(table, CASES[i].kind, CASES[i].text, &error);
    if (!c) fail_msg("%s", error.message);
    for (int k = 0; k < per_case; k++) {
      gale_constraint_state *s = NULL;
      assert_int_equal(gale_constraint_begin(c, &s, NULL), GALE_OK);
      for (int step = 0; step < steps; step++) {
        assert_int_equal(gale_constraint_mask(s, mask, &error), GALE_OK);
        int differ = compare(t, s, mask, step == 0, texts, lengths);
        if (differ) print_message("%s, %s: step %d\n", name, CASES[i].text ? CASES[i].text : "JSON", step);
        wrong += differ;
        states++;
        int32_t id = (int32_t)(random_at(7, draw++) % (uint64_t)size), tries = 0;
        while (!(allowed(mask, id) && !gale_tokenizer_is_end(t, id)) && tries++ < size) id = (id + 1) % size;
        if (tries > size) break;
        assert_int_equal(gale_constraint_accept(s, id, &error), GALE_OK);
      }
      gale_constraint_end(&s);
    }
    gale_constraint_close(&c);
  }
  for (int32_t id = 0; id < size; id++) gale_free(texts[id]);
  free(texts);
  free(lengths);
  free(mask);
  gale_mask_table_close(&table);
  print_message("%s: %d states\n", name, states);
  return wrong;
}

static void masks(void **state) {
  (void)state;
  static const char *const NAMES[] = {"smollm.json", "tekken.json", "cut.model"};
  int wrong = 0;
  for (size_t i = 0; i < COUNT(NAMES); i++) {
    char path[512];
    snprintf(path, sizeof path, "%s/text/%s", TEST_DATA, NAMES[i]);
    gale_tokenizer *t = load_tokenizer(path);
    wrong += random_texts(t, NAMES[i], 1, 8);
    gale_tokenizer_close(&t);
  }
  gale_tokenizer *t = byte_tokenizer();
  wrong += random_texts(t, "bytes", 5, 40);
  gale_tokenizer_close(&t);
  assert_int_equal(wrong, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(masks)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
