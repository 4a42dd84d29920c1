/* Calls as JSON objects, told from content at whatever places the text is cut. */
#include "tokenizer/text_cases.h"

#include "chat/answer.h"

#include "chat/answer_json.h"

/* Everything found, written down: content as it is, a call as <name:arguments>. */
static void find(const char *text, size_t step, char *out) {
  json_calls s = {0};
  slice what;
  json_found found;
  bool open = false;
  size_t n = strlen(text);
  out[0] = 0;
  for (size_t at = 0; at < n;) {
    slice part = {text + at, step < n - at ? step : n - at};
    size_t taken = json_calls_take(&s, part, &found, &what);
    at += taken;
    assert_int_not_equal(found, FOUND_FAILURE);
    assert_true(taken > 0 || found == FOUND_CALL);
    if (open && found != FOUND_ARGUMENTS && taken) strcat(out, ">"), open = false;
    if (found == FOUND_CALL) strcat(out, "<");
    if (found != FOUND_NOTHING) strncat(out, what.s, what.n);
    if (found == FOUND_CALL) strcat(out, ":"), open = true;
  }
  if (open) strcat(out, ">");
  slice rest = json_calls_rest(&s);
  if (rest.n) strncat(out, rest.s, rest.n);
  json_calls_free(&s);
}

static void cuts(void **state) {
  (void)state;
  static const char *const CASES[][2] = {
      {"{\"name\": \"f\", \"parameters\": {\"a\": 1}}", "<f:{\"a\": 1}>"},
      {"\n { \"name\":\"f\",\"parameters\":{} }\n", "<f:{}>"},
      {"{\"type\": \"function\", \"name\": \"f\", \"parameters\": {\"a\": \"}\\\"{\"}}", "<f:{\"a\": \"}\\\"{\"}>"},
      {"{\"name\": \"f\", \"parameters\": {\"a\": {\"b\": [1, {}]}}, \"id\": \"}\"}", "<f:{\"a\": {\"b\": [1, {}]}}>"},
      {"{\"name\": \"f\", \"arguments\": {}}; {\"name\": \"g\", \"parameters\": {\"x\": []}}\n",
       "<f:{}><g:{\"x\": []}>"},
      {"{\"name\": \"\\u00e9\", \"parameters\": {}}", "<\xC3\xA9:{}>"},
      {"{\"name\": \"f\", \"parameters\": {\"a\": 1", "<f:{\"a\": 1>"},
      {"{\"name\": \"f\", \"parameters\": {}} Done {\"a\"}", "<f:{}>Done {\"a\"}"},
      {"Hello {\"name\": \"f\", \"parameters\": {}}", "Hello {\"name\": \"f\", \"parameters\": {}}"},
      {"  \nyes", "  \nyes"},
      {"", ""},
      {"  ", "  "},
      {"{}", "{}"},
      {"{\"a\": {\"name\": 1}}", "{\"a\": {\"name\": 1}}"},
      {"{\"name\": \"f\"}", "{\"name\": \"f\"}"},
      {"{\"name\": 1, \"parameters\": {}}", "{\"name\": 1, \"parameters\": {}}"},
      {"{\"name\": \"\", \"parameters\": {}}", "{\"name\": \"\", \"parameters\": {}}"},
      {"{\"name\": \"f\", \"parameters\": null}", "{\"name\": \"f\", \"parameters\": null}"},
      {"{\"type\": \"x\", \"name\": \"f\", \"parameters\": {}}",
       "{\"type\": \"x\", \"name\": \"f\", \"parameters\": {}}"},
      {"{\"name\": \"parameters\": {}}", "{\"name\": \"parameters\": {}}"},
      {"{\"name\": \"f\", \"par", "{\"name\": \"f\", \"par"},
      {"{]", "{]"},
      {"[{\"name\": \"f\", \"parameters\": {}}]", "[{\"name\": \"f\", \"parameters\": {}}]"},
  };
  for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
    for (size_t step = 1; step < 12; step++) {
      char out[300];
      find(CASES[i][0], step == 11 ? 300 : step, out);
      assert_string_equal(out, CASES[i][1]);
    }
}

/* A head that goes on and on is no call, and does not hold the answer back. */
static void long_head(void **state) {
  (void)state;
  enum { LONG = 10000 };
  char *text = malloc(LONG + 1), *out = malloc(LONG + 10);
  assert_true(text && out);
  memset(text, 'x', LONG);
  memcpy(text, "{\"name\": \"", 10);
  text[LONG] = 0;
  find(text, 7, out);
  assert_string_equal(out, text);
  json_calls s = {0};
  slice what;
  json_found found = FOUND_NOTHING;
  size_t at = 0;
  while (found == FOUND_NOTHING && at < LONG) at += json_calls_take(&s, (slice){text + at, 1}, &found, &what);
  assert_true(at < 5000);
  json_calls_free(&s);
  free(text);
  free(out);
}

static void read_answer(const gale_tokenizer *t, const answer_form *form, const char *text, const char *content,
                        const char *const *calls) {
  answer *a;
  piece_list pieces = {.stopped = -1};
  gale_error error = {0};
  char said[400] = "", streamed[4][200] = {{0}};
  int32_t *ids;
  size_t n;
  if (answer_open(t, form, &a, &error)) fail_msg("%s", error.message);
  assert_int_equal(gale_tokenize(t, text, strlen(text), false, &ids, &n, NULL), GALE_OK);
  for (size_t i = 0; i <= n; i++) {
    gale_status status = i < n ? answer_push(a, ids[i], &pieces, &error) : answer_finish(a, false, &pieces, &error);
    if (status) fail_msg("%s", error.message);
    for (const gale_piece *p; (p = pieces_next(&pieces));)
      if (p->kind != GALE_PIECE_CALL)
        strncat(p->kind == GALE_PIECE_CONTENT ? said : streamed[p->call], p->text, p->length);
  }
  gale_free(ids);
  assert_string_equal(said, content);
  const gale_tool_call *found;
  assert_int_equal(answer_calls(a, &found, &n, &error), GALE_OK);
  size_t i = 0;
  for (; calls && calls[2 * i]; i++) {
    assert_true(i < n);
    assert_string_equal(found[i].name, calls[2 * i]);
    assert_string_equal(found[i].arguments, calls[2 * i + 1]);
    assert_string_equal(streamed[i], calls[2 * i + 1]);
    assert_int_equal(strlen(found[i].id), 9);
    assert_true(i == 0 || strcmp(found[i].id, found[i - 1].id) != 0);
  }
  assert_int_equal(i, n);
  answer_close(&a);
  pieces_free(&pieces);
}

static void through_an_answer(const gale_tokenizer *t, const char *text, const char *content,
                              const char *const *calls) {
  read_answer(t, &(answer_form){.name = "llama-3.1"}, text, content, calls);
}

static void through_tags(const gale_tokenizer *t, const char *text, const char *content, const char *const *calls) {
  read_answer(t, &(answer_form){.name = "chatml", .generic_tools = true}, text, content, calls);
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static void answers(void **state) {
  (void)state;
  gale_tokenizer *t = load_tokenizer(TEST_DATA "/text/smollm.json");
  through_an_answer(t, "Just text \xF0\x9F\x91\x8B", "Just text \xF0\x9F\x91\x8B", NULL);
  through_an_answer(t, "{\"name\": \"get_weather\", \"parameters\": {\"city\": \"Z\xC3\xBCrich\"}}", "",
                    LIST("get_weather", "{\"city\": \"Z\xC3\xBCrich\"}"));
  through_an_answer(t, "{\"name\": \"f\", \"parameters\": {}}\n{\"name\": \"f\", \"parameters\": {\"a\": 1}}", "",
                    LIST("f", "{}", "f", "{\"a\": 1}"));
  through_an_answer(t, "{\"name\": \"f\"} is no call", "{\"name\": \"f\"} is no call", NULL);
  through_an_answer(t, "{\"name\": \"f\", \"para", "{\"name\": \"f\", \"para", NULL);
  through_an_answer(t, "{\"name\": \"f\", \"parameters\": {\"a\": ", "", LIST("f", "{\"a\": "));
  through_an_answer(t, "{\"answer\": 3}", "{\"answer\": 3}", NULL);
  gale_tokenizer_close(&t);
}

static void tags(void **state) {
  (void)state;
  gale_tokenizer *t = load_tokenizer(TEST_DATA "/text/smollm.json");
  through_tags(t, "Just <text> < 3 <tool_cal", "Just <text> < 3 <tool_cal", NULL);
  through_tags(t, "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": [1, \"</tool_call>\"]}}</tool_call>", "",
               LIST("f", "{\"a\": [1, \"</tool_call>\"]}"));
  through_tags(t,
               "Let me look. <tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>\n<tool_call>{\"name\": "
               "\"g\", \"arguments\": {\"b\": 2}}</tool_call>\n",
               "Let me look. ", LIST("f", "{}", "g", "{\"b\": 2}"));
  through_tags(t, "<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>\nDone <<tool_call>.",
               "\nDone <<tool_call>.", LIST("f", "{}"));
  through_tags(t, "<tool_call>no JSON</tool_call>", "<tool_call>no JSON</tool_call>", NULL);
  through_tags(t, "<tool_call>{\"name\": \"f\", \"arg", "<tool_call>{\"name\": \"f\", \"arg", NULL);
  through_tags(t, "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": ", "", LIST("f", "{\"a\": "));
  /* Without being asked for, and in templates with a form of their own, tags are text. */
  const char *text = "<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>";
  read_answer(t, &(answer_form){.name = "chatml"}, text, text, NULL);
  read_answer(t, &(answer_form){.name = "mistral-v3", .generic_tools = true}, text, text, NULL);
  gale_tokenizer_close(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(cuts),
      cmocka_unit_test(long_head),
      cmocka_unit_test(answers),
      cmocka_unit_test(tags),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
