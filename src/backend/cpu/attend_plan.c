#include "backend/cpu/attend_plan.h"

#include "backend/cpu/kernels/kernels.h"

/* How many items are wanted for each worker: the others wait for whoever takes the last one, for about that share of
 * the time. Tiles become shorter where all blocks on their own would be fewer than LEAST_BLOCKS for each worker.
 * Reading a block costs as much as BLOCK_WORK queries compute. */
enum { ITEMS = 32, LEAST_BLOCKS = 4, BLOCK_WORK = 8 };

static int64_t block_work(const attend_plan *p, const attend_tile *t) {
  return (t->end - t->first) * (p->n_heads / p->kv->layout.n_kv_heads) + BLOCK_WORK;
}

static void cut_runs(const attend_plan *p, attend_tile *t) {
  int64_t most = p->run_work / block_work(p, t), n = t->n_blocks;
  if (most < 1) most = 1;
  int64_t runs = (n + most - 1) / most;
  t->run = (int32_t)((n + runs - 1) / runs);
}

/* Makes the tile that ends with token `end` - 1. */
static void make_tile(const attend_plan *p, attend_tile *t, int64_t end) {
  const int32_t *table = p->batch->table, *position = p->batch->position;
  t->first = t->end = end;
  if (end == 0) return;
  while (t->first > 0 && end - t->first < p->tile_tokens && table[t->first - 1] == table[end - 1]) t->first--;
  t->block = kv_first_seen(p->kv, position[t->first]) / KV_BLOCK;
  t->n_blocks = position[end - 1] / KV_BLOCK - t->block + 1;
  cut_runs(p, t);
}

attend_tile attend_first_tile(const attend_plan *p) {
  attend_tile t = {0};
  make_tile(p, &t, p->batch->n_tokens);
  return t;
}

void attend_next_tile(const attend_plan *p, attend_tile *t) {
  t->item += attend_tile_items(p, t);
  if (attend_is_divided(t)) {
    t->fold += p->kv->layout.n_kv_heads;
    t->partial += attend_tile_partials(p, t);
  }
  make_tile(p, t, t->first);
}

/* What all tiles are together. */
typedef struct sums {
  int64_t blocks, work;
  attend_tile end; /* behind the last tile: its numbers are the totals */
} sums;

static sums add_tiles(const attend_plan *p) {
  sums s = {0};
  int n_kv = p->kv->layout.n_kv_heads;
  for (s.end = attend_first_tile(p); s.end.end > 0; attend_next_tile(p, &s.end)) {
    s.blocks += (int64_t)s.end.n_blocks * n_kv;
    s.work += s.end.n_blocks * block_work(p, &s.end) * n_kv;
  }
  return s;
}

attend_plan attend_plan_make(const be_batch *batch, const kv_view *kv, int n_heads, int threads,
                             int64_t most_partials) {
  int group = n_heads / kv->layout.n_kv_heads;
  attend_plan p = {.batch = batch, .kv = kv, .n_heads = n_heads, .run_work = INT64_MAX};
  p.tile_tokens = group < ATTEND_QUERIES ? ATTEND_QUERIES / group : 1;
  sums s = add_tiles(&p);
  while (threads > 1 && s.blocks < (int64_t)LEAST_BLOCKS * threads && p.tile_tokens > 1) {
    p.tile_tokens = (p.tile_tokens + 1) / 2;
    s = add_tiles(&p);
  }
  if (threads > 1) {
    p.run_work = s.work / ((int64_t)ITEMS * threads);
    for (s = add_tiles(&p); s.end.partial > most_partials; s = add_tiles(&p)) p.run_work = 2 * p.run_work + 1;
  }
  p.n_items = s.end.item;
  p.n_folds = s.end.fold;
  return p;
}
