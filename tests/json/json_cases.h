/* What the tests of reading and writing JSON share. */
#ifndef TESTS_JSON_CASES_H
#define TESTS_JSON_CASES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "json/value.h"

static arena memory; /* of the tree at hand */

/* Reads what must be readable. Each call gives the tree before it back. */
static inline const value *read_good(slice text, value_form form) {
  value *root = NULL;
  value_report report;
  arena_free(&memory);
  if (value_read(&memory, text, form, &root, &report)) fail_msg("byte %zu of %zu: %s", report.at, text.n, report.why);
  return root;
}

/* Text in memory of its very size, so that the address sanitizer sees its end. */
static inline slice exact(slice text) {
  char *copy = malloc(text.n ? text.n : 1);
  assert_non_null(copy);
  memcpy(copy, text.s, text.n);
  return (slice){copy, text.n};
}

static inline void read_bad(slice text, value_form form, value_status status, size_t at, const char *why) {
  value *root = NULL;
  value_report report;
  arena unused = {0};
  slice copy = exact(text);
  value_status got = value_read(&unused, copy, form, &root, &report);
  arena_free(&unused);
  free((char *)copy.s);
  if (got != status || report.at != at || !strstr(report.why, why) || root)
    fail_msg("%.*s: status %d, byte %zu: %s; expected status %d, byte %zu: %s", (int)(text.n < 200 ? text.n : 200),
             text.s, got, report.at, got ? report.why : "", status, at, why);
}

#endif
