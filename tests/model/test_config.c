/* What the configuration makes of published shapes, above all of what their files leave unsaid. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
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

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_mistral_7b_without_its_window),
      cmocka_unit_test(test_windows_by_layer),
      cmocka_unit_test(test_query_scale_of_gemma),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
