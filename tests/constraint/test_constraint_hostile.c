/* What hostile schemas, patterns and grammars get: an error that names the place, or a constraint; either within the
 * time and memory that HARDENING's rows 43 to 45 ask for. */
#include "constraint_cases.h"

#include "base/random.h"

#include <malloc.h>
#include <time.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#endif

/* 100 ms are meant, which GALE_SHOW=1 shows; what is asserted is that the work is bounded, on any machine. */
enum { MOST_MS = 10000 };
#ifdef SANITIZED
enum { MOST_KIB = 1 << 30, DISTINCT = 2000 };
#else
enum { MOST_KIB = 64 << 10, DISTINCT = 100000 };
#endif

typedef struct maker {
  char *text;
  size_t n, capacity;
} maker;

static void add(maker *m, const char *s) {
  size_t n = strlen(s);
  if (m->n + n + 1 > m->capacity) {
    m->capacity = 2 * (m->n + n + 1);
    assert_non_null(m->text = realloc(m->text, m->capacity));
  }
  memcpy(m->text + m->n, s, n + 1);
  m->n += n;
}

static void add_times(maker *m, const char *s, size_t times) {
  while (times-- > 0) add(m, s);
}

static void add_numbered(maker *m, const char *format, int n) {
  char line[256];
  for (int i = 0; i < n; i++) {
    snprintf(line, sizeof line, format, i, i + 1, i % 17); /* NOLINT: formats are literals of this file */
    add(m, line);
  }
}

static void make_nested(maker *m, const char *open, const char *inside, const char *close, size_t n) {
  add_times(m, open, n);
  add(m, inside);
  add_times(m, close, n);
}

#define NESTED(name, open, inside, close, n)                                                                           \
  static void name(maker *m) {                                                                                         \
    make_nested(m, open, inside, close, n);                                                                            \
  }
#define FIXED(name, literal)                                                                                           \
  static void name(maker *m) {                                                                                         \
    add(m, literal);                                                                                                   \
  }
#define NUMBERED(name, before, format, n, after)                                                                       \
  static void name(maker *m) {                                                                                         \
    add(m, before);                                                                                                    \
    add_numbered(m, format, n);                                                                                        \
    add(m, after);                                                                                                     \
  }

/* Row 43 */
static void grammar_deep(maker *m) {
  add(m, "root ::= ");
  make_nested(m, "(", "\"a\"", ")", 60000);
}
FIXED(grammar_left, "root ::= root \"a\" | \"b\"")
FIXED(grammar_hidden_left, "root ::= e* b\ne ::= \"x\"?\nb ::= root \"y\" | \"z\"")
NUMBERED(grammar_chain, "root ::= r0\n", "r%d ::= r%d\n", 5000, "r5000 ::= \"x\"\n")
NUMBERED(grammar_long_chain, "root ::= r0\n", "r%d ::= r%d | \"y\"\n", 4000, "r4000 ::= \"x\"\n")
FIXED(grammar_huge_count, "root ::= \"a\"{0,1000000000}")
FIXED(grammar_overflow, "root ::= \"a\"{99999999999999999999}")
FIXED(grammar_undefined, "root ::= a b\na ::= \"x\"")
FIXED(grammar_rootless, "a ::= \"x\"")
FIXED(grammar_empty, "")
FIXED(grammar_products, "root ::= (((\"a\"{0,10000}){0,10000}){0,10000}){0,10000}")
FIXED(grammar_ambiguous, "root ::= s\ns ::= \"a\" s s s | \"a\" s s | \"a\" s | \"a\" | \"b\" s s | \"b\"")
static void grammar_long(maker *m) {
  add(m, "root ::= \"");
  add_times(m, "abcdefgh", 40000);
  add(m, "\"");
}
static void grammar_stars(maker *m) {
  add(m, "root ::= \"a\"");
  add_times(m, "*", 100000);
}

/* Row 44 */
FIXED(schema_loop, "{\"$ref\": \"#\"}")
FIXED(schema_loops, "{\"$defs\": {\"a\": {\"$ref\": \"#/$defs/b\"}, \"b\": {\"$ref\": \"#/$defs/a\"}}, \"$ref\": "
                    "\"#/$defs/a\"}")
FIXED(schema_all_loop, "{\"allOf\": [{\"$ref\": \"#\"}]}")
FIXED(schema_endless, "{\"type\": \"object\", \"properties\": {\"a\": {\"$ref\": \"#\"}}, \"required\": [\"a\"]}")
FIXED(schema_recursive, "{\"type\": \"object\", \"properties\": {\"a\": {\"$ref\": \"#\"}}}")
FIXED(schema_recursive_not, "{\"not\": {\"$ref\": \"#\"}}")
FIXED(schema_remote, "{\"$ref\": \"https://example.com/schema.json\"}")
FIXED(schema_file, "{\"$ref\": \"file:///etc/passwd\"}")
FIXED(schema_group, "{\"type\": \"string\", \"pattern\": \"(\"}")
FIXED(schema_plus, "{\"type\": \"string\", \"pattern\": \"^+x\"}")
FIXED(schema_min_items, "{\"type\": \"array\", \"minItems\": 1000000000}")
FIXED(schema_min_length, "{\"type\": \"string\", \"minLength\": 1000000000}")
FIXED(schema_max_items, "{\"type\": \"array\", \"maxItems\": 1000000000, \"items\": {\"type\": \"integer\"}}")
FIXED(schema_max_length, "{\"type\": \"string\", \"maxLength\": 1000000000, \"pattern\": \"^(a|b)*$\"}")
FIXED(schema_exact_length, "{\"type\": \"string\", \"minLength\": 65000, \"maxLength\": 65001, \"pattern\": "
                           "\"(ab|ba){7,}\"}")
FIXED(schema_digits, "{\"type\": \"number\", \"minimum\": 1e-400, \"maximum\": 1e400}")
FIXED(schema_multiple, "{\"type\": \"integer\", \"multipleOf\": 1000000007}")
FIXED(schema_multiples, "{\"allOf\": [{\"type\": \"integer\"}, {\"multipleOf\": 9973}, {\"multipleOf\": 9967}]}")
FIXED(schema_exponential, "{\"type\": \"string\", \"pattern\": \"^(a|a)*(b|b)*[ab]{1000}c$\"}")
FIXED(schema_patterns, "{\"allOf\": [{\"type\": \"string\", \"pattern\": \"a.{20}$\"}, {\"pattern\": \"b.{25}$\"}, "
                       "{\"pattern\": \"^.{30}c\"}, {\"not\": {\"pattern\": \"d.{35}$\"}}]}")
NESTED(schema_deep, "{\"items\":", "{}", "}", 60000)
NESTED(schema_deep_properties, "{\"properties\":{\"a\":", "{}", "}}", 60000)
NESTED(schema_deep_all, "{\"allOf\":[", "{}", "]}", 60000)
NESTED(schema_unclosed, "[", "", "", 60000)
NUMBERED(schema_properties, "{\"type\":\"object\",\"properties\":{", "\"p%d\":{},", 1000000, "\"z\":{}}}")
NUMBERED(schema_some_properties, "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{", "\"p%d\":{},",
         1000, "\"z\":{}}}")
NUMBERED(schema_any, "{\"anyOf\":[", "{\"properties\":{\"p%d\":{\"const\":%d}}},", 2000, "{}]}")
NUMBERED(schema_one, "{\"oneOf\":[", "{\"maximum\":%d,\"minimum\":-%d,\"type\":\"integer\"},", 200, "{}]}")
NUMBERED(schema_all, "{\"allOf\":[", "{\"anyOf\":[{\"required\":[\"p%d\"]},{\"required\":[\"q%d\"]}]},", 200, "{}]}")
NUMBERED(schema_enum, "{\"enum\":[", "\"value %d %d\",", 100000, "0]}")
NUMBERED(schema_pattern_properties, "{\"patternProperties\":{", "\"a.{%d}b%d\":{\"const\":%d},", 300, "\"z\":{}}}")
static void schema_fork_bomb(maker *m) {
  char line[256];
  add(m, "{\"$ref\":\"#/$defs/d0\",\"$defs\":{");
  for (int i = 0; i < 40; i++) {
    snprintf(line, sizeof line,
             "\"d%d\":{\"properties\":{\"a\":{\"$ref\":\"#/$defs/d%d\"},\"b\":{\"$ref\":\"#/$defs/d%d\"}}},", i, i + 1,
             i + 1);
    add(m, line);
  }
  add(m, "\"d40\":{\"type\":\"null\"}}}");
}
static void schema_all_bomb(maker *m) {
  char line[256];
  add(m, "{\"$ref\":\"#/$defs/d0\",\"$defs\":{");
  for (int i = 0; i < 40; i++) {
    snprintf(line, sizeof line, "\"d%d\":{\"allOf\":[{\"$ref\":\"#/$defs/d%d\"},{\"$ref\":\"#/$defs/d%d\"}]},", i,
             i + 1, i + 1);
    add(m, line);
  }
  add(m, "\"d40\":{\"type\":\"null\"}}}");
}

/* Patterns */
FIXED(regex_star, "(a|a)*b")
FIXED(regex_stars, "((a*)*)*b")
FIXED(regex_nested, "((a{0,1000}){0,1000}){0,1000}")
FIXED(regex_nested_more, "((((a{1,10000}){1,10000}){1,10000}b?){1,10000}){1,10000}")
FIXED(regex_huge, "a{0,1000000000}")
FIXED(regex_suffix, "(a|b)*a(a|b){5000}")
FIXED(regex_overlaps, "(.{0,500}a){0,500}(.{0,500}b){0,500}")
FIXED(regex_group, "(")
FIXED(regex_plus, "^+x")
NESTED(regex_deep, "(", "a", ")", 60000)
NESTED(regex_deep_stars, "(?:", "a", ")*", 60000)
NUMBERED(regex_words, "(", "word%d|", 50000, "end)*")
NUMBERED(regex_optionals, "", "(x%d|y%d)?", 3000, "z")

typedef struct hostile_case {
  const char *name;
  gale_constraint_kind kind;
  void (*make)(maker *m);
  const char *place; /* what the error's message begins with; NULL: it may compile */
} hostile_case;

#define S GALE_CONSTRAINT_JSON_SCHEMA
#define R GALE_CONSTRAINT_REGEX
#define G GALE_CONSTRAINT_GRAMMAR
#define CASE(kind, make, place)                                                                                        \
  { #make, kind, make, place }
static const hostile_case cases[] = {
    CASE(G, grammar_deep, "byte "),
    CASE(G, grammar_left, "byte "),
    CASE(G, grammar_hidden_left, "byte "),
    CASE(G, grammar_chain, "byte "),
    CASE(G, grammar_long_chain, NULL),
    CASE(G, grammar_huge_count, "byte "),
    CASE(G, grammar_overflow, "byte "),
    CASE(G, grammar_undefined, "byte "),
    CASE(G, grammar_rootless, "byte "),
    CASE(G, grammar_empty, "byte "),
    CASE(G, grammar_products, NULL),
    CASE(G, grammar_ambiguous, NULL),
    CASE(G, grammar_long, "byte "),
    CASE(G, grammar_stars, NULL),
    CASE(S, schema_loop, "/"),
    CASE(S, schema_loops, "/"),
    CASE(S, schema_all_loop, "/"),
    CASE(S, schema_endless, "/"),
    CASE(S, schema_recursive, NULL),
    CASE(S, schema_recursive_not, "/"),
    CASE(S, schema_remote, "/$ref"),
    CASE(S, schema_file, "/$ref"),
    CASE(S, schema_group, "/pattern"),
    CASE(S, schema_plus, "/pattern"),
    CASE(S, schema_min_items, "/minItems"),
    CASE(S, schema_min_length, "/minLength"),
    CASE(S, schema_max_items, NULL),
    CASE(S, schema_max_length, NULL),
    CASE(S, schema_exact_length, NULL),
    CASE(S, schema_digits, NULL),
    CASE(S, schema_multiple, NULL),
    CASE(S, schema_multiples, NULL),
    CASE(S, schema_exponential, NULL),
    CASE(S, schema_patterns, NULL),
    CASE(S, schema_deep, "byte "),
    CASE(S, schema_deep_properties, "byte "),
    CASE(S, schema_deep_all, "byte "),
    CASE(S, schema_unclosed, "byte "),
    CASE(S, schema_properties, "/"),
    CASE(S, schema_some_properties, NULL),
    CASE(S, schema_any, NULL),
    CASE(S, schema_one, NULL),
    CASE(S, schema_all, NULL),
    CASE(S, schema_enum, NULL),
    CASE(S, schema_pattern_properties, NULL),
    CASE(S, schema_fork_bomb, NULL),
    CASE(S, schema_all_bomb, NULL),
    CASE(R, regex_star, NULL),
    CASE(R, regex_stars, NULL),
    CASE(R, regex_nested, NULL),
    CASE(R, regex_nested_more, NULL),
    CASE(R, regex_huge, "byte "),
    CASE(R, regex_suffix, NULL),
    CASE(R, regex_overlaps, NULL),
    CASE(R, regex_group, "byte "),
    CASE(R, regex_plus, "byte "),
    CASE(R, regex_deep, "byte "),
    CASE(R, regex_deep_stars, "byte "),
    CASE(R, regex_words, NULL),
    CASE(R, regex_optionals, NULL),
};

/* Milliseconds of this thread's own work, which other programs don't add to. */
static double work_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* The most memory since it was asked to begin anew. */
static long peak_kib(bool begin) {
  FILE *f = begin ? fopen("/proc/self/clear_refs", "w") : NULL;
  if (f) {
    fputs("5", f);
    fclose(f);
  }
  char line[256];
  long kib = 0;
  assert_non_null(f = fopen("/proc/self/status", "r"));
  while (kib == 0 && fgets(line, sizeof line, f))
    if (strncmp(line, "VmHWM:", 6) == 0) kib = strtol(line + 6, NULL, 10);
  fclose(f);
  return kib;
}

/* A text of the constraint's, 200 tokens at most; the longest that a mask or a token took. */
static double walk(const gale_mask_table *table, int32_t size, const gale_constraint *constraint) {
  gale_constraint_state *state;
  double longest = 0;
  uint32_t *mask = malloc(gale_mask_table_words(table) * sizeof *mask);
  assert_non_null(mask);
  assert_int_equal(gale_constraint_begin(constraint, &state, NULL), GALE_OK);
  for (uint64_t i = 0; i < 200; i++) {
    gale_error error = {0};
    double start = work_ms();
    gale_status status = gale_constraint_mask(state, mask, &error);
    double took = work_ms() - start;
    if (took > longest) longest = took;
    if (status) {
      assert_int_equal(status, GALE_E_UNSUPPORTED);
      break;
    }
    int32_t id = (int32_t)(random_at(5, i) % (uint64_t)size), tried = 0;
    while (tried++ < size && !(mask[id / 32] >> (id % 32) & 1)) id = (id + 1) % size;
    if (tried > size) break;
    start = work_ms();
    status = gale_constraint_accept(state, id, &error);
    took = work_ms() - start;
    if (took > longest) longest = took;
    if (status) break;
  }
  gale_constraint_end(&state);
  free(mask);
  return longest;
}

static int try_case(const gale_mask_table *table, int32_t size, const hostile_case *c) {
  maker m = {0};
  c->make(&m);
  malloc_trim(0);
  gale_error error = {0};
  long before = peak_kib(true);
  double start = work_ms(), step = 0;
  gale_constraint *constraint = open_constraint(table, c->kind, m.text, &error);
  double compile = work_ms() - start;
  if (constraint) step = walk(table, size, constraint);
  long kib = peak_kib(false) - before;
  int wrong = 0;
  bool named = !c->place || (!constraint && strncmp(error.message, c->place, strlen(c->place)) == 0);
  if (!named || compile > MOST_MS || step > MOST_MS || kib > MOST_KIB || (!constraint && !*error.message)) wrong = 1;
  if (wrong || getenv("GALE_SHOW"))
    print_message("%s%s: compile %.1f ms, longest step %.1f ms, %ld KiB more, %.120s\n", wrong ? "WRONG " : "", c->name,
                  compile, step, kib, constraint ? "compiles" : error.message);
  gale_constraint_close(&constraint);
  free(m.text);
  return wrong;
}

static void hostile_texts(void **state) {
  (void)state;
  gale_tokenizer *t = load_tokenizer(TEST_DATA "/text/smollm.json");
  gale_mask_table *table;
  assert_int_equal(gale_mask_table_open(t, &table, NULL), GALE_OK);
  int wrong = 0;
  for (size_t i = 0; i < COUNT(cases); i++) wrong += try_case(table, gale_tokenizer_size(t), &cases[i]);
  gale_mask_table_close(&table);
  gale_tokenizer_close(&t);
  assert_int_equal(wrong, 0);
}

/* Row 45: what one leaves behind does not add up. */
static void distinct_schemas(void **state) {
  (void)state;
  gale_tokenizer *t = byte_tokenizer();
  gale_mask_table *table;
  gale_error error = {0};
  assert_int_equal(gale_mask_table_open(t, &table, NULL), GALE_OK);
  long before = 0;
  for (int i = 0; i < DISTINCT; i++) {
    char schema[128];
    snprintf(schema, sizeof schema, "{\"type\": \"object\", \"properties\": {\"p%d\": {\"maximum\": %d}}}", i, i);
    gale_constraint *c = open_constraint(table, GALE_CONSTRAINT_JSON_SCHEMA, schema, &error);
    if (!c) fail_msg("%s", error.message);
    if (i % 1000 == 0) walk(table, gale_tokenizer_size(t), c);
    gale_constraint_close(&c);
    if (i == DISTINCT / 10) before = peak_kib(true);
  }
  assert_true(peak_kib(false) - before < MOST_KIB / 64);
  gale_mask_table_close(&table);
  gale_tokenizer_close(&t);
}

static void read_letters(gale_constraint_state *s, uint64_t text, char *letters, size_t n) {
  for (size_t i = 0; i < n; i++) letters[i] = random_at(text, i) & 1 ? 'a' : 'b';
  size_t taken = 0;
  gale_error error = {0};
  if (gale_constraint_accept_bytes(s, letters, n, &taken, &error)) fail_msg("%s", error.message);
  assert_int_equal(taken, n);
}

/* Nearly every letter leads to a state that was not there before: what texts leave behind must not end those that
 * follow, nor one that waits meanwhile. */
static void many_texts(void **state) {
  (void)state;
  enum { TEXTS = 100, LETTERS = 1000, BEHIND = 301 };
  gale_tokenizer *t = byte_tokenizer();
  gale_mask_table *table;
  gale_error error = {0};
  char letters[LETTERS], waiting[LETTERS];
  assert_int_equal(gale_mask_table_open(t, &table, NULL), GALE_OK);
  gale_constraint *c = open_constraint(table, GALE_CONSTRAINT_REGEX, "[ab]*a[ab]{300}", &error);
  assert_non_null(c);
  gale_constraint_state *first, *s;
  assert_int_equal(gale_constraint_begin(c, &first, NULL), GALE_OK);
  read_letters(first, 0, waiting, LETTERS);
  peak_kib(true);
  for (uint64_t i = 1; i <= TEXTS; i++) {
    assert_int_equal(gale_constraint_begin(c, &s, NULL), GALE_OK);
    read_letters(s, i, letters, LETTERS);
    assert_int_equal(gale_constraint_complete(s), letters[LETTERS - BEHIND] == 'a');
    gale_constraint_end(&s);
  }
  assert_true(peak_kib(false) / 4 < MOST_KIB);
  assert_int_equal(gale_constraint_complete(first), waiting[LETTERS - BEHIND] == 'a');
  assert_int_equal(gale_constraint_fork(first, &s, NULL), GALE_OK);
  read_letters(s, 0, letters, 1);
  assert_int_equal(gale_constraint_complete(s), waiting[LETTERS - BEHIND + 1] == 'a');
  assert_int_equal(gale_constraint_complete(first), waiting[LETTERS - BEHIND] == 'a');
  gale_constraint_end(&first);
  gale_constraint_end(&s);
  gale_constraint_close(&c);
  gale_mask_table_close(&table);
  gale_tokenizer_close(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(hostile_texts), cmocka_unit_test(distinct_schemas),
                                     cmocka_unit_test(many_texts)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
