/* The forward pass: written once, for prefill, decode and mixed batches, on every device. */
#ifndef MODEL_FORWARD_H
#define MODEL_FORWARD_H

#include "model/model.h"

/* Memory of a step of up to max_tokens tokens, of which up to max_rows want logits. */
typedef struct forward_state {
  float *h;                /* [max_tokens][dim]: the residual stream */
  be_act x;                /* [max_tokens][dim]: normed */
  float *q;                /* [max_tokens][n_heads * head_dim] */
  float *k, *v;            /* [max_tokens][n_kv_heads * head_dim] */
  be_act attended;         /* [max_tokens][n_heads * head_dim] */
  be_act activated;        /* [max_tokens][hidden_dim]; with experts [max_tokens * n_experts_per_tok][hidden_dim] */
  float *y;                /* [max_tokens][dim]: what a half adds, where a norm comes first */
  be_rope rope[MAX_ROPES]; /* [max_tokens][head_dim / 2] */
  float *logits;           /* [max_rows][vocab_size] */

  /* Mixture of experts. */
  float *router; /* [max_tokens][n_experts] */
  be_routing routing;
  be_act expert_x; /* [max_tokens * n_experts_per_tok][dim]: what the experts get */
  float *expert_y; /* [max_tokens * n_experts_per_tok][dim]: what they give */
} forward_state;

/* Lays a state out at `memory` and returns its size; with memory NULL it only counts. */
size_t forward_layout(const gale_model *m, int32_t max_tokens, int32_t max_rows, void *memory, forward_state *s);

/* One step. */
typedef struct forward_step {
  const gale_model *model;
  forward_state *state;
  be_batch batch;
  const kv_view *kv;   /* [n_layers] */
  int32_t n_rows;      /* tokens whose final norm is wanted: row i of state->x.f32 is then that of token rows[i] */
  int32_t n_logits;    /* so many of them, the first, want logits too */
  const int32_t *rows; /* [n_rows] */
} forward_step;

/* Runs a forward_step on one worker; given to be_ops.run(). */
void forward(void *step, be_worker *w);

#endif
