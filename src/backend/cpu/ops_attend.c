/* Attention over the paged cache. A query's blocks are computed one by one and folded in order, whoever computes them,
 * so the result does not depend on how they are shared out (attend_plan.h). */
#include "backend/cpu/attend_plan.h"
#include "backend/cpu/cpu_device.h"

#include "backend/cpu/kernels/portable/math.h"

enum { SPAN_BLOCKS = KV_SPAN / KV_BLOCK };

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
      c->device->kernels.quantize_query(padded, pad, &to, i * pad);
    }
  team_barrier(o->w->member);
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

/* The results of a query over a block, a span or all positions have one form: max, sum, values. to = such a result. */
static void keep(const attend_op *o, float *to, float max, float sum, const float *values) {
  to[0] = max;
  to[1] = sum;
  memcpy(to + 2, values, (size_t)o->kv->layout.head_dim * sizeof(float));
}

/* acc = acc and one more block or span. */
static void fold(const attend_op *o, float *acc, float max, float sum, const float *values) {
  float top = max > acc[0] ? max : acc[0];
  float a = math_exp(acc[0] - top), b = math_exp(max - top);
  acc[0] = top;
  acc[1] = fmaf(sum, b, acc[1] * a);
  o->w->context->device->kernels.fold(acc + 2, a, values, b, o->kv->layout.head_dim);
}

/* Divides by the sum and writes the output of one head. */
static void finish(const attend_op *o, int64_t token, int head, const float *acc) {
  int64_t dim = o->kv->layout.head_dim;
  float *out = o->out->f32 + token * o->out->cols + head * dim, r = 1.0f / acc[1];
  for (int64_t d = 0; d < dim; d++) out[d] = acc[2 + d] * r;
}

/* Where the heads that one item writes are whole blocks of 32, it quantises them too. */
static bool items_are_blocks(const attend_op *o) {
  return o->group * o->kv->layout.head_dim % QUANT_BLOCK == 0;
}

static void finish_group(const attend_op *o, int64_t token, int kv_head) {
  int64_t width = (int64_t)o->group * o->kv->layout.head_dim;
  if (items_are_blocks(o)) cpu_quantize_columns(o->w->context->device, o->out, token, kv_head * width, width, 0);
}

static int32_t smaller(int32_t a, int32_t b) {
  return a < b ? a : b;
}
static int32_t larger(int32_t a, int32_t b) {
  return a > b ? a : b;
}

/* ---- Items ---- */

/* One item: blocks `block` .. `end` - 1 of a tile for a key/value head. `after`: keys that this worker will read next
 * if the workers take turns, to be prefetched, or NULL. */
typedef struct attend_item {
  const attend_tile *tile;
  int kv_head;
  int32_t block, end;
  const char *after;
} attend_item;

/* A head's keys of a block, from the first that the tile sees; NULL where it sees none. */
static const char *keys_of(const attend_op *o, const attend_tile *t, int kv_head, int64_t block) {
  if (block >= t->block + t->n_blocks) return NULL;
  int32_t first = larger((int32_t)block * KV_BLOCK, kv_first_seen(o->kv, o->batch->position[t->first]));
  return kv_keys(o->kv, kv_page(o->kv, o->batch->table[t->first], first), kv_head);
}

/* Number i of a tile's items. */
static attend_item item_at(const attend_op *o, const attend_tile *t, int64_t i) {
  int n_kv = o->kv->layout.n_kv_heads;
  int64_t next = i + team_size(o->w->context->team);
  attend_item p = {.tile = t, .kv_head = (int)(i % n_kv), .block = t->block + (int32_t)(i / n_kv) * t->run};
  p.end = smaller(p.block + t->run, t->block + t->n_blocks);
  p.after = keys_of(o, t, (int)(next % n_kv), t->block + next / n_kv * t->run);
  return p;
}

/* The partial result of a query of a divided tile for its first block. */
static float *partials_of(const attend_op *o, const attend_tile *t, int64_t token, int head) {
  int64_t i = t->partial + ((token - t->first) * o->n_heads + head) * t->n_blocks;
  return o->w->context->attend.partials + (size_t)i * partial_floats(o);
}

/* The first block of a span that a query sees, by any block of the span. */
static int32_t span_start(int32_t block, int32_t first_seen) {
  return larger(block / SPAN_BLOCKS * SPAN_BLOCKS, first_seen);
}

static bool ends_span(int32_t block, int32_t position) {
  return (block + 1) % SPAN_BLOCKS == 0 || block == position / KV_BLOCK;
}

/* Adds the result of a query over a block of an item. In a divided tile it becomes the block's partial result, or is
 * folded into that of its span's first block if the item has this too. In an undivided tile it is folded into the
 * result of its span, and a complete span into `all`, where the first span is computed from the beginning. */
static void add_block(const attend_op *o, const attend_item *p, int32_t block, int64_t token, int head, float *all,
                      const float *max, const float *sum, const float *values) {
  int32_t position = o->batch->position[token], seen = kv_first_seen(o->kv, position) / KV_BLOCK;
  int32_t start = span_start(block, seen);
  size_t partial = partial_floats(o);
  bool folds = block > start;
  float *to;
  if (attend_is_divided(p->tile)) {
    folds = folds && start >= p->block;
    to = partials_of(o, p->tile, token, head) + (size_t)((folds ? start : block) - p->tile->block) * partial;
  } else {
    to = start == seen ? all : all + ATTEND_QUERIES * partial;
  }
  (folds ? fold : keep)(o, to, *max, *sum, values);
  if (attend_is_divided(p->tile) || to == all || !ends_span(block, position)) return;
  fold(o, all, to[0], to[1], to + 2);
}

/* One block for heads h .. h + n_heads - 1 of a tile's tokens. acc [2][ATTEND_QUERIES]: for an undivided tile, the
 * results of each token's heads over the spans so far, and over the present span. */
static void attend_block(const attend_op *o, const attend_item *p, int32_t block, int h, int n_heads, float *acc) {
  const attend_tile *tile = p->tile;
  const int32_t *position = o->batch->position;
  size_t dim = (size_t)o->kv->layout.head_dim, partial = partial_floats(o);
  float *max = acc + 2 * ATTEND_QUERIES * partial, *sum = max + ATTEND_QUERIES, *values = sum + ATTEND_QUERIES;
  int32_t start = block * KV_BLOCK, stop = start + KV_BLOCK - 1;
  int32_t lowest = larger(kv_first_seen(o->kv, position[tile->first]), start);
  attend_task t =
      block_task(o, o->batch->table[tile->first], p->kv_head, block, lowest, smaller(position[tile->end - 1], stop));
  int slot[ATTEND_QUERIES] = {0};
  for (int64_t token = tile->first; token < tile->end; token++) {
    int32_t a = larger(kv_first_seen(o->kv, position[token]), start), b = smaller(position[token], stop);
    for (int i = 0; i < n_heads && a <= b; i++) {
      slot[t.n_queries] = (int)(token - tile->first) * n_heads + i;
      add_query(o, &t, token, h + i, a, b);
    }
  }
  t.after = block + 1 < p->end ? keys_of(o, tile, p->kv_head, block + 1) : p->after;
  run_task(o, &t, max, sum, values);
  for (int i = 0; i < t.n_queries; i++)
    add_block(o, p, block, tile->first + slot[i] / n_heads, h + slot[i] % n_heads, acc + (size_t)slot[i] * partial,
              &max[i], &sum[i], values + (size_t)i * dim);
}

static void attend_run(const attend_op *o, const attend_item *p) {
  const attend_tile *t = p->tile;
  float *acc = o->w->tile;
  for (int g = 0; g < o->group; g += ATTEND_QUERIES) {
    int n_heads = smaller(o->group - g, ATTEND_QUERIES), h = p->kv_head * o->group + g;
    for (int32_t block = p->block; block < p->end; block++) attend_block(o, p, block, h, n_heads, acc);
    if (attend_is_divided(t)) continue;
    for (int i = 0; i < (t->end - t->first) * n_heads; i++)
      finish(o, t->first + i / n_heads, h + i % n_heads, acc + (size_t)i * partial_floats(o));
  }
  for (int64_t token = t->first; token < t->end && !attend_is_divided(t); token++) finish_group(o, token, p->kv_head);
}

/* A query of a divided tile: of each span the blocks after the item that has its first one, then the spans. */
static void fold_query(const attend_op *o, const attend_tile *t, int64_t token, int head) {
  int32_t position = o->batch->position[token], last = position / KV_BLOCK;
  int32_t first = kv_first_seen(o->kv, position) / KV_BLOCK;
  size_t partial = partial_floats(o);
  float *blocks = partials_of(o, t, token, head), *all = blocks + (size_t)(first - t->block) * partial;
  for (int32_t start = first, end; start <= last; start = end) {
    end = smaller((start / SPAN_BLOCKS + 1) * SPAN_BLOCKS, last + 1);
    float *span = blocks + (size_t)(start - t->block) * partial;
    for (int32_t block = t->block + ((start - t->block) / t->run + 1) * t->run; block < end; block++) {
      const float *p = blocks + (size_t)(block - t->block) * partial;
      fold(o, span, p[0], p[1], p + 2);
    }
    if (start > first) fold(o, all, span[0], span[1], span + 2);
  }
  finish(o, token, head, all);
}

static void fold_tile(const attend_op *o, const attend_tile *t, int kv_head) {
  for (int64_t token = t->first; token < t->end; token++) {
    for (int head = kv_head * o->group; head < (kv_head + 1) * o->group; head++) fold_query(o, t, token, head);
    finish_group(o, token, kv_head);
  }
}

static void attend_items(const attend_op *o, const attend_plan *plan) {
  team_worker *member = o->w->member;
  attend_tile t = attend_first_tile(plan);
  for (int64_t i; (i = team_take(member, 1)) < plan->n_items;) {
    while (i >= t.item + attend_tile_items(plan, &t)) attend_next_tile(plan, &t);
    attend_item item = item_at(o, &t, i - t.item);
    attend_run(o, &item);
  }
  team_barrier(member);
  if (plan->n_folds == 0) return;
  t = attend_first_tile(plan);
  int n_kv = o->kv->layout.n_kv_heads;
  for (int64_t i; (i = team_take(member, 1)) < plan->n_folds;) {
    while (!attend_is_divided(&t) || i >= t.fold + n_kv) attend_next_tile(plan, &t);
    fold_tile(o, &t, (int)(i - t.fold));
  }
  team_barrier(member);
}

void cpu_attend(be_worker *w, const be_act *out, const float *q, int n_heads, float scale, float cap,
                const be_batch *batch, const kv_view *kv) {
  attend_op o = {w, out, q, n_heads, n_heads / kv->layout.n_kv_heads, scale, cap, batch, kv};
  be_context *c = w->context;
  attend_plan plan = attend_plan_make(batch, kv, n_heads, team_size(c->team), c->attend.n_partials);
  if (kv->layout.type == GALE_KV_Q8) quantize_queries(&o);
  attend_items(&o, &plan);
  if (!out->level || items_are_blocks(&o)) return;
  for (cpu_rows p; cpu_take_rows(w, batch->n_tokens, &p);)
    cpu_quantize_columns(c->device, out, p.first, 0, (p.end - p.first) * out->cols, 0);
  team_barrier(w->member);
}
