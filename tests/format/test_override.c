/* Settings that the caller states instead of the files. */
#include "build_gguf.h"

static checkpoint *open_with(const char *path, const char *key_value) {
  gale_error error = {0};
  checkpoint *c = open_good(path);
  if (checkpoint_override(c, key_value, &error)) fail_msg("%s", error.message);
  return c;
}

static setting overridden(const char *key_value) {
  char key[64] = "";
  memcpy(key, key_value, strcspn(key_value, "="));
  checkpoint *c = open_with("shape:tiny", key_value);
  const setting *s = checkpoint_setting(c, key);
  assert_non_null(s);
  setting copy = *s;
  copy.key = NULL;
  if (copy.type == SETTING_STRING) copy.string.bytes = NULL;
  checkpoint_close(&c);
  return copy;
}

static void expect_integer(const char *key_value, int64_t wanted) {
  setting s = overridden(key_value);
  assert_int_equal(s.type, SETTING_INT);
  assert_true(s.integer == wanted);
}

static void expect_number(const char *key_value, double wanted) {
  setting s = overridden(key_value);
  assert_int_equal(s.type, SETTING_FLOAT);
  assert_true(s.number == wanted);
}

static void expect_boolean(const char *key_value, bool wanted) {
  setting s = overridden(key_value);
  assert_int_equal(s.type, SETTING_BOOL);
  assert_int_equal(s.boolean, wanted);
}

static void expect_text(const char *key_value, const char *wanted) {
  char key[64] = "";
  memcpy(key, key_value, strcspn(key_value, "="));
  checkpoint *c = open_with("shape:tiny", key_value);
  const setting *s = checkpoint_setting(c, key);
  assert_int_equal(s->type, SETTING_STRING);
  assert_string_equal(s->string.bytes, wanted);
  assert_int_equal(s->string.length, strlen(wanted));
  checkpoint_close(&c);
}

static void test_existing(void **state) {
  (void)state;
  expect_integer("llama.attention.sliding_window=16", 16);
  expect_integer("llama.attention.sliding_window=int:17", 17);
  expect_integer("llama.attention.sliding_window=1e3", 1000);
  expect_number("llama.rope.freq_base=1000000", 1e6);
  expect_number("llama.rope.freq_base=0.5", 0.5);
  expect_number("llama.attention.sliding_window=float:8", 8);
  expect_text("general.name=7", "7");
  expect_text("general.name=true", "true");
  expect_text("general.name=", "");
  expect_text("general.name=str:int:5", "int:5");
  expect_text("general.name=a=b", "a=b");
}

static void test_new(void **state) {
  (void)state;
  expect_integer("my.key=-9223372036854775808", INT64_MIN);
  expect_number("my.key=7.0", 7);
  expect_number("my.key=-1e-3", -1e-3);
  expect_boolean("my.key=true", true);
  expect_boolean("my.key=bool:false", false);
  expect_text("my.key=hello there", "hello there");
  expect_text("my.key=99999999999999999999", "99999999999999999999");
  expect_text("my.key=str:12", "12");
  expect_text("my.key={\"a\":1}", "{\"a\":1}");
  expect_text("my.key=[[1]]", "[[1]]");
  assert_int_equal(overridden("my.key=null").type, SETTING_NULL);
  checkpoint *c = open_with("shape:tiny", "my.key=[true, false]");
  const setting *s = checkpoint_setting(c, "my.key");
  assert_int_equal(s->type, SETTING_ARRAY);
  assert_int_equal(s->array.length, 2);
  assert_int_equal(s->array.items[0].boolean, true);
  assert_non_null(checkpoint_setting(c, "general.name"));
  checkpoint_close(&c);
}

static void test_twice(void **state) {
  (void)state;
  checkpoint *c = open_with("shape:tiny", "my.key=1");
  size_t n = c->n_settings;
  assert_int_equal(checkpoint_override(c, "my.key=2", NULL), GALE_OK);
  assert_int_equal(c->n_settings, n);
  assert_int_equal(checkpoint_setting(c, "my.key")->integer, 2);
  checkpoint_close(&c);
}

static void test_json(void **state) {
  (void)state;
  write_text("config.json",
             "{\"rope_theta\":10000,\"sliding_window\":4096,\"rope_scaling\":{\"factor\":8},\"eps\":null}");
  uint64_t header[2] = {2, 0};
  memcpy(&header[1], "{}", 2);
  write_bytes("model.safetensors", header, 10);
  checkpoint *c = open_with(directory, "rope_theta=0.5");
  assert_int_equal(checkpoint_setting(c, "rope_theta")->type, SETTING_FLOAT);
  assert_int_equal(checkpoint_override(c, "sliding_window=null", NULL), GALE_OK);
  assert_int_equal(checkpoint_setting(c, "sliding_window")->type, SETTING_NULL);
  assert_int_equal(checkpoint_override(c, "sliding_window=[null,8]", NULL), GALE_OK);
  assert_int_equal(checkpoint_setting(c, "sliding_window")->array.items[1].integer, 8);
  assert_int_equal(checkpoint_override(c, "rope_scaling.factor=32", NULL), GALE_OK);
  assert_int_equal(checkpoint_setting(c, "rope_scaling.factor")->integer, 32);
  assert_int_equal(checkpoint_override(c, "eps=1e-6", NULL), GALE_OK);
  assert_true(checkpoint_setting(c, "eps")->number == 1e-6);
  checkpoint_close(&c);
}

/* A GGUF file of keys k.0 to k.n-1, each with its number, and no tensor. */
static const char *write_keys(int n) {
  static build b;
  char key[32];
  put_preamble(&b, 0, (uint64_t)n);
  for (int i = 0; i < n; i++) {
    snprintf(key, sizeof key, "k.%d", i);
    put_key_u32(&b, key, (uint32_t)i);
  }
  put_padding(&b, 32);
  return write_build("keys.gguf", &b);
}

/* Adds keys to a file of n_old and looks for all of them. */
static void add_keys(int n_old, int n_new) {
  char text[32];
  checkpoint *c = open_good(write_keys(n_old));
  for (int i = n_old; i < n_old + n_new; i++) {
    snprintf(text, sizeof text, "k.%d=%d", i, i);
    assert_int_equal(checkpoint_override(c, text, NULL), GALE_OK);
  }
  assert_int_equal(c->n_settings, n_old + n_new);
  for (int i = 0; i < n_old + n_new; i++) {
    snprintf(text, sizeof text, "k.%d", i);
    const setting *s = checkpoint_setting(c, text);
    assert_non_null(s);
    assert_int_equal(s->type, SETTING_INT);
    assert_int_equal(s->integer, i);
  }
  checkpoint_close(&c);
}

static void test_new_in_a_file(void **state) {
  (void)state;
  for (int n_old = 0; n_old < 36; n_old++) add_keys(n_old, 5);
  add_keys(700, 1); /* an array that is an allocation of its own */
  add_keys(700, 900);
}

static void refuse_override(const char *key_value, const char *why) {
  gale_error error = {0};
  checkpoint *c = open_good("shape:tiny");
  size_t n = c->n_settings;
  assert_int_equal(checkpoint_override(c, key_value, &error), GALE_E_ARGUMENT);
  if (!strstr(error.message, why)) fail_msg("\"%s\" is not in: %s", why, error.message);
  assert_int_equal(c->n_settings, n);
  assert_int_equal(checkpoint_setting(c, "llama.block_count")->integer, 2);
  checkpoint_close(&c);
}

static void test_refused(void **state) {
  (void)state;
  refuse_override("", "KEY=VALUE");
  refuse_override("=5", "KEY=VALUE");
  refuse_override("llama.block_count", "KEY=VALUE");
  refuse_override("llama.block_count=many", "an integer of 64 bits is accepted");
  refuse_override("llama.block_count=2.5", "an integer of 64 bits is accepted");
  refuse_override("llama.block_count=", "an integer of 64 bits is accepted");
  refuse_override("llama.block_count=99999999999999999999", "an integer");
  refuse_override("llama.block_count=int:true", "an integer");
  refuse_override("llama.rope.freq_base=nan", "a number is accepted");
  refuse_override("llama.rope.freq_base=1e999", "a number is accepted");
  refuse_override("llama.rope.freq_base=float:", "a number is accepted");
  refuse_override("my.key=bool:1", "true or false is accepted");
}

#define IN_A_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, make_directory, remove_directory)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_existing), cmocka_unit_test(test_new),         cmocka_unit_test(test_twice),
      IN_A_DIRECTORY(test_json),       IN_A_DIRECTORY(test_new_in_a_file), cmocka_unit_test(test_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
