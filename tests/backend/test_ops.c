/* Operations on several workers against the portable kernels one after another: gated products, experts, and the sums
 * of these. */
#include "backend/cpu/kernels/kernels.h"
#include "op_buffers.h"

#include <stdlib.h>

/* Packed matrices and activations live in plain memory of this size or less. */
static void *room(size_t bytes) {
  void *p = calloc(1, bytes ? bytes : 1);
  assert_non_null(p);
  return p;
}

static be_weight weight_new(quant_type type, int rows, int cols, uint64_t *seed) {
  const quant_info *q = quant_get(type);
  size_t row_bytes = (size_t)quant_bytes(type, (uint64_t)cols), panel_bytes = quant_panel_bytes(type, (size_t)cols);
  be_weight w = {type, rows, cols, NULL};
  w.data = room((size_t)(rows + PANEL_ROWS - 1) / PANEL_ROWS * panel_bytes);
  char *stored = room(row_bytes * PANEL_ROWS);
  for (int r = 0; r < rows; r += PANEL_ROWS) {
    int n = rows - r < PANEL_ROWS ? rows - r : PANEL_ROWS;
    q->synthesize(q, stored, (size_t)n * (size_t)cols, 0, random_bits(seed), 0.5f);
    q->pack(q, (char *)w.data + (size_t)(r / PANEL_ROWS) * panel_bytes, stored, row_bytes, n, (size_t)cols);
  }
  free(stored);
  return w;
}

static be_act act_new(int n, int cols, bool f32, bool levels) {
  size_t values = (size_t)n * (size_t)cols, blocks = values / QUANT_BLOCK;
  be_act a = {.cols = cols};
  if (f32) a.f32 = room(values * sizeof(float));
  if (!levels) return a;
  a.level = room(values);
  a.scale = room(blocks * sizeof(float));
  a.neg_sum = room(2 * blocks * sizeof(int16_t));
  a.outlier_rest = 0.5f;
  a.outlier_at = room(blocks);
  a.outlier = room(blocks * sizeof(float));
  return a;
}

static void act_free(be_act *a) {
  free(a->f32);
  free(a->level);
  free(a->scale);
  free(a->neg_sum);
  free(a->outlier_at);
  free(a->outlier);
}

static void assert_same_act(const be_act *a, const be_act *b, int n, const char *what) {
  size_t values = (size_t)n * (size_t)a->cols, blocks = values / QUANT_BLOCK;
  if (a->f32) assert_same_floats(a->f32, b->f32, values, what);
  if (!a->level) return;
  assert_memory_equal(a->level, b->level, values);
  assert_same_floats(a->scale, b->scale, blocks, what);
  assert_memory_equal(a->neg_sum, b->neg_sum, 2 * blocks * sizeof(int16_t));
  assert_memory_equal(a->outlier_at, b->outlier_at, blocks);
  assert_same_floats(a->outlier, b->outlier, blocks, what);
}

/* ---- The portable way, row by row ---- */

static cpu_kernels portable;

static void plain_linear(const be_weight *w, const be_act *x, int t, float *out) {
  const be_act row = act_from(x, t);
  linear_task task = {.panels = w->data,
                      .panel_bytes = quant_panel_bytes(w->type, (size_t)w->cols),
                      .n_panels = (w->rows + PANEL_ROWS - 1) / PANEL_ROWS,
                      .x = &row,
                      .n_tokens = 1,
                      .out = out,
                      .n_rows = w->rows,
                      .stride = w->rows};
  portable.linear[w->type](&task);
  if (!quant_get(w->type)->is_float) portable.add_outliers[w->type](&task);
}

static void plain_quantize(const be_act *a, int t) {
  const be_act row = act_from(a, t);
  if (row.level) portable.quantize(row.f32, row.cols, &row, 0, 0);
}

static void plain_gated(const be_weight *w1, const be_weight *w3, be_activation activation, const be_act *x, int t,
                        const be_act *out) {
  float *gate = room((size_t)w1->rows * sizeof *gate), *up = room((size_t)w3->rows * sizeof *up);
  plain_linear(w1, x, t, gate);
  plain_linear(w3, x, t, up);
  portable.activate[activation](gate, up, out->f32 + t * out->cols, out->cols);
  plain_quantize(out, t);
  free(gate);
  free(up);
}

/* ---- Cases ---- */

enum { EXPERTS = 5, UNUSED = 3, USED = 2 }; /* no token goes to expert UNUSED, whose weights can't be read */

typedef struct ops_case {
  int n, dim, hidden;
  quant_type w1, w3, w2;
  be_activation activation;
} ops_case;

typedef struct ops_run {
  const ops_case *c;
  const be_ops *be;
  be_weight w1[EXPERTS], w3[EXPERTS], w2[EXPERTS];
  be_act x, gathered, activated;
  be_routing routing;
  float *logits, *y, *h;
} ops_run;

static bool is_float(quant_type type) {
  return quant_get(type)->is_float;
}

static void fill_routing(ops_run *r, uint64_t *seed) {
  size_t n = (size_t)r->c->n;
  r->routing = (be_routing){.n_experts = EXPERTS, .n_used = USED};
  r->routing.first = room((EXPERTS + 1) * sizeof(int32_t));
  r->routing.token = room(n * USED * sizeof(int32_t));
  r->routing.place = room(n * USED * sizeof(int32_t));
  r->routing.weight = room(n * USED * sizeof(float));
  r->logits = room(n * EXPERTS * sizeof(float));
  for (size_t i = 0; i < n * EXPERTS; i++) r->logits[i] = i % EXPERTS == UNUSED ? -100 : random_unit(seed);
}

static ops_run run_new(const ops_case *c, uint64_t seed) {
  ops_run r = {.c = c};
  for (int e = 0; e < EXPERTS; e++) {
    r.w1[e] = weight_new(c->w1, c->hidden, c->dim, &seed);
    r.w3[e] = weight_new(c->w3, c->hidden, c->dim, &seed);
    r.w2[e] = weight_new(c->w2, c->dim, c->hidden, &seed);
  }
  r.x = act_new(c->n, c->dim, true, true);
  for (int64_t i = 0; i < (int64_t)c->n * c->dim; i++) r.x.f32[i] = random_unit(&seed) * (i % 37 == 5 ? 9 : 1);
  for (int t = 0; t < c->n; t++) plain_quantize(&r.x, t);
  bool f32 = is_float(c->w1) || is_float(c->w3), levels = !is_float(c->w1) || !is_float(c->w3);
  r.gathered = act_new(c->n * USED, c->dim, f32, levels);
  r.activated = act_new(c->n * USED, c->hidden, is_float(c->w2), !is_float(c->w2));
  size_t entries = (size_t)(c->n * USED * c->dim);
  r.y = room(entries * sizeof(float));
  r.h = room((size_t)(c->n * c->dim) * sizeof(float));
  fill_routing(&r, &seed);
  return r;
}

static void run_free(ops_run *r) {
  for (int e = 0; e < EXPERTS; e++) {
    free(r->w1[e].data);
    free(r->w3[e].data);
    free(r->w2[e].data);
  }
  act_free(&r->x);
  act_free(&r->gathered);
  act_free(&r->activated);
  void *all[] = {r->routing.first, r->routing.token, r->routing.place, r->routing.weight, r->logits, r->y, r->h};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

/* Calls fn on every worker, with the kernels of an instruction set. */
static void run_on(ops_run *r, const char *isa, int threads, void (*fn)(void *argument, be_worker *w)) {
  gale_error error = {0};
  be_device *device = NULL;
  be_context *context = NULL;
  assert_int_equal(be_open(isa, &device, &error), GALE_OK);
  r->be = device->ops;
  const be_context_options options = {
      .threads = threads, .give_way = true, .max_tokens = r->c->n, .n_heads = 1, .head_dim = 16, .max_blocks = 1};
  assert_int_equal(r->be->context_open(device, &options, &context, &error), GALE_OK);
  r->be->run(context, fn, r);
  r->be->context_close(&context);
  r->be->close(device);
}

static void job_dense(void *argument, be_worker *w) {
  ops_run *r = argument;
  r->be->linear_gated(w, &r->x, &(be_gated){r->w1, r->w3, r->c->activation, &r->activated}, NULL, r->c->n);
}

static void job_experts(void *argument, be_worker *w) {
  ops_run *r = argument;
  int n = r->c->n;
  r->be->route(w, &r->routing, r->logits, n);
  r->be->gather(w, &r->gathered, &r->x, r->routing.token, n * USED);
  r->be->linear_gated(w, &r->gathered, &(be_gated){r->w1, r->w3, r->c->activation, &r->activated}, &r->routing,
                      n * USED);
  r->be->linear_experts(w, &r->activated, &(be_product){r->w2, r->y}, &r->routing);
  r->be->combine(w, r->h, r->y, &r->routing, r->c->dim, n);
}

/* Every result of a case is compared with one that was computed before: on threads x instruction sets. */
static void for_each_run(ops_run *r, void (*fn)(void *argument, be_worker *w), void (*check)(const ops_run *r)) {
  for (int l = CPU_GENERIC; l < CPU_ISAS; l++)
    for (int threads = 1; threads <= 3; threads++) {
      if (!cpu_supports((cpu_isa)l)) continue;
      memset(r->y, 0x7F, (size_t)(r->c->n * USED * r->c->dim) * sizeof(float));
      for (int64_t i = 0; i < (int64_t)r->c->n * r->c->dim; i++) r->h[i] = (float)(i % 7);
      run_on(r, cpu_isa_name((cpu_isa)l), threads, fn);
      check(r);
    }
}

static void check_dense(const ops_run *r) {
  be_act expected = act_new(r->c->n, r->c->hidden, true, r->activated.level);
  for (int t = 0; t < r->c->n; t++) plain_gated(r->w1, r->w3, r->c->activation, &r->x, t, &expected);
  assert_same_act(&r->activated, &expected, r->c->n, "gated");
  act_free(&expected);
}

/* The chosen experts of a token by expert ascending, from where the entries lie. */
static int expert_of(const ops_run *r, int32_t entry) {
  int e = 0;
  while (entry >= r->routing.first[e + 1]) e++;
  return e;
}

static void check_experts(const ops_run *r) {
  const ops_case *c = r->c;
  be_act activated = act_new(1, c->hidden, true, r->activated.level);
  float *y = room((size_t)c->dim * sizeof *y), *sum = room((size_t)c->dim * sizeof *sum);
  for (int t = 0; t < c->n; t++) {
    const be_act x = act_from(&r->x, t);
    memset(sum, 0, (size_t)c->dim * sizeof *sum);
    for (int i = t * USED; i < (t + 1) * USED; i++) {
      int e = expert_of(r, r->routing.place[i]);
      assert_int_equal(r->routing.token[r->routing.place[i]], t);
      assert_int_not_equal(e, UNUSED);
      plain_gated(&r->w1[e], &r->w3[e], c->activation, &x, 0, &activated);
      plain_linear(&r->w2[e], &activated, 0, y);
      for (int d = 0; d < c->dim; d++) sum[d] = fmaf(r->routing.weight[i], y[d], sum[d]);
    }
    for (int d = 0; d < c->dim; d++) sum[d] = (float)((t * c->dim + d) % 7) + sum[d];
    assert_same_floats(r->h + t * c->dim, sum, (size_t)c->dim, "experts");
  }
  free(y);
  free(sum);
  act_free(&activated);
}

/* 300 tokens and 400 rows are more than a worker computes at once; 50 rows end within a panel, 80 within a pair. */
static const ops_case cases[] = {
    {1, 64, 96, QUANT_Q4_0, QUANT_Q4_0, QUANT_Q4_0, BE_SILU},
    {3, 64, 416, QUANT_Q4_0, QUANT_Q8_0, QUANT_Q4_1, BE_GELU_TANH},
    {300, 32, 416, QUANT_Q8_0, QUANT_Q8_0, QUANT_Q8_0, BE_SILU},
    {9, 64, 50, QUANT_F16, QUANT_Q4_0, QUANT_F32, BE_SILU},
    {150, 96, 80, QUANT_F32, QUANT_BF16, QUANT_BF16, BE_SILU},
    {5, 256, 64, QUANT_Q4_K, QUANT_F32, QUANT_Q5_0, BE_GELU_TANH},
};
enum { CASES = sizeof cases / sizeof *cases };

static void test_gated(void **state) {
  (void)state;
  for (int i = 0; i < CASES; i++) {
    ops_run r = run_new(&cases[i], (uint64_t)i);
    for_each_run(&r, job_dense, check_dense);
    run_free(&r);
  }
}

static void test_experts(void **state) {
  (void)state;
  for (int i = 0; i < CASES; i++) {
    ops_run r = run_new(&cases[i], (uint64_t)i + 100);
    free(r.w1[UNUSED].data);
    free(r.w3[UNUSED].data);
    free(r.w2[UNUSED].data);
    r.w1[UNUSED].data = r.w3[UNUSED].data = r.w2[UNUSED].data = NULL;
    for_each_run(&r, job_experts, check_experts);
    run_free(&r);
  }
}

/* Results do not show whether weights are prefetched. */
static void test_prefetch(void **state) {
  (void)state;
  for (int isa = 0; isa < CPU_ISAS; isa++) {
    if (!cpu_supports((cpu_isa)isa)) continue;
    cpu_kernels k;
    cpu_kernels_fill(&k, (cpu_isa)isa);
    assert_true(k.prefetch.one.near > 0 && k.prefetch.several.near > 0);
    assert_true(cpu_is_amd() ? k.prefetch.one.far == 0 : k.prefetch.one.far > k.prefetch.one.near);
  }
}

int main(void) {
  cpu_kernels_fill(&portable, CPU_GENERIC);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_gated), cmocka_unit_test(test_experts),
                                     cmocka_unit_test(test_prefetch)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
