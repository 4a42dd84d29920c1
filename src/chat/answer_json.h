/* Calls that an answer writes as JSON objects, {"name": ..., "parameters": {...}}, found as the text comes. Nothing is
 * read into values here, and nothing checked: strings and brackets are followed byte by byte, to tell where arguments
 * begin and end before the answer does. Whole values are read by json/value.h. */
#ifndef CHAT_ANSWER_JSON_H
#define CHAT_ANSWER_JSON_H

#include "json/value.h"

typedef enum json_place {
  PLACE_START, /* nothing but white space so far */
  PLACE_HEAD,  /* in an object that may be a call: before its parameters */
  PLACE_VALUE, /* before the parameters' value */
  PLACE_ARGUMENTS,
  PLACE_TAIL,  /* behind the parameters */
  PLACE_AFTER, /* behind a call: another, or nothing */
  PLACE_TEXT,  /* an answer in words */
} json_place;

/* All zero at the beginning. */
typedef struct json_calls {
  json_place place;
  byte_list held; /* text of which it is open whether it is a call */
  byte_list name; /* of the last call */
  int depth;
  bool in_string, escaped;
  size_t key, key_end; /* the last string in held, without its quotes */
  size_t n_keys;
} json_calls;

typedef enum json_found {
  FOUND_NOTHING,
  FOUND_TEXT,      /* `text` is content */
  FOUND_CALL,      /* a call of the function `text` begins */
  FOUND_ARGUMENTS, /* `text` belongs to the last call's arguments */
  FOUND_FAILURE,   /* out of memory */
} json_found;

/* Looks at text up to the first thing found, and returns how many bytes that took. *found's text is valid until the
 * next call. */
size_t json_calls_take(json_calls *s, slice text, json_found *found, slice *what);
/* What was held back and is no call after all; valid until s is freed. */
slice json_calls_rest(const json_calls *s);
void json_calls_free(json_calls *s);

#endif
