/* Templates, their recognition and their refusals; mistral-v1 and v3 are compared with their reference in
 * test_cases.c. */
#include "tokenizer/text_cases.h"

#include "chat/chat.h"

static const char SMOLLM2[] =
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
    "You are a test<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/* The tokenizer of a file in tests/data/text, with a template of its own. */
static gale_tokenizer *with_template(const char *path, const char *jinja) {
  char *data;
  size_t n;
  gale_tokenizer *t = NULL;
  gale_error error = {0};
  tokenizer_hints hints = {.chat_template = jinja};
  assert_int_equal(file_load(path, 1 << 20, &data, &n, NULL), GALE_OK);
  gale_status status = strstr(path, ".json") ? tokenizer_from_json(path, data, n, &hints, &t, &error)
                                             : tokenizer_from_sentencepiece(path, data, n, &hints, &t, &error);
  if (status) fail_msg("%s", error.message);
  free(data);
  return t;
}

/* Every character a piece, and the control tokens of all templates. */
static gale_tokenizer *of_characters(const char *jinja, bool space_prefix) {
  static const char *const CONTROL[] = {
      "<unk>",           "<s>",          "</s>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
      "<start_of_turn>", "<end_of_turn>"};
  enum { N_CONTROL = sizeof CONTROL / sizeof *CONTROL, N = N_CONTROL + 95 + 1 };
  static char characters[95][2];
  const char *tokens[N];
  uint32_t lengths[N];
  uint8_t types[N];
  float scores[N] = {0};
  for (int i = 0; i < N; i++) {
    if (i < N_CONTROL) {
      tokens[i] = CONTROL[i];
    } else if (i < N - 1) {
      characters[i - N_CONTROL][0] = i == N_CONTROL ? '\n' : (char)(' ' + i - N_CONTROL);
      tokens[i] = characters[i - N_CONTROL];
    } else {
      tokens[i] = "\xE2\x96\x81";
    }
    lengths[i] = (uint32_t)strlen(tokens[i]);
    types[i] = i == 0 ? TOKEN_UNKNOWN : i < N_CONTROL ? TOKEN_CONTROL : TOKEN_NORMAL;
  }
  vocabulary v = {.source = "characters",
                  .n_tokens = N,
                  .tokens = tokens,
                  .lengths = lengths,
                  .types = types,
                  .scores = scores,
                  .bos = 1,
                  .eos = 2,
                  .unk = 0,
                  .add_space_prefix = space_prefix,
                  .chat_template = jinja};
  gale_tokenizer *t = NULL;
  gale_error error = {0};
  if (tokenizer_create(&v, &t, &error)) fail_msg("%s", error.message);
  return t;
}

static gale_status render(const gale_tokenizer *t, const char *name, const gale_message *messages, size_t n,
                          int32_t **ids, size_t *n_ids, gale_error *error) {
  gale_chat_options options;
  gale_chat_defaults(&options);
  options.template_name = name;
  return gale_chat_prompt(t, messages, n, &options, ids, n_ids, error);
}

static void renders(const gale_tokenizer *t, const char *name, const gale_message *messages, size_t n,
                    const char *expected) {
  int32_t *ids;
  size_t n_ids, length;
  char *text;
  gale_error error = {0};
  if (render(t, name, messages, n, &ids, &n_ids, &error)) fail_msg("%s", error.message);
  assert_int_equal(gale_detokenize(t, ids, n_ids, true, &text, &length, NULL), GALE_OK);
  assert_string_equal(text, expected);
  gale_free(text);
  gale_free(ids);
}

static const gale_message TALK[] = {{.role = "system", .content = "Be short."},
                                    {.role = "user", .content = " Hi \n"},
                                    {.role = "assistant", .content = "Hello "},
                                    {.role = "user", .content = "Bye </s>"}};

static void chatml(void **state) {
  (void)state;
  gale_tokenizer *t = with_template(TEST_DATA "/text/smollm.json", SMOLLM2);
  assert_string_equal(gale_chat_template(t), "chatml");
  renders(t, NULL, TALK, 4,
          "<|im_start|>system\nBe short.<|im_end|>\n<|im_start|>user\n Hi \n<|im_end|>\n<|im_start|>assistant\nHello "
          "<|im_end|>\n<|im_start|>user\nBye </s><|im_end|>\n<|im_start|>assistant\n");
  renders(t, NULL, TALK + 1, 1,
          "<|im_start|>system\nYou are a test<|im_end|>\n<|im_start|>user\n Hi \n<|im_end|>\n<|im_start|>assistant\n");
  /* Named, the template is plain ChatML, without what the model's own puts in. */
  renders(t, "chatml", TALK + 1, 1, "<|im_start|>user\n Hi \n<|im_end|>\n<|im_start|>assistant\n");
  assert_true(gale_tokenizer_is_end(t, 2));
  gale_tokenizer_close(&t);
  /* A template that computes its system prompt has none that is fixed. */
  t = with_template(TEST_DATA "/text/smollm.json", "{{ '<|im_start|>system\\n' + x + '<|im_end|>' }}");
  renders(t, NULL, TALK + 1, 1, "<|im_start|>user\n Hi \n<|im_end|>\n<|im_start|>assistant\n");
  gale_tokenizer_close(&t);
  t = with_template(TEST_DATA "/text/smollm.json", "{{ '<|im_start|>system\\nFixed<|im_end|>\\n' }}");
  renders(t, NULL, TALK + 1, 1,
          "<|im_start|>system\nFixed<|im_end|>\n<|im_start|>user\n Hi \n<|im_end|>\n<|im_start|>assistant\n");
  gale_tokenizer_close(&t);
}

static void llama_and_gemma(void **state) {
  (void)state;
  gale_tokenizer *t = of_characters("{{ '<|start_header_id|>' }}", false);
  assert_string_equal(gale_chat_template(t), "llama-3");
  assert_true(gale_tokenizer_is_end(t, 5));
  renders(t, NULL, TALK, 4,
          "<s><|start_header_id|>system<|end_header_id|>\n\nBe short.<|eot_id|><|start_header_id|>user<|end_header_id|>"
          "\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nHello<|eot_id|><|start_header_id|>user"
          "<|end_header_id|>\n\nBye </s><|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n");
  gale_tokenizer_close(&t);
  t = of_characters("{{ '<start_of_turn>' }}", false);
  assert_string_equal(gale_chat_template(t), "gemma");
  renders(t, NULL, TALK, 4,
          "<s><start_of_turn>user\nBe short.\n\nHi<end_of_turn>\n<start_of_turn>model\nHello<end_of_turn>\n"
          "<start_of_turn>user\nBye </s><end_of_turn>\n<start_of_turn>model\n");
  gale_tokenizer_close(&t);
  t = of_characters("{{ '[INST] <<SYS>>' }}", true);
  assert_string_equal(gale_chat_template(t), "llama-2");
  renders(t, NULL, TALK, 4,
          "<s>[INST] <<SYS>>\nBe short.\n<</SYS>>\n\n Hi [/INST] Hello </s><s> [INST] Bye </s> [/INST]");
  gale_tokenizer_close(&t);
}

static void names(void **state) {
  (void)state;
  gale_tokenizer *t = of_characters(NULL, true);
  assert_null(gale_chat_template(t));
  size_t rows = 0;
  for (; CHAT_TEMPLATES[rows].name; rows++) assert_string_equal(gale_chat_templates()[rows], CHAT_TEMPLATES[rows].name);
  assert_null(gale_chat_templates()[rows]);
  for (const char *const *name = gale_chat_templates(); *name; name++) {
    int32_t *ids;
    size_t n;
    gale_error error = {0};
    gale_status status = render(t, *name, TALK, 2, &ids, &n, &error);
    if (status == GALE_OK)
      gale_free(ids);
    else if (!strstr(error.message, "no control token"))
      fail_msg("%s: %s", *name, error.message);
  }
  gale_tokenizer_close(&t);
}

static void renders_request(const gale_tokenizer *t, const char *name, const char *json, const char *expected) {
  int32_t *ids;
  size_t n_ids, length;
  char *text;
  gale_error error = {0};
  gale_chat_options options;
  gale_chat_defaults(&options);
  options.template_name = name;
  options.generic_tools = true;
  if (gale_chat_request_with(t, &options, json, strlen(json), &ids, &n_ids, &error)) fail_msg("%s", error.message);
  assert_int_equal(gale_detokenize(t, ids, n_ids, true, &text, &length, NULL), GALE_OK);
  assert_string_equal(text, expected);
  gale_free(text);
  gale_free(ids);
}

static void continued(void **state) {
  (void)state;
  static const gale_message talk[] = {{.role = "user", .content = "Hi"},
                                      {.role = "assistant", .content = "Hello ", .prefix = true}};
  gale_tokenizer *t = with_template(TEST_DATA "/text/smollm.json", SMOLLM2);
  renders(t, "chatml", talk, 2, "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello ");
  gale_tokenizer_close(&t);
  t = of_characters(NULL, false);
  renders(t, "llama-2", talk, 2, "<s>[INST] Hi [/INST] Hello ");
  renders(t, "gemma", talk, 2, "<s><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\nHello ");
  renders(t, "llama-3", talk, 2,
          "<s><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
          "Hello ");
  renders(t, "mistral-v1", talk, 2, "<s>[INST] Hi [/INST]Hello ");
  gale_tokenizer_close(&t);
}

static void generic_tools(void **state) {
  (void)state;
  static const char talk[] =
      "{\"messages\": [{\"role\": \"system\", \"content\": \"Be short.\"}, {\"role\": \"user\", \"content\": \"Hi\"}, "
      "{\"role\": \"assistant\", \"content\": null, \"tool_calls\": [{\"id\": \"a\", \"type\": \"function\", "
      "\"function\": "
      "{\"name\": \"f\", \"arguments\": \"{\\\"a\\\":1}\"}}]}, {\"role\": \"tool\", \"tool_call_id\": \"a\", "
      "\"content\": \"2\"}], "
      "\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"f\"}}], \"reasoning_effort\": \"low\"}";
  static const char system[] =
      "Be short.\n\nYou can call functions. Each line between <tools> and </tools> describes one as JSON:\n<tools>\n"
      "{\"type\": \"function\", \"function\": {\"name\": \"f\"}}\n</tools>\nTo call a function, write its name and its "
      "arguments as JSON, in this form:\n<tool_call>{\"name\": \"...\", \"arguments\": {...}}</tool_call>";
  static const char call[] = "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1}}</tool_call>";
  char expected[1000];
  gale_tokenizer *t = with_template(TEST_DATA "/text/smollm.json", SMOLLM2);
  snprintf(expected, sizeof expected,
           "<|im_start|>system\n%s<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n%s<|im_end|>\n"
           "<|im_start|>user\n<tool_response>2</tool_response><|im_end|>\n<|im_start|>assistant\n",
           system, call);
  renders_request(t, "chatml", talk, expected);
  /* The model's own system prompt stays. */
  snprintf(expected, sizeof expected,
           "<|im_start|>system\nYou are a test%s<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
           system + strlen("Be short."));
  renders_request(t, NULL,
                  "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}], \"tools\": [{\"type\": \"function\", "
                  "\"function\": {\"name\": \"f\"}}]}",
                  expected);
  gale_tokenizer_close(&t);
}

static void refused(const gale_tokenizer *t, const char *name, const gale_message *messages, size_t n, gale_status code,
                    const char *part) {
  int32_t *ids = NULL;
  size_t n_ids;
  gale_error error = {0};
  assert_int_equal(render(t, name, messages, n, &ids, &n_ids, &error), code);
  assert_null(ids);
  if (!strstr(error.message, part)) fail_msg("\"%s\"", error.message);
  assert_int_equal(render(t, name, messages, n, &ids, &n_ids, NULL), code);
}

static void refusals(void **state) {
  (void)state;
  gale_tokenizer *t = of_characters(NULL, true);
  refused(t, NULL, TALK, 2, GALE_E_UNSUPPORTED, "no chat template");
  refused(t, "no-such", TALK, 2, GALE_E_ARGUMENT, "known ones: chatml, llama-3");
  refused(t, "llama-2", TALK, 0, GALE_E_ARGUMENT, "no messages");
  refused(t, "llama-2", TALK, 3, GALE_E_ARGUMENT, "the last message is the assistant's");
  refused(t, "llama-2", TALK, 1, GALE_E_ARGUMENT, "no user's message");
  refused(t, "chatml", TALK, 2, GALE_E_ARGUMENT, "no control token <|im_start|>");
  refused(t, "llama-2", (gale_message[]){{.role = "tool", .content = "x"}}, 1, GALE_E_ARGUMENT, "knows no tools");
  refused(t, "llama-2", (gale_message[]){{.role = NULL, .content = "x"}}, 1, GALE_E_ARGUMENT, "(none)");
  refused(t, "llama-2", (gale_message[]){{.role = "user", .content = NULL}}, 1, GALE_E_ARGUMENT, "no content");
  refused(t, "gemma", (gale_message[]){{.role = "user", .content = "a"}, {.role = "user", .content = "b"}}, 2,
          GALE_E_ARGUMENT, "alternate");
  refused(t, "mistral-v1",
          (gale_message[]){
              {.role = "user", .content = "a"}, {.role = "assistant", .content = ""}, {.role = "user", .content = "b"}},
          3, GALE_E_ARGUMENT, "empty");
  refused(t, "mistral-v1",
          (gale_message[]){{.role = "user", .content = "a"},
                           {.role = "assistant", .content = "b"},
                           {.role = "system", .content = "c"},
                           {.role = "user", .content = "d"}},
          4, GALE_E_ARGUMENT, "system message after");
  gale_tokenizer_close(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(chatml),    cmocka_unit_test(llama_and_gemma), cmocka_unit_test(names),
      cmocka_unit_test(continued), cmocka_unit_test(generic_tools),   cmocka_unit_test(refusals),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
