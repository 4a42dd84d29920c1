/* JSON of any bytes in each form. In its strict forms gale's reader and jansson accept the same texts and read the same
 * values, but for what is listed in same_set(). What Python's form accepts must be written and read back. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "json/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DEPTH = 64 };

typedef struct pair {
  unsigned flags;
  size_t jansson;
} pair;

/* The forms of settings, and of tokenizers, where integers may be larger than 64 bits. */
static const pair PAIRS[] = {
    {VALUE_NO_NUL | VALUE_INT64, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY},
    {VALUE_NO_NUL_KEY, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL},
};

/* jansson nests deeper, takes any number of values, and skips a NUL byte that stands right behind a number. */
static bool same_set(value_status status, bool taken, slice text) {
  bool nul = text.n > 0 && memchr(text.s, 0, text.n);
  return status == VALUE_LIMIT || (status == VALUE_SYNTAX && nul) || (status == VALUE_OK) == taken;
}

static void check_pair(const pair *p, slice text) {
  arena memory = {0};
  value *root = NULL;
  value_report report;
  json_error_t why;
  value_status status = value_read(&memory, text, (value_form){p->flags, DEPTH}, &root, &report);
  json_t *other = json_loadb(text.s, text.n, p->jansson, &why), *again = NULL;
  if (!same_set(status, other != NULL, text)) abort();
  if (report.at > text.n || (status && !*report.why)) abort();
  if (status == VALUE_OK) {
    byte_list out = {0};
    bytes_add_value(&out, root);
    if (!out.failed) again = json_loadb(out.bytes, out.n, p->jansson, &why);
    if (!again || !json_equal(again, other)) abort();
    free(out.bytes);
  }
  json_decref(again);
  json_decref(other);
  arena_free(&memory);
}

/* Written, read and written again, a value is the same text; so it is by way of indents. */
static void check_prompt(slice text) {
  arena memory = {0};
  value *root = NULL;
  value_report report;
  if (value_read(&memory, text, VALUE_PROMPT, &root, &report) == VALUE_OK) {
    byte_list once = {0}, twice = {0}, lines = {0};
    const char *where = "";
    schema_check(root, &where);
    bytes_add_value(&once, root);
    bytes_add_indented(&lines, root);
    if (value_read(&memory, (slice){lines.bytes, lines.n}, VALUE_PROMPT, &root, &report)) abort();
    bytes_add_value(&twice, root);
    if (once.n != twice.n || memcmp(once.bytes, twice.bytes, once.n) != 0) abort();
    free(once.bytes);
    free(twice.bytes);
    free(lines.bytes);
  } else {
    /* What the lenient form refuses, the strict one does too. */
    if (value_read(&memory, text, VALUE_REQUEST, &root, &report) == VALUE_OK) abort();
  }
  arena_free(&memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  slice text = {(const char *)data, size};
  for (size_t i = 0; i < sizeof PAIRS / sizeof *PAIRS; i++) check_pair(&PAIRS[i], text);
  check_prompt(text);
  return 0;
}
