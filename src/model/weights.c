#include "model/weights.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- What tensors there are ---- */

typedef enum role { TOK_EMBEDDINGS, OUTPUT, NORM, ATTENTION_NORM, WQ, WK, WV, WO, FFN_NORM, W1, W2, W3, N_ROLES } role;

/* Names in the three kinds of files; %d is the layer. */
static const char *const names[N_ROLES][3] = {
    [TOK_EMBEDDINGS] = {"token_embd.weight", "model.embed_tokens.weight", "tok_embeddings.weight"},
    [OUTPUT] = {"output.weight", "lm_head.weight", "output.weight"},
    [NORM] = {"output_norm.weight", "model.norm.weight", "norm.weight"},
    [ATTENTION_NORM] = {"blk.%d.attn_norm.weight", "model.layers.%d.input_layernorm.weight",
                        "layers.%d.attention_norm.weight"},
    [WQ] = {"blk.%d.attn_q.weight", "model.layers.%d.self_attn.q_proj.weight", "layers.%d.attention.wq.weight"},
    [WK] = {"blk.%d.attn_k.weight", "model.layers.%d.self_attn.k_proj.weight", "layers.%d.attention.wk.weight"},
    [WV] = {"blk.%d.attn_v.weight", "model.layers.%d.self_attn.v_proj.weight", "layers.%d.attention.wv.weight"},
    [WO] = {"blk.%d.attn_output.weight", "model.layers.%d.self_attn.o_proj.weight", "layers.%d.attention.wo.weight"},
    [FFN_NORM] = {"blk.%d.ffn_norm.weight", "model.layers.%d.post_attention_layernorm.weight",
                  "layers.%d.ffn_norm.weight"},
    [W1] = {"blk.%d.ffn_gate.weight", "model.layers.%d.mlp.gate_proj.weight", "layers.%d.feed_forward.w1.weight"},
    [W2] = {"blk.%d.ffn_down.weight", "model.layers.%d.mlp.down_proj.weight", "layers.%d.feed_forward.w2.weight"},
    [W3] = {"blk.%d.ffn_up.weight", "model.layers.%d.mlp.up_proj.weight", "layers.%d.feed_forward.w3.weight"},
};

/* One tensor to load: to a packed matrix or to a row of floats. */
typedef struct item {
  role role;
  int layer;          /* -1: of the whole model */
  int64_t rows, cols; /* rows 0: a vector of cols */
  be_weight *matrix;
  const float **vector;
} item;

/* The i-th item of a model, or false past the end. */
static bool item_at(const model_config *m, model_weights *w, int i, item *out) {
  int64_t dim = m->dim, q = (int64_t)m->n_heads * m->head_dim, kv = (int64_t)m->n_kv_heads * m->head_dim;
  int layer = i / (N_ROLES - ATTENTION_NORM);
  if (layer >= m->n_layers) {
    int rest = i - m->n_layers * (N_ROLES - ATTENTION_NORM);
    const item whole[] = {{TOK_EMBEDDINGS, -1, m->vocab_size, dim, &w->tok_embeddings, NULL},
                          {OUTPUT, -1, m->vocab_size, dim, &w->output, NULL},
                          {NORM, -1, 0, dim, NULL, &w->norm}};
    if (rest >= 3) return false;
    *out = whole[rest];
    return true;
  }
  layer_weights *l = &w->layers[layer];
  const item of_layer[] = {{ATTENTION_NORM, layer, 0, dim, NULL, &l->attention_norm},
                           {WQ, layer, q, dim, &l->wq, NULL},
                           {WK, layer, kv, dim, &l->wk, NULL},
                           {WV, layer, kv, dim, &l->wv, NULL},
                           {WO, layer, dim, q, &l->wo, NULL},
                           {FFN_NORM, layer, 0, dim, NULL, &l->ffn_norm},
                           {W1, layer, m->hidden_dim, dim, &l->w1, NULL},
                           {W2, layer, dim, m->hidden_dim, &l->w2, NULL},
                           {W3, layer, m->hidden_dim, dim, &l->w3, NULL}};
  *out = of_layer[i % (N_ROLES - ATTENTION_NORM)];
  return true;
}

static void item_name(const checkpoint *c, const item *i, char name[128]) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  snprintf(name, 128, names[i->role][c->kind], i->layer);
#pragma GCC diagnostic pop
}

/* ---- Finding ---- */

static gale_status check(const checkpoint *c, const item *i, const tensor *t, gale_error *error) {
  if (i->rows == 0) {
    bool is_float = quant_get(t->type)->is_float;
    if (t->n_dims == 1 && t->shape[0] == i->cols && is_float) return GALE_OK;
    return error_set(error, GALE_E_FORMAT, "%s: tensor %s: a float vector of %" PRId64 " is accepted", c->path, t->name,
                     i->cols);
  }
  if (t->n_dims == 2 && t->shape[0] == i->rows && t->shape[1] == i->cols) return GALE_OK;
  return error_set(error, GALE_E_FORMAT,
                   "%s: tensor %s has shape [%" PRId64 ", %" PRId64 "] in %d dimensions: [%" PRId64 ", %" PRId64
                   "] is accepted",
                   c->path, t->name, t->shape[0], t->n_dims > 1 ? t->shape[1] : 1, t->n_dims, i->rows, i->cols);
}

/* Tensors that hold nothing a model needs: tables of frequencies that the configuration gives as well. */
static bool ignorable(const char *name) {
  const char *const endings[] = {"rotary_emb.inv_freq", "rope_freqs.weight", "attn_rot_embd.weight"};
  size_t n = strlen(name);
  for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
    size_t e = strlen(endings[i]);
    if (n >= e && strcmp(name + n - e, endings[i]) == 0) return true;
  }
  return false;
}

static gale_status refuse_unused(const checkpoint *c, const bool *used, gale_error *error) {
  for (size_t i = 0; i < c->n_tensors; i++)
    if (!used[i] && !ignorable(c->tensors[i].name))
      return error_set(error, GALE_E_UNSUPPORTED, "%s: tensor %s has no place in this architecture", c->path,
                       c->tensors[i].name);
  return GALE_OK;
}

gale_status weights_find(const checkpoint *c, const model_config *config, arena *memory, model_weights *w,
                         gale_error *error) {
  *w = (model_weights){0};
  w->layers = arena_array(memory, (size_t)config->n_layers, sizeof *w->layers);
  bool *used = calloc(c->n_tensors + 1, sizeof *used);
  gale_status status = w->layers && used ? GALE_OK : error_memory(error, c->n_tensors);
  item one;
  for (int i = 0; !status && item_at(config, w, i, &one); i++) {
    char name[128];
    item_name(c, &one, name);
    const tensor *t = checkpoint_tensor(c, name);
    if (!t && one.role == OUTPUT) {
      w->tied = true;
    } else if (!t) {
      status = error_set(error, GALE_E_FORMAT, "%s: tensor %s is missing", c->path, name);
    } else if (!(status = check(c, &one, t, error))) {
      used[t - c->tensors] = true;
      w->n_parameters += one.cols * (one.rows ? one.rows : 1);
      w->stored_bytes += t->bytes;
      if (one.matrix) *one.matrix = (be_weight){.type = t->type, .rows = one.rows, .cols = one.cols};
    }
  }
  if (!status) status = refuse_unused(c, used, error);
  free(used);
  return status;
}

/* ---- Loading ---- */

typedef struct source {
  const checkpoint *c;
  const tensor *t;
  uint64_t row_bytes;
  int64_t head_dim; /* 0: rows as they are; else each head's pairs (2i, 2i + 1) become (i, i + head_dim / 2) */
} source;

static gale_status read_rows(const void *user, int64_t first, int64_t n, void *to, gale_error *error) {
  const source *s = user;
  uint64_t bytes = s->row_bytes;
  if (s->head_dim == 0) return checkpoint_read(s->c, s->t, (uint64_t)first * bytes, to, (uint64_t)n * bytes, error);
  gale_status status = GALE_OK;
  for (int64_t i = 0; i < n && !status; i++) {
    int64_t row = first + i, in_head = row % s->head_dim, half = s->head_dim / 2;
    int64_t from = row - in_head + (in_head < half ? 2 * in_head : 2 * (in_head - half) + 1);
    status = checkpoint_read(s->c, s->t, (uint64_t)from * bytes, (char *)to + (uint64_t)i * bytes, bytes, error);
  }
  return status;
}

static size_t item_bytes(const be_device *device, const item *i) {
  if (i->matrix) return device->ops->weight_bytes(device, i->matrix->type, i->rows, i->cols);
  return ((size_t)i->cols * sizeof(float) + PANEL_ALIGN - 1) / PANEL_ALIGN * PANEL_ALIGN;
}

static gale_status load_vector(const checkpoint *c, const tensor *t, float *to, gale_error *error) {
  void *stored = malloc((size_t)t->bytes);
  if (!stored) return error_memory(error, t->bytes);
  gale_status status = checkpoint_read(c, t, 0, stored, t->bytes, error);
  const quant_info *q = quant_get(t->type);
  if (!status) q->dequantize(q, stored, to, (size_t)t->shape[0]);
  free(stored);
  return status;
}

static gale_status load_item(const checkpoint *c, const model_config *config, const be_device *device, team *crew,
                             const item *i, void *memory, gale_error *error) {
  char name[128];
  item_name(c, i, name);
  const tensor *t = checkpoint_tensor(c, name);
  if (i->vector) {
    *i->vector = memory;
    return load_vector(c, t, memory, error);
  }
  bool pairs = config->interleaved && (i->role == WQ || i->role == WK);
  source s = {
      .c = c, .t = t, .row_bytes = quant_bytes(t->type, (uint64_t)i->cols), .head_dim = pairs ? config->head_dim : 0};
  be_source from = {.type = t->type, .rows = i->rows, .cols = i->cols, .read = read_rows, .user = &s};
  return device->ops->weight_pack(device, crew, &from, memory, i->matrix, error);
}

static gale_status load_all(const checkpoint *c, const model_config *config, const be_device *device, team *crew,
                            gale_progress_fn progress, void *user, model_weights *w, gale_error *error) {
  item one;
  size_t at = 0;
  for (int i = 0; item_at(config, w, i, &one); i++) {
    if (one.role == OUTPUT && w->tied) continue;
    if (progress && !progress(user, (double)at / (double)w->memory_bytes, "loading"))
      return error_set(error, GALE_E_CANCELLED, "loading was cancelled");
    gale_status status = load_item(c, config, device, crew, &one, (char *)w->memory + at, error);
    if (status) return status;
    at += item_bytes(device, &one);
  }
  if (w->tied) w->output = w->tok_embeddings;
  if (progress) progress(user, 1, "loading");
  return GALE_OK;
}

gale_status weights_load(const checkpoint *c, const model_config *config, const be_device *device, int threads,
                         gale_progress_fn progress, void *user, model_weights *w, gale_error *error) {
  item one;
  for (int i = 0; item_at(config, w, i, &one); i++)
    if (one.role != OUTPUT || !w->tied) w->memory_bytes += item_bytes(device, &one);
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
