/* Mistral's own tekken.json: tokens in base64 by rank, a pattern that cuts text into words, and control tokens. */
#ifndef TOKENIZER_TEKKEN_H
#define TOKENIZER_TEKKEN_H

#include <jansson.h>

#include "tokenizer/built.h"
#include "tokenizer/tekken_words.h"

/* True if a file's root is that of a tekken.json; its list of words may have been emptied. */
bool is_tekken(const json_t *root);

/* Calls `use` with the vocabulary of such a file, into which hints (NULL: none) have been written. words are those of
 * the file, whatever stands under the root's "vocab". Control tokens come first; the id of a word is its rank plus
 * their number. */
gale_status vocabulary_from_tekken(const char *source, const json_t *root, const tekken_words *words,
                                   const tokenizer_hints *hints, vocabulary_fn use, void *user, gale_error *error);

#endif
