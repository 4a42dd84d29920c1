/* Templates are told by what they say, and Llama 3.1's prompts are those that its published template makes: the cases
 * are written by tools/make_template_cases.py. */
#include "tokenizer/text_cases.h"

/* SmolLM2's vocabulary with further control tokens, named one after the other with spaces between. */
static gale_tokenizer *with_controls(const char *controls, const char *jinja) {
  json_t *root = load_json(TEST_DATA "/text", "smollm.json");
  json_t *added = json_object_get(root, "added_tokens");
  size_t next = json_object_size(json_object_get(json_object_get(root, "model"), "vocab"));
  char list[600];
  snprintf(list, sizeof list, "<s> </s> %s", controls);
  for (char *control = strtok(list, " "); control; control = strtok(NULL, " "))
    json_array_append_new(added, json_pack("{s:i, s:s, s:b}", "id", (int)next++, "content", control, "special", 1));
  char *text = json_dumps(root, 0);
  const tokenizer_hints hints = {.bos = "<s>", .eos = "</s>", .chat_template = jinja};
  gale_tokenizer *t = NULL;
  gale_error error = {0};
  if (tokenizer_from_json("tokenizer.json", text, strlen(text), &hints, &t, &error)) fail_msg("%s", error.message);
  free(text);
  json_decref(root);
  return t;
}

static gale_tokenizer *pieces(const char *name, const char *jinja) {
  char *data, path[200];
  size_t n;
  const tokenizer_hints hints = {.chat_template = jinja};
  gale_tokenizer *t = NULL;
  gale_error error = {0};
  snprintf(path, sizeof path, TEST_DATA "/text/%s", name);
  if (file_load(path, 1 << 20, &data, &n, &error)) fail_msg("%s", error.message);
  gale_status status = strstr(name, ".json") ? tokenizer_from_json(name, data, n, &hints, &t, &error)
                                             : tokenizer_from_sentencepiece(name, data, n, &hints, &t, &error);
  if (status) fail_msg("%s", error.message);
  free(data);
  return t;
}

static void is_template(gale_tokenizer *t, const char *expected) {
  const char *name = gale_chat_template(t);
  assert_string_equal(name ? name : "none", expected);
  gale_tokenizer_close(&t);
}

#define LLAMA3_MARKS "<|begin_of_text|> <|start_header_id|> <|end_header_id|> <|eot_id|> <|eom_id|> <|python_tag|>"
#define TEKKEN3                                                                                                        \
  "[INST] [/INST] [AVAILABLE_TOOLS] [/AVAILABLE_TOOLS] [TOOL_CALLS] [TOOL_RESULTS] [/TOOL_RESULTS] [PREFIX]"
#define TEKKEN7 TEKKEN3 " [SYSTEM_PROMPT] [/SYSTEM_PROMPT] [TOOL_CONTENT]"
#define TEKKEN11 TEKKEN7 " [ARGS] [CALL_ID]"
#define TEKKEN15 TEKKEN11 " [THINK] [/THINK] [MODEL_SETTINGS] [/MODEL_SETTINGS]"

/* What tells the published templates apart. */
static void recognition(void **state) {
  (void)state;
  static const struct {
    const char *controls, *jinja, *name;
  } CASES[] = {
      {"", "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}", "chatml"},
      {"<|im_sep|>", "{{'<|im_start|>user<|im_sep|>' + message['content'] + '<|im_end|>'}}", "none"},
      {"", "{{'<|im_start|>assistant\\n<think>\\n'}}{{'<|im_end|>'}}", "none"},
      {LLAMA3_MARKS, "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' %}",
       "llama-3"},
      {LLAMA3_MARKS,
       "{{- \"<|start_header_id|>system<|end_header_id|>\\n\\n\" }}{{- \"Environment: ipython\\n\" }}"
       "{{- \"Cutting Knowledge Date: December 2023\\n\" }}",
       "llama-3.1"},
      {LLAMA3_MARKS, "<|start_header_id|>Environment: ipython\nCutting Knowledge Date<function=", "none"},
      {LLAMA3_MARKS, "<|start_header_id|>{{ functions }}", "none"},
      {"<|user|> <|assistant|>", "{{ '<|user|>\n' + message['content'] + eos_token }}", "none"},
      {"", "{{ 'USER: ' + message['content'] }}", "none"},
      {"", "", "none"},
      {TEKKEN3, "{{- '[INST]' + message['content'] + '[/INST]' }}", "mistral-v3-tekken"},
      {TEKKEN7, "{{- '[INST]' + message['content'] + '[/INST]' }}", "mistral-v3-tekken"},
      {TEKKEN7, "[SYSTEM_PROMPT][INST][TOOL_CALLS][TOOL_CONTENT]", "mistral-v7-tekken"},
      {TEKKEN11, "[SYSTEM_PROMPT][INST][TOOL_CALLS][CALL_ID][ARGS][TOOL_CONTENT]", "mistral-v11"},
      {TEKKEN15, "[SYSTEM_PROMPT][INST][TOOL_CALLS][CALL_ID][ARGS][THINK]", "mistral-v11"},
      {TEKKEN15, "[SYSTEM_PROMPT][INST][TOOL_CALLS][ARGS][THINK]", "mistral-v13"},
      {TEKKEN15, "[SYSTEM_PROMPT][MODEL_SETTINGS][INST][TOOL_CALLS][ARGS]", "mistral-v15"},
  };
  for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
    is_template(with_controls(CASES[i].controls, CASES[i].jinja), CASES[i].name);
  is_template(pieces("cut.model", "{{ '[INST]' }}{{ '[SYSTEM_PROMPT]' }}"), "mistral-v7");
  is_template(pieces("twin.json", "{{ '<|user|>' }}"), "none");
}

static void assert_text(gale_tokenizer *t, const char *body, const char *expected) {
  int32_t *ids;
  size_t n, length;
  char *text;
  gale_error error = {0};
  if (gale_chat_request(t, NULL, body, strlen(body), &ids, &n, &error)) fail_msg("%s: %s", body, error.message);
  assert_int_equal(gale_detokenize(t, ids, n, true, &text, &length, NULL), GALE_OK);
  assert_string_equal(text, expected);
  gale_free(text);
  gale_free(ids);
}

#define LLAMA31_JINJA "<|start_header_id|>Environment: ipython\nCutting Knowledge Date"

static void llama_31(void **state) {
  (void)state;
  json_t *rows = load_json(TEST_DATA "/text", "chats_llama.json"), *row;
  gale_tokenizer *t = with_controls(LLAMA3_MARKS, LLAMA31_JINJA);
  size_t i;
  json_array_foreach(rows, i, row)
      assert_text(t, json_string_value(json_array_get(row, 0)), json_string_value(json_array_get(row, 1)));
  assert_int_equal(i, 16);
  json_decref(rows);
  gale_tokenizer_close(&t);
}

#define ZEPHYR                                                                                                         \
  "{% for message in messages %}\n{% if message['role'] == 'user' %}\n{{ '<|user|>\n' + message['content'] + "         \
  "eos_token }}\n{% elif message['role'] == 'assistant' %}\n{{ '<|assistant|>\n'  + message['content'] + eos_token "   \
  "}}\n{% endif %}\n{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}"

static void zephyr(void **state) {
  (void)state;
  static const char TALK[] = "{\"messages\": [{\"role\": \"system\", \"content\": \"s\"}, {\"role\": \"user\", "
                             "\"content\": \" a <|user|>\"}, {\"role\": \"assistant\", \"content\": \"b\"}, "
                             "{\"role\": \"user\", \"content\": \"c\"}]}";
  static const char EXPECTED[] =
      "<|system|>\ns</s>\n<|user|>\n a <|user|></s>\n<|assistant|>\nb</s>\n<|user|>\nc</s>\n<|assistant|>\n";
  gale_tokenizer *t = with_controls("", ZEPHYR);
  assert_string_equal(gale_chat_template(t), "zephyr");
  assert_text(t, TALK, EXPECTED);
  gale_tokenizer_close(&t);
  t = with_controls("<|user|> <|assistant|> <|system|>", ZEPHYR);
  assert_text(t, TALK, EXPECTED);
  gale_tokenizer_close(&t);
  /* Roles are put together from their names. */
  is_template(with_controls("", "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m.content + eos_token + '\n' }}"
                                "{% endfor %}{{ '<|assistant|>\n' }}"),
              "zephyr");
  /* Others end some messages in another way. */
  is_template(with_controls("",
                            "{{ '<|user|>\n' + message['content'] + '\n' }}{{ '<|assistant|>\n' + message['content'] + "
                            "eos_token }}"),
              "none");
  is_template(with_controls("<|end|>", "{{ '<|user|>\n' + message['content'] + '<|end|>\n' }}{{ '<|assistant|>' }}"),
              "none");
}

/* The older template's own form has neither date nor tools; where tools are asked for it takes the later one. */
static void llama_3(void **state) {
  (void)state;
  gale_tokenizer *t = with_controls(LLAMA3_MARKS, "<|start_header_id|>");
  assert_text(t, "{\"messages\": [{\"role\": \"user\", \"content\": \" <|eot_id|> \"}]}",
              "<s><|start_header_id|>user<|end_header_id|>\n\n<|eot_id|><|eot_id|><|start_header_id|>assistant"
              "<|end_header_id|>\n\n");
  assert_text(
      t,
      "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"tool_calls\": "
      "[{\"function\": {\"name\": \"f\", \"arguments\": \"{\\\"x\\\":1}\"}}]}, {\"role\": \"tool\", "
      "\"tool_call_id\": \"1\", \"content\": \"r\"}]}",
      "<s><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\nToday Date: 26 "
      "Jul 2024\n\n<|eot_id|><|start_header_id|>user<|end_header_id|>\n\na<|eot_id|><|start_header_id|>assistant"
      "<|end_header_id|>\n\n{\"name\": \"f\", \"parameters\": {\"x\": 1}}<|eot_id|><|start_header_id|>ipython"
      "<|end_header_id|>\n\n\"r\"<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n");
  gale_tokenizer_close(&t);
}

static void date_option(void **state) {
  (void)state;
  gale_tokenizer *t = with_controls(LLAMA3_MARKS, LLAMA31_JINJA);
  const gale_message talk = {.role = "user", .content = "a"};
  gale_chat_options options;
  gale_chat_defaults(&options);
  options.date = "1 Jan 2030";
  int32_t *ids;
  size_t n, length;
  char *text;
  assert_int_equal(gale_chat_prompt(t, &talk, 1, &options, &ids, &n, NULL), GALE_OK);
  assert_int_equal(gale_detokenize(t, ids, n, false, &text, &length, NULL), GALE_OK);
  assert_non_null(strstr(text, "\nToday Date: 1 Jan 2030\n\n"));
  gale_free(text);
  gale_free(ids);
  gale_tokenizer_close(&t);
}

static void refused(const gale_tokenizer *t, const char *body, const char *part) {
  int32_t *ids = NULL;
  size_t n;
  gale_error error = {0};
  assert_int_equal(gale_chat_request(t, NULL, body, strlen(body), &ids, &n, &error), GALE_E_ARGUMENT);
  if (!strstr(error.message, part)) fail_msg("%s: \"%s\"", body, error.message);
}

static void unknown(void **state) {
  (void)state;
  gale_tokenizer *t =
      with_controls("<|user|>", "{%- for m in messages %}\n\xC3\xA9{{ '<|user|>' + m['content'] }}{% endfor %}");
  int32_t *ids;
  size_t n;
  gale_error error = {0};
  const gale_message talk = {.role = "user", .content = "a"};
  assert_int_equal(gale_chat_prompt(t, &talk, 1, NULL, &ids, &n, &error), GALE_E_UNSUPPORTED);
  assert_non_null(strstr(error.message, "\"{%- for m in messages %} \xC3\xA9{{ '<|user|>"));
  assert_non_null(strstr(error.message, "known ones: chatml, llama-3, llama-3.1"));
  gale_tokenizer_close(&t);
}

static void refusals(void **state) {
  (void)state;
  gale_tokenizer *t = with_controls(LLAMA3_MARKS, LLAMA31_JINJA);
#define CALL "{\"function\": {\"name\": \"f\", \"arguments\": \"{}\"}}"
  refused(t,
          "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"tool_calls\": [" CALL
          ", " CALL "]}, {\"role\": \"tool\", \"tool_call_id\": \"1\", \"content\": \"r\"}]}",
          "calls 2 tools");
  refused(t,
          "{\"messages\": [{\"role\": \"system\", \"content\": \"a\"}], \"tools\": [{\"type\": \"function\", "
          "\"function\": {\"name\": \"f\"}}]}",
          "first user's message");
  refused(t,
          "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}], \"tools\": [{\"type\": \"function\", "
          "\"function\": {\"name\": \"f g\"}}]}",
          "tools[0].function.name");
  refused(t, "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}], \"chat_template_kwargs\": 1}",
          "chat_template_kwargs");
  refused(t,
          "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}], \"chat_template_kwargs\": {\"date_string\": 1}}",
          "date_string");
  gale_tokenizer_close(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(recognition), cmocka_unit_test(zephyr),   cmocka_unit_test(llama_31), cmocka_unit_test(llama_3),
      cmocka_unit_test(date_option), cmocka_unit_test(refusals), cmocka_unit_test(unknown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
