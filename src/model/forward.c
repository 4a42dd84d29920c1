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

/* Whether the readers of an activation have float weights, and whether quantised ones; and be_act.outlier_rest. */
typedef struct forms {
  bool f32, levels;
  float outlier_rest;
} forms;

static be_act take_act(layout *l, int64_t n, int64_t cols, forms f) {
  be_act a = {.cols = cols};
  if (f.f32) a.f32 = take(l, n * cols, sizeof *a.f32);
  if (f.levels) {
    a.level = take(l, n * cols, sizeof *a.level);
    a.scale = take(l, n * cols / QUANT_BLOCK, sizeof *a.scale);
    a.neg_sum = take(l, n * cols / QUANT_BLOCK * 2, sizeof *a.neg_sum);
    if (f.outlier_rest == 0) return a;
    a.outlier_rest = f.outlier_rest;
    a.outlier_at = take(l, n * cols / QUANT_BLOCK, sizeof *a.outlier_at);
    a.outlier = take(l, n * cols / QUANT_BLOCK, sizeof *a.outlier);
  }
  return a;
}

static void read_by(forms *f, const be_weight *w) {
  *(quant_get(w->type)->is_float ? &f->f32 : &f->levels) = true;
}

/* The forms in which activations are read. x and attended are always there as floats: they are written so first. */
typedef struct readers {
  forms x, attended, activated, expert_x;
} readers;

static readers find_readers(const gale_model *m) {
  const model_config *c = &m->config;
  /* Attention averages, which leaves no outliers that matter; a product of two factors has many that matter less. */
  const forms normed = {.outlier_rest = 0.75f}, product = {.outlier_rest = 0.4f};
  readers r = {.x = normed, .expert_x = normed, .activated = product};
  r.x.f32 = r.attended.f32 = true;
  read_by(&r.x, &m->weights.output);
  for (int32_t i = 0; i < c->n_layers; i++) {
    const layer_weights *l = &m->weights.layers[i];
    read_by(&r.x, &l->wq);
    read_by(&r.x, &l->wk);
    read_by(&r.x, &l->wv);
    read_by(&r.attended, &l->wo);
    if (c->n_experts > 0) read_by(&r.x, &l->gate);
    for (int32_t e = 0; e < (c->n_experts > 0 ? c->n_experts : 1); e++) {
      read_by(&r.expert_x, &l->w1[e]);
      read_by(&r.expert_x, &l->w3[e]);
      read_by(&r.activated, &l->w2[e]);
    }
  }
  r.x.levels = r.x.levels || r.expert_x.levels;
  return r;
}

static void layout_experts(layout *l, const model_config *c, int64_t n, forms expert_x, forward_state *s) {
  int64_t entries = n * c->n_experts_per_tok;
  s->router = take(l, n * c->n_experts, sizeof *s->router);
  s->expert_x = take_act(l, entries, c->dim, expert_x);
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
  s->activated = take_act(&l, c->n_experts > 0 ? n * c->n_experts_per_tok : n, c->hidden_dim, r.activated);
  if (c->post_norms) s->y = take(&l, n * c->dim, sizeof *s->y);
  for (int i = 0; i < c->n_ropes; i++) {
    s->rope[i] = (be_rope){.n_pairs = c->head_dim / 2};
    s->rope[i].cos = take(&l, n * s->rope[i].n_pairs, sizeof *s->rope[i].cos);
    s->rope[i].sin = take(&l, n * s->rope[i].n_pairs, sizeof *s->rope[i].sin);
  }
  if (c->n_experts > 0) layout_experts(&l, c, n, r.expert_x, s);
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
  be->rope_store(w, s->q, s->k, s->v, c->n_heads, &norms, &s->rope[c->layers[i].rope], &c->attention_temperature,
                 &p->batch, &p->kv[i]);
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
  be->linear_gated(w, &s->x, &(be_gated){l->w1, l->w3, c->activation, &s->activated}, NULL, n);
  project_and_add(p, w, &s->activated, l->w2, l->ffn_post_norm);
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
  be->gather(w, &s->expert_x, &s->x, r->token, n * r->n_used);
  be->linear_gated(w, &s->expert_x, &(be_gated){l->w1, l->w3, c->activation, &s->activated}, r, n * r->n_used);
  be->linear_experts(w, &s->activated, &(be_product){l->w2, s->expert_y}, r);
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
  if (p->n_logits == 0) return;
  be->linear(w, &s->x, (be_product[]){{&weights->output, s->logits}}, 1, p->n_logits, false);
  if (c->logit_softcap > 0) be->soft_cap(w, s->logits, c->logit_softcap, c->vocab_size, p->n_logits);
}
