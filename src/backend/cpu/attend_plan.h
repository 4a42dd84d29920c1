/* How attention is cut into items for the workers, so that any mix of lengths gives enough of them and of nearly equal
 * work.
 *
 * A tile is some neighbouring tokens of one sequence, whose queries read the cache together. Where a tile is much of
 * the whole, it is divided into runs of blocks; their results are partial, and are folded once all are there. An item
 * is a run of a tile for one key/value head. */
#ifndef CPU_ATTEND_PLAN_H
#define CPU_ATTEND_PLAN_H

#include "backend/backend.h"

typedef struct attend_plan {
  const be_batch *batch;
  const kv_view *kv;
  int n_heads;
  int64_t tile_tokens;      /* of a tile at most */
  int64_t run_work;         /* of an item at most, unless a single block is more */
  int64_t n_items, n_folds; /* folds: of the divided tiles, one for each key/value head */
} attend_plan;

typedef struct attend_tile {
  int64_t first, end;      /* tokens first .. end - 1; none where all tiles are passed */
  int32_t block, n_blocks; /* KV_BLOCKs that some of them see */
  int32_t run;             /* blocks of an item, but for the last: fewer than n_blocks if the tile is divided */
  int64_t item, fold;      /* numbers of its first item, and of its first fold if it is divided */
  int64_t partial; /* likewise, of its first partial result: of its first token's first head over the first block;
                    * then come the other blocks, heads and tokens */
} attend_tile;

/* For so many threads and room for so many partial results. */
attend_plan attend_plan_make(const be_batch *batch, const kv_view *kv, int n_heads, int threads, int64_t most_partials);

/* Tiles in order of their items: from the last tokens to the first. */
attend_tile attend_first_tile(const attend_plan *p);
void attend_next_tile(const attend_plan *p, attend_tile *t);

static inline bool attend_is_divided(const attend_tile *t) {
  return t->run < t->n_blocks;
}

/* Items of a tile. Number i of them is the run i / n_kv_heads for the key/value head i % n_kv_heads. */
static inline int64_t attend_tile_items(const attend_plan *p, const attend_tile *t) {
  return (int64_t)((t->n_blocks + t->run - 1) / t->run) * p->kv->layout.n_kv_heads;
}

/* Partial results of a divided tile. */
static inline int64_t attend_tile_partials(const attend_plan *p, const attend_tile *t) {
  return (t->end - t->first) * p->n_heads * t->n_blocks;
}

#endif
