/* Reading the fields of a request: typed, within ranges, and with the path of the one that is wrong. The first thing
 * that is wrong sticks; what is read after it is at its default.
 *
 * A field that is null counts as one that is missing, except where a value is required. */
#ifndef GALE_SERVE_FIELDS_H
#define GALE_SERVE_FIELDS_H

#include "gale/serve/serve.h"
#include "json/value.h"

/* What is read, and why it is refused. */
typedef struct fields {
  arena memory; /* of all that is read */
  bool refused;
  failure why;
  char param[192];   /* path of the field; "": none */
  char message[640]; /* UTF-8 */
} fields;

/* An object or a list of a request, and how errors name it. */
typedef struct place {
  fields *f;
  const value *v;   /* NULL: there is none; then all its fields are missing */
  const char *path; /* "": the body itself */
} place;

/* Refuses the request for the field `key` of this place (NULL: for the place itself), unless it is refused already. */
void field_refuse(place at, const char *key, failure why, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The same for what no field alone is the cause of. */
void fields_refuse(fields *f, failure why, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Tells the refused field's path as an API calls it: the part `from` of it becomes `to`. */
void fields_rename(fields *f, const char *from, const char *to);
/* Out of memory. */
void fields_memory(fields *f);

/* Memory as long as the fields are there, all zero; NULL with the request refused. */
void *fields_new(fields *f, size_t count, size_t size);
/* A copy with a NUL behind it. */
const char *fields_string(fields *f, slice text);

/* ---- One field ---- */

/* NULL where it is missing or null. */
const value *field_any(place at, const char *key);
bool field_flag(place at, const char *key, bool missing);
int64_t field_integer(place at, const char *key, int64_t least, int64_t most, int64_t missing);
/* Finite, in [least, most]. */
double field_number(place at, const char *key, double least, double most, double missing);
/* Not there where it is missing. */
slice field_text(place at, const char *key);
/* The same without U+0000, and ended by NUL; NULL where it is missing. */
const char *field_string(place at, const char *key);
/* The index of the choice that the text is; -1 where it is missing. choices are ended by NULL. */
int field_choice(place at, const char *key, const char *const *choices);

/* ---- Objects and lists within ---- */

/* v is NULL where the field is missing. */
place field_object(place at, const char *key);
place field_list(place at, const char *key);
/* Item `index` of a list, which is `item`. */
place place_item(place list, size_t index, const value *item);
/* The same, which must be an object. */
place place_object(place list, size_t index, const value *item);

/* ---- What is refused where it says anything ---- */

/* A field that gale does not have: any value but null and the neutral one (JSON; NULL: there is none) is refused as
 * unsupported. */
typedef struct neutral_field {
  const char *key, *neutral;
} neutral_field;
/* The list is ended by a row without a key. */
void fields_neutral(place at, const neutral_field *list);

#endif
