/* Layout of the key/value cache's pages, which serves the attention kernels.
 *
 * A page holds KV_PAGE positions of one sequence for the layers of a group (layers of equal window).
 * For each layer it has keys, then values; for each of them, the key/value heads one after another:
 *
 *   keys    f32, f16  [KV_PAGE / 16][head_dim][16]          16 positions are 16 lanes
 *           q8        [KV_PAGE / 16] panels of Q8_0 (quant.h) of head_pad inputs, a position a row
 *   values  f32, f16  [KV_PAGE][head_dim]                   dimensions are lanes
 *           q8        [KV_PAGE][head_pad] signed bytes, then [KV_PAGE][head_pad / 32] half scales
 *
 * head_pad is head_dim rounded up to 32; what is beyond head_dim is zero. */
#ifndef BACKEND_KV_H
#define BACKEND_KV_H

#include "gale.h"

/* Attention sums over blocks of KV_BLOCK positions that start at multiples of KV_BLOCK, and then over spans of KV_SPAN
 * positions that start at multiples of KV_SPAN; see docs/NUMERICS.md. A block is a whole number of pages, a span of
 * blocks. */
enum { KV_PAGE = 64, KV_BLOCK = 256, KV_SPAN = 4096, KV_LANES = 16 };

/* A head has at most so many dimensions. */
enum { KV_MOST_DIM = 1 << 12 };

typedef struct kv_layout {
  gale_kv_type type;
  int n_kv_heads, head_dim, head_pad;
  size_t key_bytes;   /* of one head in a page; a multiple of 64 */
  size_t value_bytes; /* likewise */
  size_t layer_bytes; /* of one layer in a page: n_kv_heads * (key_bytes + value_bytes) */
} kv_layout;

kv_layout kv_layout_make(gale_kv_type type, int n_kv_heads, int head_dim);

/* Bytes of one position in one layer, without padding: what the published figures count. */
size_t kv_position_bytes(gale_kv_type type, int n_kv_heads, int head_dim);

/* One layer's cache as a step sees it. The page that holds position p of table row r starts at
 * pool + tables[r * n_slots + p / KV_PAGE % n_slots] * page_bytes. */
typedef struct kv_view {
  kv_layout layout;
  char *pool;
  size_t page_bytes;
  size_t layer_offset; /* of this layer in a page */
  const int32_t *tables;
  int n_slots;
  int window; /* a position sees itself and window - 1 before it; 0: all */
} kv_view;

static inline char *kv_page(const kv_view *kv, int32_t row, int32_t position) {
  int32_t page = kv->tables[(int64_t)row * kv->n_slots + position / KV_PAGE % kv->n_slots];
  return kv->pool + (size_t)page * kv->page_bytes + kv->layer_offset;
}

static inline char *kv_keys(const kv_view *kv, char *page, int head) {
  return page + (size_t)head * kv->layout.key_bytes;
}

static inline char *kv_values(const kv_view *kv, char *page, int head) {
  return page + (size_t)kv->layout.n_kv_heads * kv->layout.key_bytes + (size_t)head * kv->layout.value_bytes;
}

/* First position that position p sees. */
static inline int32_t kv_first_seen(const kv_view *kv, int32_t p) {
  return kv->window > 0 && p >= kv->window ? p - kv->window + 1 : 0;
}

#endif
