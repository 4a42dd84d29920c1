/* Attention of some queries over one block of positions.
 *
 * Scores are chains in order of the dimensions; the sum of exp(score - max) has 16 lanes by position and
 * a tree; the weighted values are chains in order of the positions. */
#include "backend/cpu/kernels/portable/portable.h"

#include "backend/cpu/kernels/portable/math.h"

typedef struct head {
  float score[KV_BLOCK];
  int first, last; /* seen, from the block's start */
} head;

static uint16_t load_u16(const char *p) {
  uint16_t h;
  memcpy(&h, p, sizeof h);
  return h;
}

/* ---- Scores ---- */

static float key_f32(const char *keys, size_t i) {
  return ((const float *)keys)[i];
}
static float key_f16(const char *keys, size_t i) {
  return half_to_float(((const uint16_t *)keys)[i]);
}

static void scores_float(const attend_task *t, int query, head *h, float (*key)(const char *, size_t)) {
  const float *q = t->q[query];
  size_t dim = (size_t)t->head_dim;
  for (int p = h->first; p <= h->last; p++) {
    const char *keys = t->keys[p / KV_PAGE];
    size_t at = (size_t)(p % KV_PAGE / KV_LANES) * dim * KV_LANES + (size_t)(p % KV_LANES);
    float s = 0;
    for (size_t d = 0; d < dim; d++) s = fmaf(q[d], key(keys, at + d * KV_LANES), s);
    h->score[p] = s;
  }
}

/* A panel of keys is a panel of weights: the score is a linear layer's output. */
static void scores_q8(const attend_task *t, int query, head *h) {
  size_t pad = (size_t)t->head_pad, panel_bytes = quant_panel_bytes(QUANT_Q8_0, pad);
  be_act x = {.cols = t->head_pad,
              .level = (int8_t *)t->q_level[query],
              .scale = (float *)t->q_scale[query],
              .neg_sum = (int16_t *)t->q_neg_sum[query]};
  for (int p = h->first / KV_LANES * KV_LANES; p <= h->last; p += KV_LANES) {
    linear_task task = {.panels = t->keys[p / KV_PAGE] + (size_t)(p % KV_PAGE / KV_LANES) * panel_bytes,
                        .panel_bytes = panel_bytes,
                        .n_panels = 1,
                        .x = &x,
                        .n_tokens = 1,
                        .out = h->score + p,
                        .n_rows = KV_LANES,
                        .stride = KV_LANES};
    portable_linear_q8_0(&task);
  }
}

/* ---- Weights ---- */

static void softmax(const attend_task *t, int query, head *h) {
  float max = -INFINITY, lane[KV_LANES] = {0};
  for (int p = h->first; p <= h->last; p++) {
    h->score[p] *= t->scale;
    if (t->cap > 0) h->score[p] = math_soft_cap(h->score[p], t->cap);
    max = h->score[p] > max ? h->score[p] : max;
  }
  for (int p = h->first; p <= h->last; p++) {
    h->score[p] = math_exp(h->score[p] - max);
    lane[p % KV_LANES] += h->score[p];
  }
  t->max[query] = max;
  t->sum[query] = math_tree16(lane);
}

/* ---- Values ---- */

static void values_float(const attend_task *t, int query, const head *h, float (*value)(const char *, size_t)) {
  size_t dim = (size_t)t->head_dim;
  float *out = t->out + (size_t)query * dim;
  for (size_t d = 0; d < dim; d++) out[d] = 0;
  for (int p = h->first; p <= h->last; p++) {
    const char *values = t->values[p / KV_PAGE];
    size_t at = (size_t)(p % KV_PAGE) * dim;
    for (size_t d = 0; d < dim; d++) out[d] = fmaf(h->score[p], value(values, at + d), out[d]);
  }
}

static void values_q8(const attend_task *t, int query, const head *h) {
  size_t dim = (size_t)t->head_dim, pad = (size_t)t->head_pad;
  float *out = t->out + (size_t)query * dim;
  for (size_t d = 0; d < dim; d++) out[d] = 0;
  for (int p = h->first; p <= h->last; p++) {
    const char *values = t->values[p / KV_PAGE], *scales = values + KV_PAGE * pad;
    size_t row = (size_t)(p % KV_PAGE);
    for (size_t d = 0; d < dim; d++) {
      float scale = half_to_float(load_u16(scales + (row * (pad / QUANT_BLOCK) + d / QUANT_BLOCK) * 2));
      out[d] = fmaf(h->score[p] * scale, (float)(int8_t)values[row * pad + d], out[d]);
    }
  }
}

/* ---- */

void portable_attend_f16(const attend_task *t) {
  for (int i = 0; i < t->n_queries; i++) {
    head h = {.first = t->first[i] - t->block_start, .last = t->last[i] - t->block_start};
    scores_float(t, i, &h, key_f16);
    softmax(t, i, &h);
    values_float(t, i, &h, key_f16);
  }
}

void portable_attend_f32(const attend_task *t) {
  for (int i = 0; i < t->n_queries; i++) {
    head h = {.first = t->first[i] - t->block_start, .last = t->last[i] - t->block_start};
    scores_float(t, i, &h, key_f32);
    softmax(t, i, &h);
    values_float(t, i, &h, key_f32);
  }
}

void portable_attend_q8(const attend_task *t) {
  for (int i = 0; i < t->n_queries; i++) {
    head h = {.first = t->first[i] - t->block_start, .last = t->last[i] - t->block_start};
    scores_q8(t, i, &h);
    softmax(t, i, &h);
    values_q8(t, i, &h);
  }
}
