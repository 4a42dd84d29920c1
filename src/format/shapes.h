/* The table of published shapes: rows in shapes.def, what they are made of in shapes.c. */
#ifndef FORMAT_SHAPES_H
#define FORMAT_SHAPES_H

#include <stdbool.h>
#include <stddef.h>

/* What a dimension of a tensor is. */
typedef enum extent { NONE, DIM, QUERIES, KEYS, HEAD, PAIRS, HIDDEN, VOCAB, EXPERTS, EXTENTS } extent;

enum { MOST_LISTS = 4 };

/* A tensor: a vector [columns] in F32 where rows is NONE, else a matrix, else with `stack` many of them. */
typedef struct shape_tensor {
  const char *name;
  extent rows, columns, stack;
  bool plain; /* a matrix that is F32 whatever type is asked for, as other engines expect */
} shape_tensor;

typedef struct shape_family {
  const char *architecture;              /* as GGUF names it; the prefix of its keys */
  const shape_tensor *lists[MOST_LISTS]; /* the tensors of a layer; each list ends with one without a name */
  float norm_eps;
  float attention_softcap, logit_softcap; /* 0: none */
} shape_family;

/* How RoPE is stretched over a longer context. */
typedef struct shape_scaling {
  const char *type; /* value of rope.scaling.type; NULL: Llama 3's way, divisors in the tensor rope_freqs.weight */
  float factor;
  int original_context;
  float low, high;            /* Llama 3 */
  float beta_fast, beta_slow; /* YaRN */
  float log_multiplier;       /* YaRN's mscale_all_dim: 1 leaves the rotated vectors their length */
  float query_beta;           /* queries grow by 1 + beta ln(1 + position / original_context) */
} shape_scaling;

typedef struct shape {
  const char *name;
  const shape_family *family;
  int n_layers, dim, n_heads, n_kv_heads, head_dim, hidden_dim, vocab_size, context;
  float rope_theta;
  int window;            /* 0: none */
  int full_every;        /* layers 0, n, 2 n ... have no window; 0: the family says which */
  int n_experts, n_used; /* 0: no mixture of experts */
  const shape_scaling *scaling;
  bool tied; /* no output matrix but the embedding */
} shape;

/* NULL if there is none of a name of so many bytes. */
const shape *shape_find(const char *name, size_t length);

#endif
