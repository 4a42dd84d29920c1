/* JSON as expressions. */
#ifndef CONSTRAINT_JSON_TEXT_H
#define CONSTRAINT_JSON_TEXT_H

#include "constraint/expr.h"
#include "json/value.h"

enum { JSON_DEPTH = 64, JSON_DIGITS = 16, JSON_EXPONENT_DIGITS = 3 };

/* What many constraints are made of; made once in a pool. */
typedef struct json_parts {
  expr *space;     /* where JSON allows white space: none, one space, or a new line and up to 40 spaces */
  expr *character; /* of a string, by any escape */
  expr *letter;    /* of a string, with the escapes that chars_json() gives where `escaped` is false */
  expr *string;    /* any string, with its quotes */
  expr *letters;   /* any text of letters */
  expr *comma, *colon, *quote;
  expr *natural;  /* digits without a leading zero */
  expr *exponent; /* e, a sign or none, and digits */
  expr *fraction; /* nothing, or a point and digits */
  expr *integer, *number;
} json_parts;

/* Lets the pool make what is of JSON. NULL when it has failed. */
const json_parts *json_parts_of(expr_pool *p);

/* Any value, with lists and objects at most `depth` <= JSON_DEPTH deep in it. */
expr *json_any(expr_pool *p, int depth);
expr *json_any_object(expr_pool *p, int depth);
expr *json_any_array(expr_pool *p, int depth);

/* [ ws (item ws (, ws item ws)*)? ] with so many items. */
expr *json_array_of(expr_pool *p, expr *item, uint32_t least, uint32_t most);

/* Whether a text is of characters that are written in one way: of ASCII, no control characters, ", \ or /. */
bool json_plain(slice text);
/* A text as a JSON string, with its quotes, written in one way where characters are ASCII and no control characters. */
expr *json_string_of(expr_pool *p, slice text);
/* The same without quotes. */
expr *json_letters_of(expr_pool *p, slice text);
/* This value alone: numbers as they are written, members in their order. */
expr *json_value_of(expr_pool *p, const value *v);

#endif
