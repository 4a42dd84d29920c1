/* What a step must read and compute at least, by arithmetic alone. */
#include "base/sized.h"
#include "engine/session.h"
#include "gale_tools.h"

#include <math.h>

static void add_matrix(const gale_model *m, const be_weight *w, double share, double tokens, gale_cost *cost) {
  double ops = 2.0 * (double)w->rows * (double)w->cols * tokens;
  cost->weight_bytes += share * (double)m->device->ops->weight_bytes(m->device, w->type, w->rows, w->cols);
  *(quant_get(w->type)->is_float ? &cost->float_ops : &cost->int8_ops) += ops;
}

static void add_layer_weights(const gale_model *m, const layer_weights *l, double tokens, gale_cost *cost) {
  const be_weight *always[] = {&l->wq, &l->wk, &l->wv, &l->wo, &l->gate};
  int32_t experts = m->config.n_experts;
  for (size_t i = 0; i < (experts > 0 ? 5 : 4); i++) add_matrix(m, always[i], 1, tokens, cost);
  double used = experts > 0 ? (double)m->config.n_experts_per_tok / experts : 1; /* of the experts, by one token */
  double read = 1 - pow(1 - used, tokens);                                       /* by all of them */
  for (int32_t e = 0; e < (experts > 0 ? experts : 1); e++) {
    const be_weight *chosen[] = {&l->w1[e], &l->w3[e], &l->w2[e]};
    for (size_t i = 0; i < 3; i++) add_matrix(m, chosen[i], read, used * tokens, cost);
  }
}

/* Adds what one sequence's keys and values in a layer cost. */
static void add_layer_cache(const gale_session *s, int32_t layer, int64_t length, int64_t n, double times,
                            gale_cost *cost) {
  const model_config *c = &s->model->config;
  const kv_view *kv = &s->cache.views[layer];
  int64_t end = length + n, read = end - kv_first_seen(kv, (int32_t)length), seen = 0;
  for (int64_t p = length; p < end; p++) seen += p + 1 - kv_first_seen(kv, (int32_t)p);
  cost->cache_bytes += times * (double)read * (double)kv_position_bytes(s->options.kv_type, c->n_kv_heads, c->head_dim);
  cost->attention_ops += times * (double)seen * 4.0 * c->n_heads * c->head_dim;
}

void gale_step_cost_sized(const gale_session *session, int32_t n_sequences, int32_t length, int32_t n_tokens,
                          gale_cost *cost, size_t size) {
  const gale_model *m = session->model;
  double tokens = (double)n_sequences * n_tokens;
  gale_cost all = {0};
  for (int32_t i = 0; i < m->config.n_layers; i++) {
    add_layer_weights(m, &m->weights.layers[i], tokens, &all);
    add_layer_cache(session, i, length, n_tokens, n_sequences, &all);
  }
  add_matrix(m, &m->weights.output, 1, n_sequences, &all);
  sized_write(cost, size, &all, sizeof all);
}
