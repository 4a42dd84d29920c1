/* The one reader and writer of JSON: a text becomes a tree in an arena. Requests are read strictly (RFC 8259, and
 * nothing that two readers could take for different things); what a file format or a model's prompts need beyond that
 * is allowed by flags that say so. */
#ifndef JSON_VALUE_H
#define JSON_VALUE_H

#include <stdbool.h>
#include <stdint.h>

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
  VALUE_INTEGER, /* a number without point and exponent */
  VALUE_REAL,
  VALUE_STRING,
  VALUE_ARRAY,
  VALUE_OBJECT,
} value_kind;

typedef struct value value;
struct value {
  value_kind kind;
  uint32_t count; /* of items */
  slice text;     /* of a string its content, of a number and a word what is written; lists and objects have none */
  slice key;      /* of a member of an object */
  value *first;   /* items, in order */
  value *next;
  struct value_index *index; /* of an object with many members */
};

/* ---- Reading ---- */

/* White space between values. */
static inline bool json_space(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* What is taken, or refused, beside strict JSON. */
enum {
  /* As Python's json.loads takes it; for JSON that stands in prompts and answers, as models have seen it. */
  VALUE_LAST_OF_KEY = 1, /* of members with one key only the last is kept, in the first one's place */
  VALUE_NOT_FINITE = 2,  /* NaN, Infinity and -Infinity are numbers, as are those beyond a double; an integer has at
                            most 4300 digits */
  VALUE_HALVES = 4,      /* half of a surrogate pair is taken, and U+FFFD stands in its place */
  VALUE_JSON_LOADS = VALUE_LAST_OF_KEY | VALUE_NOT_FINITE | VALUE_HALVES,

  /* For files whose numbers are counts and offsets, and whose strings become C strings. */
  VALUE_INT64 = 8,       /* an integer beyond int64_t is refused */
  VALUE_NO_NUL_KEY = 16, /* U+0000 is refused in keys */
  VALUE_NO_NUL = 32 | VALUE_NO_NUL_KEY,
};

typedef struct value_form {
  unsigned flags;
  int depth; /* of lists and objects within one another, at most; the reader recurses as deep */
} value_form;

static const value_form VALUE_REQUEST = {.flags = 0, .depth = 400};
static const value_form VALUE_PROMPT = {.flags = VALUE_JSON_LOADS, .depth = 400};

typedef enum value_status {
  VALUE_OK,
  VALUE_SYNTAX, /* not JSON of this form */
  VALUE_LIMIT,  /* nested too deep, too many values for the text's length, or a number with too many digits */
  VALUE_MEMORY,
} value_status;

typedef struct value_report {
  size_t at;    /* where something is wrong, in bytes */
  char why[96]; /* what; UTF-8 */
  bool half;    /* VALUE_HALVES: U+FFFD stands for half of a surrogate pair somewhere */
} value_report;

/* Reads one value, with white space around it, in text of at most 4 GiB. Strict JSON is UTF-8 without a byte order
 * mark; its objects have no key twice, its escapes no half of a surrogate pair, and its numbers fit a double. Texts of
 * the tree are in memory or in text itself, which must stay.
 *
 * A text may have 2^20 values and one more per 4 bytes; a value takes 64 bytes, a text with escapes at most its length
 * (and 15 bytes), a member of a large object 64 bytes more. *root is set, and of *report `half`, only on success. */
value_status value_read(arena *memory, slice text, value_form form, value **root, value_report *report);

/* The member with this key, or NULL. Any kind may be asked; objects with many members look it up in a table. */
const value *value_get(const value *object, const char *key);
const value *value_find(const value *object, slice key);
/* The same, but NULL also where it is null. */
const value *value_given(const value *object, const char *key);
/* Item i of a list or object, or NULL; steps over those before it. Any kind may be asked. */
const value *value_item(const value *list, size_t i);

/* v may be NULL: then it is none of these. */
bool value_is(const value *v, value_kind kind);
bool value_is_bool(const value *v);
bool value_is_number(const value *v);
/* True for a string of this content. */
bool value_says(const value *v, const char *text);

/* Numbers keep their texts. These are true for an integer that the type holds. */
bool value_int64(const value *v, int64_t *number);
bool value_uint64(const value *v, uint64_t *number);
/* The nearest double to a number: infinite beyond the largest. Of anything else NaN. */
double value_double(const value *v);

/* ---- Writing ---- */

/* A growing text; once failed is set nothing is added. */
typedef struct byte_list {
  char *bytes;
  size_t n, capacity;
  bool failed;
} byte_list;

void bytes_add(byte_list *to, slice text);
void bytes_drop(byte_list *from, size_t n);       /* its first n bytes */
void bytes_add_string(byte_list *to, slice text); /* with its quotes and escapes */
/* As json.dumps(ensure_ascii=False) writes it, on one line, or with indent=4: reals in the fewest digits that give them
 * back, in Python's choice of notation. */
void bytes_add_value(byte_list *to, const value *v);
void bytes_add_indented(byte_list *to, const value *v);

#endif
