#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void error_fill(gale_error *error, gale_status code, const char *format, ...) {
  if (!error) return;
  error->code = code;
  va_list arguments;
  va_start(arguments, format);
  int n = vsnprintf(error->message, sizeof error->message, format, arguments);
  va_end(arguments);
  if (n < 0) error->message[0] = 0;
  if (n >= (int)sizeof error->message) {
    size_t end = sizeof error->message - 1;
    while (end > 0 && ((unsigned char)error->message[end - 1] & 0xC0) == 0x80) end--;
    if (end > 0 && (unsigned char)error->message[end - 1] >= 0xC0) end--;
    error->message[end] = 0;
  }
  for (char *c = error->message; *c; c++)
    if ((unsigned char)*c < 0x20 || *c == 0x7F) *c = '?';
}
