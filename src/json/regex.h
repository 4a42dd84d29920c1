/* Whether a text is a regular expression in the syntax of Python's re, as Mistral's reference asks of a schema's
 * patterns. Nothing is matched. */
#ifndef JSON_REGEX_H
#define JSON_REGEX_H

#include "json/value.h"

/* pattern is UTF-8. False also where memory runs out, where groups are nested more than 200 deep, and for names of
 * characters (\N{...}) that are no words of capital letters, digits, spaces and hyphens. */
bool regex_valid(slice pattern);

#endif
