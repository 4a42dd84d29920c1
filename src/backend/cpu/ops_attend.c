/* Attention over the paged cache, shared out by tokens and key/value heads, and for steps of few tokens by
 * blocks of positions as well. Either way a query's blocks are computed one by one and folded in order, so
 * the result does not depend on the sharing. */
#include "backend/cpu/cpu_device.h"

#include "backend/cpu/kernels/portable/math.h"

typedef struct attend_op {
  be_worker *w;
  const be_act *out;
  const float *q;
  int n_heads, group; /* query heads of a key/value head */
  float scale, cap;
  const be_batch *batch;
  const kv_view *kv;
} attend_op;

/* max and sum come first in a partial result, then the weighted values. */
static size_t partial_floats(const attend_op *o) {
  return 2 + (size_t)o->kv->layout.head_dim;
}

/* Levels of q for the q8 cache, whose keys are multiplied as integers. */
static void quantize_queries(const attend_op *o) {
  be_context *c = o->w->context;
  int64_t dim = o->kv->layout.head_dim, pad = o->kv->layout.head_pad;
  const be_act to = {.level = c->attend.q_level, .scale = c->attend.q_scale, .neg_sum = c->attend.q_neg_sum};
  float *padded = o->w->tile;
  for (cpu_rows p; cpu_take_rows(o->w, (int64_t)o->batch->n_tokens * o->n_heads, &p);)
    for (int64_t i = p.first; i < p.end; i++) {
      for (int64_t d = 0; d < pad; d++) padded[d] = d < dim ? o->q[i * dim + d] : 0;
      c->device->kernels.quantize(padded, pad, &to, i * pad, 0);
    }
  team_barrier(o->w->crew);
}

static void add_query(const attend_op *o, attend_task *t, int64_t token, int head, int32_t first, int32_t last) {
  const attend_scratch *s = &o->w->context->attend;
  int64_t row = token * o->n_heads + head, blocks = t->head_pad / QUANT_BLOCK;
  int i = t->n_queries++;
  t->q[i] = o->q + row * t->head_dim;
  t->q_level[i] = s->q_level + row * t->head_pad;
  t->q_scale[i] = s->q_scale + row * blocks;
  t->q_neg_sum[i] = s->q_neg_sum + row * blocks * 2;
  t->first[i] = first;
  t->last[i] = last;
}

/* A task for one block of one head, without queries yet. The pages that hold first .. last are looked up. */
static attend_task block_task(const attend_op *o, int32_t table, int kv_head, int32_t block, int32_t first,
                              int32_t last) {
  const kv_view *kv = o->kv;
  attend_task t = {.head_dim = kv->layout.head_dim,
                   .head_pad = kv->layout.head_pad,
                   .scale = o->scale,
                   .cap = o->cap,
                   .block_start = block * KV_BLOCK};
  for (int32_t page = first / KV_PAGE; page <= last / KV_PAGE; page++) {
    char *at = kv_page(kv, table, page * KV_PAGE);
    int i = page % (KV_BLOCK / KV_PAGE);
    t.keys[i] = kv_keys(kv, at, kv_head);
    t.values[i] = kv_values(kv, at, kv_head);
  }
  return t;
}

static void run_task(const attend_op *o, attend_task *t, float *max, float *sum, float *out) {
  t->max = max;
  t->sum = sum;
  t->out = out;
  o->w->context->device->kernels.attend[o->kv->layout.type](t);
}

/* acc = acc and one more block. acc [max, sum, values...]. */
static void fold(const attend_op *o, float *acc, float max, float sum, const float *values, bool first) {
  int64_t dim = o->kv->layout.head_dim;
  if (first) {
    acc[0] = max;
    acc[1] = sum;
    memcpy(acc + 2, values, (size_t)dim * sizeof(float));
    return;
  }
  float top = max > acc[0] ? max : acc[0];
  float a = math_exp(acc[0] - top), b = math_exp(max - top);
  acc[0] = top;
  acc[1] = fmaf(sum, b, acc[1] * a);
  o->w->context->device->kernels.fold(acc + 2, a, values, b, dim);
}

/* Divides by the sum and writes the output of one head. */
static void finish(const attend_op *o, int64_t token, int head, const float *acc) {
  int64_t dim = o->kv->layout.head_dim;
  float *out = o->out->f32 + token * o->out->cols + head * dim, r = 1.0f / acc[1];
  for (int64_t d = 0; d < dim; d++) out[d] = acc[2 + d] * r;
}

/* Where the heads that one piece writes are whole blocks of 32, it quantises them too. */
static bool pieces_are_blocks(const attend_op *o) {
  return o->group * o->kv->layout.head_dim % QUANT_BLOCK == 0;
}

static void finish_group(const attend_op *o, int64_t token, int kv_head) {
  int64_t width = (int64_t)o->group * o->kv->layout.head_dim;
  if (pieces_are_blocks(o)) cpu_quantize_part(o->w->context->device, o->out, token, kv_head * width, width, 0);
}

static int32_t smaller(int32_t a, int32_t b) {
  return a < b ? a : b;
}
static int32_t larger(int32_t a, int32_t b) {
  return a > b ? a : b;
}

/* ---- Many tokens: a piece is a tile of tokens of one sequence for one key/value head ---- */

/* Tokens first .. end - 1 are neighbours of one sequence; heads h .. h + n_heads - 1 share a key/value head. */
static void attend_tile(const attend_op *o, int64_t first, int64_t end, int kv_head, int h, int n_heads) {
  const int32_t *position = o->batch->position;
  size_t dim = (size_t)o->kv->layout.head_dim, partial = partial_floats(o);
  float *acc = o->w->tile, *part = acc + ATTEND_QUERIES * partial;
  float *max = part, *sum = part + ATTEND_QUERIES, *values = part + 2 * ATTEND_QUERIES;
  int32_t table = o->batch->table[first], lowest = kv_first_seen(o->kv, position[first]);
  for (int32_t block = lowest / KV_BLOCK; block <= position[end - 1] / KV_BLOCK; block++) {
    int32_t start = block * KV_BLOCK, stop = start + KV_BLOCK - 1;
    attend_task t = block_task(o, table, kv_head, block, larger(lowest, start), smaller(position[end - 1], stop));
    int slot[ATTEND_QUERIES] = {0};
    for (int64_t token = first; token < end; token++) {
      int32_t a = larger(kv_first_seen(o->kv, position[token]), start), b = smaller(position[token], stop);
      for (int i = 0; i < n_heads && a <= b; i++) {
        slot[t.n_queries] = (int)(token - first) * n_heads + i;
        add_query(o, &t, token, h + i, a, b);
      }
    }
    run_task(o, &t, max, sum, values);
    for (int i = 0; i < t.n_queries; i++) {
      int32_t seen = kv_first_seen(o->kv, position[first + slot[i] / n_heads]);
      fold(o, acc + (size_t)slot[i] * partial, max[i], sum[i], values + (size_t)i * dim, seen / KV_BLOCK == block);
    }
  }
  for (int64_t token = first; token < end; token++)
    for (int i = 0; i < n_heads; i++) finish(o, token, h + i, acc + (size_t)((token - first) * n_heads + i) * partial);
}

static void attend_tokens(const attend_op *o) {
  team_worker *crew = o->w->crew;
  int n_kv = o->kv->layout.n_kv_heads, tokens = ATTEND_QUERIES / o->group > 0 ? ATTEND_QUERIES / o->group : 1;
  int64_t n_tiles = (o->batch->n_tokens + tokens - 1) / tokens;
  for (int64_t i; (i = team_take(crew, 1)) < n_tiles * n_kv;) {
    /* Late tokens see most: they go first, so that the workers end together. */
    int64_t tile = n_tiles - 1 - i / n_kv, first = tile * tokens, stop = first + tokens;
    int kv_head = (int)(i % n_kv);
    if (stop > o->batch->n_tokens) stop = o->batch->n_tokens;
    while (first < stop) {
      int64_t end = first + 1;
      while (end < stop && o->batch->table[end] == o->batch->table[first]) end++;
      for (int h = 0; h < o->group; h += ATTEND_QUERIES)
        attend_tile(o, first, end, kv_head, kv_head * o->group + h,
                    o->group - h < ATTEND_QUERIES ? o->group - h : ATTEND_QUERIES);
      for (; first < end; first++) finish_group(o, first, kv_head);
    }
  }
  team_barrier(crew);
}

/* ---- Few tokens: a piece is one block of one token for one key/value head ---- */

static float *partial_of(const attend_op *o, int64_t token, int head, int64_t block) {
  be_context *c = o->w->context;
  return c->attend.partials + (size_t)((token * o->n_heads + head) * c->max_blocks + block) * partial_floats(o);
}

/* The keys that this worker reads after a block of a head, if all take turns; NULL if there are none. */
static const char *after_block(const attend_op *o, int64_t token, int kv_head, int32_t block) {
  int n_kv = o->kv->layout.n_kv_heads;
  int64_t next = (int64_t)block * n_kv + kv_head + team_size(o->w->context->team), position = next / n_kv * KV_BLOCK;
  if (position > o->batch->position[token]) return NULL;
  return kv_keys(o->kv, kv_page(o->kv, o->batch->table[token], (int32_t)position), (int)(next % n_kv));
}

static void attend_block(const attend_op *o, int64_t token, int kv_head, int32_t block) {
  int32_t position = o->batch->position[token], start = block * KV_BLOCK, lowest = kv_first_seen(o->kv, position);
  int32_t first = larger(lowest, start), last = smaller(position, start + KV_BLOCK - 1);
  size_t dim = (size_t)o->kv->layout.head_dim;
  for (int h = 0; h < o->group; h += ATTEND_QUERIES) {
    attend_task t = block_task(o, o->batch->table[token], kv_head, block, first, last);
    int n = o->group - h < ATTEND_QUERIES ? o->group - h : ATTEND_QUERIES;
    t.after = after_block(o, token, kv_head, block);
    for (int i = 0; i < n; i++) add_query(o, &t, token, kv_head * o->group + h + i, first, last);
    float max[ATTEND_QUERIES], sum[ATTEND_QUERIES];
    run_task(o, &t, max, sum, o->w->tile);
    for (int i = 0; i < n; i++) {
      float *p = partial_of(o, token, kv_head * o->group + h + i, block - lowest / KV_BLOCK);
      p[0] = max[i];
      p[1] = sum[i];
      memcpy(p + 2, o->w->tile + (size_t)i * dim, dim * sizeof(float));
    }
  }
}

static void fold_blocks(const attend_op *o, int64_t token, int head, int64_t n_blocks) {
  float *acc = partial_of(o, token, head, 0);
  for (int64_t b = 1; b < n_blocks; b++) {
    const float *p = partial_of(o, token, head, b);
    fold(o, acc, p[0], p[1], p + 2, false);
  }
  finish(o, token, head, acc);
}

static void fold_group(const attend_op *o, int64_t token, int kv_head, int64_t n_blocks) {
  for (int head = kv_head * o->group; head < (kv_head + 1) * o->group; head++) fold_blocks(o, token, head, n_blocks);
  finish_group(o, token, kv_head);
}

/* Where no token sees more than one block, there is nothing to wait for between the blocks and the sums over them. */
static void attend_split(const attend_op *o) {
  team_worker *crew = o->w->crew;
  int n_kv = o->kv->layout.n_kv_heads;
  int64_t start[SPLIT_TOKENS + 1] = {0};
  int32_t lowest[SPLIT_TOKENS] = {0};
  for (int t = 0; t < o->batch->n_tokens; t++) {
    lowest[t] = kv_first_seen(o->kv, o->batch->position[t]) / KV_BLOCK;
    start[t + 1] = start[t] + (int64_t)(o->batch->position[t] / KV_BLOCK - lowest[t] + 1) * n_kv;
  }
  bool single = start[o->batch->n_tokens] == (int64_t)o->batch->n_tokens * n_kv;
  int token = 0;
  for (int64_t i; (i = team_take(crew, 1)) < start[o->batch->n_tokens];) {
    while (i >= start[token + 1]) token++;
    int64_t rest = i - start[token];
    attend_block(o, token, (int)(rest % n_kv), lowest[token] + (int32_t)(rest / n_kv));
    if (single) fold_group(o, token, (int)(rest % n_kv), 1);
  }
  team_barrier(crew);
  if (single) return;
  for (int64_t i; (i = team_take(crew, 1)) < (int64_t)o->batch->n_tokens * n_kv;) {
    int64_t t = i / n_kv;
    fold_group(o, t, (int)(i % n_kv), (start[t + 1] - start[t]) / n_kv);
  }
  team_barrier(crew);
}

void cpu_attend(be_worker *w, const be_act *out, const float *q, int n_heads, float scale, float cap,
                const be_batch *batch, const kv_view *kv) {
  attend_op o = {w, out, q, n_heads, n_heads / kv->layout.n_kv_heads, scale, cap, batch, kv};
  team_worker *crew = w->crew;
  if (kv->layout.type == GALE_KV_Q8) quantize_queries(&o);
  if (batch->n_tokens <= SPLIT_TOKENS)
    attend_split(&o);
  else
    attend_tokens(&o);
  if (!out->level || pieces_are_blocks(&o)) return;
  for (cpu_rows p; cpu_take_rows(w, batch->n_tokens, &p);)
    cpu_quantize_part(w->context->device, out, p.first, 0, (p.end - p.first) * out->cols, 0);
  team_barrier(crew);
}
