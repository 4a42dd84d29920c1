/* Hugging Face and Mistral directories: which files count, how JSON becomes settings, and bad input. */
#include "build_safetensors.h"

static const setting *expect(const checkpoint *c, const char *key, setting_type type) {
  const setting *s = checkpoint_setting(c, key);
  if (!s) fail_msg("no key %s", key);
  assert_int_equal(s->type, type);
  return s;
}

static void expect_text(const checkpoint *c, const char *key, const char *text) {
  assert_string_equal(expect(c, key, SETTING_STRING)->string.bytes, text);
}

/* ---- Settings ---- */

static void test_settings(void **state) {
  (void)state;
  write_one("model.safetensors", "a");
  write_text("config.json",
             "{\"hidden_size\": 64, \"eps\": 1e-05, \"tie\": false, \"window\": null, \"act\": \"silu\",\n"
             "\"rope_scaling\": {\"factor\": 8.0, \"deep\": {\"er\": -9223372036854775808}},\n"
             "\"layer_types\": [\"full_attention\", \"sliding_attention\"], \"none\": [],\n"
             "\"eos_token_id\": [1, 2], \"skipped\": [[1]], \"also\": [{}], \"empty\": {}}");
  checkpoint *c = open_good(directory);
  assert_string_equal(c->config_path, at("config.json"));
  assert_string_equal(c->format, "Hugging Face");
  assert_int_equal(expect(c, "hidden_size", SETTING_INT)->integer, 64);
  assert_true(expect(c, "eps", SETTING_FLOAT)->number == 1e-5);
  assert_false(expect(c, "tie", SETTING_BOOL)->boolean);
  expect(c, "window", SETTING_NULL);
  expect_text(c, "act", "silu");
  assert_true(expect(c, "rope_scaling.factor", SETTING_FLOAT)->number == 8);
  assert_true(expect(c, "rope_scaling.deep.er", SETTING_INT)->integer == INT64_MIN);
  const setting *types = expect(c, "layer_types", SETTING_ARRAY);
  assert_int_equal(types->array.length, 2);
  assert_string_equal(types->array.items[1].string.bytes, "sliding_attention");
  assert_int_equal(expect(c, "none", SETTING_ARRAY)->array.length, 0);
  assert_int_equal(expect(c, "eos_token_id", SETTING_ARRAY)->array.items[1].integer, 2);
  assert_null(checkpoint_setting(c, "skipped"));
  assert_null(checkpoint_setting(c, "also"));
  assert_null(checkpoint_setting(c, "empty"));
  assert_null(c->tokenizer_path);
  checkpoint_close(&c);
}

static void test_optional_files(void **state) {
  (void)state;
  write_one("model.safetensors", "a");
  write_text("config.json", "{}");
  write_text("generation_config.json", "{\"eos_token_id\": 7, \"temperature\": 0.6}");
  write_text("tokenizer_config.json", "{\"model_max_length\": 1000000000000000019884624838656, \"add_bos_token\": true,"
                                      "\"added_tokens_decoder\": {\"0\": {\"content\": \"<unk>\"}}}");
  write_text("chat_template.jinja", "{{ messages }}");
  write_text("tokenizer.model", "");
  checkpoint *c = open_good(directory);
  assert_int_equal(expect(c, "generation_config.eos_token_id", SETTING_INT)->integer, 7);
  assert_true(expect(c, "generation_config.temperature", SETTING_FLOAT)->number == 0.6);
  assert_true(expect(c, "tokenizer_config.model_max_length", SETTING_FLOAT)->number == 1e30);
  assert_true(expect(c, "tokenizer_config.add_bos_token", SETTING_BOOL)->boolean);
  expect_text(c, "tokenizer_config.added_tokens_decoder.0.content", "<unk>");
  expect_text(c, "tokenizer_config.chat_template", "{{ messages }}");
  assert_string_equal(c->tokenizer_path, at("tokenizer.model"));
  checkpoint_close(&c);

  /* A file of its own counts, where there are both. */
  write_text("tokenizer_config.json", "{\"chat_template\": \"own\"}");
  c = open_good(directory);
  expect_text(c, "tokenizer_config.chat_template", "{{ messages }}");
  checkpoint_close(&c);

  assert_int_equal(unlink(at("chat_template.jinja")), 0);
  write_text("tokenizer_config.json", "{\"chat_template\": [{\"name\": \"tool_use\", \"template\": \"t\"},"
                                      "{\"name\": \"default\", \"template\": \"d\"}]}");
  c = open_good(directory);
  expect_text(c, "tokenizer_config.chat_template", "d");
  checkpoint_close(&c);

  write_text("tokenizer.json", "{}");
  write_text("tokenizer_config.json", "{\"chat_template\": \"own\"}");
  c = open_good(directory);
  expect_text(c, "tokenizer_config.chat_template", "own");
  assert_string_equal(c->tokenizer_path, at("tokenizer.json"));
  checkpoint_close(&c);

  /* Of a folder without weights the tokenizer's part can be read all the same. */
  assert_int_equal(unlink(at("model.safetensors")), 0);
  assert_int_equal(unlink(at("config.json")), 0);
  gale_error error = {0};
  assert_int_not_equal(checkpoint_open(directory, &c, &error), GALE_OK);
  if (checkpoint_open_tokenizer(directory, &c, &error)) fail_msg("%s", error.message);
  expect_text(c, "tokenizer_config.chat_template", "own");
  assert_string_equal(c->tokenizer_path, at("tokenizer.json"));
  checkpoint_close(&c);
}

/* ---- Which directory it is ---- */

static void test_mistral(void **state) {
  (void)state;
  write_text("params.json", "{\"dim\": 64, \"moe\": {\"num_experts\": 8}}");
  write_one("consolidated.safetensors", "tok_embeddings.weight");
  write_text("tokenizer.model", "");
  write_text("tokenizer.model.v2", "");
  write_text("tokenizer.model.v11", "");
  checkpoint *c = open_good(directory);
  assert_int_equal(c->kind, CHECKPOINT_MISTRAL);
  assert_string_equal(c->format, "Mistral");
  assert_string_equal(c->config_path, at("params.json"));
  assert_string_equal(c->tokenizer_path, at("tokenizer.model.v11"));
  assert_int_equal(expect(c, "moe.num_experts", SETTING_INT)->integer, 8);
  checkpoint_close(&c);
  write_text("tekken.json", "{}");
  c = open_good(directory);
  assert_string_equal(c->tokenizer_path, at("tekken.json"));
  checkpoint_close(&c);
}

static void test_mistral_shards(void **state) {
  (void)state;
  write_text("params.json", "{}");
  write_one("consolidated-00001-of-00002.safetensors", "a");
  write_one("consolidated-00002-of-00002.safetensors", "b");
  checkpoint *c = open_good(directory);
  assert_int_equal(c->n_tensors, 2);
  checkpoint_close(&c);
  write_text("consolidated.safetensors.index.json",
             "{\"weight_map\":{\"a\":\"consolidated-00001-of-00002.safetensors\"}}");
  c = open_good(directory);
  assert_int_equal(c->n_tensors, 1);
  checkpoint_close(&c);
}

static void test_both_forms(void **state) {
  (void)state;
  write_text("params.json", "{}");
  write_text("config.json", "{}");
  write_one("consolidated.safetensors", "a");
  checkpoint *c = open_good(directory);
  assert_int_equal(c->kind, CHECKPOINT_MISTRAL);
  checkpoint_close(&c);
  write_one("model-00001-of-00001.safetensors", "b");
  c = open_good(directory);
  assert_int_equal(c->kind, CHECKPOINT_HF);
  assert_non_null(checkpoint_tensor(c, "b"));
  checkpoint_close(&c);
}

/* ---- What is there instead of a model ---- */

static void test_other_contents(void **state) {
  (void)state;
  static const struct {
    const char *file, *advice;
  } cases[] = {
      {"pytorch_model.bin", "convert it to safetensors"},
      {"pytorch_model-00001-of-00002.bin", "convert it to safetensors"},
      {"consolidated.00.pth", "convert it to safetensors"},
      {"model.pt", "convert it to safetensors"},
      {"adapter_model.bin", "an adapter (LoRA): merge it"},
      {"adapter_model.safetensors", "an adapter (LoRA): merge it"},
      {"weights.npz", "MLX's old form"},
      {"tf_model.h5", "TensorFlow's"},
      {"model-q4_0.gguf", "a GGUF file: name it instead"},
  };
  static const char *const configs[] = {NULL, "config.json", "params.json"};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (int k = 0; k < 3; k++) {
      write_text(cases[i].file, "PK");
      if (configs[k]) write_text(configs[k], "{}");
      refuse(directory, GALE_E_FORMAT, directory, cases[i].file, cases[i].advice, NULL);
      assert_int_equal(unlink(at(cases[i].file)), 0);
      if (configs[k]) assert_int_equal(unlink(at(configs[k])), 0);
    }
  write_text("adapter_config.json", "{}");
  refuse(directory, GALE_E_FORMAT, directory, "adapter_config.json", "merge it into its model", NULL);
}

/* ---- Bad input ---- */

static void refuse_config(const char *text, const char *why) {
  write_text("config.json", text);
  refuse(directory, GALE_E_FORMAT, at("config.json"), why, NULL);
}

static void config(void **state) {
  (void)state;
  write_one("model.safetensors", "a");
  refuse(directory, GALE_E_FORMAT, directory, "config.json", "params.json", NULL);
  refuse_config("", "JSON at line 1, offset 0");
  refuse_config("[]", "an object is accepted");
  refuse_config("\"text\"", "JSON at line 1");
  refuse_config("{\"a\": 1,\n \"rope_theta\": 99999999999999999999}", "line 2");
  refuse_config("{\"a\": 1, \"rope_theta\": 99999999999999999999}", "key \"rope_theta\": an integer beyond 64 bits");
  refuse_config("{\"a\": 1, \"list\" : [1, 1e400]}", "key \"list\": a number beyond the range of a double");
  refuse_config("{\"eps\": NaN}", "key \"eps\"");
  refuse_config("{\"eps\": Infinity}", "key \"eps\"");
  refuse_config("{\"a\": 1, \"a\": 2}", "duplicate");
  refuse_config("{\"a.b\": 1, \"a\": {\"b\": 2}}", "key \"a.b\" is there twice");
  refuse_config("{\"a\": \"\xC3(\"}", "not UTF-8");
  refuse_config("{\"a\": \"\\u0000\"}", "key \"a\"");
  refuse_config("{\"a\": 1} {}", "offset");
  char deep[500] = "";
  for (int i = 0; i < 70; i++) strcat(deep, "{\"k\":");
  refuse_config(deep, "nested deeper than 64");
  char longer[700] = "{\"";
  memset(longer + 2, 'k', 600);
  strcpy(longer + 602, "\": 1}");
  refuse_config(longer, "at most 255");
}

static void optional_files(void **state) {
  (void)state;
  write_one("model.safetensors", "a");
  write_text("config.json", "{}");
  write_text("generation_config.json", "{");
  refuse(directory, GALE_E_FORMAT, at("generation_config.json"), "offset", NULL);
  write_text("generation_config.json", "{}");
  write_text("tokenizer_config.json", "{\"a\": 1e400}");
  refuse(directory, GALE_E_FORMAT, at("tokenizer_config.json"), "key \"a\"", NULL);
  unlink(at("tokenizer_config.json"));
  assert_int_equal(mkfifo(at("chat_template.jinja"), 0600), 0);
  refuse(directory, GALE_E_IO, at("chat_template.jinja"), "not a regular file", NULL);
}

static void no_weights(void **state) {
  (void)state;
  write_text("config.json", "{}");
  refuse(directory, GALE_E_FORMAT, directory, "0 files *.safetensors", "model.safetensors.index.json", NULL);
  write_one("x.safetensors", "a");
  write_one("y.safetensors", "b");
  refuse(directory, GALE_E_FORMAT, directory, "2 files *.safetensors", NULL);
  unlink(at("config.json"));
  write_text("params.json", "{}");
  refuse(directory, GALE_E_FORMAT, directory, "consolidated.safetensors", NULL);
}

static void directories(void **state) {
  (void)state;
  refuse(directory, GALE_E_FORMAT, directory, "a directory without a model", "config.json", NULL);
  assert_int_equal(mkdir(at("config.json"), 0700), 0);
  refuse(directory, GALE_E_IO, at("config.json"), "not a regular file", NULL);
}

static void test_mutations(void **state) {
  (void)state;
  static const char config[] =
      "{\"a\": 12, \"b\": [1.5, true], \"c\": {\"d\": \"text\\n\", \"e\": null}, \"f\": -1e-5}";
  uint64_t seed = 3;
  write_one("model.safetensors", "a");
  for (int i = 0; i < 2000; i++) {
    char bad[sizeof config];
    memcpy(bad, config, sizeof config);
    bad[next_random(&seed) % (sizeof config - 1)] ^= (char)(1 + next_random(&seed) % 255);
    write_bytes("config.json", bad, sizeof config - 1);
    try_open(directory);
  }
}

#define IN_A_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, make_directory, remove_directory)

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_A_DIRECTORY(test_settings),   IN_A_DIRECTORY(test_optional_files),
      IN_A_DIRECTORY(test_mistral),    IN_A_DIRECTORY(test_mistral_shards),
      IN_A_DIRECTORY(test_both_forms), IN_A_DIRECTORY(test_other_contents),
      IN_A_DIRECTORY(config),          IN_A_DIRECTORY(optional_files),
      IN_A_DIRECTORY(no_weights),      IN_A_DIRECTORY(directories),
      IN_A_DIRECTORY(test_mutations),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
