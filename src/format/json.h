/* JSON of untrusted files, read strictly (json/value.h), without NUL, of bounded depth and size. */
#ifndef FORMAT_JSON_H
#define FORMAT_JSON_H

#include "format/checkpoint.h"
#include "json/value.h"

/* Files above this are refused; also the longest header of a safetensors file. */
#define JSON_MAX_BYTES 100000000u

/* What becomes of an integer that does not fit int64_t: an error, or a float. With the latter, other numbers
 * without a fraction below 2^53 count as integers too. */
typedef enum json_integers { JSON_INTEGERS_EXACT, JSON_INTEGERS_ANY } json_integers;

typedef struct json_document {
  const value *root; /* an object, whose keys and strings hold no NUL */
  arena memory;
  char *text; /* which texts of the tree point into; NULL: the caller's */
} json_document;

/* Reads n bytes that hold one object and must stay as they are while d is open. `base` is the text's offset in the file
 * `source`, for messages. On failure d is closed. */
gale_status json_parse(const char *source, const char *text, size_t n, uint64_t base, json_integers integers,
                       json_document *d, gale_error *error);

/* json_parse() of a whole file. */
gale_status json_parse_file(const char *path, json_integers integers, json_document *d, gale_error *error);

void json_close(json_document *d);

/* True for what one setting can hold: anything but an object and an array of arrays or objects. */
bool json_is_setting(const value *v);

/* Sets s, but for its key, to such a value; memory is c's. */
gale_status json_setting(checkpoint *c, const value *v, json_integers integers, setting *s, gale_error *error);

/* Appends the values of an object to c's settings, each under `prefix` and its path joined by dots. */
gale_status json_settings(checkpoint *c, const char *source, const char *prefix, const value *root,
                          json_integers integers, gale_error *error);

/* json_parse_file() and json_settings(). */
gale_status json_settings_file(checkpoint *c, const char *path, const char *prefix, json_integers integers,
                               gale_error *error);

#endif
