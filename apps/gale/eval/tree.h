/* The prefix tree of many inputs: what they have in common is there once. */
#ifndef GALE_EVAL_TREE_H
#define GALE_EVAL_TREE_H

#include "gale.h"
#include "gale/eval/source.h"

/* Something to be computed for an item: the likelihood of what follows, or an answer. */
typedef struct request {
  int32_t item, slot; /* which choice of it, or which repeat */
  /* Positions 0 to n - 1 are computed. The rows from `first` on count; row i predicts ids[i + 1]. Of an answer the last
   * row alone counts, and what follows it is generated. */
  const int32_t *ids;
  int32_t n, first;
  double sum; /* of log-probabilities */
  bool answer;
  byte_list text; /* of the answer, owned */
  int32_t n_generated;
  /* Set by the tree. */
  int32_t node, next; /* where it ends, and the next one that ends there, or -1 */
} request;

typedef struct tree_node {
  int32_t parent, child, sibling; /* -1: none */
  int32_t n_children;
  int32_t request;    /* one whose ids these are */
  int32_t begin, end; /* positions; the root has none */
  int32_t scored;     /* the first of them whose row counts for a request; end: none does */
  int32_t ends;       /* the first request that ends here, or -1 */
  int32_t low, high;  /* requests order[low] to order[high - 1] come through here or end here */
} tree_node;

typedef struct tree {
  tree_node *nodes; /* owned; node 0 is the root */
  int32_t n_nodes;
  int32_t *order; /* [n requests], owned: those of a part of the tree stand together */
  int64_t size;   /* positions of all nodes */
} tree;

/* Makes the tree of requests, whose items ascend. Children stand in the order of their first requests. Without `share`
 * only inputs of one item that are the same are there once. False when out of memory. */
bool tree_make(tree *t, request *requests, int32_t n, bool share);
void tree_free(tree *t);

#endif
