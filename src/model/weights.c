#include "model/weights.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- Finding ---- */

/* The search for all tensors of a model. After a failure `status` is set and nothing more is looked for. */
typedef struct search {
  const checkpoint *c;
  const model_config *config;
  model_weights *w;
  bool *used; /* [n_tensors] */
  gale_error *error;
  gale_status status;
} search;

static void find(search *s, weight_item item, int layer, int expert) {
  if (s->status) return;
  item.layer = layer;
  item.expert = expert;
  s->status = tensor_find(s->c, s->config, item.role, layer, expert, item.rows, item.cols, &item.place, s->error);
  if (s->status) return;
  const tensor *t = item.place.tensor;
  if (!t && item.role == OUTPUT) {
    s->w->tied = true;
    return;
  }
  if (!t) {
    char name[160];
    tensor_usual_name(s->c, item.role, layer, expert, name);
    const char *foreign = checkpoint_foreign(s->c, name);
    s->status = foreign ? error_set(s->error, GALE_E_UNSUPPORTED, "%s: tensor %s has type %s, which is not accepted",
                                    s->c->path, name, foreign)
                        : error_set(s->error, GALE_E_FORMAT, "%s: tensor %s is missing", s->c->path, name);
    return;
  }
  int64_t elements = item.cols * (item.rows ? item.rows : 1);
  s->used[t - s->c->tensors] = true;
  s->w->n_parameters += elements;
  s->w->stored_bytes += quant_bytes(t->type, (uint64_t)elements);
  if (item.matrix) *item.matrix = (be_weight){.type = t->type, .rows = item.rows, .cols = item.cols};
  s->w->items[s->w->n_items++] = item;
}

static void find_matrix(search *s, tensor_role role, int layer, int expert, be_weight *to, int64_t rows, int64_t cols) {
  find(s, (weight_item){.role = role, .rows = rows, .cols = cols, .matrix = to}, layer, expert);
}

static void find_vector(search *s, tensor_role role, int layer, const float **to, int64_t n) {
  find(s, (weight_item){.role = role, .cols = n, .vector = to}, layer, -1);
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
    if (!s->used[i] && !tensor_ignorable(s->c->tensors[i].name, &s->w->vision))
      s->status = error_set(s->error, GALE_E_UNSUPPORTED, "%s: tensor %s has no place in this architecture", s->c->path,
                            s->c->tensors[i].name);
  return s->status;
}

static bool make_room(const model_config *m, arena *memory, model_weights *w) {
  enum { OF_MODEL = 3, OF_LAYER = 11, OF_FFN = 3 };
  size_t layers = (size_t)m->n_layers, experts = m->n_experts > 0 ? (size_t)m->n_experts : 1;
  w->layers = arena_array(memory, layers, sizeof *w->layers);
  w->items = arena_array(memory, OF_MODEL + layers * (OF_LAYER + OF_FFN * experts), sizeof *w->items);
  be_weight *ffn = arena_array(memory, layers * OF_FFN * experts, sizeof *ffn);
  if (!w->layers || !w->items || !ffn) return false;
  for (size_t l = 0; l < layers; l++) {
    layer_weights *layer = &w->layers[l];
    layer->w1 = ffn + l * OF_FFN * experts;
    layer->w3 = layer->w1 + experts;
    layer->w2 = layer->w3 + experts;
  }
  return true;
}

/* Keeps what a small file can make us allocate small. No matrix of a layer or expert has less than 16 bytes. */
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
  return s.status;
}

/* ---- Loading ---- */

typedef struct source {
  const checkpoint *c;
  const tensor *t;
  uint64_t row_bytes;
  int64_t first_row;
  int64_t head_dim; /* 0: rows as they are; else each head's pairs (2i, 2i + 1) become (i, i + head_dim / 2) */
} source;

static gale_status read_rows(const void *user, int64_t first, int64_t n, void *to, gale_error *error) {
  const source *s = user;
  uint64_t bytes = s->row_bytes;
  if (s->head_dim == 0)
    return checkpoint_read(s->c, s->t, (uint64_t)(s->first_row + first) * bytes, to, (uint64_t)n * bytes, error);
  gale_status status = GALE_OK;
  for (int64_t i = 0; i < n && !status; i++) {
    int64_t row = first + i, in_head = row % s->head_dim, half = s->head_dim / 2;
    int64_t from = row - in_head + (in_head < half ? 2 * in_head : 2 * (in_head - half) + 1);
    status = checkpoint_read(s->c, s->t, (uint64_t)from * bytes, (char *)to + (uint64_t)i * bytes, bytes, error);
  }
  return status;
}

static size_t item_bytes(const be_device *device, const weight_item *i) {
  if (i->matrix) return device->ops->weight_bytes(device, i->matrix->type, i->rows, i->cols);
  return ((size_t)i->cols * sizeof(float) + PANEL_ALIGN - 1) / PANEL_ALIGN * PANEL_ALIGN;
}

static gale_status load_vector(const checkpoint *c, const tensor *t, float offset, float *to, gale_error *error) {
  void *stored = malloc((size_t)t->bytes);
  if (!stored) return error_memory(error, t->bytes);
  gale_status status = checkpoint_read(c, t, 0, stored, t->bytes, error);
  const quant_info *q = quant_get(t->type);
  if (!status) q->dequantize(q, stored, to, (size_t)t->shape[0]);
  for (int64_t i = 0; i < t->shape[0] && !status; i++) to[i] += offset;
  free(stored);
  return status;
}

static gale_status load_item(const checkpoint *c, const model_config *config, const be_device *device, team *crew,
                             const weight_item *i, void *memory, gale_error *error) {
  const tensor *t = i->place.tensor;
  if (i->vector) {
    *i->vector = memory;
    return load_vector(c, t, config->norm_offset, memory, error);
  }
  bool pairs = config->interleaved && (i->role == WQ || i->role == WK);
  source s = {.c = c,
              .t = t,
              .row_bytes = quant_bytes(t->type, (uint64_t)i->cols),
              .first_row = i->place.first_row,
              .head_dim = pairs ? config->head_dim : 0};
  be_source from = {.type = t->type, .rows = i->rows, .cols = i->cols, .read = read_rows, .user = &s};
  return device->ops->weight_pack(device, crew, &from, memory, i->matrix, error);
}

static gale_status load_all(const checkpoint *c, const model_config *config, const be_device *device, team *crew,
                            gale_progress_fn progress, void *user, model_weights *w, gale_error *error) {
  size_t at = 0;
  for (size_t i = 0; i < w->n_items; i++) {
    if (progress && !progress(user, (double)at / (double)w->memory_bytes, "loading"))
      return error_set(error, GALE_E_CANCELLED, "loading was cancelled");
    gale_status status = load_item(c, config, device, crew, &w->items[i], (char *)w->memory + at, error);
    if (status) return status;
    at += item_bytes(device, &w->items[i]);
  }
  if (w->tied) w->output = w->tok_embeddings;
  if (progress) progress(user, 1, "loading");
  return GALE_OK;
}

gale_status weights_load(const checkpoint *c, const model_config *config, const be_device *device, int threads,
                         gale_progress_fn progress, void *user, model_weights *w, gale_error *error) {
  for (size_t i = 0; i < w->n_items; i++) w->memory_bytes += item_bytes(device, &w->items[i]);
  w->memory = device->ops->alloc(device, w->memory_bytes, true, error);
  if (!w->memory) return GALE_E_MEMORY;
  team *crew;
  gale_status status = team_open(threads, &crew, error);
  if (status) return status;
  status = load_all(c, config, device, crew, progress, user, w, error);
  team_close(&crew);
  return status;
}

void weights_release(const be_device *device, model_weights *w) {
  if (w->memory) device->ops->release(device, w->memory, w->memory_bytes);
  w->memory = NULL;
}
