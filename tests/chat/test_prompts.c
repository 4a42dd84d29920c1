/* Mistral's prompts and tekken vocabularies against their reference, on the cases that tools/make_chat_cases.py has
 * written, and the ways in which files and conversations are refused. */
#include "tokenizer/text_cases.h"

#include "json/value.h"

#define FOLDER TEST_DATA "/text"

static json_t *tekken_root(void) {
  return load_json(FOLDER, "tekken.json");
}

static gale_status open_tekken(const json_t *root, gale_tokenizer **t, gale_error *error) {
  char *text = json_dumps(root, 0);
  gale_status status = tokenizer_from_json("made/tekken.json", text, strlen(text), NULL, t, error);
  free(text);
  return status;
}

/* The tekken file as one of another version. */
static gale_tokenizer *tekken_of(const char *version, const json_t *settings) {
  json_t *root = tekken_root();
  gale_tokenizer *t = NULL;
  gale_error error = {0};
  json_object_set_new(json_object_get(root, "config"), "version", json_string(version));
  if (strcmp(version, "v15") == 0) json_object_set(root, "model_settings_builder", (json_t *)settings);
  if (open_tekken(root, &t, &error)) fail_msg("%s", error.message);
  json_decref(root);
  return t;
}

static gale_tokenizer *pieces_of(const char *version) {
  char *data, source[64];
  size_t n;
  gale_tokenizer *t = NULL;
  gale_error error = {0};
  snprintf(source, sizeof source, "cut.model.%s", version);
  if (file_load(FOLDER "/cut.model", 1 << 20, &data, &n, &error)) fail_msg("%s", error.message);
  if (tokenizer_from_sentencepiece(source, data, n, NULL, &t, &error)) fail_msg("%s", error.message);
  free(data);
  return t;
}

/* The tokenizer for a template "mistral-VERSION" or "mistral-VERSION-tekken". */
static gale_tokenizer *tokenizer_for(const char *template, const json_t *settings) {
  char version[16];
  snprintf(version, sizeof version, "%s", template + strlen("mistral-"));
  char *end = strstr(version, "-tekken");
  if (end) *end = 0;
  bool tekken = end || strlen(version) == 3;
  gale_tokenizer *t = tekken ? tekken_of(version, settings) : pieces_of(version);
  /* The pieces are those of v7, which the older templates are not recognised by. */
  if (tekken) assert_string_equal(gale_chat_template(t), template);
  return t;
}

static void check_chat(const gale_tokenizer *t, const char *template, const json_t *body, const json_t *expected) {
  int32_t *ids = NULL;
  size_t n;
  gale_error error = {0};
  const char *text = json_string_value(body);
  gale_status status = gale_chat_request(t, template, text, strlen(text), &ids, &n, &error);
  if ((status == GALE_OK) != json_is_array(expected)) fail_msg("%s: %s: %s", template, text, error.message);
  if (status) {
    assert_int_equal(status, GALE_E_ARGUMENT);
    assert_true(*error.message);
  } else {
    assert_ids(text, expected, ids, n);
    gale_free(ids);
  }
}

static void chats(void **state) {
  (void)state;
  json_t *root = load_json(FOLDER, "chats.json"), *row;
  const json_t *settings = json_object_get(root, "settings");
  const char *last = "";
  gale_tokenizer *t = NULL;
  size_t i;
  json_array_foreach(json_object_get(root, "chats"), i, row) {
    const char *template = json_string_value(json_array_get(row, 0));
    if (strcmp(template, last) != 0) {
      gale_tokenizer_close(&t);
      t = tokenizer_for(template, settings);
      last = template;
    }
    check_chat(t, template, json_array_get(row, 1), json_array_get(row, 2));
  }
  print_message("%zu conversations\n", i);
  json_array_foreach(json_object_get(root, "fills"), i, row) {
    const char *template = json_string_value(json_array_get(row, 0));
    const char *prefix = json_string_value(json_array_get(row, 1)), *suffix = json_string_value(json_array_get(row, 2));
    int32_t *ids;
    size_t n;
    if (strcmp(template, last) != 0) {
      gale_tokenizer_close(&t);
      t = tokenizer_for(template, settings);
      last = template;
    }
    assert_int_equal(gale_fim_prompt(t, prefix, strlen(prefix), suffix, strlen(suffix), &ids, &n, NULL), GALE_OK);
    assert_ids(prefix, json_array_get(row, 3), ids, n);
    gale_free(ids);
  }
  json_array_foreach(json_object_get(root, "texts"), i, row) {
    const char *text = json_string_value(json_array_get(row, 0));
    int32_t *ids;
    size_t n, length;
    char *back;
    assert_int_equal(gale_tokenize(t, text, strlen(text), false, &ids, &n, NULL), GALE_OK);
    assert_ids(text, json_array_get(row, 1), ids, n);
    assert_int_equal(gale_detokenize(t, ids, n, false, &back, &length, NULL), GALE_OK);
    assert_string_equal(back, text);
    gale_free(back);
    gale_free(ids);
  }
  gale_tokenizer_close(&t);
  json_decref(root);
}

static void shows(const gale_tokenizer *t, const gale_message *messages, size_t n, const gale_chat_options *options,
                  const char *expected) {
  int32_t *ids;
  size_t n_ids, length;
  char *text;
  gale_error error = {0};
  if (gale_chat_prompt(t, messages, n, options, &ids, &n_ids, &error)) fail_msg("%s", error.message);
  assert_int_equal(gale_detokenize(t, ids, n_ids, true, &text, &length, NULL), GALE_OK);
  assert_string_equal(text, expected);
  gale_free(text);
  gale_free(ids);
}

/* The structs of gale.h say what a request's body says. */
static void messages_and_options(void **state) {
  (void)state;
  const gale_tool_call call = {.id = "1", .name = "f", .arguments = "{\"a\":1}"};
  const gale_part parts[] = {{.text = "Hm", .thinking = true}, {.text = "Yes"}};
  gale_message talk[] = {{.role = "developer", .content = "s"},
                         {.role = "user", .content = "[INST]"},
                         {.role = "assistant", .tool_calls = &call, .n_tool_calls = 1},
                         {.role = "tool", .content = "r", .tool_call_id = "1"},
                         {.role = "assistant", .parts = parts, .n_parts = 2}};
  gale_chat_options options;
  gale_chat_defaults(&options);
  options.tools = "[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]";
  options.continue_final = true;
  gale_tokenizer *t = tekken_of("v13", NULL);
  const char *expected =
      "<s>[SYSTEM_PROMPT]s[/SYSTEM_PROMPT][AVAILABLE_TOOLS][{\"type\": \"function\", \"function\": {\"name\": \"f\", "
      "\"description\": \"\", \"parameters\": {}}}][/AVAILABLE_TOOLS][INST][INST][/INST][TOOL_CALLS]f[ARGS]{\"a\": 1}"
      "</s>[TOOL_RESULTS]r[/TOOL_RESULTS][THINK]Hm[/THINK]Yes";
  shows(t, talk, 5, &options, expected);
  options.continue_final = false;
  talk[4].prefix = true;
  shows(t, talk, 5, &options, expected);
  options.template_name = "mistral-v15";
  shows(t, talk + 1, 1, NULL, "<s>[INST][INST][/INST]");
  gale_tokenizer_close(&t);
}

static void refused(const gale_tokenizer *t, const char *template, const char *body, const char *part) {
  int32_t *ids = NULL;
  size_t n;
  gale_error error = {0};
  assert_int_equal(gale_chat_request(t, template, body, strlen(body), &ids, &n, &error), GALE_E_ARGUMENT);
  assert_null(ids);
  if (!strstr(error.message, part)) fail_msg("%s: \"%s\"", body, error.message);
}

static void refused_requests(void **state) {
  (void)state;
  gale_tokenizer *t = tekken_of("v13", NULL);
  refused(t, NULL, "{\"messages\": [", "not JSON at byte 14");
  refused(t, NULL, "{\"messages\": [{\"role\": \"user\", \"content\": \"\\ud800\"}]}", "byte 43: half of a surrogate");
  refused(t, NULL, "{\"messages\": [{\"role\": \"user\", \"content\": \"\xC3\"}]}", "byte 43: not UTF-8");
  refused(t, NULL, "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image_url\"}]}]}", "messages[0]");
  refused(t, NULL, "{\"messages\": []}", "no messages");
  refused(t, NULL, "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}], \"reasoning_effort\": \"high\"}", "v15");
  refused(t, NULL, "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}], \"tool_choice\": 1}", "tool_choice");
  refused(t, NULL,
          "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}], \"tools\": [{\"function\": {\"name\": \"f\", "
          "\"parameters\": {\"properties\": {\"a\": {\"type\": \"x\"}}}}}]}",
          "tools[0].function.parameters");
#define MESSAGE "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]"
  refused(t, NULL, MESSAGE ", \"seed\": 1, \"seed\": 2}", "byte 60: duplicate key \"seed\"");
  refused(t, NULL, MESSAGE ", \"x\": {\"y\": [1, 1e400]}}", "byte 64: a number beyond");
  refused(t, NULL, MESSAGE ", \"x\": NaN}", "byte 54: a value is expected");
  refused(t, NULL, MESSAGE ", \"x\": -Infinity}", "byte 54: a value is expected");
  refused(t, NULL, MESSAGE "} {}", "byte 49: something stands behind");
  refused(t, NULL, "\xEF\xBB\xBF" MESSAGE "}", "byte 0: a byte order mark");
  enum { DEEP = 100000 };
  char *deep = malloc(DEEP + 64);
  assert_non_null(deep);
  size_t n = (size_t)sprintf(deep, "{\"messages\": ");
  memset(deep + n, '[', DEEP);
  deep[n + DEEP] = 0;
  refused(t, NULL, deep, "byte 412: nested deeper than 400");
  free(deep);
  gale_tokenizer_close(&t);
  t = pieces_of("v1");
  assert_string_equal(gale_chat_template(t) ? gale_chat_template(t) : "none", "none");
  refused(t, "mistral-v1", "{\"messages\": [{\"role\": \"tool\", \"tool_call_id\": \"1\", \"content\": \"a\"}]}",
          "tool");
  gale_tokenizer_close(&t);
}

/* ---- What a tekken file may not be ---- */

static void bad_file(json_t *root, const char *part) {
  gale_tokenizer *t = NULL;
  gale_error error = {0};
  gale_status status = open_tekken(root, &t, &error);
  assert_true(status == GALE_E_FORMAT || status == GALE_E_UNSUPPORTED);
  assert_null(t);
  if (!strstr(error.message, part) || !strstr(error.message, "made/tekken.json")) fail_msg("\"%s\"", error.message);
  json_decref(root);
}

/* The file with one of its words, control tokens or settings changed. */
static json_t *with_word(size_t i, const char *key, json_t *changed) {
  json_t *root = tekken_root();
  json_object_set_new(json_array_get(json_object_get(root, "vocab"), i), key, changed);
  return root;
}

static json_t *with_special(size_t i, const char *key, json_t *changed) {
  json_t *root = tekken_root();
  json_object_set_new(json_array_get(json_object_get(root, "special_tokens"), i), key, changed);
  return root;
}

static json_t *with_config(const char *key, json_t *changed) {
  json_t *root = tekken_root();
  json_object_set_new(json_object_get(root, "config"), key, changed);
  return root;
}

static void tekken(void **state) {
  (void)state;
  static const char *const BAD[] = {"", "A", "AAA", "AAAAA", "A===", "A=AA", "A A=", "====", "A\xC3\xA9="};
  for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
    bad_file(with_word(300, "token_bytes", json_string(BAD[i])), "vocab[300].token_bytes");
  bad_file(with_word(300, "token_bytes", json_null()), "vocab[300].token_bytes");
  bad_file(with_word(300, "token_bytes", json_string("AQ==")), "vocab[300].token_bytes: another");
  bad_file(with_word(5, "token_bytes", json_string("AQ==")), "vocab[5].token_bytes: the first 256");
  bad_file(with_word(300, "rank", json_integer(299)), "vocab[300].rank is 299");
  bad_file(with_word(300, "rank", json_integer(301)), "vocab[300].rank is 301");
  bad_file(with_word(0, "rank", json_string("0")), "vocab[0].rank");
  bad_file(with_special(3, "rank", json_integer(4)), "special_tokens[4].rank");
  bad_file(with_special(3, "rank", json_integer(1000)), "special_tokens[3].rank");
  bad_file(with_special(3, "rank", json_integer(-1)), "special_tokens[3].rank");
  bad_file(with_special(1, "token_str", json_string("<x>")), "<s> and </s>");
  bad_file(with_special(1, "token_str", json_null()), "special_tokens[1].token_str");
  bad_file(with_config("version", json_string("v14")), "config.version is \"v14\"");
  bad_file(with_config("version", json_integer(3)), "config.version");
  bad_file(with_config("pattern", json_string("\\w+")), "config.pattern is \"\\w+\"");
  bad_file(with_config("default_vocab_size", json_integer(INT64_MAX)), "config.default_vocab_size");
  bad_file(with_config("default_vocab_size", json_integer(-1)), "config.default_vocab_size");
  bad_file(with_config("default_num_special_tokens", json_integer(INT64_MAX)), "config.default_num_special_tokens");
  bad_file(with_config("default_num_special_tokens", json_integer(8)), "config.default_vocab_size");
  json_t *root = tekken_root();
  json_object_del(root, "special_tokens");
  bad_file(root, "special_tokens: missing");
  root = tekken_root();
  json_object_set_new(root, "special_tokens", json_string("x"));
  bad_file(root, "special_tokens: a list");
  root = tekken_root();
  json_object_set_new(root, "model_settings_builder", json_object());
  bad_file(root, "model_settings_builder");
}

/* Up to v7 a file may leave its control tokens out. */
static void default_special(void **state) {
  (void)state;
  json_t *root = with_config("version", json_string("v7"));
  json_object_del(root, "special_tokens");
  gale_tokenizer *t = NULL;
  gale_error error = {0};
  if (open_tekken(root, &t, &error)) fail_msg("%s", error.message);
  json_decref(root);
  const char *text;
  size_t length;
  bool control;
  assert_true(gale_tokenizer_token(t, 19, &text, &length, &control));
  assert_true(control && length == 14 && memcmp(text, "[TOOL_CONTENT]", 14) == 0);
  assert_true(gale_tokenizer_token(t, 31, &text, &length, &control));
  assert_true(control && length == 12 && memcmp(text, "<SPECIAL_31>", 12) == 0);
  assert_int_equal(gale_tokenizer_bos(t), 1);
  assert_int_equal(gale_tokenizer_eos(t), 2);
  gale_tokenizer_close(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(chats),  cmocka_unit_test(messages_and_options), cmocka_unit_test(refused_requests),
      cmocka_unit_test(tekken), cmocka_unit_test(default_special),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
