#include "engine/state_key.h"

#include <string.h>

/* Raised when pages of the same settings are laid out otherwise. */
enum { PAGE_VERSION = 1 };

static void add_real(digest *d, double value) {
  digest_add(d, &value, sizeof value);
}

static void add_weights(digest *d, const gale_model *m) {
  const model_weights *w = &m->weights;
  digest sums = m->load.sums;
  for (size_t at = 0; at < w->memory_bytes && !m->load.summed; at += CHECKSUM_MOST) {
    size_t left = w->memory_bytes - at;
    digest_number(&sums, checksum((const char *)w->memory + at, left < CHECKSUM_MOST ? left : CHECKSUM_MOST));
  }
  digest_add(d, &sums, sizeof sums);
}

static void add_rope(digest *d, const model_config *c) {
  for (int32_t i = 0; i < c->n_ropes; i++) {
    const rope_config *rope = &c->rope[i];
    digest_add(d, rope->frequency, (size_t)c->head_dim / 2 * sizeof *rope->frequency);
    add_real(d, rope->magnitude);
  }
  for (int32_t l = 0; l < c->n_layers; l++) digest_number(d, (uint64_t)c->layers[l].rope);
}

digest state_model(const gale_model *m) {
  const model_config *c = &m->config;
  const int64_t sizes[] = {c->dim,        c->n_layers,   c->head_dim,    c->hidden_dim,        c->n_heads,
                           c->n_kv_heads, c->vocab_size, c->n_experts,   c->n_experts_per_tok, c->post_norms,
                           c->qk_norms,   c->activation, m->weights.tied};
  const double numbers[] = {c->norm_eps,
                            c->embedding_scale,
                            c->attention_scale,
                            c->attention_softcap,
                            c->logit_softcap,
                            c->attention_temperature.beta,
                            c->attention_temperature.context};
  digest d = {0};
  digest_add(&d, c->family->name, strlen(c->family->name));
  digest_add(&d, sizes, sizeof sizes);
  digest_add(&d, numbers, sizeof numbers);
  add_rope(&d, c);
  for (size_t i = 0; i < m->weights.n_targets; i++) {
    const weight_target *t = &m->weights.targets[i];
    const uint64_t place[] = {t->role,           (uint64_t)t->layer, (uint64_t)t->expert,
                              (uint64_t)t->rows, (uint64_t)t->cols,  t->matrix ? t->matrix->type : 0};
    digest_add(&d, place, sizeof place);
  }
  add_weights(&d, m);
  return d;
}

digest state_layout(const gale_session *s) {
  const cache *c = &s->cache;
  digest d = {0};
  digest_number(&d, PAGE_VERSION);
  digest_number(&d, GALE_NUMERICS_VERSION);
  digest_number(&d, (uint64_t)s->options.kv_type);
  digest_number(&d, c->page_bytes);
  for (int32_t l = 0; l < s->model->config.n_layers; l++) {
    digest_number(&d, (uint64_t)c->views[l].window);
    digest_number(&d, c->views[l].layer_offset);
  }
  return d;
}
