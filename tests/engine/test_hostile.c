/* Bad input that only shows when a whole model is opened or run, by kind and by format. What a reader alone refuses is
 * in tests/format, bad vocabularies in tests/tokenizer and tests/load. Each refusal must name the file and the field,
 * and leave nothing behind. */
#include "models/small_models.h"

#include "engine/sampler.h"

#include "format/reader.h"

#include <math.h>

static gale_status open_model(const char *path, gale_progress_fn progress, gale_model **model, gale_error *error) {
  gale_model_options options;
  gale_model_defaults(&options);
  options.threads = 1;
  options.progress = progress;
  return gale_model_open(path, &options, model, error);
}

/* Opening path must fail with a status and a message that holds all the texts, which end with NULL. */
static void refuse_model(const char *path, gale_status wanted, ...) {
  gale_error error = {0};
  gale_model *model = NULL;
  gale_status status = open_model(path, NULL, &model, &error);
  assert_null(model);
  va_list texts;
  va_start(texts, wanted);
  check_refusal(status, wanted, &error, texts);
  va_end(texts);
}

/* Logits after a text that has every id below `vocabulary`, and what the sampler makes of them. */
static gale_status run_model(const char *path, int32_t vocabulary) {
  gale_error error = {0};
  gale_model *model = NULL;
  gale_session *session = NULL;
  sampler *s = NULL;
  sampler_scratch *scratch = NULL;
  int32_t sequence, token = -1, ids[512];
  if (open_model(path, NULL, &model, &error)) fail_msg("%s", error.message);
  gale_session_options options;
  gale_session_defaults(&options);
  options.threads = 1;
  options.context = 512;
  if (gale_session_open(model, &options, &session, &error)) fail_msg("%s", error.message);
  assert_int_equal(gale_sequence_open(session, &sequence, &error), GALE_OK);
  for (int32_t i = 0; i < vocabulary; i++) ids[i] = i;
  if (gale_prefill(session, sequence, ids, (size_t)vocabulary, NULL, NULL, &error)) fail_msg("%s", error.message);
  gale_model_info info;
  gale_model_get_info(model, &info);
  assert_int_equal(sampler_open(NULL, info.vocab_size, &s, &error), GALE_OK);
  assert_int_equal(sampler_scratch_open(info.vocab_size, NULL, &scratch, &error), GALE_OK);
  gale_status status = sampler_choose(s, scratch, gale_logits(session, sequence, 0), 0, NULL, &token, &error);
  assert_int_equal(token >= 0 && token < info.vocab_size, status == GALE_OK);
  assert_int_equal(error.code, status);
  sampler_close(&s);
  sampler_scratch_close(&scratch);
  gale_session_close(&session);
  gale_model_close(&model);
  return status;
}

static void test_sound_models(void **state) {
  (void)state;
  assert_int_equal(run_model(make_gguf(NULL), 320), GALE_OK);
  assert_int_equal(run_model(make_gguf_shards(), 320), GALE_OK);
  assert_int_equal(run_model(make_hf(NULL, NULL), 64), GALE_OK);
  assert_int_equal(run_model(make_hf_shards(), 64), GALE_OK);
  assert_int_equal(run_model(make_mistral(NULL, NULL), 64), GALE_OK);
}

/* ---- A file that gets shorter while it is read ---- */

static char shrinking[512];

static bool shrink(void *user, double fraction, const char *stage) {
  (void)user, (void)stage;
  if (fraction > 0) return true;
  struct stat st;
  assert_int_equal(stat(shrinking, &st), 0);
  assert_int_equal(truncate(shrinking, st.st_size / 2), 0);
  return true;
}

static void expect_shrinking_refused(const char *path, const char *weights) {
  gale_error error = {0};
  gale_model *model = NULL;
  snprintf(shrinking, sizeof shrinking, "%s", weights);
  assert_int_equal(open_model(path, shrink, &model, &error), GALE_E_IO);
  assert_null(model);
  if (!strstr(error.message, shrinking) || !strstr(error.message, "became shorter") || !strstr(error.message, "offset"))
    fail_msg("%s", error.message);
}

static void shortened_gguf(void **state) {
  (void)state;
  const char *path = make_gguf(NULL);
  expect_shrinking_refused(path, path);
  path = make_gguf_shards();
  expect_shrinking_refused(path, at("model-00002-of-00002.gguf"));
}

static void shortened_hf(void **state) {
  (void)state;
  expect_shrinking_refused(make_hf(NULL, NULL), at("model.safetensors"));
  expect_shrinking_refused(make_hf_shards(), at("model-00002-of-00003.safetensors"));
}

static void shortened_mistral(void **state) {
  (void)state;
  expect_shrinking_refused(make_mistral(NULL, NULL), at("consolidated.safetensors"));
}

/* ---- Settings out of range ---- */

static void settings_gguf(void **state) {
  (void)state;
  static const struct {
    const char *setting, *field;
  } bad[] = {
      {"llama.attention.head_count=0", "llama.attention.head_count"},
      {"llama.attention.head_count=-4", "llama.attention.head_count"},
      {"llama.attention.head_count=str:four", "llama.attention.head_count"},
      {"llama.attention.head_count_kv=0", "llama.attention.head_count_kv"},
      {"llama.attention.head_count_kv=3", "key/value heads"},
      {"llama.attention.head_count_kv=8", "key/value heads"},
      {"llama.block_count=0", "llama.block_count"},
      {"llama.block_count=1000000000", "llama.block_count"},
      {"llama.block_count=9223372036854775807", "llama.block_count"},
      {"llama.block_count=bool:true", "llama.block_count"},
      {"llama.embedding_length=0", "llama.embedding_length"},
      {"llama.embedding_length=4294967296", "llama.embedding_length"},
      {"llama.feed_forward_length=0", "llama.feed_forward_length"},
      {"llama.attention.layer_norm_rms_epsilon=-1", "layer_norm_rms_epsilon"},
      {"llama.attention.layer_norm_rms_epsilon=2", "layer_norm_rms_epsilon"},
      {"llama.attention.layer_norm_rms_epsilon=str:nan", "layer_norm_rms_epsilon"},
      {"llama.context_length=0", "llama.context_length"},
      {"llama.context_length=-1", "llama.context_length"},
      {"llama.attention.key_length=0", "llama.attention.key_length"},
      {"llama.rope.freq_base=0", "llama.rope.freq_base"},
      {"llama.rope.freq_base=-10000", "llama.rope.freq_base"},
      {"llama.attention.sliding_window=-1", "llama.attention.sliding_window"},
      {"llama.attention.sliding_window=str:all", "llama.attention.sliding_window"},
      {"llama.expert_count=-1", "llama.expert_count"},
      {"llama.expert_count=1000000", "llama.expert_count"},
      {"llama.vocab_size=0", "llama.vocab_size"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    const char *path = make_gguf(bad[i].setting);
    refuse_model(path, GALE_E_FORMAT, path, bad[i].field, NULL);
  }
}

static void settings_gguf_not_a_number(void **state) {
  (void)state;
  empty_directory();
  checkpoint *c = open_good("shape:tiny@f32");
  setting_at(c, "llama.attention.layer_norm_rms_epsilon")->number = NAN;
  write_gguf(c, "model.gguf");
  checkpoint_close(&c);
  refuse_model(at("model.gguf"), GALE_E_FORMAT, at("model.gguf"), "layer_norm_rms_epsilon", "offset", "not finite",
               NULL);
}

typedef struct bad_value {
  const char *key, *value, *field; /* field NULL: the key */
} bad_value;

static void settings_config_json(void **state) {
  (void)state;
  static const bad_value bad[] = {
      {"num_attention_heads", "0", NULL},
      {"num_attention_heads", "\"four\"", NULL},
      {"num_attention_heads", "[4]", NULL},
      {"num_attention_heads", "absent", NULL},
      {"num_key_value_heads", "0", NULL},
      {"num_key_value_heads", "3", "key/value heads"},
      {"num_hidden_layers", "1000000000", NULL},
      {"num_hidden_layers", "-1", NULL},
      {"num_hidden_layers", "2.5", NULL},
      {"hidden_size", "0", NULL},
      {"hidden_size", "null", NULL},
      {"intermediate_size", "9223372036854775807", NULL},
      {"rms_norm_eps", "-1e-5", NULL},
      {"rms_norm_eps", "\"NaN\"", NULL},
      {"max_position_embeddings", "0", NULL},
      {"max_position_embeddings", "true", NULL},
      {"head_dim", "0", NULL},
      {"rope_theta", "0", NULL},
      {"sliding_window", "-8", NULL},
      {"sliding_window", "\"8\"", NULL},
      {"layer_types", "[\"full_attention\"]", NULL},
      {"layer_types", "[1, 2]", NULL},
      {"vocab_size", "0", NULL},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    make_hf(bad[i].key, bad[i].value);
    refuse_model(directory, GALE_E_FORMAT, at("config.json"), bad[i].field ? bad[i].field : bad[i].key, NULL);
  }
}

static void settings_params_json(void **state) {
  (void)state;
  static const bad_value bad[] = {
      {"n_heads", "0", NULL},
      {"n_heads", "\"four\"", NULL},
      {"n_kv_heads", "3", "key/value heads"},
      {"n_kv_heads", "-2", NULL},
      {"n_layers", "1000000000", NULL},
      {"n_layers", "absent", NULL},
      {"dim", "0", NULL},
      {"hidden_dim", "1e300", NULL},
      {"norm_eps", "-1", NULL},
      {"norm_eps", "\"NaN\"", NULL},
      {"norm_eps", "absent", NULL},
      {"max_seq_len", "0", NULL},
      {"head_dim", "0", NULL},
      {"rope_theta", "-1", NULL},
      {"sliding_window", "[8, 0]", NULL},
      {"sliding_window", "[8, 8, 8]", NULL},
      {"sliding_window", "[]", NULL},
      {"vocab_size", "-64", NULL},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    make_mistral(bad[i].key, bad[i].value);
    refuse_model(directory, GALE_E_FORMAT, at("params.json"), bad[i].field ? bad[i].field : bad[i].key, NULL);
  }
}

static void settings_json_not_a_number(void **state) {
  (void)state;
  make_hf(NULL, NULL);
  write_text("config.json", "{\"architectures\":[\"LlamaForCausalLM\"],\"rms_norm_eps\":NaN}");
  refuse_model(directory, GALE_E_FORMAT, at("config.json"), "offset", "rms_norm_eps", NULL);
  make_mistral(NULL, NULL);
  write_text("params.json", "{\"norm_eps\":1e400}");
  refuse_model(directory, GALE_E_FORMAT, at("params.json"), "offset", "norm_eps", NULL);
}

/* ---- Tensors missing or of another shape ---- */

static void tensors_gguf(void **state) {
  (void)state;
  const char *path = make_gguf("llama.block_count=3");
  refuse_model(path, GALE_E_FORMAT, path, "blk.2.", "missing", NULL);
  path = make_gguf("llama.feed_forward_length=80");
  refuse_model(path, GALE_E_FORMAT, path, "blk.0.ffn_gate.weight", "[96, 64]", "[80, 64] is accepted", NULL);
  path = make_gguf("llama.block_count=1");
  refuse_model(path, GALE_E_UNSUPPORTED, path, "blk.1.", "no place", NULL);
  path = make_gguf("llama.expert_count=4");
  refuse_model(path, GALE_E_FORMAT, path, "expert", NULL);
}

static void tensors_hf(void **state) {
  (void)state;
  make_hf("num_hidden_layers", "3");
  refuse_model(directory, GALE_E_FORMAT, directory, "model.layers.2.", "missing", NULL);
  make_hf("intermediate_size", "40");
  refuse_model(directory, GALE_E_FORMAT, directory, "model.layers.0.mlp.gate_proj.weight", "[40, 32] is accepted",
               NULL);
  make_hf("num_key_value_heads", "4");
  refuse_model(directory, GALE_E_FORMAT, directory, "k_proj.weight", "[16, 32]", "[32, 32] is accepted", NULL);
}

static void tensors_mistral(void **state) {
  (void)state;
  make_mistral("n_layers", "3");
  refuse_model(directory, GALE_E_FORMAT, directory, "layers.2.", "missing", NULL);
  make_mistral("hidden_dim", "40");
  refuse_model(directory, GALE_E_FORMAT, directory, "layers.0.feed_forward.w1.weight", "[40, 32] is accepted", NULL);
}

/* ---- Weights that are not finite ---- */

/* Overwrites all of a tensor by one 32-bit pattern. */
static void fill_tensor(const char *path, const char *name, uint32_t bits) {
  checkpoint *c = open_good(path);
  const tensor *t = checkpoint_tensor(c, name);
  assert_non_null(t);
  int fd = open(c->files[t->file].path, O_WRONLY);
  assert_true(fd >= 0);
  for (uint64_t i = 0; i < t->bytes; i += sizeof bits)
    assert_int_equal(pwrite(fd, &bits, sizeof bits, (off_t)(t->offset + i)), sizeof bits);
  close(fd);
  checkpoint_close(&c);
}

static void expect_numeric(const char *path, const char *name, int32_t vocabulary) {
  static const uint32_t patterns[] = {0x7FC00000u, 0x7F800000u, 0xFF800000u};
  char kept[512];
  snprintf(kept, sizeof kept, "%s", path);
  for (int i = 0; i < 3; i++) {
    fill_tensor(kept, name, patterns[i]);
    assert_int_equal(run_model(kept, vocabulary), GALE_E_NUMERIC);
  }
  assert_int_equal(run_model("shape:tiny@q8_0", 320), GALE_OK); /* and life goes on */
}

static void not_finite_gguf(void **state) {
  (void)state;
  expect_numeric(make_gguf(NULL), "output_norm.weight", 320);
  expect_numeric(make_gguf(NULL), "blk.0.ffn_down.weight", 320);
}

static void not_finite_hf(void **state) {
  (void)state;
  expect_numeric(make_hf(NULL, NULL), "model.norm.weight", 64);
  expect_numeric(make_hf(NULL, NULL), "model.layers.1.self_attn.v_proj.weight", 64);
}

static void not_finite_mistral(void **state) {
  (void)state;
  expect_numeric(make_mistral(NULL, NULL), "norm.weight", 64);
}

/* ---- Configuration missing, of wrong types, of an unknown architecture ---- */

static void configuration_gguf(void **state) {
  (void)state;
  const char *path = make_gguf("general.architecture=qwen2");
  refuse_model(path, GALE_E_UNSUPPORTED, path, "\"qwen2\"", "llama", "gemma3", NULL);
  path = make_gguf("general.architecture=int:7");
  refuse_model(path, GALE_E_UNSUPPORTED, path, "llama", "gemma3", NULL);
  path = make_gguf("general.architecture=");
  refuse_model(path, GALE_E_UNSUPPORTED, path, "llama", "gemma3", NULL);
}

static void configuration_config_json(void **state) {
  (void)state;
  make_hf("architectures", "[\"GPT2LMHeadModel\"]");
  refuse_model(directory, GALE_E_UNSUPPORTED, at("config.json"), "\"GPT2LMHeadModel\"", "MistralForCausalLM", NULL);
  const char *const bad[] = {"5", "[5]", "\"MistralForCausalLM\""};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    make_hf("architectures", bad[i]);
    refuse_model(directory, GALE_E_FORMAT, at("config.json"), "architectures", NULL);
  }
  write_text("config.json", "[]");
  refuse_model(directory, GALE_E_FORMAT, at("config.json"), "an object is accepted", NULL);
  write_text("config.json", "");
  refuse_model(directory, GALE_E_FORMAT, at("config.json"), "offset", NULL);
  unlink(at("config.json"));
  refuse_model(directory, GALE_E_FORMAT, directory, "config.json", "params.json", NULL);
}

static void configuration_params_json(void **state) {
  (void)state;
  make_mistral(NULL, NULL);
  write_text("params.json", "{}");
  refuse_model(directory, GALE_E_FORMAT, at("params.json"), "missing", NULL);
  write_text("params.json", "{\"dim\": {\"dim\": 32}}");
  refuse_model(directory, GALE_E_FORMAT, at("params.json"), "dim is missing", NULL);
  write_text("params.json", "[]");
  refuse_model(directory, GALE_E_FORMAT, at("params.json"), "an object is accepted", NULL);
}

/* ---- What is no file, and files replaced while they are read ---- */

static void no_file(void **state) {
  (void)state;
  empty_directory();
  refuse_model(directory, GALE_E_FORMAT, directory, "config.json", "params.json", NULL);
  refuse_model(at("none.gguf"), GALE_E_IO, at("none.gguf"), "No such file", NULL);
  assert_int_equal(mkfifo(at("fifo.gguf"), 0600), 0);
  refuse_model(at("fifo.gguf"), GALE_E_IO, at("fifo.gguf"), "not a regular file", NULL);
  make_hf(NULL, NULL);
  unlink(at("tokenizer.json"));
  assert_int_equal(mkfifo(at("tokenizer.json"), 0600), 0);
  refuse_model(directory, GALE_E_IO, at("tokenizer.json"), "not a regular file", NULL);
  if (geteuid() == 0) return; /* root may read everything */
  const char *path = make_gguf(NULL);
  assert_int_equal(chmod(path, 0), 0);
  refuse_model(path, GALE_E_IO, path, "denied", NULL);
}

static bool replace(void *user, double fraction, const char *stage) {
  (void)user, (void)stage;
  if (fraction == 0) assert_int_equal(rename(at("other"), at("model.gguf")), 0);
  return true;
}

/* The file that was opened is the one that is read to its end. */
static void replaced_while_read(void **state) {
  (void)state;
  gale_error error = {0};
  gale_model *model = NULL;
  const char *path = make_gguf(NULL);
  write_text("other", "something else");
  if (open_model(path, replace, &model, &error)) fail_msg("%s", error.message);
  gale_model_close(&model);
  refuse_model(path, GALE_E_FORMAT, path, "not a GGUF file", NULL);
}

/* ---- Vocabularies that don't fit the embedding; bad tokens ---- */

/* Cuts the rows of a matrix. */
static void cut_rows(checkpoint *c, const char *name, int64_t rows) {
  const char *why;
  tensor *t = &c->tensors[checkpoint_tensor(c, name) - c->tensors];
  t->shape[0] = rows;
  assert_true(tensor_measure(t, &why));
}

static const char *make_gguf_of_rows(int64_t rows, size_t n_tokens) {
  static const char *const lists[] = {"tokenizer.ggml.tokens", "tokenizer.ggml.scores", "tokenizer.ggml.token_type"};
  empty_directory();
  checkpoint *c = open_good("shape:tiny@f32");
  cut_rows(c, "token_embd.weight", rows);
  cut_rows(c, "output.weight", rows);
  setting_at(c, "llama.vocab_size")->integer = rows;
  for (int i = 0; i < 3; i++) setting_at(c, lists[i])->array.length = n_tokens;
  write_gguf(c, "model.gguf");
  checkpoint_close(&c);
  return at("model.gguf");
}

static void vocabulary_gguf(void **state) {
  (void)state;
  const char *path = make_gguf_of_rows(319, 320);
  refuse_model(path, GALE_E_FORMAT, path, "320 tokens", "319 rows", NULL);
  assert_int_equal(run_model(make_gguf_of_rows(320, 310), 320), GALE_OK);
}

static void vocabulary_hf(void **state) {
  (void)state;
  static const char tail[] = "\"b\":1},\"merges\":[]}}";
  char text[4096] = "{\"version\":\"1.0\",\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,"
                    "\"use_regex\":true},\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"vocab\":{";
  for (int i = 2; i < 65; i++) snprintf(text + strlen(text), 32, "\"a%d\":%d,", i, i);
  snprintf(text + strlen(text), 64, "\"a\":0,%s", tail);
  make_hf(NULL, NULL);
  write_text("tokenizer.json", text);
  refuse_model(directory, GALE_E_FORMAT, directory, "65 tokens", "64 rows", NULL);
}

/* A GGUF file in which one token has another text and type. */
static const char *make_gguf_with_token(int id, const char *bytes, int type) {
  empty_directory();
  checkpoint *c = open_good("shape:tiny@f32");
  setting *token = (setting *)&setting_at(c, "tokenizer.ggml.tokens")->array.items[id];
  token->string.bytes = bytes;
  token->string.length = strlen(bytes);
  ((setting *)&setting_at(c, "tokenizer.ggml.token_type")->array.items[id])->integer = type;
  write_gguf(c, "model.gguf");
  checkpoint_close(&c);
  return at("model.gguf");
}

static void byte_tokens_gguf(void **state) {
  (void)state;
  const char *const bad[] = {"<0x-1>", "<0xZZ>", "<0x100>", "<0x>", "byte"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    const char *path = make_gguf_with_token(10, bad[i], 6);
    refuse_model(path, GALE_E_FORMAT, path, "token 10", NULL);
  }
}

/* ---- Ids of control tokens out of range, merges to unknown tokens, scores that are no numbers ---- */

static void control_tokens_gguf(void **state) {
  (void)state;
  const char *const bad[] = {"tokenizer.ggml.bos_token_id=320", "tokenizer.ggml.bos_token_id=-1",
                             "tokenizer.ggml.eos_token_id=4294967295", "tokenizer.ggml.eos_token_id=str:two",
                             "tokenizer.ggml.unknown_token_id=99999"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    char field[64] = "";
    memcpy(field, bad[i], strcspn(bad[i], "="));
    const char *path = make_gguf(bad[i]);
    refuse_model(path, GALE_E_FORMAT, path, field, "the id of a token", NULL);
  }
}

static void scores_gguf(void **state) {
  (void)state;
  empty_directory();
  checkpoint *c = open_good("shape:tiny@f32");
  ((setting *)&setting_at(c, "tokenizer.ggml.scores")->array.items[300])->number = NAN;
  write_gguf(c, "model.gguf");
  checkpoint_close(&c);
  refuse_model(at("model.gguf"), GALE_E_FORMAT, at("model.gguf"), "tokenizer.ggml.scores", "offset", "not finite",
               NULL);
}

static void merges_gguf(void **state) {
  (void)state;
  empty_directory();
  checkpoint *c = open_good("shape:tiny@f32");
  override(c, "tokenizer.ggml.model=gpt2");
  override(c, "tokenizer.ggml.pre=smollm");
  override(c, "tokenizer.ggml.merges=[\"a b\", \"zq qz\"]");
  write_gguf(c, "model.gguf");
  checkpoint_close(&c);
  refuse_model(at("model.gguf"), GALE_E_FORMAT, at("model.gguf"), "merge", NULL);
}

static void merges_hf(void **state) {
  (void)state;
  char text[sizeof small_tokenizer_json];
  strcpy(text, small_tokenizer_json);
  memcpy(strstr(text, "a b"), "a z", 3);
  make_hf(NULL, NULL);
  write_text("tokenizer.json", text);
  refuse_model(directory, GALE_E_FORMAT, at("tokenizer.json"), "merge", NULL);
}

/* ---- Tokenizer files ---- */

static void sentencepiece_file(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    size_t n;
  } bad[] = {
      {"\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F", 11}, /* a varint of more than 64 bits */
      {"\x0A\x80", 2},                                      /* a varint that does not end */
      {"\x0A\x7F"
       "ab",
       4}, /* a length past the end */
      {"\x0A\x05\x0A\x10"
       "abc",
       7},             /* a length past the end of its message */
      {"\x0F\x01", 2}, /* a wire type that there is none of */
      {"", 0},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    make_mistral(NULL, NULL);
    const char *path = write_bytes("tokenizer.model.v3", bad[i].bytes, bad[i].n);
    refuse_model(directory, GALE_E_FORMAT, path, NULL);
    make_hf(NULL, NULL);
    unlink(at("tokenizer.json"));
    path = write_bytes("tokenizer.model", bad[i].bytes, bad[i].n);
    refuse_model(directory, GALE_E_FORMAT, path, NULL);
  }
}

static void tekken_file(void **state) {
  (void)state;
  static const char *const vocabularies[] = {
      "{\"rank\":0,\"token_bytes\":\"?!\",\"token_str\":\"a\"}",
      "{\"rank\":0,\"token_bytes\":\"YQ==\"},{\"rank\":0,\"token_bytes\":\"Yg==\"}",
      "{\"rank\":0,\"token_bytes\":\"YQ==\"},{\"rank\":2,\"token_bytes\":\"Yg==\"}",
      "5",
  };
  for (size_t i = 0; i < sizeof vocabularies / sizeof *vocabularies; i++) {
    char text[512];
    gale_error error = {0};
    gale_tokenizer *tokenizer = NULL;
    snprintf(text, sizeof text,
             "{\"config\":{\"pattern\":\"x\",\"num_vocab_tokens\":2,\"default_vocab_size\":2,"
             "\"default_num_special_tokens\":0,\"version\":\"v3\"},\"vocab\":[%s]}",
             vocabularies[i]);
    empty_directory();
    const char *path = write_text("tekken.json", text);
    assert_int_not_equal(gale_tokenizer_open(path, &tokenizer, &error), GALE_OK);
    assert_null(tokenizer);
    assert_non_null(strstr(error.message, path));
  }
}

#define IN_A_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, make_directory, remove_directory)

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_A_DIRECTORY(test_sound_models),
      IN_A_DIRECTORY(shortened_gguf),
      IN_A_DIRECTORY(shortened_hf),
      IN_A_DIRECTORY(shortened_mistral),
      IN_A_DIRECTORY(settings_gguf),
      IN_A_DIRECTORY(settings_gguf_not_a_number),
      IN_A_DIRECTORY(settings_config_json),
      IN_A_DIRECTORY(settings_params_json),
      IN_A_DIRECTORY(settings_json_not_a_number),
      IN_A_DIRECTORY(tensors_gguf),
      IN_A_DIRECTORY(tensors_hf),
      IN_A_DIRECTORY(tensors_mistral),
      IN_A_DIRECTORY(not_finite_gguf),
      IN_A_DIRECTORY(not_finite_hf),
      IN_A_DIRECTORY(not_finite_mistral),
      IN_A_DIRECTORY(configuration_gguf),
      IN_A_DIRECTORY(configuration_config_json),
      IN_A_DIRECTORY(configuration_params_json),
      IN_A_DIRECTORY(no_file),
      IN_A_DIRECTORY(replaced_while_read),
      IN_A_DIRECTORY(vocabulary_gguf),
      IN_A_DIRECTORY(vocabulary_hf),
      IN_A_DIRECTORY(byte_tokens_gguf),
      IN_A_DIRECTORY(control_tokens_gguf),
      IN_A_DIRECTORY(scores_gguf),
      IN_A_DIRECTORY(merges_gguf),
      IN_A_DIRECTORY(merges_hf),
      IN_A_DIRECTORY(sentencepiece_file),
      IN_A_DIRECTORY(tekken_file),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
