/* JSON as it is put into prompts: read as Python's json.loads reads it, written as json.dumps(ensure_ascii=False)
 * writes it. A model has seen that form and no other. */
#ifndef JSON_VALUE_H
#define JSON_VALUE_H

#include <stdbool.h>

#include "base/arena.h"

/* Bytes [s, s + n); s NULL: not there. */
typedef struct slice {
  const char *s;
  size_t n;
} slice;

#define SLICE(literal) ((slice){literal, sizeof(literal) - 1})

slice slice_of(const char *s); /* NULL gives one that is not there */
bool slice_is(slice a, const char *s);
bool slice_equal(slice a, slice b);

typedef enum value_kind {
  VALUE_NULL,
  VALUE_FALSE,
  VALUE_TRUE,
  VALUE_INTEGER,
  VALUE_REAL,
  VALUE_STRING,
  VALUE_ARRAY,
  VALUE_OBJECT,
} value_kind;

typedef struct value value;
struct value {
  value_kind kind;
  slice text;   /* of a string its content, else (but for lists and objects) what is written for it */
  slice key;    /* of a member of an object */
  value *first; /* items, in order; of members with the same key only the last, in the first one's place */
  value *next;
  size_t count;
  bool half; /* of a root: some text held half of a surrogate pair, in whose place U+FFFD stands */
};

typedef enum value_status {
  VALUE_OK,
  VALUE_SYNTAX, /* not JSON */
  VALUE_LIMIT,  /* nested deeper than VALUE_DEPTH, or a number of more than 4300 digits */
  VALUE_MEMORY,
} value_status;

enum { VALUE_DEPTH = 400 };

/* *at is the offset of what is wrong. Texts of the tree are in memory or in text itself. NaN, Infinity and -Infinity
 * are numbers. */
value_status value_read(arena *memory, slice text, value **root, size_t *at);

/* The member with this key, or NULL. Any kind may be asked. */
const value *value_get(const value *object, const char *key);
/* The same, but NULL also where it is null. */
const value *value_given(const value *object, const char *key);

/* A growing text; once failed is set nothing is added. */
typedef struct byte_list {
  char *bytes;
  size_t n, capacity;
  bool failed;
} byte_list;

void bytes_add(byte_list *to, slice text);
void bytes_drop(byte_list *from, size_t n);       /* its first n bytes */
void bytes_add_string(byte_list *to, slice text); /* with its quotes and escapes */
void bytes_add_value(byte_list *to, const value *v);
void bytes_add_indented(byte_list *to, const value *v); /* as json.dumps(ensure_ascii=False, indent=4) writes it */

#endif
