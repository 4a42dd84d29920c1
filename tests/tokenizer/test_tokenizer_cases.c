/* Parity with the reference implementations, on the cases of tests/data/text and, where GALE_TEXT_CASES
 * names a folder that make_text_cases.py --full has filled, on those as well. */
#include "text_cases.h"

#include "tokenizer/pretokenize.h"

static void check_text(const gale_tokenizer *t, const json_t *text, const json_t *expected) {
  int32_t *ids;
  size_t n;
  gale_error error = {0};
  const char *s = json_string_value(text);
  if (gale_tokenize(t, s, json_string_length(text), false, &ids, &n, &error)) fail_msg("%s", error.message);
  assert_ids(s, expected, ids, n);
  gale_free(ids);
}

static void check_stream(const gale_tokenizer *t, const json_t *ids, const json_t *expected) {
  gale_detokenizer *stream;
  gale_error error = {0};
  assert_int_equal(gale_detokenizer_open(t, false, &stream, &error), GALE_OK);
  size_t n = json_array_size(ids);
  for (size_t i = 0; i <= n; i++) {
    const char *text;
    size_t length;
    gale_status status = i < n ? gale_detokenizer_push(stream, (int32_t)json_integer_value(json_array_get(ids, i)),
                                                       &text, &length, &error)
                               : gale_detokenizer_finish(stream, &text, &length, &error);
    assert_int_equal(status, GALE_OK);
    const json_t *want = json_array_get(expected, i);
    if (length != json_string_length(want) || memcmp(text, json_string_value(want), length) != 0)
      fail_msg("stream %s, step %zu: got \"%.*s\", expected \"%s\"", json_dumps(ids, 0), i, (int)length, text,
               json_string_value(want));
  }
  gale_detokenizer_close(&stream);
}

static void check_decoded(const gale_tokenizer *t, const json_t *list, const json_t *expected) {
  int32_t ids[64];
  size_t n = json_array_size(list), length;
  for (size_t i = 0; i < n; i++) ids[i] = (int32_t)json_integer_value(json_array_get(list, i));
  char *text;
  assert_int_equal(gale_detokenize(t, ids, n, false, &text, &length, NULL), GALE_OK);
  if (strcmp(text, json_string_value(expected)) != 0)
    fail_msg("%s: got \"%s\", expected \"%s\"", json_dumps(list, 0), text, json_string_value(expected));
  gale_free(text);
}

static void run_file(const char *folder, const char *name) {
  json_t *cases = load_json(folder, name), *row;
  gale_tokenizer *t = tokenizer_of(folder, cases);
  size_t i, n = 0;
  if (t) {
    json_array_foreach(json_object_get(cases, "texts"), i, row) {
      check_text(t, json_array_get(row, 0), json_array_get(row, 1));
      n++;
    }
    json_array_foreach(json_object_get(cases, "streams"), i, row) {
      check_stream(t, json_array_get(row, 0), json_array_get(row, 1));
    }
    json_array_foreach(json_object_get(cases, "decoded"), i, row) {
      check_decoded(t, json_array_get(row, 0), json_array_get(row, 1));
    }
    print_message("%s: %zu texts\n", name, n);
    gale_tokenizer_close(&t);
  }
  json_decref(cases);
}

static void run_splits(const char *folder) {
  json_t *root = load_json(folder, "splits.json"), *rows, *row, *word;
  const char *name;
  size_t i, k;
  json_object_foreach(root, name, rows) {
    const pretokenizer *pre = pretokenizer_find(name);
    assert_non_null(pre);
    json_array_foreach(rows, i, row) {
      const json_t *text = json_array_get(row, 0);
      size_t at = 0, n = json_string_length(text);
      json_array_foreach(json_array_get(row, 1), k, word) {
        size_t end = at + (size_t)json_integer_value(word);
        size_t next = at < n ? pre->next(json_string_value(text), at, n) : 0;
        if (next != end)
          fail_msg("%s: \"%s\": a word at byte %zu ends at %zu, not at %zu", name, json_string_value(text), at, next,
                   end);
        at = next;
      }
      assert_int_equal(at, n);
    }
  }
  json_decref(root);
}

static void run_chats(const char *folder, const char *name) {
  json_t *root = load_json(folder, name), *row, *turn;
  gale_tokenizer *t = tokenizer_of(folder, root);
  const char *template = json_string_value(json_object_get(root, "template"));
  size_t i, k;
  if (t) assert_string_equal(gale_chat_template(t), template);
  json_array_foreach(t ? json_object_get(root, "chats") : NULL, i, row) {
    gale_message messages[8];
    json_array_foreach(json_array_get(row, 0), k, turn) {
      messages[k] = (gale_message){.role = json_string_value(json_array_get(turn, 0)),
                                   .content = json_string_value(json_array_get(turn, 1))};
    }
    int32_t *ids;
    size_t n;
    gale_error error = {0};
    gale_status status = gale_chat_prompt(t, messages, k, NULL, &ids, &n, &error);
    const json_t *expected = json_array_get(row, 1);
    char *what = json_dumps(row, 0);
    if (json_is_string(expected) != (status != GALE_OK)) fail_msg("%s: status %d %s", what, status, error.message);
    if (status == GALE_OK) {
      assert_ids(what, expected, ids, n);
      gale_free(ids);
    } else {
      assert_int_equal(status, GALE_E_ARGUMENT);
    }
    free(what);
  }
  gale_tokenizer_close(&t);
  json_decref(root);
}

static void test_smollm(void **state) {
  (void)state;
  run_file(TEST_DATA "/text", "cases_smollm.json");
}

static void test_sentencepiece(void **state) {
  (void)state;
  run_file(TEST_DATA "/text", "cases_cut.json");
  run_file(TEST_DATA "/text", "cases_twin.json");
  run_file(TEST_DATA "/text", "cases_v1.json");
  run_file(TEST_DATA "/text", "cases_v3.json");
  run_file(TEST_DATA "/text", "cases_v7.json");
}

static void test_splits(void **state) {
  (void)state;
  run_splits(TEST_DATA "/text");
}

static void test_chats(void **state) {
  (void)state;
  run_chats(TEST_DATA "/text", "chats_v1.json");
  run_chats(TEST_DATA "/text", "chats_v3.json");
}

static void test_full(void **state) {
  (void)state;
  const char *folder = getenv("GALE_TEXT_CASES");
  if (!folder) {
    print_message("skipped: set GALE_TEXT_CASES to a folder that make_text_cases.py --full has filled\n");
    skip();
  }
  run_file(folder, "cases_smollm.json");
  run_file(folder, "cases_llama.json");
  run_file(folder, "cases_tekken.json");
  run_file(folder, "cases_gpt2.json");
  run_file(folder, "cases_twin.json");
  run_file(folder, "cases_v1.json");
  run_file(folder, "cases_v3.json");
  run_file(folder, "cases_v7.json");
  run_splits(folder);
  run_chats(folder, "chats_v1.json");
  run_chats(folder, "chats_v3.json");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_smollm), cmocka_unit_test(test_sentencepiece), cmocka_unit_test(test_splits),
      cmocka_unit_test(test_chats),  cmocka_unit_test(test_full),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
