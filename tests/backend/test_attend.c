/* Attention over a block: every level's bits against the portable C, and the portable C against double
 * precision on the cache's own values. What a query does not see holds NaN. */
#include "backend/buffers.h"
#include "backend/cpu/kernels.h"

#include <stdlib.h>

enum { PAGES = KV_BLOCK / KV_PAGE, START = 3 * KV_BLOCK, LARGEST_DIM = 256, GROUP_BYTES = 512 };

static const char *const type_names[] = {[GALE_KV_F16] = "f16", [GALE_KV_F32] = "f32", [GALE_KV_Q8] = "q8"};
static const gale_kv_type types[] = {GALE_KV_F16, GALE_KV_F32, GALE_KV_Q8};

/* A task and the memory it reads, each piece before a guard page. */
typedef struct scene {
  attend_task task;
  kv_layout layout;
  guarded keys[PAGES], values[PAGES], q[ATTEND_QUERIES], q_level[ATTEND_QUERIES], q_scale[ATTEND_QUERIES],
      q_neg_sum[ATTEND_QUERIES];
  guarded max[2], sum[2], out[2]; /* of the portable C, of a level */
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
  k.quantize(padded, pad, s->q_level[i].data, s->q_scale[i].data, s->q_neg_sum[i].data);
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

static void run(scene *s, cpu_level level, int slot) {
  cpu_kernels k;
  cpu_kernels_fill(&k, level);
  s->task.max = s->max[slot].data;
  s->task.sum = s->sum[slot].data;
  s->task.out = s->out[slot].data;
  k.attend[s->layout.type](&s->task);
}

/* ---- Levels ---- */

static const int dims[] = {2, 4, 6, 14, 16, 18, 24, 32, 34, 46, 62, 64, 66, 80, 96, 110, 128, 130, 254, 256};
enum { N_DIMS = sizeof dims / sizeof *dims };

static void compare(cpu_level level, gale_kv_type type, int dim, int n, const int *first, const int *last, content c,
                    uint64_t seed) {
  char what[160];
  snprintf(what, sizeof what, "%s, %s, head_dim %d, %d queries, first sees %d .. %d, content %d, seed %d",
           type_names[type], cpu_level_name(level), dim, n, first[0], last[0], c, (int)seed);
  scene s = scene_new(type, dim, n, first, last, c, seed);
  s.task.cap = seed % 3 == 0 ? 2.0f : 0;
  run(&s, CPU_GENERIC, 0);
  run(&s, level, 1);
  assert_same_floats(s.max[1].data, s.max[0].data, (size_t)n, what);
  assert_same_floats(s.sum[1].data, s.sum[0].data, (size_t)n, what);
  assert_same_floats(s.out[1].data, s.out[0].data, (size_t)(n * dim), what);
  scene_free(&s);
}

/* All queries see the same: a step of one token. */
static void level_one_range(cpu_level level) {
  static const int ranges[][2] = {{0, 255}, {0, 0}, {255, 255}, {63, 64}, {17, 17}, {5, 130}, {64, 127}, {1, 254}};
  for (int type = 0; type < 3; type++)
    for (int d = 0; d < N_DIMS; d++)
      for (int r = 0; r < 8; r++) {
        int n = (r * 5 + d * 3) % ATTEND_QUERIES + 1, first[ATTEND_QUERIES], last[ATTEND_QUERIES];
        for (int i = 0; i < n; i++) first[i] = ranges[r][0], last[i] = ranges[r][1];
        for (int c = PLAIN; c <= ZEROS; c++)
          compare(level, types[type], dims[d], n, first, last, (content)c, (uint64_t)(r * 3 + c));
      }
}

/* Every number of queries, one position further each: a piece of a prompt under a window. */
static void level_causal(cpu_level level) {
  for (int type = 0; type < 3; type++)
    for (int n = 1; n <= ATTEND_QUERIES; n++)
      for (int heads = 1; heads <= 4; heads++)
        for (int at = 0; at < KV_BLOCK - ATTEND_QUERIES; at += 59) {
          int first[ATTEND_QUERIES], last[ATTEND_QUERIES], window = 1 << (at + n) % 9;
          for (int i = 0; i < n; i++) {
            last[i] = at + i / heads;
            first[i] = last[i] >= window ? last[i] - window + 1 : 0;
          }
          compare(level, types[type], heads * 8, n, first, last, heads == 3 ? SPECIAL : PLAIN, (uint64_t)at);
        }
}

/* Ranges that have nothing to do with each other. */
static void level_any_ranges(cpu_level level) {
  uint64_t seed = 7;
  for (int i = 0; i < 600; i++) {
    int n = random_below(&seed, ATTEND_QUERIES) + 1, first[ATTEND_QUERIES], last[ATTEND_QUERIES];
    for (int q = 0; q < n; q++) {
      first[q] = random_below(&seed, KV_BLOCK);
      last[q] = first[q] + random_below(&seed, (i % 2 ? KV_BLOCK : 40));
      if (last[q] >= KV_BLOCK) last[q] = KV_BLOCK - 1;
    }
    compare(level, types[i % 3], 2 * (random_below(&seed, 40) + 1), n, first, last, (content)(i % 5 % 3), seed);
  }
}

static void test_one_range(void **state) {
  (void)state;
  for_each_level(level_one_range);
}
static void test_causal(void **state) {
  (void)state;
  for_each_level(level_causal);
}
static void test_any_ranges(void **state) {
  (void)state;
  for_each_level(level_any_ranges);
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
static void check_query(const scene *s, int query) {
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
  assert_true(fabs(m - top) <= top_error);
  /* Sixteen chains of n / 16 positive terms and a tree of four levels. */
  assert_true(fabs(s->task.sum[query] - sum) <= sum_error + 1.01 * sum * (n / 16 + 5) * unit);
  for (int d = 0; d < s->task.head_dim; d++) {
    double exact = 0, bound = 0;
    for (int p = first; p <= last; p++) {
      double v = value_at(s, p, d);
      exact += weight[p] * v;
      bound += fabs(v) * (weight_error[p] + 1.01 * weight[p] * (n + 1) * unit);
    }
    assert_true(fabs(s->task.out[query * s->task.head_dim + d] - exact) <= bound);
  }
}

static void test_exact(void **state) {
  (void)state;
  for (int type = 0; type < 3; type++)
    for (int d = 0; d < N_DIMS; d++) {
      int first[] = {0, 0, 3, 100}, last[] = {255, 0, 77, 131};
      scene s = scene_new(types[type], dims[d], 4, first, last, PLAIN, (uint64_t)d);
      run(&s, CPU_GENERIC, 0);
      for (int i = 0; i < 4; i++) check_query(&s, i);
      scene_free(&s);
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_exact),
      cmocka_unit_test(test_one_range),
      cmocka_unit_test(test_causal),
      cmocka_unit_test(test_any_ranges),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
