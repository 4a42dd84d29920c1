/* What masks need of a vocabulary: all its tokens as a trie, and those that matter within JSON strings apart. */
#ifndef CONSTRAINT_MASK_TABLE_H
#define CONSTRAINT_MASK_TABLE_H

#include "constraint/expr.h"
#include "constraint/token_trie.h"
#include "gale_constraint.h"

/* A token begins with some whole characters that a JSON string holds unescaped: so many are its `prefix`, of which up
 * to this many are told apart. */
enum { PREFIX_MOST = 24 };

struct gale_mask_table {
  const gale_tokenizer *tokenizer;
  size_t words;     /* of a mask */
  uint32_t longest; /* bytes of a token */
  token_trie all;
  /* Tokens that are nothing but a prefix of 1 to k such characters: inside[k]; all of them: inside[PREFIX_MOST + 1]. */
  uint32_t *inside[PREFIX_MOST + 2];
  /* Other tokens, by what is behind their prefix: of those whose prefix is k, and of those where it is k or more. In
   * exact[PREFIX_MOST] are those with longer ones too, and all of these begin behind PREFIX_MOST characters. */
  token_trie exact[PREFIX_MOST + 1], from[PREFIX_MOST + 1];
  token_trie leaving; /* tokens that are more than a prefix, whole */
  /* Tokens of at most MOST_WITHIN characters, all of this kind; and all other tokens. */
  uint32_t *within[TEXT_KINDS];
  token_trie beyond[TEXT_KINDS];
  int32_t *ends; /* [n_ends] end tokens */
  size_t n_ends;
  /* Where the tokenizer drops the space in front of a text: what tokens are as its first, where that is different. */
  token_trie starting;
  bool drops_space;
};

#endif
