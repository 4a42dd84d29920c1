/* The list of words of a tekken.json: most of the file, and read without building a tree of it. */
#ifndef TOKENIZER_TEKKEN_WORDS_H
#define TOKENIZER_TEKKEN_WORDS_H

#include "base/error.h"
#include "json/value.h"

/* An entry of the list. Where a field is missing or of another type, rank is -1 or base64 is not there. */
typedef struct tekken_word {
  int64_t rank;
  slice base64; /* as it stands in the file, between its quotes */
} tekken_word;

typedef struct tekken_words {
  tekken_word *words;
  size_t n, capacity;
  size_t begin, end; /* bytes of the file that the list takes; begin is 0: it has none */
} tekken_words;

/* Looks in JSON text for the list under the root's key "vocab" and reads it: GALE_E_FORMAT if it is malformed. Text
 * in which no such list is found before an error of syntax, or at all, has none; whether the rest is JSON is for
 * others to say. The words point into data. */
gale_status tekken_words_read(const char *source, const char *data, size_t n, tekken_words *words, gale_error *error);
void tekken_words_free(tekken_words *words);

#endif
