/* The CPU backend's own view of its handles. */
#ifndef CPU_CPU_DEVICE_H
#define CPU_CPU_DEVICE_H

#include "backend/cpu/kernels/kernels.h"

typedef struct cpu_device {
  be_device base;
  cpu_isa isa;
  cpu_kernels kernels;
} cpu_device;

/* A partial result of attention is that of a query over one block: max and sum, then [head_dim]. There is room for
 * those of PARTIAL_TOKENS tokens that see the whole context. */
enum { PARTIAL_TOKENS = 8 };

typedef struct attend_scratch {
  float *partials; /* [n_partials][2 + head_dim] */
  int64_t n_partials;
  int8_t *q_level;    /* [max_tokens][n_heads][head_pad]; for q8 caches */
  float *q_scale;     /* [max_tokens][n_heads][head_pad / 32] */
  int16_t *q_neg_sum; /* [max_tokens][n_heads][head_pad / 16] */
} attend_scratch;

/* What a worker computes at once of a gated product. */
enum { GATED_PANELS = 32, GATED_TOKENS = 144, GATED_FLOATS = GATED_TOKENS * GATED_PANELS * PANEL_ROWS };

struct be_worker {
  be_context *context;
  team_worker *member; /* it, in the context's team, while a job runs */
  float *tile;         /* this worker's own: [3 * ATTEND_QUERIES][2 + head_dim] */
  float *gated;        /* likewise: [2][GATED_FLOATS] */
  void *linear;        /* likewise: cpu_kernels.linear_scratch bytes */
};

struct be_context {
  const cpu_device *device;
  team *team;
  be_worker *workers;
  int n_heads, head_dim;
  int64_t max_blocks;
  attend_scratch attend;
  void *memory;
  size_t memory_bytes;
  void (*forward)(void *argument, be_worker *w);
  void *argument;
};

/* Rounds up, so that buffers of different workers don't share cache lines. */
static inline size_t cpu_align(size_t n) {
  return (n + 127) / 128 * 128;
}

/* Rows first .. end - 1: of tokens, or of their heads. */
typedef struct cpu_rows {
  int64_t first, end;
} cpu_rows;

/* Takes some of n rows; false if none are left. Several at once where there are many, since waiting for the counter
 * takes longer than a short row. */
static inline bool cpu_take_rows(const be_worker *w, int64_t n, cpu_rows *r) {
  enum { MOST = 8, ITEMS = 16 };
  int64_t share = n / (ITEMS * team_size(w->context->team)), count = share < 1 ? 1 : share < MOST ? share : MOST;
  r->first = team_take(w->member, count);
  r->end = n - r->first < count ? n : r->first + count;
  return r->first < n;
}

/* Rows are cut into items of this many values, so that one token's row keeps all workers busy. */
enum { ROW_ITEM = 512 };

static inline int64_t cpu_row_items(int64_t cols) {
  return (cols + ROW_ITEM - 1) / ROW_ITEM;
}

/* Item i of [n][cols]: values first .. first + result - 1 of row *t. */
static inline int64_t cpu_row_item(int64_t i, int64_t cols, int64_t *t, int64_t *first) {
  *t = i / cpu_row_items(cols);
  *first = i % cpu_row_items(cols) * ROW_ITEM;
  return cols - *first < ROW_ITEM ? cols - *first : ROW_ITEM;
}

/* The operations of be_ops, by the file that has them. */
void cpu_embed(be_worker *w, float *h, const be_weight *weight, const be_batch *batch, float scale);
void cpu_angles(be_worker *w, const be_rope *rope, const double *frequency, double magnitude, const be_batch *batch);
void cpu_norm(be_worker *w, const be_act *out, const float *h, const float *weight, float eps, const int32_t *rows,
              int32_t n);
void cpu_linear(be_worker *w, const be_act *x, const be_product *products, int n_products, int32_t n, bool add);
void cpu_norm_add(be_worker *w, float *h, float *x, const float *weight, float eps, int64_t cols, int32_t n);
void cpu_rope_store(be_worker *w, float *q, float *k, const float *v, int n_heads, const be_head_norms *norms,
                    const be_rope *rope, const be_attention_temperature *temperature, const be_batch *batch,
                    const kv_view *kv);
void cpu_attend(be_worker *w, const be_act *out, const float *q, int n_heads, float scale, float cap,
                const be_batch *batch, const kv_view *kv);
void cpu_linear_gated(be_worker *w, const be_act *x, const be_gated *product, const be_routing *routing, int32_t n);
void cpu_linear_experts(be_worker *w, const be_act *x, const be_product *experts, const be_routing *routing);
void cpu_soft_cap(be_worker *w, float *x, float cap, int64_t cols, int32_t n);
void cpu_route(be_worker *w, const be_routing *routing, const float *logits, int32_t n);
void cpu_gather(be_worker *w, const be_act *out, const be_act *x, const int32_t *rows, int32_t n);
uint64_t cpu_probe(be_worker *w, be_probe kind, const void *memory, uint64_t amount);
void cpu_combine(be_worker *w, float *h, const float *y, const be_routing *routing, int64_t cols, int32_t n);

/* Completes the quantised form of columns first .. first + n - 1 (multiples of 32) of token t, if wanted; past the last
 * column come those of the tokens after it. least: see cpu_kernels.quantize. */
static inline void cpu_quantize_columns(const cpu_device *d, const be_act *a, int64_t t, int64_t first, int64_t n,
                                        float least) {
  if (!a->level) return;
  int64_t at = t * a->cols + first;
  d->kernels.quantize(a->f32 + at, n, a, at, least);
}

#endif
