/* Answers of each version of Mistral's prompts, told apart as they come. */
#include "tokenizer/text_cases.h"

#include "chat/answer.h"
#include "tokenizer/built.h"

static gale_tokenizer *open_version(const char *version) {
  gale_tokenizer *t = NULL;
  gale_error error = {0};
  if (strlen(version) == 2) {
    char *data;
    size_t n;
    if (file_load(TEST_DATA "/text/cut.model", 1 << 20, &data, &n, &error)) fail_msg("%s", error.message);
    if (tokenizer_from_sentencepiece("cut.model", data, n, NULL, &t, &error)) fail_msg("%s", error.message);
    free(data);
    return t;
  }
  return load_tekken(version);
}

typedef struct told {
  char content[200], thinking[200], arguments[4][200], names[4][200], ids[4][200];
  size_t n_calls;
} told;

/* A call's arguments follow the piece that begins it. */
static void tell(told *to, piece_list *pieces) {
  for (const gale_piece *p; (p = pieces_next(pieces));) {
    assert_true(p->length > 0 || p->kind == GALE_PIECE_CALL);
    if (p->kind == GALE_PIECE_CONTENT) strncat(to->content, p->text, p->length);
    if (p->kind == GALE_PIECE_THINKING) strncat(to->thinking, p->text, p->length);
    if (p->kind == GALE_PIECE_ARGUMENTS) {
      assert_int_equal(p->call + 1, to->n_calls);
      strncat(to->arguments[p->call], p->text, p->length);
    }
    if (p->kind != GALE_PIECE_CALL) continue;
    assert_int_equal(p->call, to->n_calls);
    snprintf(to->names[p->call], sizeof to->names[0], "%.*s", (int)p->length, p->text);
    snprintf(to->ids[to->n_calls++], sizeof to->ids[0], "%s", p->id);
  }
}

/* Pushes texts, each encoded by itself; one that begins with [ is a control token if it is one. */
static void push_all(answer *a, piece_list *pieces, const gale_tokenizer *t, const char *const *parts, told *to) {
  gale_error error = {0};
  for (; *parts; parts++) {
    int32_t *ids, one;
    size_t n = 1;
    bool is_control = **parts == '[' && ((*parts)[1] == '/' || ((*parts)[1] >= 'A' && (*parts)[1] <= 'Z'));
    if (is_control)
      one = tokenizer_control(t, *parts);
    else
      assert_int_equal(gale_tokenize(t, *parts, strlen(*parts), false, &ids, &n, NULL), GALE_OK);
    for (size_t i = 0; i < n; i++) {
      if (answer_push(a, is_control ? one : ids[i], pieces, &error)) fail_msg("%s", error.message);
      if (i % 3) tell(to, pieces); /* several tokens' pieces may wait */
    }
    if (!is_control) gale_free(ids);
  }
  if (answer_push(a, gale_tokenizer_eos(t), pieces, &error)) fail_msg("%s", error.message);
  if (answer_finish(a, false, pieces, &error)) fail_msg("%s", error.message);
  tell(to, pieces);
}

/* expected: content, thinking, then id, name and arguments of each call; an id "*" is one of gale's making. */
static void answers(const char *version, const char *template, const char *const *parts, const char *const *expected) {
  gale_tokenizer *t = open_version(version);
  answer *a;
  piece_list pieces = {.stopped = -1};
  gale_error error = {0};
  told to = {0};
  if (!template) template = gale_chat_template(t);
  assert_non_null(template);
  if (answer_open(t, &(answer_form){.name = template}, &a, &error)) fail_msg("%s", error.message);
  push_all(a, &pieces, t, parts, &to);
  assert_string_equal(to.content, expected[0]);
  assert_string_equal(to.thinking, expected[1]);
  const gale_tool_call *calls;
  size_t n, i = 0;
  assert_int_equal(answer_calls(a, &calls, &n, &error), GALE_OK);
  for (const char *const *e = expected + 2; *e; e += 3, i++) {
    assert_true(i < n);
    if (strcmp(e[0], "*") == 0) {
      assert_int_equal(strlen(calls[i].id), 9);
      assert_true(i == 0 || strcmp(calls[i].id, calls[i - 1].id) != 0);
    } else {
      assert_string_equal(calls[i].id, e[0]);
    }
    assert_string_equal(calls[i].name, e[1]);
    assert_string_equal(calls[i].arguments, e[2]);
    assert_string_equal(to.ids[i], calls[i].id);
    assert_string_equal(to.names[i], e[1]);
    assert_string_equal(to.arguments[i], e[2]);
  }
  assert_int_equal(i, n);
  assert_int_equal(i, to.n_calls);
  answer_close(&a);
  assert_null(a);
  pieces_free(&pieces);
  gale_tokenizer_close(&t);
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static void calls_in_lists(void **state) {
  (void)state;
  const char *one = "[{\"name\": \"f\", \"arguments\": {\"a\": 1.0}, \"id\": \"abcdefghi\"}]";
  answers("v7", "mistral-v7", LIST("Hello", "[TOOL_CALLS]", one), LIST("Hello", "", "abcdefghi", "f", "{\"a\": 1.0}"));
  answers("v7", "mistral-v3", LIST("[TOOL_CALLS]", one), LIST("", "", "abcdefghi", "f", "{\"a\": 1.0}"));
  answers("v7", "mistral-v2", LIST("[TOOL_CALLS]", "[{\"name\": \"f\", \"arguments\": \"x\"}, {\"name\": \"g\"}]"),
          LIST("", "", "*", "f", "x", "*", "g", ""));
  answers("v7", "mistral-v7", LIST("a", "[TOOL_CALLS]", "[{\"name\": "), LIST("a[{\"name\": ", ""));
  answers("v7", "mistral-v7", LIST("[TOOL_CALLS]", "[1]"), LIST("[1]", ""));
  answers("v7", "mistral-v1", LIST("a", "[TOOL_CALLS]", "b"), LIST("a b", ""));
  answers("v7", "chatml", LIST("Hello"), LIST("Hello", ""));
}

static void calls_by_marks(void **state) {
  (void)state;
  answers("v11", NULL,
          LIST("Hi", "[TOOL_CALLS]", "f", "[CALL_ID]", "123456789", "[ARGS]", "{\"a\": 1}", "[TOOL_CALLS]", "g",
               "[CALL_ID]", "x", "[ARGS]", "{"),
          LIST("Hi", "", "123456789", "f", "{\"a\": 1}", "x", "g", "{"));
  answers("v13", NULL,
          LIST("[THINK]", "Hm \xF0\x9F\x91\x8B", "[/THINK]", "Yes", "[TOOL_CALLS]", "f", "[ARGS]", "{}", "[TOOL_CALLS]",
               "f", "[ARGS]", "{}"),
          LIST("Yes", "Hm \xF0\x9F\x91\x8B", "*", "f", "{}", "*", "f", "{}"));
  answers("v13", NULL, LIST("[ARGS]", "a", "[CALL_ID]", "b"), LIST("ab", ""));
  answers("v13", NULL, LIST("[TOOL_CALLS]", "f"), LIST("", "", "*", "f", ""));
}

static void unknown_template(void **state) {
  (void)state;
  gale_tokenizer *t = open_version("v13");
  answer *a = NULL;
  gale_error error = {0};
  assert_int_equal(answer_open(t, &(answer_form){.name = "no-such"}, &a, &error), GALE_E_ARGUMENT);
  assert_null(a);
  assert_non_null(strstr(error.message, "no-such"));
  answer_close(&a);
  gale_tokenizer_close(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(calls_in_lists),
      cmocka_unit_test(calls_by_marks),
      cmocka_unit_test(unknown_template),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
