/* What the configuration makes of published shapes, above all of what their files leave unsaid. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "model/config.h"

/* The configuration of a shape without one of its keys (NULL: with all). */
static model_config configure(const char *shape, const char *without, arena *memory) {
  checkpoint *c = NULL;
  gale_error error = {0};
  model_config config;
  if (checkpoint_open(shape, &c, &error)) fail_msg("%s", error.message);
  bool found = !without;
  for (size_t i = 0; i < c->n_settings && without; i++)
    if (strcmp(c->settings[i].key, without) == 0) {
      c->settings[i].type = SETTING_NULL;
      found = true;
    }
  assert_true(found);
  if (model_configure(c, memory, &config, &error)) fail_msg("%s", error.message);
  config.name = NULL; /* it lies in the checkpoint */
  checkpoint_close(&c);
  return config;
}

static int windowed(const model_config *m, int32_t window) {
  int n = 0;
  for (int32_t l = 0; l < m->n_layers; l++) n += m->layers[l].window == window;
  return n;
}

static void test_mistral_7b_without_its_window(void **state) {
  (void)state;
  const char *key = "llama.attention.sliding_window";
  arena memory = {0};
  model_config stated = configure("shape:mistral-7b", NULL, &memory);
  assert_int_equal(windowed(&stated, 4096), 32);
  assert_null(stated.note);
  model_config silent = configure("shape:mistral-7b", key, &memory);
  assert_int_equal(windowed(&silent, 4096), 32);
  assert_non_null(strstr(silent.note, "4096"));
  const char *others[] = {"shape:mistral-7b-v0.3", "shape:llama-2-7b", "shape:llama-3-8b", "shape:mixtral-8x7b"};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    model_config other = configure(others[i], NULL, &memory);
    assert_int_equal(windowed(&other, 0), other.n_layers);
    assert_null(other.note);
  }
  arena_free(&memory);
}

static void test_windows_by_layer(void **state) {
  (void)state;
  arena memory = {0};
  model_config ministral = configure("shape:ministral-8b", NULL, &memory);
  assert_int_equal(windowed(&ministral, 32768), 27);
  assert_int_equal(windowed(&ministral, 0), 9);
  model_config gemma2 = configure("shape:gemma-2-2b", NULL, &memory);
  assert_int_equal(gemma2.layers[0].window, 4096);
  assert_int_equal(gemma2.layers[1].window, 0);
  model_config gemma3 = configure("shape:gemma-3-1b", NULL, &memory);
  for (int32_t l = 0; l < gemma3.n_layers; l++) {
    assert_int_equal(gemma3.layers[l].window, (l + 1) % 6 ? 512 : 0);
    assert_true(gemma3.rope[gemma3.layers[l].rope].theta == ((l + 1) % 6 ? 1e4 : 1e6));
  }
  arena_free(&memory);
}

/* GGUF files have no key for the scale of Gemma's queries: it follows from the size. */
static void test_query_scale_of_gemma(void **state) {
  (void)state;
  const struct {
    const char *shape;
    double scalar;
  } cases[] = {{"shape:gemma-2-2b", 256}, {"shape:gemma-2-9b", 256},  {"shape:gemma-2-27b", 4608. / 32},
               {"shape:gemma-3-4b", 256}, {"shape:gemma-3-12b", 256}, {"shape:gemma-3-27b", 5376. / 32},
               {"shape:gemma-7b", 256}};
  arena memory = {0};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    model_config m = configure(cases[i].shape, NULL, &memory);
    assert_true(fabs((double)m.attention_scale * sqrt(cases[i].scalar) - 1) < 1e-6);
    assert_true(m.embedding_scale == sqrtf((float)m.dim));
  }
  arena_free(&memory);
}

/* ---- Keys that converters leave out, spell otherwise or fill with zeros ---- */

/* The configuration of a shape with settings overridden; KEY=null takes one away. The texts end with NULL. */
static gale_status try_with(const char *shape, const char *const *overrides, arena *memory, model_config *config,
                            gale_error *error) {
  checkpoint *c = NULL;
  if (checkpoint_open(shape, &c, error)) fail_msg("%s", error->message);
  for (; *overrides; overrides++) {
    char key[96] = "";
    memcpy(key, *overrides, strcspn(*overrides, "="));
    const setting *s = checkpoint_setting(c, key);
    if (strcmp(*overrides + strlen(key), "=null") == 0 && s)
      c->settings[s - c->settings].type = SETTING_NULL;
    else if (checkpoint_override(c, *overrides, error))
      fail_msg("%s", error->message);
  }
  gale_status status = model_configure(c, memory, config, error);
  config->name = NULL;
  checkpoint_close(&c);
  return status;
}

#define WITH(...) ((const char *const[]){__VA_ARGS__, NULL})

static model_config with(const char *shape, const char *const *overrides, arena *memory) {
  model_config config;
  gale_error error = {0};
  if (try_with(shape, overrides, memory, &config, &error)) fail_msg("%s", error.message);
  return config;
}

static void test_epsilon_left_out(void **state) {
  (void)state;
  static const struct {
    const char *shape, *key;
    float eps;
  } cases[] = {{"shape:tiny-gemma", "gemma", 1e-6f},
               {"shape:tiny-gemma2", "gemma2", 1e-6f},
               {"shape:tiny-gemma3", "gemma3", 1e-6f},
               {"shape:tiny-yarn", "mistral3", 1e-5f}};
  arena memory = {0};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (int form = 0; form < 2; form++) {
      char text[96];
      snprintf(text, sizeof text, "%s.attention.layer_norm_rms_epsilon=%s", cases[i].key, form ? "0.0" : "null");
      assert_true(with(cases[i].shape, WITH(text), &memory).norm_eps == cases[i].eps);
    }
  model_config config;
  gale_error error = {0};
  const char *llama = "llama.attention.layer_norm_rms_epsilon=null"; /* its releases differ */
  assert_int_equal(try_with("shape:tiny", WITH(llama), &memory, &config, &error), GALE_E_FORMAT);
  assert_non_null(strstr(error.message, "llama.attention.layer_norm_rms_epsilon is missing; an override can"));
  arena_free(&memory);
}

static void test_sizes_left_out(void **state) {
  (void)state;
  static const struct {
    const char *shape, *family;
    int32_t context, head_dim, window;
  } cases[] = {
      {"shape:gemma-7b", "gemma", 8192, 256, 0},         {"shape:gemma-2-9b", "gemma2", 8192, 256, 4096},
      {"shape:gemma-2-27b", "gemma2", 8192, 128, 4096},  {"shape:gemma-3-1b", "gemma3", 32768, 256, 512},
      {"shape:gemma-3-4b", "gemma3", 131072, 256, 1024}, {"shape:gemma-3-27b", "gemma3", 131072, 128, 1024},
  };
  static const char *const keys[] = {"context_length",           "attention.key_length", "attention.value_length",
                                     "attention.sliding_window", "rope.dimension_count", "rope.freq_base"};
  arena memory = {0};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char texts[6][96];
    const char *list[7] = {0};
    for (int k = 0; k < 6; k++) {
      snprintf(texts[k], sizeof texts[k], "%s.%s=null", cases[i].family, keys[k]);
      list[k] = texts[k];
    }
    model_config silent = with(cases[i].shape, list, &memory), stated = configure(cases[i].shape, NULL, &memory);
    assert_int_equal(silent.context, cases[i].context);
    assert_int_equal(silent.head_dim, cases[i].head_dim);
    assert_true(silent.rope[0].theta == stated.rope[0].theta);
    assert_int_equal(windowed(&silent, 0), windowed(&stated, 0));
    assert_int_equal(windowed(&silent, cases[i].window), windowed(&stated, cases[i].window));
  }
  arena_free(&memory);
}

/* Gemma 3 as Ollama's converter wrote it. */
static void test_other_spellings_of_gemma3(void **state) {
  (void)state;
  arena memory = {0};
  model_config m = with("shape:tiny-gemma3",
                        WITH("gemma3.rope.freq_base=null", "gemma3.rope.global.freq_base=500000.0",
                             "gemma3.rope.local.freq_base=12345.0",
                             "gemma3.attention.sliding_window_pattern=[true, false, true, true, false, true]"),
                        &memory);
  assert_true(m.rope[0].theta == 500000 && m.rope[1].theta == 12345);
  for (int l = 0; l < 6; l++) assert_int_equal(m.layers[l].window, l == 1 || l == 4 ? 0 : 8);
  model_config silent =
      with("shape:gemma-3-4b", WITH("gemma3.rope.scaling.type=null", "gemma3.rope.scaling.factor=null"), &memory);
  assert_true(silent.rope[0].frequency[0] == 0.125 && silent.rope[1].frequency[0] == 1);
  assert_non_null(strstr(silent.note, "scaling of 8"));
  model_config none = with("shape:gemma-3-4b", WITH("gemma3.rope.scaling.type=none"), &memory);
  assert_true(none.rope[0].frequency[0] == 1 && !none.note);
  model_config old =
      with("shape:gemma-3-4b",
           WITH("gemma3.rope.scaling.type=null", "gemma3.rope.scaling.factor=null", "gemma3.rope.scale_linear=4.0"),
           &memory);
  assert_true(old.rope[0].frequency[0] == 0.25);
  model_config period = with("shape:tiny", WITH("llama.attention.sliding_window_pattern=2"), &memory);
  assert_true(period.layers[0].window == 8 && period.layers[1].window == 0);
  arena_free(&memory);
}

static bool same_frequencies(const model_config *a, const model_config *b) {
  bool same = a->head_dim == b->head_dim && a->rope[0].magnitude == b->rope[0].magnitude;
  for (int i = 0; i < a->head_dim / 2 && same; i++) same = a->rope[0].frequency[i] == b->rope[0].frequency[i];
  return same;
}

static void test_no_scaling(void **state) {
  (void)state;
  arena memory = {0};
  const model_config plain = configure("shape:tiny-wide", NULL, &memory);
  static const char *const kinds[] = {"", "none", "default", "linear", "yarn"}, *const factors[] = {"0.0", "null"};
  for (int k = 0; k < 5; k++)
    for (int f = 0; f < 2; f++) {
      char kind[64], factor[64];
      snprintf(kind, sizeof kind, "llama.rope.scaling.type=str:%s", kinds[k]);
      snprintf(factor, sizeof factor, "llama.rope.scaling.factor=%s", factors[f]);
      model_config m =
          with("shape:tiny-wide",
               WITH(kind, factor, "llama.rope.scaling.yarn_beta_fast=0.0", "llama.rope.scaling.yarn_beta_slow=0.0"),
               &memory);
      assert_true(same_frequencies(&m, &plain));
    }
  for (int k = 0; k < 3; k++) {
    char kind[64];
    snprintf(kind, sizeof kind, "llama.rope.scaling.type=str:%s", kinds[k]);
    model_config m = with("shape:tiny-wide", WITH(kind, "llama.rope.scaling.factor=4.0"), &memory);
    assert_true(same_frequencies(&m, &plain));
  }
  model_config zero = with("shape:tiny-wide", WITH("llama.rope.scaling.factor=0.0"), &memory);
  assert_true(same_frequencies(&zero, &plain));
  model_config linear = with("shape:tiny-wide", WITH("llama.rope.scaling.factor=4.0"), &memory);
  assert_true(linear.rope[0].frequency[0] == 0.25);
  arena_free(&memory);
}

/* YaRN and attention temperature under the keys that Ollama's converter gave them. */
static void test_other_spellings_of_yarn(void **state) {
  (void)state;
  arena memory = {0};
  const model_config usual =
      with("shape:tiny-yarn",
           WITH("mistral3.rope.scaling.yarn_beta_fast=24.0", "mistral3.rope.scaling.yarn_beta_slow=2.0"), &memory);
  model_config other =
      with("shape:tiny-yarn",
           WITH("mistral3.rope.scaling.yarn_beta_fast=null", "mistral3.rope.scaling.yarn_beta_slow=null",
                "mistral3.rope.scaling.yarn_log_multiplier=null", "mistral3.attention.temperature_scale=null",
                "mistral3.rope.scaling.beta_fast=24.0", "mistral3.rope.scaling.beta_slow=2.0",
                "mistral3.rope.scaling.mscale=1.0", "mistral3.rope.scaling.mscale_all_dim=1.0",
                "mistral3.rope.scaling_beta=0.1"),
           &memory);
  assert_true(same_frequencies(&usual, &other));
  assert_true(usual.attention_temperature.beta > 0 &&
              usual.attention_temperature.beta == other.attention_temperature.beta);
  arena_free(&memory);
}

static void test_dynamic_scaling(void **state) {
  (void)state;
  arena memory = {0};
  const model_config plain = configure("shape:tiny-wide", NULL, &memory);
  model_config m = with("shape:tiny-wide",
                        WITH("llama.rope.scaling.type=dynamic", "llama.rope.scaling.factor=2.0",
                             "llama.rope.scaling.original_context_length=100"),
                        &memory);
  assert_true(same_frequencies(&m, &plain));
  assert_int_equal(m.context, 100);
  assert_int_equal(m.most_context, 100);
  assert_int_equal(plain.most_context, 0);
  arena_free(&memory);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_mistral_7b_without_its_window),
      cmocka_unit_test(test_windows_by_layer),
      cmocka_unit_test(test_query_scale_of_gemma),
      cmocka_unit_test(test_epsilon_left_out),
      cmocka_unit_test(test_sizes_left_out),
      cmocka_unit_test(test_other_spellings_of_gemma3),
      cmocka_unit_test(test_no_scaling),
      cmocka_unit_test(test_other_spellings_of_yarn),
      cmocka_unit_test(test_dynamic_scaling),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
