/* A model's weights, packed for its device. */
#ifndef MODEL_WEIGHTS_H
#define MODEL_WEIGHTS_H

#include "model/tensors.h"

typedef struct layer_weights {
  const float *attention_norm;      /* [dim] */
  be_weight wq;                     /* [n_heads * head_dim, dim] */
  be_weight wk, wv;                 /* [n_kv_heads * head_dim, dim] */
  be_weight wo;                     /* [dim, n_heads * head_dim] */
  const float *q_norm, *k_norm;     /* [head_dim]; NULL where the family has none */
  const float *attention_post_norm; /* [dim]; likewise */
  const float *ffn_norm;            /* [dim] */
  be_weight gate;                   /* [n_experts, dim] */
  be_weight *w1, *w3;               /* [n_experts], or one: [hidden_dim, dim] */
  be_weight *w2;                    /* [n_experts], or one: [dim, hidden_dim] */
  const float *ffn_post_norm;       /* [dim]; NULL where the family has none */
} layer_weights;

/* One tensor to load, and to where: a packed matrix or a row of floats. */
typedef struct weight_target {
  tensor_role role;
  tensor_place place;
  int layer, expert;  /* -1 where they do not apply */
  int64_t rows, cols; /* rows 0: a vector */
  be_weight *matrix;
  const float **vector;
} weight_target;

typedef struct model_weights {
  be_weight tok_embeddings; /* [vocab_size, dim] */
  be_weight output;         /* [vocab_size, dim]; the same memory as tok_embeddings where tied */
  const float *norm;        /* [dim] */
  layer_weights *layers;    /* [n_layers] */
  bool tied;
  int modalities; /* what the files hold besides the text model, in bits of tensors.h; it is not used */
  int64_t n_parameters;
  uint64_t stored_bytes; /* in the files */
  void *memory;          /* all packed matrices and norms */
  size_t memory_bytes;
  void *mapping; /* NULL: memory is the device's; else it lies in this mapping of a file */
  size_t mapping_bytes;
  weight_target *targets; /* [n_targets]: what weights_load() loads */
  size_t n_targets;
} model_weights;

/* Finds every tensor, checks type and shape, and refuses a checkpoint that holds tensors this block would leave out.
 * Fills in all but the packed data; arrays live in `memory`. */
gale_status weights_find(const checkpoint *c, const model_config *config, arena *memory, model_weights *w,
                         gale_error *error);

#endif
