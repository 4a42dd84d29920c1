/* The kernels of attend_portable.c on sixteen lanes, for tiles of queries that share what is loaded.
 *
 * Include math_avx512.h or math_avx2.h first, and define
 *   SCORE_GROUPS   groups of 16 positions in a tile of scores
 *   VALUE_VECTORS  vectors of 16 dimensions in a tile of values, Q8_VECTORS (1 or 2) likewise for the q8 cache
 *   score_dots()   the integer dot products of the q8 cache, see below */
#ifndef LANES_ATTEND_LANES_H
#define LANES_ATTEND_LANES_H

#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/kernels/lanes/math_lanes.h"

/* A tile's arrays of lanes are registers once its constant arguments have unrolled the loops over them. Each tile
 * is a function of its own, which keeps what surrounds it from taking registers away. */
#define INLINE static inline __attribute__((always_inline))
#define TILE static __attribute__((noinline))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

enum {
  TILE_QUERIES = 6,
  PAGES = KV_BLOCK / KV_PAGE,
  LINE = 64,
  WIDE_QUERIES = 8, /* from so many on a page of halves is converted once for all of them */
  WIDE_DIM = 256    /* if its heads are no larger */
};

/* Dot products of a block of 32 levels of 16 keys (a Q8_0 panel's) and of n queries. */
INLINE void score_dots(const uint8_t *keys, const int8_t *const *q, const int32_t *neg_sum, int n, lanes *dot);

typedef struct block {
  _Alignas(64) float score[ATTEND_QUERIES][KV_BLOCK]; /* then the weight exp(score - max) */
  int first[ATTEND_QUERIES], last[ATTEND_QUERIES];    /* seen, from the block's start */
} block;

/* Positions lo .. hi of a page; none if lo > hi. */
typedef struct range {
  int lo, hi;
} range;

static inline int smaller(int a, int b) {
  return a < b ? a : b;
}
static inline int larger(int a, int b) {
  return a > b ? a : b;
}

static inline range seen(const block *b, int query, int page) {
  return (range){larger(b->first[query] - page * KV_PAGE, 0), smaller(b->last[query] - page * KV_PAGE, KV_PAGE - 1)};
}

INLINE size_t element_bytes(gale_kv_type type) {
  return type == GALE_KV_F32 ? 4 : type == GALE_KV_F16 ? 2 : 1;
}

INLINE lanes load(gale_kv_type type, const char *from, size_t i) {
  if (type == GALE_KV_F32) return lanes_load((const float *)from + i);
  if (type == GALE_KV_F16) return lanes_load_f16((const uint16_t *)from + i);
  return lanes_load_i8(from + i);
}

/* The first n of them, which is even. A q8 cache has whole vectors. */
INLINE lanes load_n(gale_kv_type type, const char *from, size_t i, int n) {
  if (type == GALE_KV_F32) return lanes_load_n((const float *)from + i, n);
  if (type == GALE_KV_F16) return lanes_load_f16_n((const uint16_t *)from + i, n);
  return lanes_load_i8(from + i);
}

INLINE void prefetch(const char *p, size_t bytes) {
  for (size_t i = 0; i < bytes; i += LINE) __builtin_prefetch(p + i, 0, 2);
}

/* ---- Scores: a tile is n queries by some groups of 16 positions of a page ---- */

typedef struct score_tile {
  const attend_task *task;
  block *block;
  int query, n, page, group;
  const char *ahead; /* read after the page: prefetched */
} score_tile;

INLINE float *score_at(const score_tile *s, int i, int group) {
  return s->block->score[s->query + i] + s->page * KV_PAGE + (s->group + group) * LANES;
}

INLINE void scores_float(const score_tile *s, int n, int groups, gale_kv_type type) {
  lanes acc[TILE_QUERIES][SCORE_GROUPS];
  const float *q[TILE_QUERIES];
  size_t dim = (size_t)s->task->head_dim, step = (size_t)groups * LANES * element_bytes(type);
  size_t start = (size_t)s->group * dim * LANES * element_bytes(type);
  const char *keys = s->task->keys[s->page] + start, *ahead = s->ahead + start;
  UNROLL for (int i = 0; i < n; i++) {
    q[i] = s->task->q[s->query + i];
    UNROLL for (int g = 0; g < groups; g++) acc[i][g] = lanes_zero();
  }
  for (size_t d = 0; d < dim; d++) {
    lanes key[SCORE_GROUPS];
    prefetch(ahead + d * step, step);
    UNROLL for (int g = 0; g < groups; g++) key[g] = load(type, keys, ((size_t)g * dim + d) * LANES);
    UNROLL for (int i = 0; i < n; i++) {
      lanes x = lanes_set(q[i][d]);
      UNROLL for (int g = 0; g < groups; g++) acc[i][g] = lanes_fma(x, key[g], acc[i][g]);
    }
  }
  UNROLL for (int i = 0; i < n; i++) {
    UNROLL for (int g = 0; g < groups; g++) lanes_store(score_at(s, i, g), acc[i][g]);
  }
}

INLINE void scores_q8(const score_tile *s, int n, int g) {
  enum { LEVELS = PANEL_ROWS * QUANT_BLOCK, SCALES = PANEL_ROWS * 2 };
  const attend_task *t = s->task;
  lanes acc[TILE_QUERIES];
  size_t blocks = (size_t)t->head_pad / QUANT_BLOCK;
  size_t start = (size_t)(s->group + g) * quant_panel_bytes(QUANT_Q8_0, (size_t)t->head_pad);
  const char *levels = t->keys[s->page] + start, *scales = levels + blocks * LEVELS, *ahead = s->ahead + start;
  UNROLL for (int i = 0; i < n; i++) acc[i] = lanes_zero();
  for (size_t k = 0; k < blocks; k++) {
    const int8_t *q[TILE_QUERIES];
    int32_t neg_sum[TILE_QUERIES];
    lanes dot[TILE_QUERIES], scale = lanes_load_f16((const uint16_t *)(scales + k * SCALES));
    prefetch(ahead + k * (LEVELS + SCALES), LEVELS + SCALES);
    UNROLL for (int i = 0; i < n; i++) {
      q[i] = t->q_level[s->query + i] + k * QUANT_BLOCK;
      neg_sum[i] = t->q_neg_sum[s->query + i][2 * k] + t->q_neg_sum[s->query + i][2 * k + 1];
    }
    score_dots((const uint8_t *)levels + k * LEVELS, q, neg_sum, n, dot);
    UNROLL for (int i = 0; i < n; i++) {
      acc[i] = lanes_fma(lanes_mul(scale, lanes_set(t->q_scale[s->query + i][k])), dot[i], acc[i]);
    }
  }
  UNROLL for (int i = 0; i < n; i++) lanes_store(score_at(s, i, g), acc[i]);
}

INLINE void scores(const score_tile *s, int n, int groups, gale_kv_type type) {
  if (type != GALE_KV_Q8)
    scores_float(s, n, groups, type);
  else
    for (int g = 0; g < groups; g++) scores_q8(s, n, g);
}

INLINE void scores_of_n(const score_tile *s, int groups, gale_kv_type type) {
  switch (s->n) {
  case 1:
    scores(s, 1, groups, type);
    break;
  case 2:
    scores(s, 2, groups, type);
    break;
  case 3:
    scores(s, 3, groups, type);
    break;
  case 4:
    scores(s, 4, groups, type);
    break;
  case 5:
    scores(s, 5, groups, type);
    break;
  default:
    scores(s, TILE_QUERIES, groups, type);
    break;
  }
}

/* ---- Weights ---- */

static void softmax(const attend_task *t, block *b, int query) {
  int first = b->first[query], last = b->last[query], start = first / LANES * LANES;
  float *score = b->score[query];
  lanes scale = lanes_set(t->scale), top = lanes_set(-INFINITY), sum = lanes_zero();
  for (int p = start; p <= last; p += LANES) {
    lanes s = lanes_mul(lanes_load(score + p), scale);
    if (t->cap > 0) s = lanes_soft_cap(s, t->cap);
    if (p < first || p + LANES > last + 1) s = lanes_between(first - p, last - p, s, lanes_set(-INFINITY));
    top = lanes_max(s, top);
    lanes_store(score + p, s);
  }
  float max = lanes_largest(top);
  if (max == 0) { /* the sign of the first zero, as if the scores had been compared in order */
    int p = first;
    while (score[p] != 0) p++;
    max = score[p];
  }
  for (int p = start; p <= last; p += LANES) {
    /* Where nothing is seen this is 0, or NaN if max is -infinity, and then all of the sum is NaN. */
    lanes e = lanes_exp(lanes_sub(lanes_load(score + p), lanes_set(max)));
    sum = lanes_add(sum, e);
    lanes_store(score + p, e);
  }
  t->max[query] = max;
  t->sum[query] = lanes_tree(sum);
}

/* ---- Values: a tile is n queries by some vectors of 16 dimensions ---- */

typedef struct value_tile {
  const attend_task *task;
  const char *values, *ahead; /* [KV_PAGE][row], and what is read next */
  size_t row;
  const float *weight; /* of the task's first query at the page's first position; the next query is `stride` on */
  size_t stride;
  int query, n;
  range range;
  size_t dim, end; /* dimensions dim .. end - 1 */
} value_tile;

/* Adds the positions' values to `vectors` vectors of dimensions from d on; full: all of them are there. */
INLINE void values_at(const value_tile *v, size_t d, int n, int vectors, bool full, gale_kv_type type) {
  lanes acc[TILE_QUERIES][VALUE_VECTORS];
  size_t dim = (size_t)v->task->head_dim, row = v->row, stride = v->stride, hi = (size_t)v->range.hi;
  float *out = v->task->out + (size_t)v->query * dim + d;
  const float *weight = v->weight + (size_t)v->query * stride;
  const char *from = v->values, *ahead = v->ahead;
  int dims = v->end - d < LANES ? (int)(v->end - d) : LANES;
  UNROLL for (int i = 0; i < n; i++) {
    UNROLL for (int j = 0; j < vectors; j++) {
      const float *at = out + (size_t)i * dim + (size_t)(j * LANES);
      acc[i][j] = full ? lanes_load(at) : lanes_load_n(at, dims);
    }
  }
  for (size_t p = (size_t)v->range.lo, at = p * row + d; p <= hi; p++, at += row) {
    lanes x[VALUE_VECTORS];
    prefetch(ahead + at * element_bytes(type), (size_t)vectors * LANES * element_bytes(type));
    UNROLL for (int j = 0; j < vectors; j++) {
      x[j] = full ? load(type, from, at + (size_t)(j * LANES)) : load_n(type, from, at, dims);
    }
    UNROLL for (int i = 0; i < n; i++) {
      lanes w = lanes_set(weight[(size_t)i * stride + p]);
      UNROLL for (int j = 0; j < vectors; j++) acc[i][j] = lanes_fma(w, x[j], acc[i][j]);
    }
  }
  UNROLL for (int i = 0; i < n; i++) {
    UNROLL for (int j = 0; j < vectors; j++) {
      float *at = out + (size_t)i * dim + (size_t)(j * LANES);
      if (full)
        lanes_store(at, acc[i][j]);
      else
        lanes_store_n(at, acc[i][j], dims);
    }
  }
}

INLINE void values(const value_tile *v, int n, int vectors, bool full, gale_kv_type type) {
  for (size_t d = v->dim; d < v->end; d += (size_t)(vectors * LANES)) values_at(v, d, n, vectors, full, type);
}

INLINE void values_of_n(const value_tile *v, int vectors, bool full, gale_kv_type type) {
  switch (v->n) {
  case 1:
    values(v, 1, vectors, full, type);
    break;
  case 2:
    values(v, 2, vectors, full, type);
    break;
  case 3:
    values(v, 3, vectors, full, type);
    break;
  case 4:
    values(v, 4, vectors, full, type);
    break;
  case 5:
    values(v, 5, vectors, full, type);
    break;
  default:
    values(v, TILE_QUERIES, vectors, full, type);
    break;
  }
}

/* ---- The tiles of each type of cache: of full size, and of one vector for what is left ---- */

TILE void scores_f16(const score_tile *s) {
  scores_of_n(s, SCORE_GROUPS, GALE_KV_F16);
}
TILE void scores_f16_one(const score_tile *s) {
  scores_of_n(s, 1, GALE_KV_F16);
}
TILE void scores_f32(const score_tile *s) {
  scores_of_n(s, SCORE_GROUPS, GALE_KV_F32);
}
TILE void scores_f32_one(const score_tile *s) {
  scores_of_n(s, 1, GALE_KV_F32);
}
TILE void scores_q8_groups(const score_tile *s) {
  scores_of_n(s, SCORE_GROUPS, GALE_KV_Q8);
}
TILE void scores_q8_one(const score_tile *s) {
  scores_of_n(s, 1, GALE_KV_Q8);
}
TILE void values_f16(const value_tile *v) {
  values_of_n(v, VALUE_VECTORS, true, GALE_KV_F16);
}
TILE void values_f16_rest(const value_tile *v) {
  values_of_n(v, 1, false, GALE_KV_F16);
}
TILE void values_f32(const value_tile *v) {
  values_of_n(v, VALUE_VECTORS, true, GALE_KV_F32);
}
TILE void values_f32_rest(const value_tile *v) {
  values_of_n(v, 1, false, GALE_KV_F32);
}
TILE void values_q8(const value_tile *v) {
  values_of_n(v, Q8_VECTORS, true, GALE_KV_Q8);
}
TILE void values_levels(const value_tile *v) {
  values_of_n(v, Q8_VECTORS, true, GALE_KV_F32);
}
TILE void values_q8_rest(const value_tile *v) {
  values_of_n(v, 1, false, GALE_KV_Q8);
}

typedef struct tiles {
  int groups, vectors;
  void (*scores)(const score_tile *s);
  void (*scores_one)(const score_tile *s);
  void (*values)(const value_tile *v);
  void (*values_rest)(const value_tile *v);
} tiles;

static const tiles tiles_of[] = {
    [GALE_KV_F16] = {SCORE_GROUPS, VALUE_VECTORS, scores_f16, scores_f16_one, values_f16, values_f16_rest},
    [GALE_KV_F32] = {SCORE_GROUPS, VALUE_VECTORS, scores_f32, scores_f32_one, values_f32, values_f32_rest},
    [GALE_KV_Q8] = {SCORE_GROUPS, Q8_VECTORS, scores_q8_groups, scores_q8_one, values_q8, values_q8_rest},
};

/* ---- Pages ---- */

/* Scores of all groups that some query of a tile sees; a lane that it does not see gets a score of no meaning. */
static void scores_page(const attend_task *t, block *b, int page, const char *ahead, const tiles *kind) {
  for (int query = 0; query < t->n_queries; query += TILE_QUERIES) {
    int n = smaller(t->n_queries - query, TILE_QUERIES), lo = KV_PAGE, hi = -1;
    for (int i = 0; i < n; i++) {
      range r = seen(b, query + i, page);
      if (r.lo > r.hi) continue;
      lo = smaller(lo, r.lo);
      hi = larger(hi, r.hi);
    }
    int end = hi / LANES + 1;
    score_tile s = {t, b, query, n, page, lo / LANES, ahead};
    for (; s.group + kind->groups <= end && lo <= hi; s.group += kind->groups) kind->scores(&s);
    for (; s.group < end && lo <= hi; s.group++) kind->scores_one(&s);
  }
}

static void values_range(value_tile *v, int query, int n, int lo, int hi, const tiles *kind) {
  if (lo > hi) return;
  size_t start = v->dim, end = v->end, full = (size_t)(kind->vectors * LANES);
  v->query = query;
  v->n = n;
  v->range = (range){lo, hi};
  v->end = start + (end - start) / full * full;
  if (start < v->end) kind->values(v);
  v->dim = v->end;
  v->end = end;
  if (v->dim < end) kind->values_rest(v);
  v->dim = start;
}

/* The positions that all queries of a tile see are added for all at once, those before and after one by one. */
static void values_page(value_tile *v, const block *b, int page, const tiles *kind) {
  int n_queries = v->task->n_queries;
  for (int query = 0; query < n_queries; query += TILE_QUERIES) {
    int n = smaller(n_queries - query, TILE_QUERIES);
    range r[TILE_QUERIES], all = {0, KV_PAGE - 1};
    for (int i = 0; i < n; i++) {
      r[i] = seen(b, query + i, page);
      all = (range){larger(all.lo, r[i].lo), smaller(all.hi, r[i].hi)};
    }
    if (all.lo > all.hi) all = (range){KV_PAGE, KV_PAGE - 1};
    for (int i = 0; i < n; i++) values_range(v, query + i, 1, r[i].lo, smaller(r[i].hi, all.lo - 1), kind);
    values_range(v, query, n, all.lo, all.hi, kind);
    for (int i = 0; i < n; i++) values_range(v, query + i, 1, larger(r[i].lo, all.hi + 1), r[i].hi, kind);
  }
}

static void values_page_float(const attend_task *t, const block *b, int page, const char *ahead, const tiles *kind) {
  size_t dim = (size_t)t->head_dim;
  value_tile v = {.task = t,
                  .values = t->values[page],
                  .ahead = ahead,
                  .row = dim,
                  .weight = b->score[0] + page * KV_PAGE,
                  .stride = KV_BLOCK,
                  .end = dim};
  values_page(&v, b, page, kind);
}

/* levels: those of the page, in the form that kind reads. Of a block of 32 dimensions every query's weights are
 * multiplied by the positions' scales first. */
static void values_page_q8(const attend_task *t, const block *b, int page, const char *levels, const char *ahead,
                           const tiles *kind) {
  enum { MOST_SCALES = KV_PAGE * KV_MOST_DIM / QUANT_BLOCK };
  _Alignas(64) float weight[ATTEND_QUERIES][KV_PAGE], scale[KV_PAGE], scales[MOST_SCALES];
  size_t pad = (size_t)t->head_pad, dim = (size_t)t->head_dim, blocks = pad / QUANT_BLOCK;
  const char *halves = t->values[page] + KV_PAGE * pad;
  value_tile v = {.task = t, .values = levels, .ahead = ahead, .row = pad, .weight = weight[0], .stride = KV_PAGE};
  if (levels == t->values[page]) prefetch(ahead + KV_PAGE * pad, KV_PAGE * blocks * sizeof(uint16_t));
  for (size_t i = 0; i < KV_PAGE * blocks; i += LANES) lanes_store(scales + i, load(GALE_KV_F16, halves, i));
  for (size_t k = 0; k < blocks; k++) {
    for (size_t p = 0; p < KV_PAGE; p++) scale[p] = scales[p * blocks + k];
    for (int i = 0; i < t->n_queries; i++) {
      range r = seen(b, i, page);
      for (int p = r.lo / LANES * LANES; p <= r.hi; p += LANES)
        lanes_store(weight[i] + p, lanes_mul(lanes_load(b->score[i] + page * KV_PAGE + p), lanes_load(scale + p)));
    }
    v.dim = k * QUANT_BLOCK;
    v.end = v.dim + QUANT_BLOCK < dim ? v.dim + QUANT_BLOCK : dim;
    values_page(&v, b, page, kind);
  }
}

/* ---- */

/* The page whose keys or values are read after those of `page`, or that page itself. */
static int next_page(const attend_task *t, int page, int end) {
  return page + 1 < end && t->keys[page + 1] ? page + 1 : page;
}

/* What is read after the values of `page`. */
static const char *after_values(const attend_task *t, int page, int end) {
  int next = next_page(t, page, end);
  return next > page || !t->after ? t->values[next] : t->after;
}

/* The positions that queries see, from the block's start. */
static range find_seen(const attend_task *t, block *b) {
  range all = {KV_BLOCK, 0};
  for (int i = 0; i < t->n_queries; i++) {
    b->first[i] = t->first[i] - t->block_start;
    b->last[i] = t->last[i] - t->block_start;
    all = (range){smaller(all.lo, b->first[i]), larger(all.hi, b->last[i])};
  }
  return all;
}

static void attend(const attend_task *t, gale_kv_type type) {
  const tiles *kind = &tiles_of[type];
  block b;
  range all = find_seen(t, &b);
  int start = all.lo / KV_PAGE, end = all.hi / KV_PAGE + 1;
  for (int page = start; page < end; page++) {
    int next = next_page(t, page, end);
    if (t->keys[page]) scores_page(t, &b, page, next > page ? t->keys[next] : t->values[start], kind);
  }
  for (int i = 0; i < t->n_queries; i++) softmax(t, &b, i);
  memset(t->out, 0, (size_t)t->n_queries * (size_t)t->head_dim * sizeof *t->out);
  for (int page = start; page < end; page++) {
    if (!t->values[page]) continue;
    const char *ahead = after_values(t, page, end);
    if (type == GALE_KV_Q8)
      values_page_q8(t, &b, page, t->values[page], ahead, kind);
    else
      values_page_float(t, &b, page, ahead, kind);
  }
}

/* ---- Many queries: a page's halves or levels become floats once for all of them ---- */

/* Rows of types that take their values as floats, and of halves the keys too. */
static const tiles wide_tiles_of[] = {
    [GALE_KV_F16] = {SCORE_GROUPS, VALUE_VECTORS, scores_f32, scores_f32_one, values_f32, values_f32_rest},
    [GALE_KV_Q8] = {SCORE_GROUPS, Q8_VECTORS, scores_q8_groups, scores_q8_one, values_levels, values_f32_rest},
};

/* n elements of a page. ahead: read after them. */
INLINE const char *widen(gale_kv_type type, const char *from, size_t n, const char *ahead, float *to) {
  for (size_t i = 0; i < n; i += LANES) {
    __builtin_prefetch(ahead + i * element_bytes(type), 0, 2);
    lanes_store(to + i, load(type, from, i));
  }
  return (const char *)to;
}

INLINE void attend_wide(const attend_task *t, gale_kv_type type) {
  _Alignas(64) float wide[KV_PAGE * WIDE_DIM];
  const tiles *kind = &wide_tiles_of[type];
  attend_task floats = *t;
  block b;
  range all = find_seen(t, &b);
  int start = all.lo / KV_PAGE, end = all.hi / KV_PAGE + 1;
  for (int page = start; page < end; page++) {
    if (!t->keys[page]) continue;
    int next = next_page(t, page, end);
    const char *ahead = next > page ? t->keys[next] : t->values[start], *keys = t->keys[page];
    if (type == GALE_KV_F16) ahead = keys = widen(type, keys, KV_PAGE * (size_t)t->head_dim, ahead, wide);
    floats.keys[page] = keys;
    scores_page(&floats, &b, page, ahead, kind);
  }
  for (int i = 0; i < t->n_queries; i++) softmax(t, &b, i);
  memset(t->out, 0, (size_t)t->n_queries * (size_t)t->head_dim * sizeof *t->out);
  for (int page = start; page < end; page++) {
    if (!t->values[page]) continue;
    int row = type == GALE_KV_Q8 ? t->head_pad : t->head_dim;
    const char *ahead = after_values(t, page, end);
    const char *values = floats.values[page] = widen(type, t->values[page], KV_PAGE * (size_t)row, ahead, wide);
    if (type == GALE_KV_Q8)
      values_page_q8(t, &b, page, values, values, kind);
    else
      values_page_float(&floats, &b, page, values, kind);
  }
}

static bool is_wide(const attend_task *t) {
  return t->n_queries >= WIDE_QUERIES && t->head_pad <= WIDE_DIM;
}

/* ---- */

static void attend_f16(const attend_task *t) {
  if (is_wide(t))
    attend_wide(t, GALE_KV_F16);
  else
    attend(t, GALE_KV_F16);
}
static void attend_f32(const attend_task *t) {
  attend(t, GALE_KV_F32);
}
static void attend_q8(const attend_task *t) {
  if (is_wide(t))
    attend_wide(t, GALE_KV_Q8);
  else
    attend(t, GALE_KV_Q8);
}

static void attend_fill(cpu_kernels *k) {
  k->attend[GALE_KV_F16] = attend_f16;
  k->attend[GALE_KV_F32] = attend_f32;
  k->attend[GALE_KV_Q8] = attend_q8;
}

#endif
