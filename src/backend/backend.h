/* The operations that the forward pass calls, and the memory they work on. One backend implements
 * them for one kind of device; docs/NUMERICS.md defines the results, bit for bit.
 *
 * A step is run by be_ops.run(), which calls the forward pass on every worker of the context. Each
 * worker calls the same operations with the same arguments; an operation returns when its result is
 * there for all of them. On a device with a queue there is one worker and the calls enqueue. */
#ifndef BACKEND_BACKEND_H
#define BACKEND_BACKEND_H

#include "backend/kv.h"
#include "base/error.h"
#include "base/team.h"
#include "quant/quant.h"

/* A packed matrix [rows, cols]: out = W x. data belongs to whoever gave the memory. */
typedef struct be_weight {
  quant_type type;
  int64_t rows, cols;
  void *data;
} be_weight;

/* Where a matrix's rows come from, in storage form. read copies rows first .. first + n - 1 to `to`, row
 * after row; it is called from several threads. */
typedef struct be_source {
  quant_type type;
  int64_t rows, cols;
  gale_status (*read)(const void *user, int64_t first, int64_t n, void *to, gale_error *error);
  const void *user;
} be_source;

/* Activations [n_tokens][cols], row after row, in the forms that their readers want. */
typedef struct be_act {
  int64_t cols;
  float *f32;
  /* For readers with quantised weights, NULL where there are none: blocks of 32 as
   * x ~ scale * level, and minus the sum of a block's levels. cols is then a multiple of 32. */
  int8_t *level;    /* [n_tokens][cols] */
  float *scale;     /* [n_tokens][cols / 32] */
  int32_t *neg_sum; /* [n_tokens][cols / 32] */
} be_act;

/* One product of a linear operation: out [n_tokens][rows] = W x, or += W x. */
typedef struct be_product {
  const be_weight *weight;
  float *out;
} be_product;

/* Rotary angles of a step: [n_tokens][n_pairs] each. */
typedef struct be_rope {
  int n_pairs;
  float *cos, *sin;
} be_rope;

/* The tokens of a step. Neighbours of one table have ascending positions. */
typedef struct be_batch {
  int32_t n_tokens;
  const int32_t *token;
  const int32_t *position;
  const int32_t *table; /* row of kv_view.tables */
} be_batch;

typedef struct be_device be_device;   /* a device and its kernel table; immutable, shared */
typedef struct be_context be_context; /* workers and scratch of one session */
typedef struct be_worker be_worker;   /* one of them, inside run() */

typedef struct be_ops {
  /* ---- Device ---- */
  void (*close)(be_device *d);
  const char *(*name)(const be_device *d);

  /* Zeroed memory, taken physically when first touched, in large pages where dense (all of it will be used). NULL with
   * *error set on failure. */
  void *(*alloc)(const be_device *d, size_t bytes, bool dense, gale_error *error);
  void (*release)(const be_device *d, void *memory, size_t bytes);

  /* Bytes of a packed matrix, and packing it to `memory` of that size and PANEL_ALIGN. */
  size_t (*weight_bytes)(const be_device *d, quant_type type, int64_t rows, int64_t cols);
  gale_status (*weight_pack)(const be_device *d, team *t, const be_source *source, void *memory, be_weight *weight,
                             gale_error *error);

  /* ---- Context ---- */
  /* threads >= 1. max_tokens: the largest step; head_dim, n_heads, max_blocks (KV_BLOCKs that a token may see, also
   * in part) size the scratch of attention. */
  gale_status (*context_open)(const be_device *d, int threads, int32_t max_tokens, int n_heads, int head_dim,
                              int64_t max_blocks, be_context **c, gale_error *error);
  void (*context_close)(be_context **c);
  size_t (*context_bytes)(const be_context *c);
  void (*run)(be_context *c, void (*forward)(void *argument, be_worker *w), void *argument);

  /* ---- Operations ---- */

  /* h [n_tokens][cols] = row token[t] of W, times scale. */
  void (*embed)(be_worker *w, float *h, const be_weight *weight, const be_batch *batch, float scale);

  /* cos and sin of position * frequency[i], i < rope->n_pairs, times magnitude. */
  void (*angles)(be_worker *w, const be_rope *rope, const double *frequency, double magnitude, const be_batch *batch);

  /* out[t] = x * weight / sqrt(mean(x^2) + eps) with x = h[rows ? rows[t] : t], for t < n. */
  void (*norm)(be_worker *w, const be_act *out, const float *h, const float *weight, float eps, const int32_t *rows,
               int32_t n);

  /* All products take the same x, n tokens of it. */
  void (*linear)(be_worker *w, const be_act *x, const be_product *products, int n_products, int32_t n, bool add);

  /* Rotates q [n_tokens][n_heads][head_dim] in place, pairing dimensions (i, i + head_dim / 2); rotates
   * k [n_tokens][n_kv_heads][head_dim] and stores it and v at the tokens' positions in the cache. */
  void (*rope_store)(be_worker *w, float *q, const float *k, const float *v, int n_heads, const be_rope *rope,
                     const be_batch *batch, const kv_view *kv);

  /* out [n_tokens][n_heads * head_dim] = softmax(scale q K^T) V over what each token sees. */
  void (*attend)(be_worker *w, const be_act *out, const float *q, int n_heads, float scale, const be_batch *batch,
                 const kv_view *kv);

  /* out = silu(gate) * up, [n][cols]. */
  void (*silu_mul)(be_worker *w, const be_act *out, const float *gate, const float *up, int32_t n);

  /* Copies the packed cache pages' bytes: page `to` = page `from`. Outside run(). */
  void (*copy_page)(const be_device *d, void *to, const void *from, size_t bytes);
} be_ops;

struct be_device {
  const be_ops *ops;
};

/* Opens the device of this name: "cpu". level NULL or a cpu_level_name() as the highest to use. */
gale_status be_open(const char *level, be_device **device, gale_error *error);

#endif
