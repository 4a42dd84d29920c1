/* Tokens by their bytes, in flat arrays: what a walk of a constraint's states over a vocabulary reads. */
#ifndef CONSTRAINT_TOKEN_TRIE_H
#define CONSTRAINT_TOKEN_TRIE_H

#include "gale.h"

/* A token's bytes, or some at its end. */
typedef struct token_text {
  const char *s;
  uint32_t n;
  int32_t id;
} token_text;

/* Nodes are in depth-first order, so that those below a node are between it and `skip`. The root is not among them. */
typedef struct trie_node {
  uint32_t skip;  /* the first node that is not below this one */
  uint32_t first; /* of trie.ids: from here to the next node's are the tokens that end here */
  uint16_t depth; /* 0: a first byte */
  uint8_t byte;
} trie_node;

typedef struct token_trie {
  trie_node *nodes; /* [n_nodes], and one more for its `first` */
  uint32_t n_nodes;
  int32_t *ids; /* [n_ids] */
  uint32_t n_ids;
  uint32_t n_empty; /* the first ids are of tokens without bytes */
} token_trie;

/* Sorts the texts. */
gale_status token_trie_build(token_text *texts, size_t n, token_trie *trie, gale_error *error);
void token_trie_free(token_trie *trie);

#endif
