/* Constraints of calls: what each template's form lets through, token by token, and what not. */
#include "tokenizer/text_cases.h"

#include "gale_constraint.h"
#include "tokenizer/built.h"

static const char TOOLS[] = "[{\"type\": \"function\", \"function\": {\"name\": \"f\", \"strict\": true, "
                            "\"parameters\": {\"type\": \"object\", "
                            "\"properties\": {\"a\": {\"type\": \"integer\"}}, \"required\": [\"a\"]}}}, {\"type\": "
                            "\"function\", \"function\": "
                            "{\"name\": \"g_2\"}}]";

static gale_tokenizer *open_version(const char *version) {
  if (strcmp(version, "text") == 0) return load_tokenizer(TEST_DATA "/text/smollm.json");
  return strcmp(version, "v3") == 0 ? load_tokenizer(TEST_DATA "/text/cut.model") : load_tekken(version);
}

/* How many of the parts pass, each a control token's name in brackets or a text that is encoded by itself; *complete:
 * whether the answer may end there. Whatever passes must be in the mask, and whatever does not must not. */
static size_t passes(const gale_tokenizer *t, const gale_constraint *c, size_t words, const char *const *parts,
                     bool *complete) {
  gale_constraint_state *s = NULL;
  size_t passed = 0;
  bool good = true;
  uint32_t *mask = malloc(words * sizeof *mask);
  assert_int_equal(gale_constraint_begin(c, &s, NULL), GALE_OK);
  for (; parts[passed] && good; passed += good) {
    int32_t *ids, one = tokenizer_control(t, parts[passed]);
    size_t n = 1;
    if (one < 0)
      assert_int_equal(gale_tokenize(t, parts[passed], strlen(parts[passed]), false, &ids, &n, NULL), GALE_OK);
    for (size_t i = 0; i < n && good; i++) {
      int32_t id = one < 0 ? ids[i] : one;
      assert_int_equal(gale_constraint_mask(s, mask, NULL), GALE_OK);
      good = gale_constraint_accept(s, id, NULL) == GALE_OK;
      assert_int_equal(mask[id / 32] >> (id % 32) & 1, good);
    }
    if (one < 0) gale_free(ids);
  }
  *complete = gale_constraint_complete(s);
  gale_constraint_end(&s);
  free(mask);
  return passed;
}

typedef struct form_case {
  const char *version, *form;
  bool required, single;
  const char *function;
  size_t passed; /* parts */
  bool complete;
  const char *parts[12];
} form_case;

#define ALL 99
static const form_case CASES[] = {
    {"v13", "mistral-v13", true, false, NULL, ALL, true, {"[TOOL_CALLS]", "f", "[ARGS]", "{\"a\": 12}"}},
    {"v13",
     "mistral-v13",
     true,
     false,
     NULL,
     ALL,
     true,
     {"[TOOL_CALLS]", "f", "[ARGS]", "{\"a\": 12}", "[TOOL_CALLS]", "g_2", "[ARGS]", "{}"}},
    {"v13",
     "mistral-v13",
     true,
     true,
     NULL,
     4,
     true,
     {"[TOOL_CALLS]", "f", "[ARGS]", "{\"a\": 12}", "[TOOL_CALLS]", "g_2", "[ARGS]", "{}"}},
    {"v13", "mistral-v13", true, false, "g_2", 1, false, {"[TOOL_CALLS]", "f", "[ARGS]", "{\"a\": 12}"}},
    {"v13", "mistral-v13", true, false, NULL, 3, false, {"[TOOL_CALLS]", "f", "[ARGS]", "{\"b\": 12}"}},
    {"v13", "mistral-v13", true, false, NULL, 0, false, {"Hello"}},
    {"v13", "mistral-v13", true, false, NULL, 0, false, {"[ARGS]"}},
    {"v13", "mistral-v13", false, false, NULL, ALL, true, {"Hello", "[TOOL_CALLS]", "f", "[ARGS]", "{\"a\": 12}"}},
    {"v13", "mistral-v13", false, false, NULL, 4, false, {"Hello", "[TOOL_CALLS]", "f", "[ARGS]", "{\"a\": true}"}},
    {"v13", "mistral-v13", false, false, NULL, ALL, true, {"[TOOL_CALLS]", "g_2", "[ARGS]", "{\"a\": true}"}},
    {"v11",
     "mistral-v11",
     true,
     false,
     NULL,
     ALL,
     true,
     {"[TOOL_CALLS]", "f", "[CALL_ID]", "abcDEF123", "[ARGS]", "{\"a\": 12}"}},
    {"v11",
     "mistral-v11",
     true,
     false,
     NULL,
     3,
     false,
     {"[TOOL_CALLS]", "f", "[CALL_ID]", "abcDEF1234", "[ARGS]", "{\"a\": 12}"}},
    {"v3",
     "mistral-v3",
     true,
     false,
     NULL,
     ALL,
     true,
     {"[TOOL_CALLS]", "[{\"name\": \"f\", \"arguments\": {\"a\": 1}}]"}},
    {"v3",
     "mistral-v3",
     true,
     false,
     NULL,
     1,
     false,
     {"[TOOL_CALLS]", "[{\"name\": \"x\", \"arguments\": {\"a\": 1}}]"}},
    {"v3", "mistral-v3", false, false, NULL, ALL, true, {"Hello"}},
    {"text", "llama-3.1", true, false, NULL, ALL, true, {"{\"name\": \"f\", \"parameters\": {\"a\": 1}}"}},
    {"text", "llama-3.1", false, false, NULL, ALL, true, {"Hello {"}},
    {"text", "llama-3.1", false, false, NULL, 0, false, {"{\"name\": \"f\", \"parameters\": {}}"}},
    {"text",
     "chatml",
     true,
     false,
     NULL,
     ALL,
     true,
     {"<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1}}</tool_call>"}},
    {"text", "chatml", false, false, NULL, ALL, true, {"Hello <tool>"}},
    {"text",
     "chatml",
     false,
     false,
     NULL,
     ALL,
     true,
     {"Hello <tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1}}</tool_call>"}},
    {"text",
     "chatml",
     false,
     false,
     NULL,
     0,
     false,
     {"Hello <tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>"}},
};

static void forms(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
    const form_case *k = &CASES[i];
    gale_tokenizer *t = open_version(k->version);
    gale_mask_table *table = NULL;
    gale_constraint *c = NULL;
    gale_error error = {0};
    assert_int_equal(gale_mask_table_open(t, &table, &error), GALE_OK);
    gale_constraint_options o;
    gale_constraint_defaults(&o);
    o.kind = GALE_CONSTRAINT_CALLS;
    o.text = TOOLS;
    o.length = strlen(TOOLS);
    o.form = k->form;
    o.generic_tools = true;
    o.function = k->function;
    o.required = k->required;
    o.single = k->single;
    if (gale_constraint_open(table, &o, &c, &error)) fail_msg("case %zu: %s", i, error.message);
    size_t n = 0;
    while (k->parts[n]) n++;
    bool complete;
    size_t passed = passes(t, c, gale_mask_table_words(table), k->parts, &complete);
    size_t expected = k->passed == ALL ? n : k->passed;
    if (passed != expected) fail_msg("case %zu: %zu parts pass, and %zu should", i, passed, expected);
    if (expected == n) assert_int_equal(complete, k->complete);
    gale_constraint_close(&c);
    gale_mask_table_close(&table);
    gale_tokenizer_close(&t);
  }
}

static void content(void **state) {
  (void)state;
  gale_tokenizer *t = open_version("v13");
  gale_mask_table *table = NULL;
  gale_constraint *c = NULL;
  bool complete;
  assert_int_equal(gale_mask_table_open(t, &table, NULL), GALE_OK);
  gale_constraint_options o, of_content;
  gale_constraint_defaults(&o);
  gale_constraint_defaults(&of_content);
  of_content.kind = GALE_CONSTRAINT_CHOICE;
  of_content.choices = (const char *const[]){"yes", "no"};
  of_content.n_choices = 2;
  o.kind = GALE_CONSTRAINT_CALLS;
  o.text = TOOLS;
  o.length = strlen(TOOLS);
  o.form = "mistral-v13";
  o.content = &of_content;
  assert_int_equal(gale_constraint_open(table, &o, &c, NULL), GALE_OK);
  size_t words = gale_mask_table_words(table);
  assert_int_equal(passes(t, c, words, (const char *const[]){"yes", NULL}, &complete), 1);
  assert_true(complete);
  assert_int_equal(passes(t, c, words, (const char *const[]){"maybe", NULL}, &complete), 0);
  assert_int_equal(
      passes(t, c, words, (const char *const[]){"[TOOL_CALLS]", "f", "[ARGS]", "{\"a\": 3}", NULL}, &complete), 4);
  assert_true(complete);
  assert_int_equal(passes(t, c, words, (const char *const[]){"yes", "[TOOL_CALLS]", NULL}, &complete), 1);
  gale_constraint_close(&c);
  gale_mask_table_close(&table);
  gale_tokenizer_close(&t);
}

static void refused(const gale_mask_table *table, const char *form, const char *tools, const char *function,
                    const char *part) {
  gale_constraint *c = NULL;
  gale_error error = {0};
  gale_constraint_options o;
  gale_constraint_defaults(&o);
  o.kind = GALE_CONSTRAINT_CALLS;
  o.text = tools;
  o.length = strlen(tools);
  o.form = form;
  o.function = function;
  o.required = true;
  assert_int_not_equal(gale_constraint_open(table, &o, &c, &error), GALE_OK);
  assert_null(c);
  if (!strstr(error.message, part)) fail_msg("\"%s\"", error.message);
}

static void refusals(void **state) {
  (void)state;
  gale_tokenizer *t = open_version("text");
  gale_mask_table *table = NULL;
  assert_int_equal(gale_mask_table_open(t, &table, NULL), GALE_OK);
  refused(table, "chatml", TOOLS, NULL, "form is \"chatml\"");
  refused(table, NULL, TOOLS, NULL, "form is \"\"");
  refused(table, "mistral-v3", TOOLS, NULL, "no control token [TOOL_CALLS]");
  refused(table, "llama-3.1", TOOLS, "h", "no tool \"h\"");
  refused(table, "llama-3.1", "{}", NULL, "a list of tools");
  refused(table, "llama-3.1",
          "[{\"function\": {\"name\": \"f\", \"parameters\": {\"properties\": {\"a\": {\"pattern\": \"(\"}}}}}]", NULL,
          "[0].function.parameters: /properties/a/pattern");
  gale_mask_table_close(&table);
  gale_tokenizer_close(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(forms),
      cmocka_unit_test(content),
      cmocka_unit_test(refusals),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
