/* Operations on rows of activations, shared out by tokens. */
#include "backend/cpu/cpu_device.h"

#include "base/half.h"

#include <math.h>

static const cpu_kernels *kernels_of(const be_worker *w) {
  return &w->context->device->kernels;
}

static void embed_token(const be_weight *weight, int32_t token, float scale, float *out) {
  const quant_info *q = quant_get(weight->type);
  size_t panel_bytes = quant_panel_bytes(weight->type, (size_t)weight->cols);
  const char *panel = (const char *)weight->data + (size_t)(token / PANEL_ROWS) * panel_bytes;
  q->unpack_row(q, panel, token % PANEL_ROWS, out, (size_t)weight->cols);
  for (int64_t i = 0; i < weight->cols && scale != 1.0f; i++) out[i] *= scale;
}

void cpu_embed(be_worker *w, float *h, const be_weight *weight, const be_batch *batch, float scale) {
  for (cpu_rows p; cpu_take_rows(w, batch->n_tokens, &p);)
    for (int64_t t = p.first; t < p.end; t++) embed_token(weight, batch->token[t], scale, h + t * weight->cols);
  team_barrier(w->member);
}

/* Sine and cosine of a >= 0 to within some units of 1e-16 for a below 1e8: the angle is reduced by multiples of
 * pi / 2 with a constant of 106 bits, the rest is a Taylor series on [-pi / 4, pi / 4]. */
static void sine_cosine(double a, double *sine, double *cosine) {
  double n = rint(a * 0x1.45f306dc9c883p-1); /* 2 / pi */
  double r = fma(-n, 0x1.1a62633145c07p-54, fma(-n, 0x1.921fb54442d18p+0, a));
  double z = r * r, s = -1.0 / 1307674368000.0, c = 1.0 / 20922789888000.0;
  static const double sine_terms[] = {1.0 / 6227020800.0, -1.0 / 39916800.0, 1.0 / 362880.0,
                                      -1.0 / 5040.0,      1.0 / 120.0,       -1.0 / 6.0};
  static const double cosine_terms[] = {-1.0 / 87178291200.0, 1.0 / 479001600.0, -1.0 / 3628800.0, 1.0 / 40320.0,
                                        -1.0 / 720.0,         1.0 / 24.0,        -1.0 / 2.0};
  for (int i = 0; i < 6; i++) s = fma(s, z, sine_terms[i]);
  for (int i = 0; i < 7; i++) c = fma(c, z, cosine_terms[i]);
  s = fma(s * z, r, r);
  c = fma(c, z, 1.0);
  switch ((int64_t)n & 3) {
  case 0:
    *sine = s, *cosine = c;
    break;
  case 1:
    *sine = c, *cosine = -s;
    break;
  case 2:
    *sine = -s, *cosine = -c;
    break;
  default:
    *sine = -c, *cosine = s;
    break;
  }
}

void cpu_angles(be_worker *w, const be_rope *rope, const double *frequency, double magnitude, const be_batch *batch) {
  for (cpu_rows p; cpu_take_rows(w, batch->n_tokens, &p);)
    for (int64_t t = p.first; t < p.end; t++)
      for (int i = 0; i < rope->n_pairs; i++) {
        double sine, cosine;
        sine_cosine(batch->position[t] * frequency[i], &sine, &cosine);
        rope->cos[t * rope->n_pairs + i] = (float)(cosine * magnitude);
        rope->sin[t * rope->n_pairs + i] = (float)(sine * magnitude);
      }
  team_barrier(w->member);
}

void cpu_norm(be_worker *w, const be_act *out, const float *h, const float *weight, float eps, const int32_t *rows,
              int32_t n) {
  for (cpu_rows p; cpu_take_rows(w, n, &p);)
    for (int64_t t = p.first; t < p.end; t++) {
      const float *x = h + (rows ? rows[t] : t) * out->cols;
      float size = kernels_of(w)->norm(x, weight, eps, out->f32 + t * out->cols, out->cols);
      cpu_quantize_columns(w->context->device, out, t, 0, out->cols, 5 * size);
    }
  team_barrier(w->member);
}

void cpu_norm_add(be_worker *w, float *h, float *x, const float *weight, float eps, int64_t cols, int32_t n) {
  for (cpu_rows p; cpu_take_rows(w, n, &p);)
    for (int64_t t = p.first; t < p.end; t++) {
      float *row = x + t * cols, *to = h + t * cols;
      kernels_of(w)->norm(row, weight, eps, row, cols);
      for (int64_t i = 0; i < cols; i++) to[i] += row[i];
    }
  team_barrier(w->member);
}

void cpu_soft_cap(be_worker *w, float *x, float cap, int64_t cols, int32_t n) {
  team_worker *member = w->member;
  for (int64_t i; (i = team_take(member, 1)) < n * cpu_row_items(cols);) {
    int64_t t, first, count = cpu_row_item(i, cols, &t, &first);
    kernels_of(w)->soft_cap(x + t * cols + first, cap, count);
  }
  team_barrier(member);
}

/* ---- Rotating and storing ---- */

static void store_key(const cpu_kernels *k, const kv_layout *l, char *keys, int row, const float *x) {
  size_t dim = (size_t)l->head_dim, group = (size_t)(row / KV_LANES), lane = (size_t)(row % KV_LANES);
  if (l->type == GALE_KV_F32) {
    float *to = (float *)keys + group * dim * KV_LANES + lane;
    for (size_t d = 0; d < dim; d++) to[d * KV_LANES] = x[d];
  } else if (l->type == GALE_KV_F16) {
    uint16_t *to = (uint16_t *)keys + group * dim * KV_LANES + lane, half[16];
    for (size_t d = 0; d < dim; d += 16) {
      size_t n = dim - d < 16 ? dim - d : 16;
      k->to_half(x + d, half, (int64_t)n);
      for (size_t i = 0; i < n; i++) to[(d + i) * KV_LANES] = half[i];
    }
  }
}

/* One position as q8: levels and half scales of head_pad values in blocks of 32. The levels are made with the
 * scale that is stored. */
static void q8_block(const float *x, int n, int8_t level[QUANT_BLOCK], uint16_t *scale) {
  float max = 0;
  bool sound = true;
  for (int i = 0; i < n; i++) {
    sound &= isfinite(x[i]) != 0;
    max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
  }
  *scale = sound ? half_from_float(max / 127.0f) : half_from_float(NAN);
  float d = half_to_float(*scale), inverse = sound && d > 0 && d < INFINITY ? 1.0f / d : 0;
  for (int i = 0; i < QUANT_BLOCK; i++) {
    float v = i < n ? rintf(x[i] * inverse) : 0;
    level[i] = (int8_t)(inverse == 0 ? 0 : v > 127 ? 127 : v < -127 ? -127 : v);
  }
}

static void store_q8(const kv_layout *l, char *keys, char *values, int row, const float *key, const float *value) {
  size_t pad = (size_t)l->head_pad, n_blocks = pad / QUANT_BLOCK, lane = (size_t)(row % KV_LANES);
  char *panel = keys + (size_t)(row / KV_LANES) * quant_panel_bytes(QUANT_Q8_0, pad);
  char *value_scales = values + KV_PAGE * pad;
  for (size_t b = 0; b < n_blocks; b++) {
    int n = l->head_dim - (int)b * QUANT_BLOCK < QUANT_BLOCK ? l->head_dim - (int)b * QUANT_BLOCK : QUANT_BLOCK;
    int8_t level[QUANT_BLOCK];
    uint16_t scale;
    q8_block(key + b * QUANT_BLOCK, n, level, &scale);
    for (size_t i = 0; i < QUANT_BLOCK; i++)
      panel[b * 512 + i / 4 * 64 + lane * 4 + i % 4] = (char)((uint8_t)level[i] ^ 0x80u);
    memcpy(panel + n_blocks * 512 + b * 32 + lane * 2, &scale, 2);
    q8_block(value + b * QUANT_BLOCK, n, level, &scale);
    memcpy(values + (size_t)row * pad + b * QUANT_BLOCK, level, QUANT_BLOCK);
    memcpy(value_scales + ((size_t)row * n_blocks + b) * 2, &scale, 2);
  }
}

static void store(const cpu_kernels *k, const kv_view *kv, char *page, int head, int row, const float *key,
                  const float *value) {
  const kv_layout *l = &kv->layout;
  char *keys = kv_keys(kv, page, head), *values = kv_values(kv, page, head);
  size_t dim = (size_t)l->head_dim;
  if (l->type == GALE_KV_Q8) {
    store_q8(l, keys, values, row, key, value);
    return;
  }
  store_key(k, l, keys, row, key);
  if (l->type == GALE_KV_F32)
    memcpy((float *)values + (size_t)row * dim, value, dim * sizeof(float));
  else
    k->to_half(value, (uint16_t *)values + (size_t)row * dim, (int64_t)dim);
}

/* Norms and rotates one head in place; scale 1 for keys. */
static void rotate(const cpu_kernels *k, float *x, int dim, const float *norm, float eps, const float *cos,
                   const float *sin, float scale) {
  if (norm) k->norm(x, norm, eps, x, dim);
  k->rotate(x, cos, sin, x, dim / 2);
  for (int i = 0; i < dim && scale != 1.0f; i++) x[i] *= scale;
}

static float query_scale(const be_attention_temperature *g, int32_t position) {
  if (g->beta == 0) return 1.0f;
  return (float)(1 + g->beta * log(1 + floor((double)position / g->context)));
}

/* An item is what one key/value head has of one token: the key, the value and the group of queries. Where there are
 * more tokens than FEW it is that of KV_LANES tokens, whose keys share cache lines. */
void cpu_rope_store(be_worker *w, float *q, float *k, const float *v, int n_heads, const be_head_norms *norms,
                    const be_rope *rope, const be_attention_temperature *temperature, const be_batch *batch,
                    const kv_view *kv) {
  enum { FEW = 8 };
  team_worker *member = w->member;
  const cpu_kernels *kernels = kernels_of(w);
  int n_kv = kv->layout.n_kv_heads, group = n_heads / n_kv, dim = kv->layout.head_dim;
  int64_t n = batch->n_tokens, tokens = n > FEW ? KV_LANES : 1;
  for (int64_t item; (item = team_take(member, 1)) < (n + tokens - 1) / tokens * n_kv;) {
    int64_t head = item % n_kv, start = item / n_kv * tokens, end = start + tokens < n ? start + tokens : n;
    for (int64_t t = start; t < end; t++) {
      int64_t i = t * n_kv + head;
      const float *cos = rope->cos + t * rope->n_pairs, *sin = rope->sin + t * rope->n_pairs;
      int32_t position = batch->position[t];
      float scale = query_scale(temperature, position);
      for (int64_t g = head * group; g < (head + 1) * group; g++)
        rotate(kernels, q + (t * n_heads + g) * dim, dim, norms->q, norms->eps, cos, sin, scale);
      rotate(kernels, k + i * dim, dim, norms->k, norms->eps, cos, sin, 1.0f);
      store(kernels, kv, kv_page(kv, batch->table[t], position), (int)head, position % KV_PAGE, k + i * dim,
            v + i * dim);
    }
  }
  team_barrier(member);
}
