/* Linear layers, by storage type of the weights. */
#include "check.h"

#include "backend/backend.h"

typedef struct shape {
  int rows, cols, tokens;
} shape;

typedef enum values {
  QUIET, /* as in models */
  WILD,  /* special scales, halves of any bit pattern, infinities, NaN */
  TINY   /* scales whose products vanish, so that results are zeros of either sign; factors of zero */
} values;

/* A packed matrix, activations, and an output for each of two kernels. */
typedef struct linear_case {
  quant_type type;
  shape shape;
  int stride;
  guarded weights, f32, level, scale, neg_sum, outlier_at, outlier, out[2], scratch;
  be_act x;
} linear_case;

static size_t out_floats(const linear_case *c) {
  return (size_t)(c->shape.tokens - 1) * (size_t)c->stride + (size_t)c->shape.rows;
}

static void fill_floats(quant_type type, void *to, size_t n, uint64_t *seed) {
  size_t size = type == QUANT_F32 ? 4 : 2;
  for (size_t i = 0; i < n * size; i += size) {
    uint32_t bits = random_below(seed, 8) ? float_to_bits(random_special(seed)) : random_bits(seed);
    if (type != QUANT_F32) bits = random_below(seed, 8) ? half_from_float(float_from_bits(bits)) : bits;
    if (random_below(seed, 64) == 0 || type == QUANT_F32) memcpy((char *)to + i, &bits, size);
  }
}

/* The halves of a block. */
static void draw_halves(values v, uint64_t *seed, uint16_t *d, uint16_t *m) {
  static const uint16_t special[] = {0, 0x8000, 1, 0x8001, 0x03FF, 0x0400, 0x7BFF, 0xFBFF, 0x3C00};
  *d = half_from_float(random_unit(seed) * 0.01f), *m = half_from_float(random_unit(seed));
  if (v == TINY) *d = special[random_below(seed, 4)], *m = special[random_below(seed, 4)];
  if (v == WILD && random_below(seed, 2)) *d = special[random_below(seed, 9)], *m = special[random_below(seed, 9)];
  if (v == WILD && random_below(seed, 500) == 0) *d = (uint16_t)random_bits(seed), *m = (uint16_t)random_bits(seed);
}

/* All levels are the largest or the smallest, and so are all factors. */
static void make_extreme(const quant_info *q, bool high, quant_block *numbers) {
  memset(numbers->level, high ? (1 << q->level_bits) - 1 : 0, sizeof numbers->level);
  if (!q->factor_bits) return;
  memset(numbers->scale, q->has_min ? (1 << q->factor_bits) - 1 : -(1 << q->factor_bits), sizeof numbers->scale);
  if (q->has_min) memset(numbers->min, (1 << q->factor_bits) - 1, sizeof numbers->min);
}

/* n elements of a type in storage form. */
static void fill_storage(quant_type type, values v, void *to, size_t n, uint64_t *seed) {
  const quant_info *q = quant_get(type);
  q->synthesize(q, to, n, 0, random_bits(seed), 0.05f);
  if (v == WILD && q->is_float) fill_floats(type, to, n, seed);
  if (q->is_float) return;
  for (uint8_t *block = to, *end = block + quant_bytes(type, n); block < end; block += q->block_bytes) {
    uint8_t made[256] = {0};
    uint16_t d, m;
    draw_halves(v, seed, &d, &m);
    bool extreme = random_below(seed, 8) == 0, high = random_below(seed, 2);
    for (int p = 0; p < q->block / QUANT_BLOCK; p++) {
      quant_block numbers;
      q->load(block, p, &numbers);
      numbers.d = d, numbers.m = m;
      if (extreme) make_extreme(q, high, &numbers);
      if (v == TINY && q->factor_bits && random_below(seed, 2)) memset(numbers.scale, 0, sizeof numbers.scale);
      if (v == TINY && q->factor_bits && random_below(seed, 2)) memset(numbers.min, 0, sizeof numbers.min);
      q->store(made, p, &numbers);
    }
    memcpy(block, made, (size_t)q->block_bytes);
  }
}

static guarded packed_weights(quant_type type, shape s, values v, uint64_t *seed) {
  const quant_info *q = quant_get(type);
  size_t row_bytes = (size_t)quant_bytes(type, (uint64_t)s.cols), panel_bytes = quant_panel_bytes(type, (size_t)s.cols);
  guarded packed = guarded_new((size_t)(s.rows + PANEL_ROWS - 1) / PANEL_ROWS * panel_bytes);
  char *rows = malloc(row_bytes * PANEL_ROWS);
  if (!rows) exit(1);
  for (int r = 0; r < s.rows; r += PANEL_ROWS) {
    int n = s.rows - r < PANEL_ROWS ? s.rows - r : PANEL_ROWS;
    fill_storage(type, v, rows, (size_t)n * (size_t)s.cols, seed);
    q->pack(q, (char *)packed.data + (size_t)(r / PANEL_ROWS) * panel_bytes, rows, row_bytes, n, (size_t)s.cols);
  }
  free(rows);
  return packed;
}

/* Outliers of one block: none, at random places, or of most tokens in one place. Their level is 0. */
static void fill_outlier(linear_case *c, size_t block, values v, uint64_t *seed) {
  size_t n_blocks = (size_t)c->shape.cols / QUANT_BLOCK;
  int kind = (int)(block % n_blocks * 7 % 3), at = kind == 1 ? random_below(seed, QUANT_BLOCK) : (int)n_blocks % 32;
  bool none = kind == 0 || random_below(seed, 3) == 0;
  c->x.outlier_at[block] = none ? 0 : (uint8_t)(1 + at);
  c->x.outlier[block] = none ? 0 : v == TINY ? 0x1p-149f : 4 + random_unit(seed);
  if (!none && v == WILD && random_below(seed, 4) == 0) c->x.outlier[block] = random_special(seed);
  if (!none) c->x.level[block * QUANT_BLOCK + (size_t)at] = 0;
}

/* Levels as quantize() gives them: within -127 .. 127. */
static void fill_levels(linear_case *c, values v, uint64_t *seed) {
  size_t n = (size_t)c->shape.cols * (size_t)c->shape.tokens;
  for (size_t b = 0; b < n / QUANT_BLOCK; b++) {
    int kind = random_below(seed, 8), sum[2] = {0};
    for (size_t i = b * QUANT_BLOCK; i < (b + 1) * QUANT_BLOCK; i++) {
      int level = kind == 0 ? 127 : kind == 1 ? -127 : kind == 2 ? 0 : random_below(seed, 255) - 127;
      c->x.level[i] = (int8_t)level;
    }
    fill_outlier(c, b, v, seed);
    for (size_t i = b * QUANT_BLOCK; i < (b + 1) * QUANT_BLOCK; i++) sum[i / 16 % 2] += c->x.level[i];
    for (size_t h = 0; h < 2; h++) c->x.neg_sum[2 * b + h] = (int16_t)-sum[h];
    c->x.scale[b] = 0.01f + fabsf(random_unit(seed));
    if (v == WILD && random_below(seed, 4) == 0) c->x.scale[b] = fabsf(random_special(seed));
    if (v == TINY) c->x.scale[b] = 0x1p-149f;
  }
}

static linear_case case_new(const check *k, quant_type type, shape s, values v, uint64_t seed) {
  size_t n = (size_t)s.cols * (size_t)s.tokens, blocks = n / QUANT_BLOCK;
  linear_case c = {.type = type, .shape = s, .stride = s.rows + random_below(&seed, 3)};
  c.weights = packed_weights(type, s, v, &seed);
  bool is_float = quant_get(type)->is_float;
  c.f32 = guarded_new(is_float ? n * sizeof(float) : 0);
  c.level = guarded_new(is_float ? 0 : n);
  c.scale = guarded_new(is_float ? 0 : blocks * sizeof(float));
  c.neg_sum = guarded_new(is_float ? 0 : 2 * blocks * sizeof(int16_t));
  c.outlier_at = guarded_new(is_float ? 0 : blocks);
  c.outlier = guarded_new(is_float ? 0 : blocks * sizeof(float));
  c.x =
      (be_act){s.cols, c.f32.data, c.level.data, c.scale.data, c.neg_sum.data, 0.5f, c.outlier_at.data, c.outlier.data};
  if (!is_float) fill_levels(&c, v, &seed);
  for (size_t i = 0; is_float && i < n; i++) {
    bool special = v == WILD && random_below(&seed, 50) == 0;
    c.x.f32[i] = special ? random_special(&seed) : random_unit(&seed);
  }
  for (int i = 0; i < 2; i++) c.out[i] = guarded_new(out_floats(&c) * sizeof(float));
  c.scratch = guarded_new((k->kernels->linear_scratch + PANEL_ALIGN - 1) / PANEL_ALIGN * PANEL_ALIGN);
  return c;
}

static void case_free(linear_case *c) {
  guarded all[] = {c->weights,    c->f32,     c->level,  c->scale,  c->neg_sum,
                   c->outlier_at, c->outlier, c->out[0], c->out[1], c->scratch};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) guarded_free(all[i]);
}

/* What the outputs hold before. */
static float before(size_t i) {
  return (float)((i * 37 + 11) % 101) * 0.25f - 12;
}

static float *run(const linear_case *c, const cpu_kernels *k, int output, bool add) {
  float *out = c->out[output].data;
  for (size_t i = 0; i < out_floats(c); i++) out[i] = before(i);
  linear_task task = {.panels = c->weights.data,
                      .panel_bytes = quant_panel_bytes(c->type, (size_t)c->shape.cols),
                      .n_panels = (c->shape.rows + PANEL_ROWS - 1) / PANEL_ROWS,
                      .x = &c->x,
                      .n_tokens = c->shape.tokens,
                      .out = out,
                      .n_rows = c->shape.rows,
                      .stride = c->stride,
                      .add = add,
                      .prefetch = k->prefetch,
                      .scratch = c->scratch.data};
  k->linear[c->type](&task);
  if (k->add_outliers[c->type]) k->add_outliers[c->type](&task);
  return out;
}

/* ---- Equality ---- */

static const char *type_name(int type) {
  return quant_get((quant_type)type)->name;
}

static bool differs(const cpu_kernels *a, const cpu_kernels *b, int type) {
  return a->linear[type] != b->linear[type] || a->add_outliers[type] != b->add_outliers[type];
}

static void check_equal(check *c, quant_type type, shape s, values v, bool add, uint64_t seed) {
  static const char *const names[] = {[QUIET] = "quiet", [WILD] = "wild", [TINY] = "tiny"};
  check_case(c, "linear %s %s: %d rows, %d cols, %d tokens, %s, %s, case %llu", cpu_isa_name(c->isa),
             quant_get(type)->name, s.rows, s.cols, s.tokens, names[v], add ? "add" : "store",
             (unsigned long long)seed);
  linear_case l = case_new(c, type, s, v, seed);
  const float *expected = run(&l, c->portable, 0, add), *is = run(&l, c->kernels, 1, add);
  check_same(c, is, expected, out_floats(&l), "output");
  case_free(&l);
}

/* At least cols, as whole blocks. */
static int whole(quant_type type, int cols) {
  int block = quant_get(type)->block;
  return (cols + block - 1) / block * block;
}

/* Every number of tokens up to 13 and some above, of rows up to 70 and of columns. */
static shape random_shape(quant_type type, int number, uint64_t *seed) {
  bool is_float = quant_get(type)->is_float;
  int cols = is_float ? random_below(seed, 150) + 1 : whole(type, random_below(seed, 20) * QUANT_BLOCK + QUANT_BLOCK);
  return (shape){random_below(seed, 70) + 1, cols, number % 14 == 13 ? 14 + random_below(seed, 50) : number % 14 + 1};
}

static void equal(check *c, int type) {
  uint64_t seed = c->seed;
  quant_type t = (quant_type)type;
  bool is_float = quant_get(t)->is_float;
  for (int i = 0; i < c->cases && !c->failed; i++) {
    shape s = random_shape(t, i, &seed);
    values v = (values)random_below(&seed, is_float ? TINY : TINY + 1);
    check_equal(c, t, s, v, random_below(&seed, 2), seed);
  }
  /* More activations than stay in the cache; more than one part of the inputs, the tokens and the panels. */
  const shape large[] = {{17, 8192, 41}, {35, 2304, 47}, {20, whole(t, 96), 300}, {530, whole(t, 96), 33}};
  for (size_t i = 0; i < sizeof large / sizeof *large && !c->failed; i++)
    check_equal(c, t, large[i], QUIET, i % 2, seed);
}

/* ---- Accuracy ---- */

/* The exact result of one output and the sum of the magnitudes that it is made of. */
typedef struct exact {
  double sum, magnitude;
} exact;

static void exact_add(exact *e, double term) {
  e->sum += term;
  e->magnitude += fabs(term);
}

static exact exact_float(const linear_case *c, int row, int token) {
  size_t cols = (size_t)c->shape.cols;
  const quant_info *q = quant_get(c->type);
  const char *panel = (const char *)c->weights.data + (size_t)(row / PANEL_ROWS) * quant_panel_bytes(c->type, cols);
  float *weights = malloc(cols * sizeof *weights);
  if (!weights) exit(1);
  q->unpack_row(q, panel, row % PANEL_ROWS, weights, cols);
  exact e = {0};
  for (size_t i = 0; i < cols; i++) exact_add(&e, (double)weights[i] * c->x.f32[(size_t)token * cols + i]);
  free(weights);
  return e;
}

static exact exact_quantized(const linear_case *c, int row, int token) {
  size_t cols = (size_t)c->shape.cols, n_blocks = cols / QUANT_BLOCK;
  const quant_info *q = quant_get(c->type);
  const char *panel = (const char *)c->weights.data + (size_t)(row / PANEL_ROWS) * quant_panel_bytes(c->type, cols);
  exact e = {0};
  for (size_t b = 0; b < n_blocks; b++) {
    quant_levels w;
    q->levels(q, panel, cols, b, &w);
    size_t at = (size_t)token * n_blocks + b;
    int r = row % PANEL_ROWS;
    double dot = 0, sum = 0, scale = c->x.scale[at];
    for (size_t i = 0; i < QUANT_BLOCK; i++) {
      int level = c->x.level[at * QUANT_BLOCK + i];
      dot += (double)w.scales[r][i / 16] * w.level[r][i] * level;
      sum += w.mins[r][i / 16] * level;
    }
    exact_add(&e, w.scale[r] * scale * dot);
    if (q->has_min) exact_add(&e, w.min[r] * scale * sum);
    if (!c->x.outlier_at[at]) continue;
    int place = c->x.outlier_at[at] - 1, half = place / 16;
    double value = c->x.outlier[at];
    exact_add(&e, (double)w.scale[r] * w.scales[r][half] * w.level[r][place] * value);
    if (q->has_min) exact_add(&e, (double)w.min[r] * w.mins[r][half] * value);
  }
  return e;
}

/* A chain of m multiply-adds rounds m times, and a block's factors once before; a block's outlier is a block of its
 * own: the error is at most gamma(m + 1) times the sum of the terms' magnitudes, with gamma(n) = n u / (1 - n u) and u
 * = 2^-24. Adding to what is there rounds once more, and takes part in that sum. */
static void check_accuracy(check *k, quant_type type, shape s, bool add) {
  const quant_info *q = quant_get(type);
  check_case(k, "linear %s: %d rows, %d cols, %d tokens, %s", q->name, s.rows, s.cols, s.tokens, add ? "add" : "store");
  linear_case c = case_new(k, type, s, QUIET, k->seed + 4);
  const float *out = run(&c, k->portable, 0, add);
  double links = q->is_float ? s.cols : s.cols / QUANT_BLOCK * (q->has_min ? 4 : 2);
  double roundings = (links + 1 + add) * 0x1p-24, gamma = roundings / (1 - roundings);
  for (int token = 0; token < s.tokens; token++)
    for (int row = 0; row < s.rows; row++) {
      size_t at = (size_t)token * (size_t)c.stride + (size_t)row;
      exact e = q->is_float ? exact_float(&c, row, token) : exact_quantized(&c, row, token);
      if (add) exact_add(&e, before(at));
      check_that(k, fabs(out[at] - e.sum) <= gamma * e.magnitude, "row %d of token %d is %a, should be %a +- %a", row,
                 token, (double)out[at], e.sum, gamma * e.magnitude);
    }
  case_free(&c);
}

static void accurate(check *c, int type) {
  for (int add = 0; add < 2; add++) {
    check_accuracy(c, (quant_type)type, (shape){19, whole((quant_type)type, 32), 2}, add);
    check_accuracy(c, (quant_type)type, (shape){35, whole((quant_type)type, 1056), 3}, add);
  }
}

/* ---- Timing: the operation of be_ops, which shares the panels out to the threads ---- */

typedef struct linear_call {
  const be_ops *ops;
  be_context *context;
  be_act x;
  be_product product;
  int32_t n;
} linear_call;

static void *zeroed(size_t n, size_t size) {
  void *p = calloc(n, size);
  if (!p) exit(1);
  return p;
}

/* Activations of quiet noise; the values don't matter to the time. */
static be_act activations(int64_t cols, int32_t tokens) {
  size_t n = (size_t)tokens * (size_t)cols, n_blocks = n / QUANT_BLOCK;
  be_act x = {.cols = cols, .f32 = zeroed(n, sizeof *x.f32), .level = zeroed(n, 1)};
  x.scale = zeroed(n_blocks, sizeof *x.scale);
  x.neg_sum = zeroed(2 * n_blocks, sizeof *x.neg_sum);
  for (size_t i = 0; i < n; i++) {
    x.f32[i] = (float)(i * 7 % 13) - 6;
    x.level[i] = (int8_t)(i * 37 % 255 - 127);
    x.neg_sum[i / 16] = (int16_t)(x.neg_sum[i / 16] - x.level[i]);
    x.scale[i / QUANT_BLOCK] = 0.01f;
  }
  return x;
}

static void forward(void *argument, be_worker *w) {
  const linear_call *c = argument;
  c->ops->linear(w, &c->x, &c->product, 1, c->n, false);
}

/* A matrix of random weights, packed. */
static be_weight packed_weight(const be_device *d, quant_type type, int64_t rows, int64_t cols, size_t bytes) {
  const quant_info *q = quant_get(type);
  size_t panel_bytes = d->ops->weight_bytes(d, type, PANEL_ROWS, cols);
  char *memory = d->ops->alloc(d, bytes, true, NULL),
       *stored = malloc(quant_bytes(type, (uint64_t)(PANEL_ROWS * cols)));
  if (!memory || !stored) exit(1);
  for (int64_t r = 0; r < rows; r += PANEL_ROWS) {
    int64_t n = rows - r < PANEL_ROWS ? rows - r : PANEL_ROWS;
    q->synthesize(q, stored, (size_t)(n * cols), (uint64_t)(r * cols), 1, 0.02f);
    d->ops->weight_pack(d, type, cols, stored, (int)n, memory + (size_t)(r / PANEL_ROWS) * panel_bytes);
  }
  free(stored);
  return (be_weight){.type = type, .rows = rows, .cols = cols, .data = memory};
}

static void run_call(void *argument) {
  linear_call *c = argument;
  c->ops->run(c->context, forward, c);
}

/* Seconds for each of the numbers of tokens. */
static void time_isa(const timing *t, cpu_isa isa, int threads, quant_type type, int64_t rows, int64_t cols,
                     const int32_t *tokens, int n, double *took) {
  be_device *d;
  linear_call call = {0};
  const be_context_options options = {.threads = threads,
                                      .give_way = true,
                                      .max_tokens = tokens[n - 1],
                                      .n_heads = 1,
                                      .head_dim = QUANT_BLOCK,
                                      .max_blocks = 1};
  if (be_open(cpu_isa_name(isa), &d, NULL) || d->ops->context_open(d, &options, &call.context, NULL)) exit(1);
  size_t bytes = d->ops->weight_bytes(d, type, rows, cols);
  be_weight packed = packed_weight(d, type, rows, cols, bytes);
  call.ops = d->ops;
  call.x = activations(cols, tokens[n - 1]);
  call.product = (be_product){.weight = &packed, .out = zeroed((size_t)rows * (size_t)tokens[n - 1], sizeof(float))};
  for (int i = 0; i < n; i++) {
    call.n = tokens[i];
    took[i] = timing_best(t, run_call, &call);
  }
  free(call.product.out);
  free(call.x.f32);
  free(call.x.level);
  free(call.x.scale);
  free(call.x.neg_sum);
  d->ops->release(d, packed.data, bytes);
  d->ops->context_close(&call.context);
  d->ops->close(d);
}

static void time_type(const timing *t, int type) {
  static const int32_t several[] = {1, 2, 4, 6, 8, 16, 64};
  enum { SEVERAL = sizeof several / sizeof *several, FEW_ROWS = 64 };
  quant_type q = (quant_type)type;
  bool fast = t->isa != CPU_GENERIC;
  int64_t cols = t->cols ? t->cols : 4096, rows = t->rows ? t->rows : fast ? 65536 : FEW_ROWS;
  const int32_t *tokens = t->tokens ? &t->tokens : several;
  int n = t->tokens ? 1 : SEVERAL;
  double took[SEVERAL], portable[SEVERAL];
  if (cols % quant_get(q)->block) return;
  time_isa(t, t->isa, t->threads, q, rows, cols, tokens, n, took);
  timing quick = *t;
  quick.seconds = 0;
  if (fast) time_isa(&quick, CPU_GENERIC, 1, q, FEW_ROWS, cols, tokens, n, portable);
  double bytes = (double)quant_panel_bytes(q, (size_t)cols) * (double)((rows + PANEL_ROWS - 1) / PANEL_ROWS);
  for (int i = 0; i < n; i++) {
    char what[80];
    snprintf(what, sizeof what, "linear %s %s, %lld x %lld, %d tokens", type_name(type), cpu_isa_name(t->isa),
             (long long)rows, (long long)cols, tokens[i]);
    double ops = 2.0 * (double)rows * (double)cols * tokens[i];
    timing_print(what, took[i], bytes, ops, fast ? portable[i] * (double)rows / (double)FEW_ROWS : 0);
  }
}

const kernel_op op_linear = {.name = "linear",
                             .n_types = QUANT_TYPES,
                             .type = type_name,
                             .differs = differs,
                             .equal = equal,
                             .exact = accurate,
                             .time = time_type};
