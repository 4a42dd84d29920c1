/* Made-up checkpoints, and the GGUF writer by what the reader makes of its files. */
#include "build_gguf.h"

#include <math.h>

static const setting *expect(const checkpoint *c, const char *key, setting_type type) {
  const setting *s = checkpoint_setting(c, key);
  if (!s) fail_msg("no key %s", key);
  assert_int_equal(s->type, type);
  return s;
}

static int64_t integer_of(const checkpoint *c, const char *key) {
  return expect(c, key, SETTING_INT)->integer;
}

/* ---- Shapes ---- */

static void test_mistral_7b(void **state) {
  (void)state;
  checkpoint *c = open_good("shape:mistral-7b");
  int64_t parameters = 0;
  assert_int_equal(c->kind, CHECKPOINT_GGUF);
  assert_string_equal(c->format, "shape");
  assert_string_equal(expect(c, "general.architecture", SETTING_STRING)->string.bytes, "llama");
  assert_int_equal(integer_of(c, "llama.embedding_length"), 4096);
  assert_int_equal(integer_of(c, "llama.attention.head_count_kv"), 8);
  assert_int_equal(integer_of(c, "llama.attention.sliding_window"), 4096);
  assert_int_equal(integer_of(c, "llama.context_length"), 32768);
  assert_true(expect(c, "llama.rope.freq_base", SETTING_FLOAT)->number == 1e4);
  assert_null(checkpoint_setting(c, "llama.attention.key_length"));
  for (size_t i = 0; i < c->n_tensors; i++) {
    const tensor *t = &c->tensors[i];
    int64_t n = 1;
    for (int d = 0; d < t->n_dims; d++) n *= t->shape[d];
    parameters += n;
    assert_int_equal(t->type, t->n_dims == 1 ? QUANT_F32 : QUANT_Q4_0);
  }
  assert_int_equal(parameters, 7241732096); /* as published */
  checkpoint_close(&c);
}

/* 32 layers: the first and the last four and every third between have better w2 and wv. */
static void test_mix(void **state) {
  (void)state;
  static const struct {
    const char *name;
    quant_type type;
  } expected[] = {
      {"token_embd.weight", QUANT_Q4_K},      {"output.weight", QUANT_Q6_K},
      {"blk.0.attn_q.weight", QUANT_Q4_K},    {"blk.0.attn_v.weight", QUANT_Q6_K},
      {"blk.3.ffn_down.weight", QUANT_Q6_K},  {"blk.4.ffn_down.weight", QUANT_Q4_K},
      {"blk.6.attn_v.weight", QUANT_Q6_K},    {"blk.7.attn_v.weight", QUANT_Q4_K},
      {"blk.31.ffn_down.weight", QUANT_Q6_K}, {"blk.31.ffn_up.weight", QUANT_Q4_K},
      {"blk.31.attn_norm.weight", QUANT_F32},
  };
  checkpoint *c = open_good("shape:mistral-7b@q4_k_m");
  for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
    assert_int_equal(checkpoint_tensor(c, expected[i].name)->type, expected[i].type);
  checkpoint_close(&c);
}

static void test_head_dim_of_its_own(void **state) {
  (void)state;
  checkpoint *c = open_good("shape:mistral-nemo@f16");
  assert_int_equal(integer_of(c, "llama.attention.key_length"), 128);
  assert_int_equal(integer_of(c, "llama.attention.value_length"), 128);
  assert_int_equal(checkpoint_tensor(c, "blk.39.attn_q.weight")->shape[0], 4096);
  assert_int_equal(checkpoint_tensor(c, "blk.39.attn_q.weight")->shape[1], 5120);
  assert_null(checkpoint_setting(c, "llama.attention.sliding_window"));
  checkpoint_close(&c);
}

/* Parameters in billions, as the releases state them (of the text model), catch a wrong row or name. */
static const struct {
  const char *name;
  double billions;
} sizes[] = {
    {"mistral-7b", 7.2417},        {"mistral-7b-v0.2", 7.2417},    {"mistral-7b-v0.3", 7.248},
    {"mathstral-7b", 7.248},       {"codestral-22b", 22.247},      {"mixtral-8x7b", 46.703},
    {"mixtral-8x22b", 140.62},     {"mistral-nemo", 12.248},       {"ministral-8b", 8.0198},
    {"mistral-large", 122.61},     {"mistral-large-2411", 122.61}, {"mistral-small-3", 23.572},
    {"mistral-small-3.1", 23.572}, {"ministral-3-3b", 3.43},       {"ministral-3-8b", 8.49},
    {"ministral-3-14b", 13.51},    {"llama-2-7b", 6.7384},         {"llama-2-13b", 13.016},
    {"llama-2-70b", 68.977},       {"llama-3-8b", 8.0303},         {"llama-3-70b", 70.554},
    {"llama-3.1-8b", 8.0303},      {"llama-3.1-70b", 70.554},      {"llama-3.2-1b", 1.2358},
    {"llama-3.2-3b", 3.2127},      {"smollm2-135m", 0.13452},      {"smollm2-360m", 0.36182},
    {"smollm2-1.7b", 1.7114},      {"gemma-2b", 2.5062},           {"gemma-7b", 8.5377},
    {"gemma-2-2b", 2.6143},        {"gemma-2-9b", 9.2417},         {"gemma-2-27b", 27.227},
    {"gemma-3-1b", 0.99989},       {"gemma-3-4b", 3.88},           {"gemma-3-12b", 11.766},
    {"gemma-3-27b", 27.009},
};

static double count_parameters(const checkpoint *c) {
  double n = 0;
  for (size_t k = 0; k < c->n_tensors; k++) {
    double elements = 1;
    for (int d = 0; d < c->tensors[k].n_dims; d++) elements *= (double)c->tensors[k].shape[d];
    if (strcmp(c->tensors[k].name, "rope_freqs.weight") != 0) n += elements;
  }
  return n;
}

static void test_every_shape(void **state) {
  (void)state;
  size_t n_named = 0;
  for (const char *const *name = shape_names(); *name; name++) {
    char path[64];
    snprintf(path, sizeof path, "shape:%s@F16", *name);
    checkpoint *c = open_good(path);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
      if (strcmp(sizes[i].name, *name) != 0) continue;
      double n = count_parameters(c) / 1e9;
      if (fabs(n / sizes[i].billions - 1) > 5e-4) fail_msg("%s has %g billion parameters", path, n);
      n_named++;
    }
    assert_string_equal(c->tensors[0].name, "token_embd.weight");
    assert_int_equal(expect(c, "tokenizer.ggml.tokens", SETTING_ARRAY)->array.length, c->tensors[0].shape[0]);
    checkpoint_close(&c);
  }
  assert_int_equal(n_named, sizeof sizes / sizeof *sizes);
}

static void test_experts(void **state) {
  (void)state;
  checkpoint *c = open_good("shape:mixtral-8x7b:layers=1@q4_0");
  assert_int_equal(integer_of(c, "llama.expert_count"), 8);
  assert_int_equal(integer_of(c, "llama.expert_used_count"), 2);
  const tensor *t = checkpoint_tensor(c, "blk.0.ffn_down_exps.weight");
  assert_int_equal(t->n_dims, 3);
  assert_int_equal(t->shape[0], 8);
  assert_int_equal(t->shape[1], 4096);
  assert_int_equal(t->shape[2], 14336);
  assert_int_equal(checkpoint_tensor(c, "blk.0.ffn_gate_inp.weight")->type, QUANT_F32);
  checkpoint_close(&c);
}

static void test_layers(void **state) {
  (void)state;
  checkpoint *c = open_good("shape:ministral-8b:layers=6@q8_0");
  assert_int_equal(integer_of(c, "llama.block_count"), 6);
  assert_string_equal(expect(c, "general.name", SETTING_STRING)->string.bytes, "ministral-8b:layers=6");
  assert_non_null(checkpoint_tensor(c, "blk.5.ffn_up.weight"));
  assert_null(checkpoint_tensor(c, "blk.6.ffn_up.weight"));
  const setting *pattern = expect(c, "llama.attention.sliding_window_pattern", SETTING_ARRAY);
  assert_int_equal(pattern->array.length, 6);
  for (size_t l = 0; l < 6; l++) {
    assert_int_equal(pattern->array.items[l].type, SETTING_BOOL);
    assert_int_equal(pattern->array.items[l].boolean, l != 0 && l != 4);
  }
  checkpoint_close(&c);
  const char *const bad[] = {"tiny:layers=0",
                             "tiny:layers=",
                             "tiny:layers=-1",
                             "tiny:layers=4097",
                             "tiny:layers=1x",
                             "tiny:layers=99999999999999999999",
                             "tiny:",
                             "tiny:layer=1",
                             "tiny:layers=1:layers=2"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    char path[64];
    snprintf(path, sizeof path, "shape:%s", bad[i]);
    refuse(path, GALE_E_ARGUMENT, bad[i], ":layers=N with N from 1 to 4096", NULL);
  }
}

/* The rule of Llama 3.1, from its published definition by wavelengths. */
static void test_llama3_divisors(void **state) {
  (void)state;
  checkpoint *c = open_good("shape:llama-3.2-3b:layers=1");
  float divisors[64], tail[2];
  const tensor *t = checkpoint_tensor(c, "rope_freqs.weight");
  assert_int_equal(t->shape[0], 64);
  assert_int_equal(checkpoint_read(c, t, 0, divisors, sizeof divisors, NULL), GALE_OK);
  for (int i = 0; i < 64; i++) {
    double wavelength = 2 * 3.14159265358979323846 * pow(5e5, i / 64.0), wanted = 1;
    if (wavelength > 8192) {
      wanted = 32;
    } else if (wavelength >= 2048) {
      double smooth = (8192 / wavelength - 1) / 3;
      wanted = 1 / ((1 - smooth) / 32 + smooth);
    }
    assert_true(fabs((double)divisors[i] / wanted - 1) < 1e-6);
  }
  assert_int_equal(checkpoint_read(c, t, 62 * 4, tail, sizeof tail, NULL), GALE_OK);
  assert_memory_equal(tail, divisors + 62, sizeof tail);
  checkpoint_close(&c);
}

static void test_keys_of_families(void **state) {
  (void)state;
  checkpoint *c = open_good("shape:ministral-3-8b:layers=1");
  assert_string_equal(expect(c, "mistral3.rope.scaling.type", SETTING_STRING)->string.bytes, "yarn");
  assert_int_equal(integer_of(c, "mistral3.rope.scaling.original_context_length"), 16384);
  assert_true(expect(c, "mistral3.rope.scaling.factor", SETTING_FLOAT)->number == 16);
  assert_true(expect(c, "mistral3.rope.scaling.yarn_log_multiplier", SETTING_FLOAT)->number == 1);
  assert_true(fabs(expect(c, "mistral3.attention.temperature_scale", SETTING_FLOAT)->number - 0.1) < 1e-6);
  checkpoint_close(&c);
  c = open_good("shape:gemma-2-9b:layers=1");
  assert_true(expect(c, "gemma2.attn_logit_softcapping", SETTING_FLOAT)->number == 50);
  assert_true(expect(c, "gemma2.final_logit_softcapping", SETTING_FLOAT)->number == 30);
  assert_int_equal(integer_of(c, "gemma2.attention.sliding_window"), 4096);
  assert_int_equal(integer_of(c, "gemma2.attention.key_length"), 256);
  checkpoint_close(&c);
  c = open_good("shape:gemma-3-4b:layers=1");
  assert_string_equal(expect(c, "gemma3.rope.scaling.type", SETTING_STRING)->string.bytes, "linear");
  assert_int_equal(checkpoint_tensor(c, "blk.0.attn_q_norm.weight")->shape[0], 256);
  assert_null(checkpoint_tensor(c, "output.weight"));
  checkpoint_close(&c);
}

static int compare_texts(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static void test_vocabulary(void **state) {
  (void)state;
  checkpoint *c = open_good("shape:llama-2-7b");
  const setting *tokens = expect(c, "tokenizer.ggml.tokens", SETTING_ARRAY);
  const setting *scores = expect(c, "tokenizer.ggml.scores", SETTING_ARRAY);
  const setting *types = expect(c, "tokenizer.ggml.token_type", SETTING_ARRAY);
  size_t n = tokens->array.length;
  assert_int_equal(scores->array.length, n);
  assert_int_equal(types->array.length, n);
  assert_string_equal(tokens->array.items[2].string.bytes, "</s>");
  assert_int_equal(types->array.items[2].integer, 3);
  assert_string_equal(tokens->array.items[258].string.bytes, "<0xFF>");
  assert_int_equal(types->array.items[258].integer, 6);
  assert_string_equal(tokens->array.items[259].string.bytes, "\xE2\x96\x81");
  assert_string_equal(tokens->array.items[260].string.bytes, "a");
  assert_string_equal(tokens->array.items[261].string.bytes, "\xE2\x96\x81"
                                                             "a");
  for (size_t i = 260; i < n; i++) assert_true(scores->array.items[i].number < scores->array.items[i - 1].number);
  const char **sorted = malloc(n * sizeof *sorted);
  assert_non_null(sorted);
  for (size_t i = 0; i < n; i++) sorted[i] = tokens->array.items[i].string.bytes;
  qsort(sorted, n, sizeof *sorted, compare_texts);
  for (size_t i = 1; i < n; i++) assert_string_not_equal(sorted[i - 1], sorted[i]);
  free(sorted);
  checkpoint_close(&c);
}

/* A stretch of a tensor is the same wherever reading starts, and tensors differ. */
static void test_reading_stretches(void **state) {
  (void)state;
  checkpoint *c = open_good("shape:tiny@q4_1");
  const tensor *t = checkpoint_tensor(c, "blk.1.ffn_down.weight"), *u = checkpoint_tensor(c, "blk.0.ffn_down.weight");
  uint8_t whole[4000], some[40], other[40];
  assert_true(t->bytes <= sizeof whole);
  assert_int_equal(checkpoint_read(c, t, 0, whole, t->bytes, NULL), GALE_OK);
  for (uint64_t at_byte = 0; at_byte < t->bytes; at_byte += 20) {
    assert_int_equal(checkpoint_read(c, t, at_byte, some, 20, NULL), GALE_OK);
    assert_memory_equal(some, whole + at_byte, 20);
  }
  assert_int_equal(checkpoint_read(c, u, 0, other, 40, NULL), GALE_OK);
  assert_memory_not_equal(other, whole, 40);
  float norm[64];
  assert_int_equal(checkpoint_read(c, checkpoint_tensor(c, "output_norm.weight"), 0, norm, sizeof norm, NULL), GALE_OK);
  for (int i = 0; i < 64; i++) assert_true(norm[i] == 1);
  assert_int_equal(checkpoint_read(c, t, 10, some, 20, NULL), GALE_E_ARGUMENT);
  checkpoint_close(&c);
}

static void test_refused_shapes(void **state) {
  (void)state;
  refuse("shape:mistral-8b", GALE_E_ARGUMENT, "shape:mistral-8b", "mistral-7b-v0.3", "mistral-large", NULL);
  refuse("shape:", GALE_E_ARGUMENT, "mistral-7b", NULL);
  refuse("shape:mistral", GALE_E_ARGUMENT, "unknown shape", NULL);
  refuse("shape:tiny@q9", GALE_E_ARGUMENT, "unknown type", "F32, F16, BF16, Q8_0, Q4_0", NULL);
  refuse("shape:tiny@", GALE_E_ARGUMENT, "unknown type", NULL);
  refuse("shape:tiny-odd@q8_0", GALE_E_UNSUPPORTED, "rows of 36", "Q8_0", "; F32, F16, BF16 are accepted", NULL);
}

/* ---- Writing ---- */

static void expect_same_setting(const setting *a, const setting *b) {
  assert_int_equal(a->type, b->type);
  switch (a->type) {
  case SETTING_BOOL:
    assert_int_equal(a->boolean, b->boolean);
    break;
  case SETTING_INT:
    assert_true(a->integer == b->integer);
    break;
  case SETTING_FLOAT:
    assert_true(a->number == b->number);
    break;
  case SETTING_STRING:
    assert_int_equal(a->string.length, b->string.length);
    assert_memory_equal(a->string.bytes, b->string.bytes, a->string.length + 1);
    break;
  case SETTING_ARRAY:
    assert_int_equal(a->array.length, b->array.length);
    for (size_t i = 0; i < a->array.length; i++) expect_same_setting(&a->array.items[i], &b->array.items[i]);
    break;
  default:
    fail();
  }
}

static void expect_same_tensor(const checkpoint *c, const tensor *a, const checkpoint *d, const tensor *b) {
  assert_string_equal(a->name, b->name);
  assert_int_equal(a->type, b->type);
  assert_int_equal(a->n_dims, b->n_dims);
  assert_memory_equal(a->shape, b->shape, sizeof a->shape);
  assert_int_equal(a->bytes, b->bytes);
  uint8_t *x = malloc(a->bytes), *y = malloc(b->bytes);
  assert_true(x && y);
  assert_int_equal(checkpoint_read(c, a, 0, x, a->bytes, NULL), GALE_OK);
  assert_int_equal(checkpoint_read(d, b, 0, y, b->bytes, NULL), GALE_OK);
  assert_memory_equal(x, y, a->bytes);
  free(x);
  free(y);
}

static void expect_round_trip(const char *path) {
  gale_error error = {0};
  checkpoint *c = open_good(path);
  if (gguf_write(c, at("out.gguf"), NULL, NULL, &error)) fail_msg("%s", error.message);
  checkpoint *d = open_good(at("out.gguf"));
  assert_int_equal(c->n_settings, d->n_settings);
  assert_int_equal(c->n_tensors, d->n_tensors);
  for (size_t i = 0; i < c->n_settings; i++) {
    assert_string_equal(c->settings[i].key, d->settings[i].key);
    expect_same_setting(&c->settings[i], &d->settings[i]);
  }
  for (size_t i = 0; i < c->n_tensors; i++) expect_same_tensor(c, &c->tensors[i], d, &d->tensors[i]);
  checkpoint_close(&c);
  checkpoint_close(&d);
}

static void test_round_trip_of_every_type(void **state) {
  (void)state;
  for (int type = 0; type < QUANT_TYPES; type++) {
    char path[32];
    snprintf(path, sizeof path, "shape:tiny-wide@%s", quant_get((quant_type)type)->name);
    expect_round_trip(path);
  }
  for (const char *const *name = shape_names(); *name; name++) {
    char path[64];
    if (strncmp(*name, "tiny", 4) != 0) continue;
    snprintf(path, sizeof path, "shape:%s@bf16", *name);
    expect_round_trip(path);
  }
}

static void test_round_trip_of_every_value(void **state) {
  (void)state;
  build b;
  put_small(&b);
  expect_round_trip(write_build("small.gguf", &b));
}

/* Engines look keys up by type as well: 32 bits wherever they are enough. */
static void test_written_types(void **state) {
  (void)state;
  checkpoint *c = open_good("shape:tiny");
  uint8_t bytes[100000];
  assert_int_equal(gguf_write(c, at("out.gguf"), NULL, NULL, NULL), GALE_OK);
  checkpoint_close(&c);
  c = open_good(at("out.gguf"));
  FILE *f = fopen(at("out.gguf"), "rb");
  assert_true(fread(bytes, 1, sizeof bytes, f) > 1000);
  fclose(f);
  assert_int_equal(bytes[checkpoint_setting(c, "llama.block_count")->offset - 4], GGUF_U32);
  assert_int_equal(bytes[checkpoint_setting(c, "llama.attention.layer_norm_rms_epsilon")->offset - 4], GGUF_F32);
  assert_int_equal(bytes[checkpoint_setting(c, "tokenizer.ggml.scores")->offset], GGUF_F32);
  assert_int_equal(bytes[checkpoint_setting(c, "tokenizer.ggml.token_type")->offset], GGUF_I32);
  for (size_t i = 0; i < c->n_tensors; i++) assert_int_equal(c->tensors[i].offset % GGUF_ALIGNMENT, 0);
  checkpoint_close(&c);
}

/* Number of entries of the test's directory. */
static int count_entries(void) {
  int n = 0;
  DIR *d = opendir(directory);
  assert_non_null(d);
  for (struct dirent *e; (e = readdir(d));) n += e->d_name[0] != '.';
  closedir(d);
  return n;
}

typedef struct watch {
  int calls, stop_at;
  double last;
} watch;

static bool count_call(void *user, double fraction, const char *stage) {
  watch *w = user;
  assert_non_null(stage);
  assert_true(fraction >= w->last && fraction <= 1);
  w->last = fraction;
  return ++w->calls != w->stop_at;
}

static void test_progress_and_cancel(void **state) {
  (void)state;
  gale_error error = {0};
  checkpoint *c = open_good("shape:tiny");
  watch w = {0};
  assert_int_equal(gguf_write(c, at("out.gguf"), count_call, &w, &error), GALE_OK);
  assert_true(w.calls > 5 && w.last == 1);
  unlink(at("out.gguf"));
  int before = count_entries();
  w = (watch){.stop_at = 3};
  assert_int_equal(gguf_write(c, at("out.gguf"), count_call, &w, &error), GALE_E_CANCELLED);
  assert_int_equal(w.calls, 3);
  assert_non_null(strstr(error.message, at("out.gguf")));
  assert_int_equal(count_entries(), before);
  checkpoint_close(&c);
}

static gale_status failing_read(const checkpoint *c, const tensor *t, uint64_t offset, void *to, uint64_t n,
                                gale_error *error) {
  (void)offset, (void)to, (void)n;
  return error_set(error, GALE_E_IO, "%s: %s: broken", c->path, t->name);
}

static void test_refused_writes(void **state) {
  (void)state;
  gale_error error = {0};
  checkpoint *c = open_good("shape:tiny");
  int before = count_entries();
  assert_int_equal(gguf_write(c, at("missing/out.gguf"), NULL, NULL, &error), GALE_E_IO);
  assert_int_equal(gguf_write(c, directory, NULL, NULL, &error), GALE_E_IO);
  assert_int_equal(gguf_write(c, "/dev/null", NULL, NULL, &error), GALE_E_IO);
  c->read = failing_read;
  assert_int_equal(gguf_write(c, at("broken.gguf"), NULL, NULL, &error), GALE_E_IO);
  assert_int_equal(count_entries(), before);
  c->kind = CHECKPOINT_HF;
  assert_int_equal(gguf_write(c, at("other.gguf"), NULL, NULL, &error), GALE_E_ARGUMENT);
  assert_int_equal(count_entries(), before);
  checkpoint_close(&c);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_mistral_7b),
      cmocka_unit_test(test_mix),
      cmocka_unit_test(test_head_dim_of_its_own),
      cmocka_unit_test(test_every_shape),
      cmocka_unit_test(test_experts),
      cmocka_unit_test(test_layers),
      cmocka_unit_test(test_llama3_divisors),
      cmocka_unit_test(test_keys_of_families),
      cmocka_unit_test(test_vocabulary),
      cmocka_unit_test(test_reading_stretches),
      cmocka_unit_test(test_refused_shapes),
      cmocka_unit_test(test_round_trip_of_every_type),
      cmocka_unit_test(test_round_trip_of_every_value),
      cmocka_unit_test(test_written_types),
      cmocka_unit_test(test_progress_and_cancel),
      cmocka_unit_test(test_refused_writes),
  };
  return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
