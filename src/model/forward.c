#include "model/forward.h"

#include <math.h>

/* ---- Memory ---- */

typedef struct layout {
  char *base;
  size_t used;
} layout;

static void *take(layout *l, int64_t n, size_t size) {
  void *p = l->base ? l->base + l->used : NULL;
  l->used += ((size_t)n * size + PANEL_ALIGN - 1) / PANEL_ALIGN * PANEL_ALIGN;
  return p;
}

static be_act take_act(layout *l, int64_t n, int64_t cols, bool quantized) {
  be_act a = {.cols = cols, .f32 = take(l, n * cols, sizeof *a.f32)};
  if (quantized) {
    a.level = take(l, n * cols, sizeof *a.level);
    a.scale = take(l, n * cols / QUANT_BLOCK, sizeof *a.scale);
    a.neg_sum = take(l, n * cols / QUANT_BLOCK, sizeof *a.neg_sum);
  }
  return a;
}

static bool quantized(const be_weight *w) {
  return !quant_get(w->type)->is_float;
}

size_t forward_layout(const gale_model *m, int32_t max_tokens, int32_t max_rows, void *memory, forward_state *s) {
  const model_config *c = &m->config;
  const model_weights *w = &m->weights;
  bool x = quantized(w->tied ? &w->tok_embeddings : &w->output), attended = false, activated = false;
  for (int32_t i = 0; i < c->n_layers; i++) {
    const layer_weights *l = &w->layers[i];
    x = x || quantized(&l->wq) || quantized(&l->wk) || quantized(&l->wv) || quantized(&l->w1) || quantized(&l->w3);
    attended = attended || quantized(&l->wo);
    activated = activated || quantized(&l->w2);
  }
  layout l = {.base = memory};
  int64_t n = max_tokens, heads = (int64_t)c->n_heads * c->head_dim, kv = (int64_t)c->n_kv_heads * c->head_dim;
  s->h = take(&l, n * c->dim, sizeof *s->h);
  s->x = take_act(&l, n, c->dim, x);
  s->q = take(&l, n * heads, sizeof *s->q);
  s->k = take(&l, n * kv, sizeof *s->k);
  s->v = take(&l, n * kv, sizeof *s->v);
  s->attended = take_act(&l, n, heads, attended);
  s->gate = take(&l, n * c->hidden_dim, sizeof *s->gate);
  s->up = take(&l, n * c->hidden_dim, sizeof *s->up);
  s->activated = take_act(&l, n, c->hidden_dim, activated);
  s->rope = (be_rope){.n_pairs = c->head_dim / 2};
  s->rope.cos = take(&l, n * s->rope.n_pairs, sizeof *s->rope.cos);
  s->rope.sin = take(&l, n * s->rope.n_pairs, sizeof *s->rope.sin);
  s->logits = take(&l, (int64_t)max_rows * c->vocab_size, sizeof *s->logits);
  return l.used;
}

/* ---- The pass ---- */

static void layer_forward(const forward_step *p, int32_t i, be_worker *w) {
  const be_ops *be = p->model->device->ops;
  const model_config *c = &p->model->config;
  const layer_weights *l = &p->model->weights.layers[i];
  forward_state *s = p->state;
  int32_t n = p->batch.n_tokens;
  float scale = 1.0f / sqrtf((float)c->head_dim);

  be->norm(w, &s->x, s->h, l->attention_norm, c->norm_eps, NULL, n);
  be->linear(w, &s->x, (be_product[]){{&l->wq, s->q}, {&l->wk, s->k}, {&l->wv, s->v}}, 3, n, false);
  be->rope_store(w, s->q, s->k, s->v, c->n_heads, &s->rope, &p->batch, &p->kv[i]);
  be->attend(w, &s->attended, s->q, c->n_heads, scale, &p->batch, &p->kv[i]);
  be->linear(w, &s->attended, (be_product[]){{&l->wo, s->h}}, 1, n, true);

  be->norm(w, &s->x, s->h, l->ffn_norm, c->norm_eps, NULL, n);
  be->linear(w, &s->x, (be_product[]){{&l->w1, s->gate}, {&l->w3, s->up}}, 2, n, false);
  be->silu_mul(w, &s->activated, s->gate, s->up, n);
  be->linear(w, &s->activated, (be_product[]){{&l->w2, s->h}}, 1, n, true);
}

void forward(void *step, be_worker *w) {
  const forward_step *p = step;
  const be_ops *be = p->model->device->ops;
  const model_config *c = &p->model->config;
  const model_weights *weights = &p->model->weights;
  forward_state *s = p->state;

  be->embed(w, s->h, &weights->tok_embeddings, &p->batch, 1.0f);
  be->angles(w, &s->rope, c->frequency, 1.0, &p->batch);
  for (int32_t i = 0; i < c->n_layers; i++) layer_forward(p, i, w);
  if (p->n_rows == 0) return;
  be->norm(w, &s->x, s->h, weights->norm, c->norm_eps, p->rows, p->n_rows);
  be->linear(w, &s->x, (be_product[]){{&weights->output, s->logits}}, 1, p->n_rows, false);
}
