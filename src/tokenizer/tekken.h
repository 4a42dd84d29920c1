/* Mistral's own tekken.json: tokens in base64 by rank, a pattern that cuts text into words, and control tokens. */
#ifndef TOKENIZER_TEKKEN_H
#define TOKENIZER_TEKKEN_H

#include "tokenizer/built.h"
#include "json/value.h"

/* True if a file's root is that of a tekken.json. */
bool is_tekken(const value *root);

/* Calls `use` with the vocabulary of such a file, into which hints (NULL: none) have been written. Control tokens come
 * first; the id of a word is its rank plus their number. */
gale_status vocabulary_from_tekken(const char *source, const value *root, const tokenizer_hints *hints,
                                   vocabulary_fn use, void *user, gale_error *error);

#endif
