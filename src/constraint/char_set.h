/* Sets of characters, and what they are as bytes: UTF-8, or what stands in a JSON string. */
#ifndef CONSTRAINT_CHAR_SET_H
#define CONSTRAINT_CHAR_SET_H

#include "constraint/expr.h"

enum { LAST_CHARACTER = 0x10FFFF };

typedef struct char_range {
  uint32_t first, last;
} char_range;

/* Zero-initialise. Surrogates may be in ranges and stand for nothing. */
typedef struct char_set {
  char_range *ranges;
  size_t n, capacity;
  bool failed; /* memory ran out */
} char_set;

void char_set_add(char_set *s, uint32_t first, uint32_t last);
void char_set_invert(char_set *s);
void char_set_free(char_set *s);
/* The ranges sorted and apart. */
void char_set_tidy(char_set *s);

expr *chars_utf8(expr_pool *p, char_set *s);
/* One character of s in a JSON string. Beyond ASCII it may be written as itself or as \uXXXX; of ASCII, control
 * characters by any escape, ", \ and / by the short one, and others, if `escaped`, as \uXXXX too. */
expr *chars_json(expr_pool *p, char_set *s, bool escaped);

#endif
