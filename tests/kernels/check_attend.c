/* Attention over a block, by type of the cache. What a query does not see holds NaN. */
#include "check.h"

enum { PAGES = KV_BLOCK / KV_PAGE, START = 3 * KV_BLOCK, LARGEST_DIM = 256, GROUP_BYTES = 512 };

static const char *const type_names[] = {[GALE_KV_F16] = "f16", [GALE_KV_F32] = "f32", [GALE_KV_Q8] = "q8"};
static const gale_kv_type types[] = {GALE_KV_F16, GALE_KV_F32, GALE_KV_Q8};

/* A task and the memory it reads, each array before a guard page. */
typedef struct scene {
  attend_task task;
  kv_layout layout;
  guarded keys[PAGES], values[PAGES], q[ATTEND_QUERIES], q_level[ATTEND_QUERIES], q_scale[ATTEND_QUERIES],
      q_neg_sum[ATTEND_QUERIES];
  guarded max[2], sum[2], out[2]; /* of the portable C, of an instruction set */
} scene;

/* ---- The cache's elements ---- */

static void *f32_key(const scene *s, int p, int d) {
  return (float *)s->keys[p / KV_PAGE].data + (p % KV_PAGE / 16 * s->task.head_dim + d) * 16 + p % 16;
}
static void *f16_key(const scene *s, int p, int d) {
  return (uint16_t *)s->keys[p / KV_PAGE].data + (p % KV_PAGE / 16 * s->task.head_dim + d) * 16 + p % 16;
}
static char *q8_panel(const scene *s, int p) {
  return (char *)s->keys[p / KV_PAGE].data +
         (size_t)(p % KV_PAGE / 16) * quant_panel_bytes(QUANT_Q8_0, (size_t)s->task.head_pad);
}
static uint8_t *q8_key(const scene *s, int p, int d) {
  return (uint8_t *)q8_panel(s, p) + d / 32 * GROUP_BYTES + d % 32 / 4 * 64 + p % 16 * 4 + d % 4;
}
static void *q8_key_scale(const scene *s, int p, int block) {
  return q8_panel(s, p) + s->task.head_pad / 32 * GROUP_BYTES + block * 32 + p % 16 * 2;
}
static void *f32_value(const scene *s, int p, int d) {
  return (float *)s->values[p / KV_PAGE].data + p % KV_PAGE * s->task.head_dim + d;
}
static void *f16_value(const scene *s, int p, int d) {
  return (uint16_t *)s->values[p / KV_PAGE].data + p % KV_PAGE * s->task.head_dim + d;
}
static int8_t *q8_value(const scene *s, int p, int d) {
  return (int8_t *)s->values[p / KV_PAGE].data + p % KV_PAGE * s->task.head_pad + d;
}
static void *q8_value_scale(const scene *s, int p, int block) {
  return (uint16_t *)((char *)s->values[p / KV_PAGE].data + KV_PAGE * s->task.head_pad) +
         p % KV_PAGE * (s->task.head_pad / 32) + block;
}

static void put_half(void *to, float x) {
  uint16_t h = half_from_float(x);
  memcpy(to, &h, sizeof h);
}
static double get_half(const void *from) {
  uint16_t h;
  memcpy(&h, from, sizeof h);
  return half_to_float(h);
}
static double get_float(const void *from) {
  float f;
  memcpy(&f, from, sizeof f);
  return f;
}

static double key_at(const scene *s, int p, int d) {
  if (s->layout.type == GALE_KV_F32) return get_float(f32_key(s, p, d));
  if (s->layout.type == GALE_KV_F16) return get_half(f16_key(s, p, d));
  return (*q8_key(s, p, d) - 128) * get_half(q8_key_scale(s, p, d / 32));
}

static double value_at(const scene *s, int p, int d) {
  if (s->layout.type == GALE_KV_F32) return get_float(f32_value(s, p, d));
  if (s->layout.type == GALE_KV_F16) return get_half(f16_value(s, p, d));
  return *q8_value(s, p, d) * get_half(q8_value_scale(s, p, d / 32));
}

/* ---- Filling ---- */

/* ZEROS: products so small that scores are zeros of either sign. */
typedef enum content { PLAIN, SPECIAL, ZEROS } content;

static float any_float(content c, uint64_t *seed) {
  if (c == ZEROS) return (float)(random_below(seed, 3) - 1) * (random_below(seed, 2) ? 0x1p-24f : -0x1p-24f);
  return c == SPECIAL && random_below(seed, 2000) == 0 ? random_special(seed) : random_unit(seed);
}

static void fill_position(const scene *s, int p, content c, uint64_t *seed) {
  for (int d = 0; d < s->task.head_dim; d++) {
    float key = any_float(c, seed), value = any_float(c, seed);
    if (s->layout.type == GALE_KV_F32) {
      memcpy(f32_key(s, p, d), &key, sizeof key);
      memcpy(f32_value(s, p, d), &value, sizeof value);
    } else if (s->layout.type == GALE_KV_F16) {
      put_half(f16_key(s, p, d), key);
      put_half(f16_value(s, p, d), value);
    }
  }
  for (int d = 0; d < s->task.head_pad && s->layout.type == GALE_KV_Q8; d++) {
    bool used = d < s->task.head_dim;
    *q8_key(s, p, d) = (uint8_t)(used ? random_below(seed, 256) : 128); /* -128 too: a foreign cache may hold it */
    *q8_value(s, p, d) = (int8_t)(used ? random_below(seed, 256) - 128 : 0);
    if (d % 32 == 0) {
      put_half(q8_key_scale(s, p, d / 32), any_float(c, seed) / 127);
      put_half(q8_value_scale(s, p, d / 32), any_float(c, seed) / 127);
    }
  }
}

static void add_query(scene *s, int first, int last, content c, uint64_t *seed) {
  cpu_kernels k;
  cpu_kernels_fill(&k, CPU_GENERIC);
  attend_task *t = &s->task;
  int i = t->n_queries++, dim = t->head_dim, pad = t->head_pad;
  float padded[LARGEST_DIM] = {0};
  for (int d = 0; d < dim; d++) padded[d] = any_float(c, seed) * (c == ZEROS ? 0x1p-125f : 4.0f);
  s->q[i] = guarded_new((size_t)dim * sizeof(float));
  s->q_level[i] = guarded_new((size_t)pad);
  s->q_scale[i] = guarded_new((size_t)(pad / 32) * sizeof(float));
  s->q_neg_sum[i] = guarded_new((size_t)(pad / 16) * sizeof(int16_t));
  memcpy(s->q[i].data, padded, (size_t)dim * sizeof(float));
  const be_act to = {.level = s->q_level[i].data, .scale = s->q_scale[i].data, .neg_sum = s->q_neg_sum[i].data};
  k.quantize(padded, pad, &to, 0, 0);
  t->q[i] = s->q[i].data;
  t->q_level[i] = s->q_level[i].data;
  t->q_scale[i] = s->q_scale[i].data;
  t->q_neg_sum[i] = s->q_neg_sum[i].data;
  t->first[i] = START + first;
  t->last[i] = START + last;
}

static scene scene_new(gale_kv_type type, int dim, int n, const int *first, const int *last, content c, uint64_t seed) {
  scene s = {.layout = kv_layout_make(type, 1, dim)};
  s.task = (attend_task){
      .head_dim = dim, .head_pad = s.layout.head_pad, .scale = 1 / sqrtf((float)dim), .block_start = START};
  for (int i = 0; i < n; i++) add_query(&s, first[i], last[i], c, &seed);
  for (int i = 0; i < PAGES; i++) {
    s.keys[i] = guarded_new(s.layout.key_bytes);
    s.values[i] = guarded_new(s.layout.value_bytes);
    memset(s.keys[i].data, 0xFF, s.layout.key_bytes);
    memset(s.values[i].data, 0xFF, s.layout.value_bytes);
  }
  for (int p = 0; p < KV_BLOCK; p++) {
    bool seen = false;
    for (int i = 0; i < n; i++) seen |= first[i] <= p && p <= last[i];
    if (!seen) continue;
    fill_position(&s, p, c, &seed);
    s.task.keys[p / KV_PAGE] = s.keys[p / KV_PAGE].data;
    s.task.values[p / KV_PAGE] = s.values[p / KV_PAGE].data;
  }
  for (int i = 0; i < 2; i++) {
    s.max[i] = guarded_new((size_t)n * sizeof(float));
    s.sum[i] = guarded_new((size_t)n * sizeof(float));
    s.out[i] = guarded_new((size_t)n * (size_t)dim * sizeof(float));
  }
  return s;
}

static void scene_free(scene *s) {
  for (int i = 0; i < s->task.n_queries; i++) {
    guarded_free(s->q[i]);
    guarded_free(s->q_level[i]);
    guarded_free(s->q_scale[i]);
    guarded_free(s->q_neg_sum[i]);
  }
  for (int i = 0; i < PAGES; i++) {
    guarded_free(s->keys[i]);
    guarded_free(s->values[i]);
  }
  for (int i = 0; i < 2; i++) {
    guarded_free(s->max[i]);
    guarded_free(s->sum[i]);
    guarded_free(s->out[i]);
  }
}

static void run(scene *s, const cpu_kernels *k, int slot) {
  s->task.max = s->max[slot].data;
  s->task.sum = s->sum[slot].data;
  s->task.out = s->out[slot].data;
  k->attend[s->layout.type](&s->task);
}

/* ---- Equality ---- */

static const int dims[] = {2, 4, 6, 14, 16, 18, 24, 32, 34, 46, 62, 64, 66, 80, 96, 110, 128, 130, 254, 256};
enum { N_DIMS = sizeof dims / sizeof *dims };

static const char *type_name(int type) {
  return type_names[types[type]];
}

static bool differs(const cpu_kernels *a, const cpu_kernels *b, int type) {
  return a->attend[types[type]] != b->attend[types[type]];
}

/* What each query of a task sees. */
typedef struct ranges {
  int n, first[ATTEND_QUERIES], last[ATTEND_QUERIES];
} ranges;

static void compare(check *k, int type, int dim, const ranges *r, content c, uint64_t seed) {
  check_case(k, "attend %s %s: head_dim %d, %d queries, the first sees %d .. %d, content %d, case %llu",
             cpu_isa_name(k->isa), type_name(type), dim, r->n, r->first[0], r->last[0], c, (unsigned long long)seed);
  scene s = scene_new(types[type], dim, r->n, r->first, r->last, c, seed);
  s.task.cap = seed % 3 == 0 ? 2.0f : 0;
  run(&s, k->portable, 0);
  run(&s, k->kernels, 1);
  check_same(k, s.max[1].data, s.max[0].data, (size_t)r->n, "max");
  check_same(k, s.sum[1].data, s.sum[0].data, (size_t)r->n, "sum");
  check_same(k, s.out[1].data, s.out[0].data, (size_t)(r->n * dim), "output");
  scene_free(&s);
}

/* All queries see the same: a step of one token. */
static ranges one_range(int n, uint64_t *seed) {
  static const int ends[][2] = {{0, 255}, {0, 0}, {255, 255}, {63, 64}, {17, 17}, {5, 130}, {64, 127}, {1, 254}};
  const int *end = ends[random_below(seed, 8)];
  ranges r = {.n = n};
  for (int i = 0; i < n; i++) r.first[i] = end[0], r.last[i] = end[1];
  return r;
}

/* Each token's heads see one position further: a chunk of a prompt under a window. */
static ranges causal(int n, uint64_t *seed) {
  int heads = random_below(seed, 4) + 1, at = random_below(seed, KV_BLOCK - ATTEND_QUERIES);
  int window = 1 << random_below(seed, 9);
  ranges r = {.n = n};
  for (int i = 0; i < n; i++) {
    r.last[i] = at + i / heads;
    r.first[i] = r.last[i] >= window ? r.last[i] - window + 1 : 0;
  }
  return r;
}

/* Ranges that have nothing to do with each other. */
static ranges any_ranges(int n, uint64_t *seed) {
  int longest = random_below(seed, 2) ? KV_BLOCK : 40;
  ranges r = {.n = n};
  for (int i = 0; i < n; i++) {
    r.first[i] = random_below(seed, KV_BLOCK);
    r.last[i] = r.first[i] + random_below(seed, longest);
    if (r.last[i] >= KV_BLOCK) r.last[i] = KV_BLOCK - 1;
  }
  return r;
}

static void equal(check *c, int type) {
  static ranges (*const makers[])(int n, uint64_t *seed) = {one_range, causal, any_ranges};
  uint64_t seed = c->seed;
  for (int i = 0; i < c->cases && !c->failed; i++) {
    ranges r = makers[random_below(&seed, 3)](i % ATTEND_QUERIES + 1, &seed);
    int dim = random_below(&seed, 2) ? dims[random_below(&seed, N_DIMS)] : 2 * (random_below(&seed, 40) + 1);
    compare(c, type, dim, &r, (content)random_below(&seed, ZEROS + 1), seed);
  }
}

/* ---- The portable C against double precision ---- */

static const double unit = 0x1p-24; /* half a unit in the last place, relative */

/* The exact scaled score, and how far the float one may be from it: a chain of n terms, the scaling. */
static double exact_score(const scene *s, int query, int p, double *error) {
  double sum = 0, magnitude = 0, scale = s->task.scale;
  bool q8 = s->layout.type == GALE_KV_Q8;
  for (int d = 0; d < s->task.head_dim; d++) {
    double q = q8 ? s->task.q_level[query][d] * (double)s->task.q_scale[query][d / 32] : s->task.q[query][d];
    double term = q * key_at(s, p, d);
    sum += term;
    magnitude += fabs(term);
  }
  /* A term of the q8 chain is a block: scale times scale is rounded too, and the dot product is exact. Its
   * magnitude is at most that of its 32 terms. */
  int terms = q8 ? s->task.head_pad / 32 + 1 : s->task.head_dim;
  *error = 1.01 * (terms + 1) * unit * magnitude * scale;
  return sum * scale;
}

/* With the kernel's own maximum m the weights are exp(s - m): relative error of the argument's error, the
 * subtraction's, and that of exp (1.1 units in the last place, so at most 2.2 unit). */
static void check_query(check *c, const scene *s, int query) {
  double m = s->task.max[query], top = -INFINITY, top_error = 0, sum = 0, sum_error = 0;
  double weight[KV_BLOCK], weight_error[KV_BLOCK];
  int first = s->task.first[query] - START, last = s->task.last[query] - START, n = last - first + 1;
  for (int p = first; p <= last; p++) {
    double error, score = exact_score(s, query, p, &error);
    top = score > top ? score : top;
    top_error = error > top_error ? error : top_error;
    weight[p] = exp(score - m);
    weight_error[p] = 1.01 * weight[p] * (error + fabs(score - m) * unit + 2.2 * unit);
    sum += weight[p];
    sum_error += weight_error[p];
  }
  check_that(c, fabs(m - top) <= top_error, "max of query %d is %a, should be %a +- %a", query, m, top, top_error);
  /* Sixteen chains of n / 16 positive terms and a tree of four levels. */
  sum_error += 1.01 * sum * (n / 16 + 5) * unit;
  check_that(c, fabs(s->task.sum[query] - sum) <= sum_error, "sum of query %d is %a, should be %a +- %a", query,
             (double)s->task.sum[query], sum, sum_error);
  for (int d = 0; d < s->task.head_dim; d++) {
    double exact = 0, bound = 0;
    for (int p = first; p <= last; p++) {
      double v = value_at(s, p, d);
      exact += weight[p] * v;
      bound += fabs(v) * (weight_error[p] + 1.01 * weight[p] * (n + 1) * unit);
    }
    double out = s->task.out[query * s->task.head_dim + d];
    check_that(c, fabs(out - exact) <= bound, "output %d of query %d is %a, should be %a +- %a", d, query, out, exact,
               bound);
  }
}

static void accurate(check *c, int type) {
  for (int d = 0; d < N_DIMS && !c->failed; d++) {
    int first[] = {0, 0, 3, 100}, last[] = {255, 0, 77, 131};
    check_case(c, "attend %s: head_dim %d", type_name(type), dims[d]);
    scene s = scene_new(types[type], dims[d], 4, first, last, PLAIN, c->seed + (uint64_t)d);
    run(&s, c->portable, 0);
    for (int i = 0; i < 4; i++) check_query(c, &s, i);
    scene_free(&s);
  }
}

/* ---- Timing: decoding (4 queries of one token, blocks read from memory or from the cache) and a prompt ---- */

enum { FAR_BLOCKS = 1024, WIDEST_DIM = 512 };

/* A run of blocks, and a task for any of them. */
typedef struct cache {
  kv_layout layout;
  char *memory;
  int n_blocks;
  const cpu_kernels *kernels;
  attend_task task;
  float q[WIDEST_DIM], q_scale[WIDEST_DIM], max[ATTEND_QUERIES], sum[ATTEND_QUERIES];
  float out[ATTEND_QUERIES * WIDEST_DIM];
  int8_t q_level[WIDEST_DIM];
  int16_t q_neg_sum[WIDEST_DIM];
} cache;

/* All bytes equal 0x3C: ordinary numbers in every type. */
static cache *cache_new(gale_kv_type type, int head_dim, int n_blocks, int n_queries) {
  cache *c = calloc(1, sizeof *c);
  if (!c) exit(1);
  c->layout = kv_layout_make(type, 1, head_dim);
  c->n_blocks = n_blocks;
  size_t bytes = (size_t)n_blocks * PAGES * c->layout.layer_bytes;
  c->memory = aligned_alloc(64, bytes);
  if (!c->memory) exit(1);
  memset(c->memory, 0x3C, bytes);
  for (int i = 0; i < head_dim; i++) c->q[i] = (float)(i % 7) - 3;
  c->task = (attend_task){.head_dim = head_dim,
                          .head_pad = c->layout.head_pad,
                          .n_queries = n_queries,
                          .scale = 1 / sqrtf((float)head_dim),
                          .max = c->max,
                          .sum = c->sum,
                          .out = c->out};
  for (int i = 0; i < n_queries; i++) {
    c->task.q[i] = c->q;
    c->task.q_level[i] = c->q_level;
    c->task.q_scale[i] = c->q_scale;
    c->task.q_neg_sum[i] = c->q_neg_sum;
    c->task.last[i] = KV_BLOCK - 1;
  }
  return c;
}

static void run_blocks(void *argument) {
  cache *c = argument;
  for (int b = 0; b < c->n_blocks; b++) {
    for (int i = 0; i < PAGES; i++) {
      c->task.keys[i] = c->memory + (size_t)(b * PAGES + i) * c->layout.layer_bytes;
      c->task.values[i] = c->task.keys[i] + c->layout.key_bytes;
    }
    c->task.after = c->memory + (size_t)((b + 1) % c->n_blocks * PAGES) * c->layout.layer_bytes;
    c->kernels->attend[c->layout.type](&c->task);
  }
}

/* Seconds for one block. */
static double time_blocks(const timing *t, const cpu_kernels *k, gale_kv_type type, int dim, int blocks, int queries) {
  cache *c = cache_new(type, dim, blocks, queries);
  c->kernels = k;
  double took = timing_best(t, run_blocks, c) / blocks;
  free(c->memory);
  free(c);
  return took;
}

static void time_type(const timing *t, int type) {
  static const int cases[][2] = {{FAR_BLOCKS, 4}, {1, 4}, {1, ATTEND_QUERIES}}; /* blocks, queries */
  int dim = t->head_dim ? t->head_dim / 2 * 2 : 128;
  double bytes = (double)PAGES * (double)kv_layout_make(types[type], 1, dim).layer_bytes;
  for (int i = 0; i < 3; i++) {
    int blocks = t->isa == CPU_GENERIC ? 1 : cases[i][0], queries = cases[i][1];
    double took = time_blocks(t, t->kernels, types[type], dim, blocks, queries);
    double portable = time_blocks(t, t->portable, types[type], dim, 1, queries);
    char what[80];
    snprintf(what, sizeof what, "attend %s %s, dim %d, %d queries, %d blocks", type_name(type), cpu_isa_name(t->isa),
             dim, queries, blocks);
    timing_print(what, took, bytes, 4.0 * queries * (double)KV_BLOCK * dim, t->isa == CPU_GENERIC ? 0 : portable);
  }
}

const kernel_op op_attend = {.name = "attend",
                             .n_types = 3,
                             .type = type_name,
                             .differs = differs,
                             .equal = equal,
                             .exact = accurate,
                             .time = time_type};
