/* Linear layers, shared out by panels of output rows. */
#include "backend/cpu/cpu_device.h"

/* Neighbouring panels are given out in pairs: kernels compute two at once, and their rows are a block of 32, so that
 * the worker that computes them can quantise the results. */
enum { PAIR = 2 };
_Static_assert(PAIR *PANEL_ROWS == QUANT_BLOCK, "a pair of panels is a block");

/* Panels first .. end - 1 of a matrix, for tokens token .. token_end - 1 (of experts, for all of theirs). */
typedef struct linear_range {
  int64_t first, end, token, token_end;
} linear_range;

/* A linear operation has some matrices: those of the products of one x, or one for each expert (of a gated product two
 * of one shape, which count as one). */
typedef struct linear_op {
  be_worker *w;
  int32_t n_matrices;
  int64_t (*pairs)(const struct linear_op *o, int32_t matrix);
  void (*compute)(const struct linear_op *o, int32_t matrix, linear_range range);
  const be_product *products; /* [n_matrices], or one whose weights are [n_matrices] */
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

/* What a worker takes at a time: pairs first .. end - 1, counted through all matrices and cuts of the tokens. */
typedef struct item {
  int64_t first, end;
} item;

/* Item number i of `total` pairs; empty past the last. Large items come first, since each costs a turn at the shared
 * counter and a start in the middle of the weights; towards the end items shrink to half of a worker's share of the
 * rest, so that all workers end together. */
static item cut(int64_t i, int64_t total, int64_t workers, int64_t largest, int64_t smallest) {
  if (workers == 1) return (item){i == 0 ? 0 : total, total};
  int64_t share = 2 * workers, n_large = total >= share * largest ? total / largest - share + 1 : 0;
  if (i < n_large) return (item){i * largest, (i + 1) * largest};
  int64_t start = n_large * largest;
  for (i -= n_large; start < total; i -= workers) {
    int64_t size = (total - start) / share > smallest ? (total - start) / share : smallest;
    if (i < workers) return (item){smaller(start + i * size, total), smaller(start + (i + 1) * size, total)};
    start += workers * size;
  }
  return (item){total, total};
}

/* Into how many runs the tokens are cut. Every item first unpacks the activations of its tokens, which pays when few
 * tokens meet many panels; but each panel is read from memory and unpacked again for each run of tokens. */
enum { MANY_TOKENS = 32, CUT_TOKENS = 256, LEAST_CUT_TOKENS = 96, CUT_MULTIPLE = 48 };

static int64_t token_cuts(const linear_op *o, int64_t total, int64_t workers, int64_t largest) {
  if (o->routing || o->n < MANY_TOKENS) return 1;
  int64_t cuts = (o->n + CUT_TOKENS - 1) / CUT_TOKENS;
  while (total * cuts < 4 * workers * largest && o->n / (cuts + 1) >= LEAST_CUT_TOKENS) cuts++;
  return cuts;
}

/* The first token of run c: a multiple of CUT_MULTIPLE, so that the tiles of kernels for many tokens stay whole. */
static int64_t cut_start(const linear_op *o, int64_t c, int64_t cuts) {
  return c == cuts ? o->n : o->n * c / cuts / CUT_MULTIPLE * CUT_MULTIPLE;
}

/* Computes pairs first .. end - 1, counted through all matrices, for tokens token .. token_end - 1. */
static void run_pairs(const linear_op *o, int64_t first, int64_t end, int64_t token, int64_t token_end) {
  int64_t start = 0;
  for (int32_t i = 0; i < o->n_matrices && start < end; i++) {
    int64_t stop = start + o->pairs(o, i);
    int64_t a = first > start ? first : start, b = smaller(end, stop);
    if (a < b && (o->routing || token < token_end))
      o->compute(o, i, (linear_range){(a - start) * PAIR, (b - start) * PAIR, token, token_end});
    start = stop;
  }
}

static void run(const linear_op *o) {
  team_worker *member = o->w->member;
  bool many = o->n >= MANY_TOKENS;
  int64_t number = team_take(member, 1), total = 0, workers = team_size(o->w->context->team);
  int64_t largest = many ? 16 : 8, least = many ? 4 : 1;
  for (int32_t i = 0; i < o->n_matrices && number != TEAM_NONE; i++) total += o->pairs(o, i);
  int64_t cuts = token_cuts(o, total, workers, largest), all = total * cuts;
  for (item p = cut(number, all, workers, largest, least); p.first < all;
       p = cut(team_take(member, 1), all, workers, largest, least))
    for (int64_t c = total > 0 ? p.first / total : 0; c * total < p.end; c++)
      run_pairs(o, p.first > c * total ? p.first - c * total : 0, smaller(p.end - c * total, total),
                cut_start(o, c, cuts), cut_start(o, c + 1, cuts));
  team_barrier(member);
}

/* ---- Products ---- */

/* Computes panels first .. end - 1 of a product, or up to its last, for n tokens. to->out is where the first token's
 * first row goes. */
static void multiply(const be_worker *worker, const be_product *to, const be_act *x, int32_t n, int64_t first,
                     int64_t end, int64_t stride, bool add) {
  const cpu_kernels *k = &worker->context->device->kernels;
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
                      .prefetch = k->prefetch,
                      .scratch = worker->linear};
  k->linear[w->type](&task);
  if (x->outlier_at && !quant_get(w->type)->is_float) k->add_outliers[w->type](&task);
}

static int64_t product_pairs(const linear_op *o, int32_t matrix) {
  return pairs_of(o->products[matrix].weight);
}

static void product(const linear_op *o, int32_t matrix, linear_range r) {
  const be_product *p = &o->products[matrix];
  const be_product to = {p->weight, p->out + r.token * p->weight->rows + r.first * PANEL_ROWS};
  const be_act x = act_from(o->x, r.token);
  multiply(o->w, &to, &x, (int32_t)(r.token_end - r.token), r.first, r.end, p->weight->rows, o->add);
}

void cpu_linear(be_worker *w, const be_act *x, const be_product *products, int n_products, int32_t n, bool add) {
  run(&(linear_op){.w = w,
                   .n_matrices = n_products,
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

static void expert(const linear_op *o, int32_t expert, linear_range r) {
  const be_weight *weight = o->products->weight + expert;
  int64_t entry = o->routing->first[expert];
  const be_act x = act_from(o->x, entry);
  const be_product to = {weight, o->products->out + entry * weight->rows + r.first * PANEL_ROWS};
  multiply(o->w, &to, &x, entries_of(o, expert), r.first, r.end, weight->rows, false);
}

void cpu_linear_experts(be_worker *w, const be_act *x, const be_product *experts, const be_routing *routing) {
  run(&(linear_op){.w = w,
                   .n_matrices = routing->n_experts,
                   .pairs = expert_pairs,
                   .compute = expert,
                   .products = experts,
                   .routing = routing,
                   .x = x});
}

/* ---- Gated products ---- */

static int64_t gated_pairs(const linear_op *o, int32_t matrix) {
  return o->routing && entries_of(o, matrix) == 0 ? 0 : pairs_of(o->gated->w1 + matrix);
}

/* Panels first .. end - 1, at most GATED_PANELS, of both matrices for n <= GATED_TOKENS tokens from row t on. */
static void gated_tile(const linear_op *o, int32_t matrix, int64_t first, int64_t end, int64_t t, int32_t n) {
  const be_gated *g = o->gated;
  const cpu_device *d = o->w->context->device;
  const be_act x = act_from(o->x, t);
  float *gate = o->w->gated, *up = gate + GATED_FLOATS;
  int64_t stride = (end - first) * PANEL_ROWS, row = first * PANEL_ROWS, cols = g->out->cols;
  int64_t count = smaller(cols - row, stride);
  multiply(o->w, &(be_product){g->w1 + matrix, gate}, &x, n, first, end, stride, false);
  multiply(o->w, &(be_product){g->w3 + matrix, up}, &x, n, first, end, stride, false);
  for (int32_t i = 0; i < n; i++) {
    int64_t at = (t + i) * cols + row;
    float *out = g->out->f32 ? g->out->f32 + at : gate + i * stride;
    d->kernels.activate[g->activation](gate + i * stride, up + i * stride, out, count);
    if (g->out->level) d->kernels.quantize(out, count, g->out, at, 0);
  }
}

static void gated(const linear_op *o, int32_t matrix, linear_range r) {
  int64_t start = o->routing ? o->routing->first[matrix] : r.token,
          stop = o->routing ? o->routing->first[matrix + 1] : r.token_end;
  for (int64_t panel = r.first; panel < r.end; panel += GATED_PANELS)
    for (int64_t t = start; t < stop; t += GATED_TOKENS)
      gated_tile(o, matrix, panel, smaller(panel + GATED_PANELS, r.end), t, (int32_t)smaller(stop - t, GATED_TOKENS));
}

void cpu_linear_gated(be_worker *w, const be_act *x, const be_gated *product, const be_routing *routing, int32_t n) {
  run(&(linear_op){.w = w,
                   .n_matrices = routing ? routing->n_experts : 1,
                   .pairs = gated_pairs,
                   .compute = gated,
                   .gated = product,
                   .routing = routing,
                   .x = x,
                   .n = n});
}
