#include "model/forward.h"

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
    a.neg_sum = take(l, n * cols / QUANT_BLOCK * 2, sizeof *a.neg_sum);
  }
  return a;
}

static bool quantized(const be_weight *w) {
  return !quant_get(w->type)->is_float;
}

/* Whether any reader of an activation has quantised weights. */
typedef struct readers {
  bool x, attended, activated;
} readers;

static readers find_readers(const gale_model *m) {
  const model_config *c = &m->config;
  readers r = {.x = quantized(&m->weights.output)};
  for (int32_t i = 0; i < c->n_layers; i++) {
    const layer_weights *l = &m->weights.layers[i];
    r.x = r.x || quantized(&l->wq) || quantized(&l->wk) || quantized(&l->wv);
    r.x = r.x || (c->n_experts > 0 && quantized(&l->gate));
    r.attended = r.attended || quantized(&l->wo);
    for (int32_t e = 0; e < (c->n_experts > 0 ? c->n_experts : 1); e++) {
      r.x = r.x || quantized(&l->ffn[e].w1) || quantized(&l->ffn[e].w3);
      r.activated = r.activated || quantized(&l->ffn[e].w2);
    }
  }
  return r;
}

static void layout_experts(layout *l, const model_config *c, int64_t n, bool quantized_x, forward_state *s) {
  int64_t entries = n * c->n_experts_per_tok;
  s->router = take(l, n * c->n_experts, sizeof *s->router);
  s->expert_x = take_act(l, n, c->dim, quantized_x);
  s->expert_y = take(l, entries * c->dim, sizeof *s->expert_y);
  s->routing = (be_routing){.n_experts = c->n_experts, .n_used = c->n_experts_per_tok};
  s->routing.first = take(l, c->n_experts + 1, sizeof *s->routing.first);
  s->routing.token = take(l, entries, sizeof *s->routing.token);
  s->routing.place = take(l, entries, sizeof *s->routing.place);
  s->routing.weight = take(l, entries, sizeof *s->routing.weight);
}

size_t forward_layout(const gale_model *m, int32_t max_tokens, int32_t max_rows, void *memory, forward_state *s) {
  const model_config *c = &m->config;
  readers r = find_readers(m);
  layout l = {.base = memory};
  int64_t n = max_tokens, heads = (int64_t)c->n_heads * c->head_dim, kv = (int64_t)c->n_kv_heads * c->head_dim;
  s->h = take(&l, n * c->dim, sizeof *s->h);
  s->x = take_act(&l, n, c->dim, r.x);
  s->q = take(&l, n * heads, sizeof *s->q);
  s->k = take(&l, n * kv, sizeof *s->k);
  s->v = take(&l, n * kv, sizeof *s->v);
  s->attended = take_act(&l, n, heads, r.attended);
  s->gate = take(&l, n * c->hidden_dim, sizeof *s->gate);
  s->up = take(&l, n * c->hidden_dim, sizeof *s->up);
  s->activated = take_act(&l, n, c->hidden_dim, r.activated);
  if (c->post_norms) s->y = take(&l, n * c->dim, sizeof *s->y);
  for (int i = 0; i < c->n_ropes; i++) {
    s->rope[i] = (be_rope){.n_pairs = c->head_dim / 2};
    s->rope[i].cos = take(&l, n * s->rope[i].n_pairs, sizeof *s->rope[i].cos);
    s->rope[i].sin = take(&l, n * s->rope[i].n_pairs, sizeof *s->rope[i].sin);
  }
  if (c->n_experts > 0) layout_experts(&l, c, n, r.x, s);
  s->logits = take(&l, (int64_t)max_rows * c->vocab_size, sizeof *s->logits);
  return l.used;
}

/* ---- The pass ---- */

/* What a half of the layer computes goes to the residual stream, in some families through a norm. */
static void project_and_add(const forward_step *p, be_worker *w, const be_act *x, const be_weight *weight,
                            const float *post_norm) {
  const be_ops *be = p->model->device->ops;
  const model_config *c = &p->model->config;
  forward_state *s = p->state;
  int32_t n = p->batch.n_tokens;
  if (!post_norm) {
    be->linear(w, x, (be_product[]){{weight, s->h}}, 1, n, true);
    return;
  }
  be->linear(w, x, (be_product[]){{weight, s->y}}, 1, n, false);
  be->norm_add(w, s->h, s->y, post_norm, c->norm_eps, c->dim, n);
}

static void attention(const forward_step *p, int32_t i, be_worker *w) {
  const be_ops *be = p->model->device->ops;
  const model_config *c = &p->model->config;
  const layer_weights *l = &p->model->weights.layers[i];
  forward_state *s = p->state;
  int32_t n = p->batch.n_tokens;
  const be_head_norms norms = {l->q_norm, l->k_norm, c->norm_eps};

  be->norm(w, &s->x, s->h, l->attention_norm, c->norm_eps, NULL, n);
  be->linear(w, &s->x, (be_product[]){{&l->wq, s->q}, {&l->wk, s->k}, {&l->wv, s->v}}, 3, n, false);
  be->rope_store(w, s->q, s->k, s->v, c->n_heads, &norms, &s->rope[c->layers[i].rope], &c->query_growth, &p->batch,
                 &p->kv[i]);
  be->attend(w, &s->attended, s->q, c->n_heads, c->attention_scale, c->attention_softcap, &p->batch, &p->kv[i]);
  project_and_add(p, w, &s->attended, &l->wo, l->attention_post_norm);
}

static void feed_forward(const forward_step *p, int32_t i, be_worker *w) {
  const be_ops *be = p->model->device->ops;
  const model_config *c = &p->model->config;
  const layer_weights *l = &p->model->weights.layers[i];
  forward_state *s = p->state;
  int32_t n = p->batch.n_tokens;

  be->norm(w, &s->x, s->h, l->ffn_norm, c->norm_eps, NULL, n);
  be->linear(w, &s->x, (be_product[]){{&l->ffn->w1, s->gate}, {&l->ffn->w3, s->up}}, 2, n, false);
  be->activate(w, &s->activated, s->gate, s->up, c->activation, n);
  project_and_add(p, w, &s->activated, &l->ffn->w2, l->ffn_post_norm);
}

/* The feed-forward of a mixture of experts: each token goes through the experts that the gate chooses for it. */
static void experts(const forward_step *p, int32_t i, be_worker *w) {
  const be_ops *be = p->model->device->ops;
  const model_config *c = &p->model->config;
  const layer_weights *l = &p->model->weights.layers[i];
  forward_state *s = p->state;
  const be_routing *r = &s->routing;
  int32_t n = p->batch.n_tokens;

  be->norm(w, &s->x, s->h, l->ffn_norm, c->norm_eps, NULL, n);
  be->linear(w, &s->x, (be_product[]){{&l->gate, s->router}}, 1, n, false);
  be->route(w, r, s->router, n);
  for (int32_t e = 0; e < c->n_experts; e++) {
    int32_t first = r->first[e], m = r->first[e + 1] - first;
    if (m == 0) continue;
    const ffn_weights *f = &l->ffn[e];
    be->gather(w, &s->expert_x, &s->x, r->token + first, m);
    be->linear(w, &s->expert_x, (be_product[]){{&f->w1, s->gate}, {&f->w3, s->up}}, 2, m, false);
    be->activate(w, &s->activated, s->gate, s->up, c->activation, m);
    be->linear(w, &s->activated, (be_product[]){{&f->w2, s->expert_y + (int64_t)first * c->dim}}, 1, m, false);
  }
  be->combine(w, s->h, s->expert_y, r, c->dim, n);
}

void forward(void *step, be_worker *w) {
  const forward_step *p = step;
  const be_ops *be = p->model->device->ops;
  const model_config *c = &p->model->config;
  const model_weights *weights = &p->model->weights;
  forward_state *s = p->state;

  be->embed(w, s->h, &weights->tok_embeddings, &p->batch, c->embedding_scale);
  for (int r = 0; r < c->n_ropes; r++)
    be->angles(w, &s->rope[r], c->rope[r].frequency, c->rope[r].magnitude, &p->batch);
  for (int32_t i = 0; i < c->n_layers; i++) {
    attention(p, i, w);
    if (c->n_experts > 0)
      experts(p, i, w);
    else
      feed_forward(p, i, w);
  }
  if (p->n_rows == 0) return;
  be->norm(w, &s->x, s->h, weights->norm, c->norm_eps, p->rows, p->n_rows);
  be->linear(w, &s->x, (be_product[]){{&weights->output, s->logits}}, 1, p->n_rows, false);
  if (c->logit_softcap > 0) be->soft_cap(w, s->logits, c->logit_softcap, c->vocab_size, p->n_rows);
}
