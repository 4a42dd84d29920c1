/* Words of a tekken.json whose base64 is written with escapes: read as what they stand for, up to the longest. */
#include "text_cases.h"

/* The sample file with the last word of its vocabulary in n characters of base64, the first of them escaped. */
static char *with_word(size_t n) {
  json_t *root = load_json(TEST_DATA "/text", "tekken.json"), *config = json_object_get(root, "config");
  size_t words = (size_t)(json_integer_value(json_object_get(config, "default_vocab_size")) -
                          json_integer_value(json_object_get(config, "default_num_special_tokens")));
  char *base64 = malloc(n + 1);
  for (size_t i = 0; i < n; i++) base64[i] = "QUFB"[i % 4];
  base64[0] = '*';
  base64[n] = 0;
  json_object_set_new(json_array_get(json_object_get(root, "vocab"), words - 1), "token_bytes", json_string(base64));
  char *text = json_dumps(root, JSON_COMPACT), *star = strstr(text, "\"*UFB");
  char *escaped = malloc(strlen(text) + 6);
  sprintf(escaped, "%.*s\"\\u0051%s", (int)(star - text), text, star + 2);
  free(text);
  free(base64);
  json_decref(root);
  return escaped;
}

static gale_status open_with_word(size_t n, gale_error *error) {
  char *text = with_word(n);
  gale_tokenizer *t = NULL;
  *error = (gale_error){0};
  gale_status status = tokenizer_from_json("made/tekken.json", text, strlen(text), NULL, &t, error);
  gale_tokenizer_close(&t);
  free(text);
  return status;
}

static void longest(void **state) {
  (void)state;
  gale_error error;
  if (open_with_word(1364, &error)) fail_msg("%s", error.message);
  assert_int_equal(open_with_word(1372, &error), GALE_E_FORMAT);
  assert_non_null(strstr(error.message, "token_bytes: not base64 of 1 to 1024 bytes"));
  assert_int_equal(open_with_word(1 << 16, &error), GALE_E_FORMAT);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(longest)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
