#include "json/value_number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Reading ---- */

enum {
  MOST_DIGITS = 800,          /* no two doubles and no middle between two need more to be told apart */
  LARGEST_EXPONENT = 1 << 20, /* beyond it a number that a text can hold is 0 or infinite */
};

/* digits * 10^exponent. */
typedef struct decimal {
  char digits[MOST_DIGITS + 2]; /* without zeros in front, a NUL behind */
  int n;
  int64_t exponent;
} decimal;

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

static void take_digit(decimal *d, char digit) {
  if (d->n == 0 && digit == '0') return;
  if (d->n < MOST_DIGITS) {
    d->digits[d->n++] = digit;
    return;
  }
  /* Of what is behind them it matters only whether it is zero. */
  if (digit != '0') d->digits[MOST_DIGITS - 1] |= 1;
  d->exponent++;
}

static decimal decimal_of(slice text) {
  decimal d;
  size_t i = 0;
  d.n = 0;
  d.exponent = 0;
  for (; i < text.n && (is_digit(text.s[i]) || text.s[i] == '-'); i++)
    if (text.s[i] != '-') take_digit(&d, text.s[i]);
  if (i < text.n && text.s[i] == '.')
    for (i++; i < text.n && is_digit(text.s[i]); i++) {
      take_digit(&d, text.s[i]);
      d.exponent--;
    }
  int64_t stated = 0;
  bool minus = false;
  for (; i < text.n; i++) {
    minus |= text.s[i] == '-';
    if (is_digit(text.s[i]) && stated < INT64_MAX / 100) stated = 10 * stated + text.s[i] - '0';
  }
  d.exponent += minus ? -stated : stated;
  d.digits[d.n] = 0;
  return d;
}

double number_value(slice text) {
  static const double TENS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  decimal d = decimal_of(text);
  double sign = text.s[0] == '-' ? -1 : 1;
  if (d.n == 0) return sign * 0.0;
  if (d.n <= 15 && d.exponent >= -22 && d.exponent <= 22) { /* both factors are exact, so this rounds once */
    int64_t whole = 0;
    for (int i = 0; i < d.n; i++) whole = 10 * whole + d.digits[i] - '0';
    double x = (double)whole;
    return sign * (d.exponent < 0 ? x / TENS[-d.exponent] : x * TENS[d.exponent]);
  }
  if (d.exponent > LARGEST_EXPONENT) return sign * INFINITY;
  if (d.exponent < -LARGEST_EXPONENT - MOST_DIGITS) return sign * 0.0;
  /* Without a point, which strtod() would want to be the locale's. */
  char copy[MOST_DIGITS + 32];
  snprintf(copy, sizeof copy, "%se%d", d.digits, (int)d.exponent);
  return sign * strtod(copy, NULL);
}

double value_double(const value *v) {
  if (!value_is_number(v)) return NAN;
  bool minus = v->text.s[0] == '-';
  char first = v->text.s[minus];
  return first == 'N' ? NAN : first == 'I' ? (minus ? -INFINITY : INFINITY) : number_value(v->text);
}

bool value_uint64(const value *v, uint64_t *number) {
  if (!value_is(v, VALUE_INTEGER)) return false;
  bool minus = v->text.s[0] == '-';
  uint64_t x = 0;
  for (size_t i = minus; i < v->text.n; i++)
    if (__builtin_mul_overflow(x, 10, &x) || __builtin_add_overflow(x, (uint64_t)(v->text.s[i] - '0'), &x))
      return false;
  if (minus && x) return false;
  *number = x;
  return true;
}

bool value_int64(const value *v, int64_t *number) {
  if (!value_is(v, VALUE_INTEGER)) return false;
  bool minus = v->text.s[0] == '-';
  int64_t x = 0;
  for (size_t i = minus; i < v->text.n; i++) {
    int64_t digit = v->text.s[i] - '0';
    if (__builtin_mul_overflow(x, 10, &x) || __builtin_add_overflow(x, minus ? -digit : digit, &x)) return false;
  }
  *number = x;
  return true;
}

/* ---- Writing ---- */

size_t write_real(double x, char to[REAL_BYTES]) {
  if (isnan(x) || isinf(x)) {
    const char *word = isnan(x) ? "NaN" : x > 0 ? "Infinity" : "-Infinity";
    memcpy(to, word, strlen(word));
    return strlen(word);
  }
  char digits[REAL_BYTES];
  int used = 0, precision = 0, n = 0;
  do used = snprintf(digits, sizeof digits, "%.*e", precision, x);
  while (++precision < 17 && strtod(digits, NULL) != x);
  char *e = memchr(digits, 'e', (size_t)used);
  int exponent = (int)strtol(e + 1, NULL, 10);
  size_t out = 0;
  if (digits[0] == '-') to[out++] = '-';
  for (char *d = digits; d < e; d++) /* the locale's point goes */
    if (is_digit(*d)) digits[n++] = *d;
  while (n > 1 && digits[n - 1] == '0') n--;
  if (exponent < -4 || exponent >= 16) {
    to[out++] = digits[0];
    if (n > 1) to[out++] = '.';
    for (int i = 1; i < n; i++) to[out++] = digits[i];
    return out + (size_t)snprintf(to + out, 8, "e%+03d", exponent);
  }
  if (exponent < 0) to[out++] = '0';
  for (int i = exponent < 0 ? exponent + 1 : 0; i < n || i <= exponent; i++) {
    if (i == exponent + 1) to[out++] = '.';
    to[out++] = i >= 0 && i < n ? digits[i] : '0';
  }
  if (n <= exponent + 1) {
    to[out++] = '.';
    to[out++] = '0';
  }
  return out;
}
