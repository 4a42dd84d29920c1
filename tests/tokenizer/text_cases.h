/* Reading the case files that tools/make_text_cases.py writes. */
#ifndef TOKENIZER_TEXT_CASES_H
#define TOKENIZER_TEXT_CASES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/file.h"
#include "tokenizer/tokenizer.h"

static inline json_t *load_json(const char *folder, const char *name) {
  char path[512];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  json_error_t problem;
  json_t *root = json_load_file(path, JSON_ALLOW_NUL, &problem);
  if (!root) fail_msg("%s: %s", path, problem.text);
  return root;
}

/* tests/data/text/tekken.json as one of another version. */
static inline gale_tokenizer *load_tekken(const char *version) {
  gale_tokenizer *t = NULL;
  gale_error error = {0};
  json_t *root = load_json(TEST_DATA "/text", "tekken.json");
  json_object_set_new(json_object_get(root, "config"), "version", json_string(version));
  char *text = json_dumps(root, 0);
  if (tokenizer_from_json("tekken.json", text, strlen(text), NULL, &t, &error)) fail_msg("%s", error.message);
  free(text);
  json_decref(root);
  return t;
}

static inline gale_tokenizer *load_tokenizer(const char *path) {
  char *data;
  size_t n;
  gale_error error = {0};
  gale_tokenizer *t = NULL;
  if (file_load(path, UINT64_MAX / 2, &data, &n, &error)) fail_msg("%s", error.message);
  size_t length = strlen(path);
  bool json = length > 5 && strcmp(path + length - 5, ".json") == 0;
  gale_status status = json ? tokenizer_from_json(path, data, n, NULL, &t, &error)
                            : tokenizer_from_sentencepiece(path, data, n, NULL, &t, &error);
  free(data);
  if (status) fail_msg("%s", error.message);
  return t;
}

/* The tokenizer that a case file names: beside it, or below $GALE_MISTRAL_COMMON; NULL if that is not set. */
static inline gale_tokenizer *tokenizer_of(const char *folder, const json_t *cases) {
  static const char VARIABLE[] = "$GALE_MISTRAL_COMMON/";
  const char *name = json_string_value(json_object_get(cases, "tokenizer"));
  char path[512];
  if (strncmp(name, VARIABLE, sizeof VARIABLE - 1) == 0) {
    folder = getenv("GALE_MISTRAL_COMMON");
    name += sizeof VARIABLE - 1;
    if (!folder) {
      print_message("skipped: %s: set GALE_MISTRAL_COMMON to the data folder of the PyPI package mistral-common\n",
                    name);
      return NULL;
    }
  }
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return load_tokenizer(path);
}

static inline void assert_ids(const char *what, const json_t *expected, const int32_t *ids, size_t n) {
  bool same = json_array_size(expected) == n;
  for (size_t i = 0; i < n && same; i++) same = json_integer_value(json_array_get(expected, i)) == ids[i];
  if (same) return;
  char *want = json_dumps(expected, JSON_COMPACT);
  char got[2000] = "";
  for (size_t i = 0, at = 0; i < n && at < sizeof got - 16; i++)
    at += (size_t)snprintf(got + at, sizeof got - at, "%d,", (int)ids[i]);
  fail_msg("%s\nexpected %s\n     got  %s", what, want, got);
}

#endif
