/* Linear layers, shared out by panels of output rows. */
#include "backend/cpu/cpu.h"

/* Neighbouring panels are given out in pairs: kernels compute two at once, and their rows are a block of 32, so that
 * the worker that has them can quantise what it makes of them. */
enum { PAIR = 2 };
_Static_assert(PAIR *PANEL_ROWS == QUANT_BLOCK, "a pair of panels is a block");

/* A linear operation consists of parts: the products of one x, or the experts that have tokens. */
typedef struct linear_op {
  be_worker *w;
  int32_t n_parts;
  int64_t (*pairs)(const struct linear_op *o, int32_t part);
  void (*compute)(const struct linear_op *o, int32_t part, int64_t first, int64_t end); /* panels of a part */
  const be_product *products; /* of each part, or one whose weights are [n_experts] */
  const be_gated *gated;
  const be_routing *routing;
  const be_act *x;
  int32_t n; /* rows of x */
  bool add;
} linear_op;

static int64_t panels_of(const be_weight *w) {
  return (w->rows + PANEL_ROWS - 1) / PANEL_ROWS;
}

static int64_t pairs_of(const be_weight *w) {
  return (panels_of(w) + PAIR - 1) / PAIR;
}

static int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}

/* ---- Sharing out ---- */

/* Pairs first .. end - 1 of all. */
typedef struct piece {
  int64_t first, end;
} piece;

/* Piece number i of `total` pairs. Large ones come first, since each costs a turn at the counter and a start in the
 * middle of the weights; towards the end each worker gets half of its share of the rest, so that all end together. Of
 * many tokens every piece begins with packing these, so that small ones do not pay. */
static piece cut(int64_t i, int64_t total, int64_t workers, int64_t smallest) {
  enum { LARGEST = 8 };
  if (workers == 1) return (piece){i == 0 ? 0 : total, total};
  int64_t part = 2 * workers, n_large = total >= part * LARGEST ? total / LARGEST - part + 1 : 0;
  if (i < n_large) return (piece){i * LARGEST, (i + 1) * LARGEST};
  int64_t start = n_large * LARGEST;
  for (i -= n_large; start < total; i -= workers) {
    int64_t size = (total - start) / part > smallest ? (total - start) / part : smallest;
    if (i < workers) return (piece){smaller(start + i * size, total), smaller(start + (i + 1) * size, total)};
    start += workers * size;
  }
  return (piece){total, total};
}

static void run(const linear_op *o) {
  team_worker *crew = o->w->crew;
  enum { MANY_TOKENS = 32, FEW_PAIRS = 4 };
  int64_t number = team_take(crew, 1), total = 0, workers = team_size(o->w->context->team);
  int64_t least = o->n >= MANY_TOKENS ? FEW_PAIRS : 1;
  for (int32_t i = 0; i < o->n_parts && number != TEAM_NONE; i++) total += o->pairs(o, i);
  for (piece p = cut(number, total, workers, least); p.first < total;
       p = cut(team_take(crew, 1), total, workers, least)) {
    int64_t start = 0;
    for (int32_t i = 0; i < o->n_parts && start < p.end; i++) {
      int64_t stop = start + o->pairs(o, i);
      int64_t a = p.first > start ? p.first : start, b = smaller(p.end, stop);
      if (a < b) o->compute(o, i, (a - start) * PAIR, (b - start) * PAIR);
      start = stop;
    }
  }
  team_barrier(crew);
}

/* ---- Products ---- */

/* Activations from row `first` on. */
static be_act rows_from(const be_act *x, int64_t first) {
  be_act a = *x;
  int64_t blocks = x->cols / QUANT_BLOCK;
  if (x->f32) a.f32 += first * x->cols;
  if (!x->level) return a;
  a.level += first * x->cols;
  a.scale += first * blocks;
  a.neg_sum += first * blocks * 2;
  a.outlier_at += first * blocks;
  a.outlier += first * blocks;
  return a;
}

/* Panels first .. end - 1 of a product, as far as there are, times n tokens. to->out is the place of the first token's
 * first row. */
static void multiply(const be_worker *worker, const be_product *to, const be_act *x, int32_t n, int64_t first,
                     int64_t end, int64_t stride, bool add) {
  const be_weight *w = to->weight;
  size_t panel_bytes = quant_panel_bytes(w->type, (size_t)w->cols);
  int64_t row = first * PANEL_ROWS, n_panels = smaller(end, panels_of(w)) - first;
  linear_task task = {.panels = (const char *)w->data + (size_t)first * panel_bytes,
                      .panel_bytes = panel_bytes,
                      .n_panels = n_panels,
                      .x = x,
                      .n_tokens = n,
                      .out = to->out,
                      .n_rows = smaller(w->rows - row, n_panels * PANEL_ROWS),
                      .stride = stride,
                      .add = add,
                      .scratch = worker->linear};
  const cpu_kernels *k = &worker->context->device->kernels;
  k->linear[w->type](&task);
  if (!quant_get(w->type)->is_float) k->add_outliers[w->type](&task);
}

static int64_t product_pairs(const linear_op *o, int32_t part) {
  return pairs_of(o->products[part].weight);
}

static void product(const linear_op *o, int32_t part, int64_t first, int64_t end) {
  const be_product *p = &o->products[part];
  const be_product to = {p->weight, p->out + first * PANEL_ROWS};
  multiply(o->w, &to, o->x, o->n, first, end, p->weight->rows, o->add);
}

void cpu_linear(be_worker *w, const be_act *x, const be_product *products, int n_products, int32_t n, bool add) {
  run(&(linear_op){.w = w,
                   .n_parts = n_products,
                   .pairs = product_pairs,
                   .compute = product,
                   .products = products,
                   .x = x,
                   .n = n,
                   .add = add});
}

/* ---- Experts ---- */

static int32_t entries_of(const linear_op *o, int32_t expert) {
  return o->routing->first[expert + 1] - o->routing->first[expert];
}

static int64_t expert_pairs(const linear_op *o, int32_t expert) {
  return entries_of(o, expert) > 0 ? pairs_of(o->products->weight + expert) : 0;
}

static void expert(const linear_op *o, int32_t expert, int64_t first, int64_t end) {
  const be_weight *weight = o->products->weight + expert;
  int64_t entry = o->routing->first[expert];
  const be_act x = rows_from(o->x, entry);
  const be_product to = {weight, o->products->out + entry * weight->rows + first * PANEL_ROWS};
  multiply(o->w, &to, &x, entries_of(o, expert), first, end, weight->rows, false);
}

void cpu_linear_experts(be_worker *w, const be_act *x, const be_product *experts, const be_routing *routing) {
  run(&(linear_op){.w = w,
                   .n_parts = routing->n_experts,
                   .pairs = expert_pairs,
                   .compute = expert,
                   .products = experts,
                   .routing = routing,
                   .x = x});
}

/* ---- Gated products ---- */

static int64_t gated_pairs(const linear_op *o, int32_t part) {
  return o->routing && entries_of(o, part) == 0 ? 0 : pairs_of(o->gated->w1 + part);
}

/* Panels first .. end - 1, at most GATED_PANELS, of both matrices for n <= GATED_TOKENS tokens from row t on. */
static void gated_tile(const linear_op *o, int32_t part, int64_t first, int64_t end, int64_t t, int32_t n) {
  const be_gated *g = o->gated;
  const cpu_device *d = o->w->context->device;
  const be_act x = rows_from(o->x, t);
  float *gate = o->w->gated, *up = gate + GATED_FLOATS;
  int64_t stride = (end - first) * PANEL_ROWS, row = first * PANEL_ROWS, cols = g->out->cols;
  int64_t count = smaller(cols - row, stride);
  multiply(o->w, &(be_product){g->w1 + part, gate}, &x, n, first, end, stride, false);
  multiply(o->w, &(be_product){g->w3 + part, up}, &x, n, first, end, stride, false);
  for (int32_t i = 0; i < n; i++) {
    int64_t at = (t + i) * cols + row;
    float *out = g->out->f32 ? g->out->f32 + at : gate + i * stride;
    d->kernels.activate[g->activation](gate + i * stride, up + i * stride, out, count);
    if (g->out->level) d->kernels.quantize(out, count, g->out, at);
  }
}

static void gated(const linear_op *o, int32_t part, int64_t first, int64_t end) {
  int64_t start = o->routing ? o->routing->first[part] : 0, stop = o->routing ? o->routing->first[part + 1] : o->n;
  for (int64_t panel = first; panel < end; panel += GATED_PANELS)
    for (int64_t t = start; t < stop; t += GATED_TOKENS)
      gated_tile(o, part, panel, smaller(panel + GATED_PANELS, end), t, (int32_t)smaller(stop - t, GATED_TOKENS));
}

void cpu_linear_gated(be_worker *w, const be_act *x, const be_gated *product, const be_routing *routing, int32_t n) {
  run(&(linear_op){.w = w,
                   .n_parts = routing ? routing->n_experts : 1,
                   .pairs = gated_pairs,
                   .compute = gated,
                   .gated = product,
                   .routing = routing,
                   .x = x,
                   .n = n});
}
