/* A model's weights, packed for its device. */
#ifndef MODEL_WEIGHTS_H
#define MODEL_WEIGHTS_H

#include "backend/backend.h"
#include "model/config.h"

typedef struct layer_weights {
  const float *attention_norm; /* [dim] */
  be_weight wq;                /* [n_heads * head_dim, dim] */
  be_weight wk, wv;            /* [n_kv_heads * head_dim, dim] */
  be_weight wo;                /* [dim, n_heads * head_dim] */
  const float *ffn_norm;       /* [dim] */
  be_weight w1, w3;            /* [hidden_dim, dim] */
  be_weight w2;                /* [dim, hidden_dim] */
} layer_weights;

typedef struct model_weights {
  be_weight tok_embeddings; /* [vocab_size, dim] */
  be_weight output;         /* [vocab_size, dim]; the same memory as tok_embeddings where tied */
  const float *norm;        /* [dim] */
  layer_weights *layers;    /* [n_layers] */
  bool tied;
  int64_t n_parameters;
  uint64_t stored_bytes; /* in the files */
  void *memory;          /* of the device: all packed matrices and norms */
  size_t memory_bytes;
} model_weights;

/* Finds every tensor, checks type and shape, and refuses a checkpoint that holds tensors this block would
 * leave out. Fills in all but the packed data; layers live in `memory`. */
gale_status weights_find(const checkpoint *c, const model_config *config, arena *memory, model_weights *w,
                         gale_error *error);

/* Reads and packs what weights_find() found. */
gale_status weights_load(const checkpoint *c, const model_config *config, const be_device *device, int threads,
                         gale_progress_fn progress, void *user, model_weights *w, gale_error *error);

void weights_release(const be_device *device, model_weights *w);

#endif
