/* The values of numbers, and how numbers are written. */
#include "json_cases.h"

#include <locale.h>
#include <math.h>

#include "base/random.h"

static double double_of(const char *text) {
  return value_double(read_good(slice_of(text), VALUE_PROMPT));
}

static void integers(void **state) {
  (void)state;
  static const struct {
    const char *text;
    bool is_signed, is_unsigned;
    int64_t a;
    uint64_t b;
  } CASES[] = {
      {"0", true, true, 0, 0},
      {"-0", true, true, 0, 0},
      {"-1", true, false, -1, 0},
      {"9223372036854775807", true, true, INT64_MAX, INT64_MAX},
      {"9223372036854775808", false, true, 0, (uint64_t)INT64_MAX + 1},
      {"-9223372036854775808", true, false, INT64_MIN, 0},
      {"-9223372036854775809", false, false, 0, 0},
      {"18446744073709551615", false, true, 0, UINT64_MAX},
      {"18446744073709551616", false, false, 0, 0},
      {"100000000000000000000000", false, false, 0, 0},
      {"1.0", false, false, 0, 0},
      {"1e2", false, false, 0, 0},
      {"\"1\"", false, false, 0, 0},
      {"null", false, false, 0, 0},
  };
  for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
    const value *v = read_good(slice_of(CASES[i].text), VALUE_REQUEST);
    int64_t a = 0;
    uint64_t b = 0;
    if (value_int64(v, &a) != CASES[i].is_signed || value_uint64(v, &b) != CASES[i].is_unsigned || a != CASES[i].a ||
        b != CASES[i].b)
      fail_msg("%s: %lld, %llu", CASES[i].text, (long long)a, (unsigned long long)b);
  }
  assert_false(value_int64(NULL, &(int64_t){0}));
}

static void doubles(void **state) {
  (void)state;
  static const char *const TEXTS[] = {"0",
                                      "1",
                                      "0.1",
                                      "-2.5e-3",
                                      "123456789012345678",
                                      "9007199254740993",
                                      "9007199254740992.99999999999999999999",
                                      "9007199254740993.00000000000000000001",
                                      "1e22",
                                      "1e23",
                                      "8.5e-22",
                                      "4.9e-324",
                                      "2.47e-324",
                                      "2.4703e-324",
                                      "2.2250738585072011e-308",
                                      "2.2250738585072014e-308",
                                      "1.7976931348623157e308",
                                      "1.7976931348623159e308",
                                      "179769313486231580793728971405301e276",
                                      "0.000000000000000000000000000000000000000000001e45",
                                      "1e400",
                                      "-1e400",
                                      "1e-400",
                                      "1e99999999999999999999999",
                                      "1e-99999999999999999999999",
                                      "0e99999999999999999999999"};
  for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++)
    if (double_of(TEXTS[i]) != strtod(TEXTS[i], NULL)) fail_msg("%s: %.17g", TEXTS[i], double_of(TEXTS[i]));
  assert_true(signbit(double_of("-0.0")) && signbit(double_of("-1e-400")) && !signbit(double_of("0")));
  assert_true(isnan(double_of("\"1\"")) && isnan(value_double(NULL)));
}

/* A middle between two doubles has at most 767 digits; what stands behind them still counts. */
static void middles(void **state) {
  (void)state;
  char text[2000];
  int n = snprintf(text, sizeof text, "%.1074f", 0x1p-1074);
  assert_int_equal(n, 1076);
  assert_true(double_of(text) == 0x1p-1074);
  n = snprintf(text, sizeof text, "%.1100f", 0x1.8p-1022);
  assert_true(double_of(text) == 0x1.8p-1022);
  /* 2^53 + 1 is a middle: it rounds to even, and up where anything follows. */
  n = snprintf(text, sizeof text, "9007199254740993.%0900d", 0);
  assert_true(double_of(text) == 9007199254740992.0);
  text[n - 1] = '1';
  assert_true(double_of(text) == 9007199254740994.0);
}

static void random_doubles(void **state) {
  (void)state;
  static const char *const FORMATS[] = {"%.17g", "%.15g", "%.3e", "%.20e", "%.30g"};
  for (uint64_t i = 0; i < 200000; i++) {
    uint64_t bits = random_at(7, i);
    double x;
    char text[64];
    memcpy(&x, &bits, sizeof x);
    if (!isfinite(x)) continue;
    if (i % 3 == 0) x = (double)(int64_t)(bits >> 20) * 1e-4;
    snprintf(text, sizeof text, FORMATS[i % 5], x);
    if (double_of(text) != strtod(text, NULL)) fail_msg("%s", text);
  }
}

static void written(const char *text, const char *expected) {
  byte_list out = {0};
  bytes_add_value(&out, read_good(slice_of(text), VALUE_PROMPT));
  bytes_add(&out, (slice){"", 1});
  assert_false(out.failed);
  assert_string_equal(out.bytes, expected);
  free(out.bytes);
}

static void as_python_writes(void **state) {
  (void)state;
  written("[1e5,1E-7,1e16,-0,-0.0,1e400,-1e400,NaN,0.1,1.50,123456789012345678901234567890]",
          "[100000.0, 1e-07, 1e+16, 0, -0.0, Infinity, -Infinity, NaN, 0.1, 1.5, 123456789012345678901234567890]");
  written("[0.0001,0.00001,123456.789,9007199254740993.0,5e-324,1e22,100.0]",
          "[0.0001, 1e-05, 123456.789, 9007199254740992.0, 5e-324, 1e+22, 100.0]");
  written("{\"a\":1,\"b\":[],\"a\":{\"c\":null}}", "{\"a\": {\"c\": null}, \"b\": []}");
  written("\"\\u0001\\n\\/\\u007f\\u2028\\ud83d\\ude00\\\"\"", "\"\\u0001\\n/\x7F\xE2\x80\xA8\xF0\x9F\x98\x80\\\"\"");
}

static void with_indents(void **state) {
  (void)state;
  byte_list out = {0};
  bytes_add_indented(&out, read_good(SLICE("{\"a\":[1,{}],\"b\":[],\"c\":{\"d\":2.0}}"), VALUE_REQUEST));
  bytes_add(&out, (slice){"", 1});
  assert_string_equal(out.bytes,
                      "{\n    \"a\": [\n        1,\n        {}\n    ],\n    \"b\": [],\n    \"c\": {\n        "
                      "\"d\": 2.0\n    }\n}");
  free(out.bytes);
}

/* A locale with another point changes nothing. */
static void locale(void **state) {
  (void)state;
  static const char *const NAMES[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "ru_RU.UTF-8"};
  for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
    if (!setlocale(LC_NUMERIC, NAMES[i])) continue;
    written("[1.5,0.1,123456789.123456789,1e-7]", "[1.5, 0.1, 123456789.12345679, 1e-07]");
    setlocale(LC_NUMERIC, "C");
    return;
  }
  print_message("skipped: no locale with a decimal comma is installed\n");
}

static int free_memory(void **state) {
  (void)state;
  arena_free(&memory);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(integers),       cmocka_unit_test(doubles),          cmocka_unit_test(middles),
      cmocka_unit_test(random_doubles), cmocka_unit_test(as_python_writes), cmocka_unit_test(with_indents),
      cmocka_unit_test(locale),
  };
  return cmocka_run_group_tests(tests, NULL, free_memory);
}
