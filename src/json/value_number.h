/* Numbers as text: their value, and Python's way of writing one. */
#ifndef JSON_VALUE_NUMBER_H
#define JSON_VALUE_NUMBER_H

#include "json/value.h"

/* The nearest double to what is written as a JSON number. */
double number_value(slice text);

enum { REAL_BYTES = 40 };
/* Writes x as Python's repr() does and returns the length. */
size_t write_real(double x, char to[REAL_BYTES]);

#endif
