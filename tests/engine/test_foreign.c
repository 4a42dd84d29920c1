/* Checkpoints that are not plain text models: multimodal ones, of which the text part runs; those that other tools
 * quantised, whose refusal names the method; and those that name no architecture. */
#include "models/small_models.h"

#include "format/reader.h"

static gale_model *open_model(const char *path, gale_status wanted, gale_error *error) {
  gale_model_options options;
  gale_model_defaults(&options);
  options.threads = 1;
  gale_model *model = NULL;
  *error = (gale_error){0};
  gale_status status = gale_model_open(path, &options, &model, error);
  if (status != wanted) fail_msg("status %d, not %d: %s", status, wanted, error->message);
  return model;
}

static void refuse_with(const char *path, gale_status wanted, const char *a, const char *b) {
  gale_error error;
  gale_model *model = open_model(path, wanted, &error);
  gale_model_close(&model);
  if (!strstr(error.message, a) || !strstr(error.message, b))
    fail_msg("\"%s\" and \"%s\" are not both in: %s", a, b, error.message);
}

/* A sum over the logits of a few tokens, and the note, which must hold a text (NULL: none). */
static double digest(const char *path, const char *note) {
  int32_t ids[] = {5, 9, 33, 2, 17, 40, 41, 8, 21, 60, 3, 7};
  gale_error error;
  gale_model *model = open_model(path, GALE_OK, &error);
  gale_model_info info;
  gale_model_get_info(model, &info);
  if (note && (!info.note || !strstr(info.note, note))) fail_msg("\"%s\" is not in: %s", note, info.note);
  if (!note) assert_null(info.note);
  for (int i = 0; i < 12; i++) ids[i] %= info.vocab_size;
  gale_session_options options;
  gale_session_defaults(&options);
  options.threads = 1;
  options.context = 64;
  gale_session *session = NULL;
  int32_t sequence;
  assert_int_equal(gale_session_open(model, &options, &session, &error), GALE_OK);
  assert_int_equal(gale_sequence_open(session, &sequence, &error), GALE_OK);
  assert_int_equal(gale_prefill(session, sequence, ids, 12, NULL, NULL, &error), GALE_OK);
  double sum = 0;
  for (int32_t i = 0; i < info.vocab_size; i++) sum += (i + 1) * (double)gale_logits(session, sequence, 0)[i];
  gale_session_close(&session);
  gale_model_close(&model);
  return sum;
}

/* ---- Multimodal ---- */

/* A GGUF file of a shape with two more tensors (NULL: without). */
static const char *make_gguf_with(const char *shape, const char *first, const char *second) {
  const char *const names[] = {first, second};
  empty_directory();
  checkpoint *c = open_good(shape);
  for (int i = 0; i < 2 && names[i]; i++) {
    const char *why;
    tensor *t = checkpoint_add_tensors(c, 1);
    assert_non_null(t);
    *t = (tensor){.name = names[i], .type = QUANT_F32, .n_dims = 2, .shape = {8, 8}};
    assert_true(tensor_measure(t, &why));
  }
  assert_int_equal(checkpoint_index(c, NULL), GALE_OK);
  write_gguf(c, "model.gguf");
  checkpoint_close(&c);
  return at("model.gguf");
}

static void test_multimodal_gguf(void **state) {
  (void)state;
  static const char *const shapes[] = {"shape:tiny@f32",       "shape:tiny-moe@f32",    "shape:tiny-yarn@f32",
                                       "shape:tiny-gemma@f32", "shape:tiny-gemma2@f32", "shape:tiny-gemma3@f32"};
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
    double plain = digest(make_gguf_with(shapes[i], NULL, NULL), NULL);
    assert_true(digest(make_gguf_with(shapes[i], "v.blk.0.attn_q.weight", "mm.0.weight"), "vision part") == plain);
    assert_true(digest(make_gguf_with(shapes[i], "a.blk.0.attn_q.weight", "mm.a.mlp.1.weight"), "audio part") == plain);
    assert_true(digest(make_gguf_with(shapes[i], "v.patch_embd.weight", "a.conv1d.1.weight"), "vision and audio") ==
                plain);
    assert_true(digest(make_gguf_with(shapes[i], "mm.linear_1.weight", NULL), "multimodal part") == plain);
    refuse_with(make_gguf_with(shapes[i], "blk.0.strange.weight", NULL), GALE_E_UNSUPPORTED, "blk.0.strange.weight",
                "no place");
  }
  refuse_with(make_gguf("general.architecture=clip"), GALE_E_UNSUPPORTED, "only the vision or audio part", "gemma3");
}

/* Adds a tensor of 4 bytes to a directory whose weights are in one file. */
static void add_tensor(const char *weights, const char *any, const char *name, const char *dtype) {
  char header[512], index[512], index_name[128];
  int shape = strcmp(dtype, "U8") == 0 ? 4 : 1;
  int n = snprintf(header, sizeof header, "{\"%s\":{\"dtype\":\"%s\",\"shape\":[%d],\"data_offsets\":[0,4]}}", name,
                   dtype, shape);
  uint64_t length = (uint64_t)n;
  char bytes[540] = {0};
  memcpy(bytes, &length, 8);
  memcpy(bytes + 8, header, length);
  write_bytes("extra.safetensors", bytes, 8 + length + 4);
  snprintf(index, sizeof index, "{\"weight_map\":{\"%s\":\"%s\",\"%s\":\"extra.safetensors\"}}", any, weights, name);
  snprintf(index_name, sizeof index_name, "%s.index.json", weights);
  write_text(index_name, index);
}

static const char any_hf[] = "model.layers.0.self_attn.v_proj.weight";

static void test_multimodal_directories(void **state) {
  (void)state;
  static const struct {
    const char *name, *note;
  } hf[] = {
      {"audio_tower.conv1.weight", "audio part"},       {"model.audio_tower.conv1.weight", "audio part"},
      {"vision_tower.patch_conv.weight", "vision"},     {"model.vision_tower.x.weight", "vision part"},
      {"multi_modal_projector.x.weight", "multimodal"}, {"model.multi_modal_projector.x", "multimodal part"},
      {"vision_model.x.weight", "vision part"},         {"image_newline", "vision part"},
  };
  double plain = digest(make_hf(NULL, NULL), NULL);
  for (size_t i = 0; i < sizeof hf / sizeof *hf; i++) {
    make_hf(NULL, NULL);
    add_tensor("model.safetensors", any_hf, hf[i].name, "F32");
    assert_true(digest(directory, hf[i].note) == plain);
  }
  plain = digest(make_mistral(NULL, NULL), NULL);
  make_mistral(NULL, NULL);
  add_tensor("consolidated.safetensors", "norm.weight", "mm_whisper_embeddings.whisper_encoder.conv_layers.0.weight",
             "F32");
  assert_true(digest(directory, "audio part") == plain);
}

/* ---- Which family ---- */

/* Writes config.json of a model of tests/data with these keys set (JSON; NULL: removed). */
static void set_config(const char *from, const char *const (*pairs)[2]) {
  char path[512];
  snprintf(path, sizeof path, TEST_DATA "/models/%s/config.json", from);
  json_t *root = json_load_file(path, 0, NULL);
  assert_non_null(root);
  for (; (*pairs)[0]; pairs++) {
    if (!(*pairs)[1]) {
      json_object_del(root, (*pairs)[0]);
      continue;
    }
    json_t *value = json_loads((*pairs)[1], JSON_DECODE_ANY, NULL);
    assert_non_null(value);
    json_object_set_new(root, (*pairs)[0], value);
  }
  assert_int_equal(json_dump_file(root, at("config.json"), 0), 0);
  json_decref(root);
}

#define PAIRS(...) ((const char *const[][2]){__VA_ARGS__, {NULL, NULL}})

static void test_no_architectures(void **state) {
  (void)state;
  static const char *const models[] = {"mistral-window-8", "llama-mha",  "mixtral-4x2",       "gemma",    "gemma2",
                                       "gemma3",           "ministral3", "gemma3-multimodal", "small-3.1"};
  static const char *const forms[] = {NULL, "null", "[]"};
  for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
    char from[128];
    empty_directory();
    snprintf(from, sizeof from, "%s/model.safetensors", models[i]);
    copy_file(from, "model.safetensors");
    set_config(models[i], PAIRS({"x", "1"}));
    gale_error error;
    gale_model *model = open_model(directory, GALE_OK, &error);
    gale_model_info info;
    gale_model_get_info(model, &info);
    const char *note = info.note ? "part of these files" : NULL;
    gale_model_close(&model);
    double plain = digest(directory, note);
    for (int f = 0; f < 3; f++) {
      set_config(models[i], PAIRS({"architectures", forms[f]}));
      assert_true(digest(directory, note) == plain);
    }
  }
  make_hf(NULL, NULL);
  set_config("mistral-window-8", PAIRS({"architectures", NULL}, {"model_type", "\"qwen2\""}));
  refuse_with(directory, GALE_E_UNSUPPORTED, "model_type \"qwen2\"", "gemma3_text");
  set_config("mistral-window-8", PAIRS({"architectures", NULL}, {"model_type", NULL}));
  refuse_with(directory, GALE_E_FORMAT, "neither architectures nor model_type", "mistral");
  set_config("mistral-window-8", PAIRS({"architectures", "[\"Qwen2ForCausalLM\"]"}, {"model_type", "\"qwen2\""}));
  refuse_with(directory, GALE_E_UNSUPPORTED, "\"Qwen2ForCausalLM\", model_type \"qwen2\"", "MistralForCausalLM");
}

/* Pixtral and others in Hugging Face's form: a Mistral or Llama under language_model., told by text_config. */
static void test_wrapped(void **state) {
  (void)state;
  empty_directory();
  copy_file("small-3.1/model.safetensors", "model.safetensors");
  set_config("small-3.1", PAIRS({"x", "1"}));
  double plain = digest(directory, "vision part");
  static const char *const names[][2] = {{"[\"LlavaForConditionalGeneration\"]", "\"llava\""},
                                         {"[\"LlavaNextForConditionalGeneration\"]", "\"llava_next\""},
                                         {NULL, "\"pixtral\""},
                                         {NULL, "\"llava\""},
                                         {"[\"VoxtralForConditionalGeneration\"]", "\"voxtral\""}};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    set_config("small-3.1", PAIRS({"architectures", names[i][0]}, {"model_type", names[i][1]}));
    assert_true(digest(directory, "vision part") == plain);
  }
  set_config("small-3.1", PAIRS({"architectures", names[0][0]}, {"model_type", names[0][1]},
                                {"text_config", "{\"model_type\": \"qwen2\"}"}));
  refuse_with(directory, GALE_E_UNSUPPORTED, "\"llava\" around \"qwen2\"", "LlavaForConditionalGeneration");
}

/* ---- Quantised by other tools ---- */

static void quantised(const char *stated, const char *extra, const char *dtype, const char *a, const char *b) {
  make_hf(NULL, NULL);
  if (stated)
    set_config("mistral-window-8", PAIRS({stated[0] == 'm' ? "quantization" : "quantization_config", stated + 1}));
  patch_file(at("model.safetensors"), "layers.0.self_attn.q_proj.weight", "layers.0.self_attn.q_proj.scales");
  add_tensor("model.safetensors", any_hf, extra, dtype);
  refuse_with(directory, GALE_E_UNSUPPORTED, a, b);
}

static void test_quantised_elsewhere(void **state) {
  (void)state;
  const char *packed = "model.layers.0.self_attn.q_proj.qweight", *same = "model.layers.0.self_attn.q_proj.weight";
  static const char *const methods[] = {"gptq", "awq",  "hqq",      "aqlm",    "compressed-tensors",
                                        "exl2", "eetq", "modelopt", "torchao", "bitnet"};
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
    char stated[96], what[96];
    snprintf(stated, sizeof stated, "c{\"quant_method\": \"%s\", \"bits\": 4}", methods[i]);
    snprintf(what, sizeof what, "quantised by %s (quantization_config)", methods[i]);
    quantised(stated, packed, "I32", what, "F32, F16, BF16 and FP8");
  }
  quantised("c{\"load_in_4bit\": true, \"quant_method\": \"bitsandbytes\"}", same, "U8", "bitsandbytes", "has type U8");
  quantised("c{\"load_in_8bit\": true}", same, "U8", "quantised by bitsandbytes", "quantization_config");
  quantised("m{\"bits\": 4, \"group_size\": 64}", same, "U32", "quantised by MLX (quantization)", "has type U32");
  static const char *const signs[][2] = {{"q_proj.qzeros", "GPTQ or AWQ"},
                                         {"q_proj.g_idx", "GPTQ"},
                                         {"q_proj.weight.absmax", "bitsandbytes"},
                                         {"q_proj.SCB", "bitsandbytes"},
                                         {"q_proj.W_q", "HQQ"},
                                         {"q_proj.codebooks", "AQLM"},
                                         {"q_proj.weight_packed", "compressed-tensors"}};
  for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) quantised(NULL, signs[i][0], "I32", signs[i][1], "FP8");
  quantised(NULL, "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", "F32", "an adapter (LoRA)",
            "merge");
  /* A tensor that is missing for another reason is called missing. */
  make_hf("quantization_config", "{\"quant_method\": \"fp8\"}");
  patch_file(at("model.safetensors"), "layers.0.self_attn.q_proj.weight", "layers.0.self_attn.q_proj.strang");
  refuse_with(directory, GALE_E_FORMAT, "q_proj.weight is missing", "");
}

/* ---- Tensors without elements ---- */

static void test_no_elements(void **state) {
  (void)state;
  double plain = digest(make_hf(NULL, NULL), NULL);
  write_bytes("extra.safetensors",
              "\x3a\0\0\0\0\0\0\0{\"e\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}     ", 8 + 0x3a);
  char index[256];
  snprintf(index, sizeof index, "{\"weight_map\":{\"%s\":\"model.safetensors\",\"e\":\"extra.safetensors\"}}", any_hf);
  write_text("model.safetensors.index.json", index);
  assert_true(digest(directory, NULL) == plain);
}

/* ---- Dynamic scaling ---- */

static void test_dynamic_scaling(void **state) {
  (void)state;
  double plain = digest(make_hf(NULL, NULL), NULL);
  make_hf("rope_scaling", "{\"type\": \"dynamic\", \"factor\": 2.0, \"original_max_position_embeddings\": 100}");
  assert_true(digest(directory, NULL) == plain);
  gale_error error;
  gale_model *model = open_model(directory, GALE_OK, &error);
  gale_session_options options;
  gale_session_defaults(&options);
  options.threads = 1;
  options.context = 101;
  gale_session *session = NULL;
  assert_int_equal(gale_session_open(model, &options, &session, &error), GALE_E_UNSUPPORTED);
  assert_non_null(strstr(error.message, "at most 100"));
  gale_model_close(&model);
}

#define IN_A_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, make_directory, remove_directory)

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_A_DIRECTORY(test_multimodal_gguf),     IN_A_DIRECTORY(test_multimodal_directories),
      IN_A_DIRECTORY(test_no_architectures),    IN_A_DIRECTORY(test_wrapped),
      IN_A_DIRECTORY(test_quantised_elsewhere), IN_A_DIRECTORY(test_no_elements),
      IN_A_DIRECTORY(test_dynamic_scaling),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
