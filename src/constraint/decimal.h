/* Decimal numbers as texts, and expressions of the JSON numbers on one side of one. */
#ifndef CONSTRAINT_DECIMAL_H
#define CONSTRAINT_DECIMAL_H

#include "constraint/expr.h"
#include "json/value.h"

enum { DECIMAL_DIGITS = 40 };

/* +-0.D1 D2 D3 ... times 10^point, with D1 and the last digit not 0; zero has no digits. */
typedef struct decimal {
  bool negative;
  int n, point;
  char digits[DECIMAL_DIGITS];
} decimal;

/* False where the number has too many digits, or an exponent too large. */
bool decimal_read(slice text, decimal *d);
int decimal_compare(const decimal *a, const decimal *b);
bool decimal_whole(const decimal *d);

/* The numbers, as JSON without exponents, that are at least (or more than) the bound, and at most (or less). With
 * `integer` those alone that are whole. The pool has failed where the bound has too many digits. */
expr *numbers_from(expr_pool *p, const decimal *bound, bool exclusive, bool integer);
expr *numbers_to(expr_pool *p, const decimal *bound, bool exclusive, bool integer);
/* The number itself, with or without a point, zeros behind it, and a sign if it is zero. */
expr *number_equal(expr_pool *p, const decimal *d);
/* Multiples of d > 0; NULL where that would take too many states. */
expr *numbers_multiple(expr_pool *p, const decimal *d, bool integer);

#endif
