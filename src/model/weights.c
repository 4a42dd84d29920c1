#include "model/weights.h"
#include "model/foreign.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The search for all tensors of a model. After a failure `status` is set and nothing more is looked for. */
typedef struct search {
  const checkpoint *c;
  const model_config *config;
  model_weights *w;
  bool *used; /* [n_tensors] */
  gale_error *error;
  gale_status status;
} search;

static void find(search *s, weight_target target, int layer, int expert) {
  if (s->status) return;
  target.layer = layer;
  target.expert = expert;
  s->status =
      tensor_find(s->c, s->config, target.role, layer, expert, target.rows, target.cols, &target.place, s->error);
  if (s->status) return;
  const tensor *t = target.place.tensor;
  if (!t && target.role == OUTPUT) {
    s->w->tied = true;
    return;
  }
  if (!t) {
    char name[160];
    tensor_usual_name(s->c, target.role, layer, expert, name);
    const char *foreign = checkpoint_foreign(s->c, name);
    s->status = foreign ? error_set(s->error, GALE_E_UNSUPPORTED, "%s: tensor %s has type %s, which is not accepted",
                                    s->c->path, name, foreign)
                        : error_set(s->error, GALE_E_FORMAT, "%s: tensor %s is missing", s->c->path, name);
    return;
  }
  int64_t elements = target.cols * (target.rows ? target.rows : 1);
  s->used[t - s->c->tensors] = true;
  s->w->n_parameters += elements;
  s->w->stored_bytes += quant_bytes(t->type, (uint64_t)elements);
  if (target.matrix) *target.matrix = (be_weight){.type = t->type, .rows = target.rows, .cols = target.cols};
  s->w->targets[s->w->n_targets++] = target;
}

static void find_matrix(search *s, tensor_role role, int layer, int expert, be_weight *to, int64_t rows, int64_t cols) {
  find(s, (weight_target){.role = role, .rows = rows, .cols = cols, .matrix = to}, layer, expert);
}

static void find_vector(search *s, tensor_role role, int layer, const float **to, int64_t n) {
  find(s, (weight_target){.role = role, .cols = n, .vector = to}, layer, -1);
}

static void find_layer(search *s, int i) {
  const model_config *m = s->config;
  layer_weights *l = &s->w->layers[i];
  int64_t dim = m->dim, q = (int64_t)m->n_heads * m->head_dim, kv = (int64_t)m->n_kv_heads * m->head_dim;
  find_vector(s, ATTENTION_NORM, i, &l->attention_norm, dim);
  find_matrix(s, WQ, i, -1, &l->wq, q, dim);
  find_matrix(s, WK, i, -1, &l->wk, kv, dim);
  find_matrix(s, WV, i, -1, &l->wv, kv, dim);
  find_matrix(s, WO, i, -1, &l->wo, dim, q);
  if (m->qk_norms) {
    find_vector(s, Q_NORM, i, &l->q_norm, m->head_dim);
    find_vector(s, K_NORM, i, &l->k_norm, m->head_dim);
  }
  if (m->post_norms) find_vector(s, ATTENTION_POST_NORM, i, &l->attention_post_norm, dim);
  find_vector(s, FFN_NORM, i, &l->ffn_norm, dim);
  if (m->n_experts > 0) find_matrix(s, GATE, i, -1, &l->gate, m->n_experts, dim);
  for (int e = m->n_experts > 0 ? 0 : -1; e < m->n_experts; e++) {
    int at = e < 0 ? 0 : e;
    find_matrix(s, W1, i, e, &l->w1[at], m->hidden_dim, dim);
    find_matrix(s, W3, i, e, &l->w3[at], m->hidden_dim, dim);
    find_matrix(s, W2, i, e, &l->w2[at], dim, m->hidden_dim);
    if (e < 0) break;
  }
  if (m->post_norms) find_vector(s, FFN_POST_NORM, i, &l->ffn_post_norm, dim);
}

static gale_status refuse_unused(search *s) {
  for (size_t i = 0; i < s->c->n_tensors && !s->status; i++)
    if (!s->used[i] && !tensor_ignorable(s->c->kind, s->c->tensors[i].name, &s->w->modalities))
      s->status = error_set(s->error, GALE_E_UNSUPPORTED, "%s: tensor %s has no place in this architecture", s->c->path,
                            s->c->tensors[i].name);
  return s->status;
}

static bool make_room(const model_config *m, arena *memory, model_weights *w) {
  enum { OF_MODEL = 3, OF_LAYER = 11, OF_FFN = 3 };
  size_t layers = (size_t)m->n_layers, experts = m->n_experts > 0 ? (size_t)m->n_experts : 1;
  w->layers = arena_array(memory, layers, sizeof *w->layers);
  w->targets = arena_array(memory, OF_MODEL + layers * (OF_LAYER + OF_FFN * experts), sizeof *w->targets);
  be_weight *ffn = arena_array(memory, layers * OF_FFN * experts, sizeof *ffn);
  if (!w->layers || !w->targets || !ffn) return false;
  for (size_t l = 0; l < layers; l++) {
    layer_weights *layer = &w->layers[l];
    layer->w1 = ffn + l * OF_FFN * experts;
    layer->w3 = layer->w1 + experts;
    layer->w2 = layer->w3 + experts;
  }
  return true;
}

/* A small file must not make us allocate much. No matrix of a layer or expert has less than 16 bytes. */
static gale_status check_counts(const checkpoint *c, const model_config *m, gale_error *error) {
  uint64_t bytes = 0, matrices = (uint64_t)m->n_layers * (uint64_t)(m->n_experts > 0 ? m->n_experts : 1);
  for (size_t i = 0; i < c->n_tensors; i++) bytes += c->tensors[i].bytes;
  if (matrices <= bytes / 16) return GALE_OK;
  return error_set(error, GALE_E_FORMAT,
                   "%s: %d layers with %d experts do not fit into the %" PRIu64 " bytes of the tensors", c->config_path,
                   m->n_layers, m->n_experts, bytes);
}

gale_status weights_find(const checkpoint *c, const model_config *config, arena *memory, model_weights *w,
                         gale_error *error) {
  *w = (model_weights){0};
  gale_status status = check_counts(c, config, error);
  if (status) return status;
  search s = {.c = c, .config = config, .w = w, .error = error};
  s.used = calloc(c->n_tensors + 1, sizeof *s.used);
  if (!s.used || !make_room(config, memory, w)) s.status = error_memory(error, c->n_tensors);
  find_matrix(&s, TOK_EMBEDDINGS, -1, -1, &w->tok_embeddings, config->vocab_size, config->dim);
  for (int i = 0; i < config->n_layers && !s.status; i++) find_layer(&s, i);
  find_vector(&s, NORM, -1, &w->norm, config->dim);
  find_matrix(&s, OUTPUT, -1, -1, &w->output, config->vocab_size, config->dim);
  if (!s.status) refuse_unused(&s);
  if (w->tied) w->output = w->tok_embeddings;
  free(s.used);
  return s.status && s.status != GALE_E_MEMORY ? foreign_explain(c, s.status, error) : s.status;
}
