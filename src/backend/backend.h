/* The operations that the forward pass calls, and the memory they work on. One backend implements
 * them for one kind of device; docs/NUMERICS.md defines the results, bit for bit.
 *
 * A step is run by be_ops.run(), which calls the forward pass on the workers of the context. All workers call the same
 * operations with the same arguments, and share out the work inside each. An operation's results are complete for the
 * operations after it, but not for the code between two calls: a worker that gave up the rest of the step (team.h)
 * returns from each call at once. So until run() returns only operations read what operations write. On a device with a
 * queue there is one worker, and the calls enqueue. */
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

/* Activations [n_tokens][cols], row after row, in the forms that their readers want. */
typedef struct be_act {
  int64_t cols;
  float *f32; /* NULL where no reader wants it and the operation that writes them, gather() or linear_gated(), allows */
  /* For readers with quantised weights, NULL where there are none: blocks of 32 as
   * x ~ scale * level, and minus the sums of the levels of their halves. cols is then a multiple of 32. */
  int8_t *level;    /* [n_tokens][cols] */
  float *scale;     /* [n_tokens][cols / 32] */
  int16_t *neg_sum; /* [n_tokens][cols / 16] */
  /* A value that is far above the others of its block would take their precision. Where all others are at most
   * outlier_rest of the largest, it is left out of the block: its level is 0, and its products are computed with the
   * value itself. */
  float outlier_rest;  /* 0 .. 1; where it is 0, nothing is left out and the others are NULL */
  uint8_t *outlier_at; /* [n_tokens][cols / 32]: 1 + its place in the block, 0 where there is none */
  float *outlier;      /* [n_tokens][cols / 32]: its value */
} be_act;

/* One product of a linear operation: out [n_tokens][rows] = W x, or += W x. */
typedef struct be_product {
  const be_weight *weight;
  float *out;
} be_product;

typedef enum be_activation { BE_SILU, BE_GELU_TANH } be_activation;

/* The first half of a feed-forward: out = activation(w1 x) * (w3 x), or with experts that of each. */
typedef struct be_gated {
  const be_weight *w1, *w3; /* one, or [n_experts], all of one shape: [out->cols, x->cols] */
  be_activation activation;
  const be_act *out;
} be_gated;

/* Rotary angles of a step: [n_tokens][n_pairs] each. */
typedef struct be_rope {
  int n_pairs;
  float *cos, *sin;
} be_rope;

/* Queries at position p are multiplied by 1 + beta ln(1 + floor(p / context)) after rotation; beta 0: not. */
typedef struct be_attention_temperature {
  double beta;
  int32_t context;
} be_attention_temperature;

/* RMS norms on each head of q and k before rotation: weights [head_dim], NULL for none. */
typedef struct be_head_norms {
  const float *q, *k;
  float eps;
} be_head_norms;

/* Which experts take which tokens. An entry is a token given to an expert; entries are sorted by expert, then by
 * token: those of expert e are first[e] .. first[e + 1] - 1. */
typedef struct be_routing {
  int32_t n_experts, n_used; /* each token goes to n_used experts */
  int32_t *first;            /* [n_experts + 1] */
  int32_t *token;            /* [n_tokens * n_used]: of each entry */
  int32_t *place;            /* [n_tokens][n_used]: a token's entries, by expert ascending */
  float *weight;             /* [n_tokens][n_used]: of those */
} be_routing;

/* The tokens of a step. Neighbours of one table have ascending positions. */
typedef struct be_batch {
  int32_t n_tokens;
  const int32_t *token;
  const int32_t *position;
  const int32_t *table; /* row of kv_view.tables */
} be_batch;

/* Kinds of work that a device is probed with; see gale_limits. */
typedef enum be_probe { BE_PROBE_READ, BE_PROBE_INT8, BE_PROBE_FLOAT } be_probe;

typedef struct be_device be_device;   /* a device and its kernel table; immutable, shared */
typedef struct be_context be_context; /* workers and scratch of one session */
typedef struct be_worker be_worker;   /* one of them, inside run() */

typedef struct be_context_options {
  int threads;           /* at least 1 */
  bool give_way;         /* of threads: see team_open() */
  int32_t max_tokens;    /* of the largest step */
  int n_heads, head_dim; /* these and max_blocks size the scratch of attention */
  int64_t max_blocks;    /* KV_BLOCKs that a token may see, also in part */
} be_context_options;

typedef struct be_ops {
  /* ---- Device ---- */
  void (*close)(be_device *d);
  const char *(*name)(const be_device *d);

  /* Zeroed memory, taken physically when first touched; where `large`, by large pages, which may reach beyond what is
   * touched. NULL with an error if there is none. */
  void *(*alloc)(const be_device *d, size_t bytes, bool large, gale_error *error);
  void (*release)(const be_device *d, void *memory, size_t bytes);

  /* Bytes of a packed matrix: its panels of PANEL_ROWS rows, one after the other, without gaps. */
  size_t (*weight_bytes)(const be_device *d, quant_type type, int64_t rows, int64_t cols);

  /* Packs n rows (1 .. PANEL_ROWS) of cols inputs, one after the other in storage form, to a panel of
   * weight_bytes(d, type, PANEL_ROWS, cols) bytes in ordinary memory. Thread-safe. */
  void (*weight_pack)(const be_device *d, quant_type type, int64_t cols, const void *rows, int n, void *panel);

  /* ---- Context ---- */
  gale_status (*context_open)(const be_device *d, const be_context_options *options, be_context **c, gale_error *error);
  void (*context_close)(be_context **c);
  size_t (*context_bytes)(const be_context *c);
  void (*run)(be_context *c, void (*forward)(void *argument, be_worker *w), void *argument);

  /* ---- Operations ---- */

  /* h [n_tokens][cols] = row token[t] of W, times scale. */
  void (*embed)(be_worker *w, float *h, const be_weight *weight, const be_batch *batch, float scale);

  /* cos and sin of position * frequency[i], i < rope->n_pairs, times magnitude. */
  void (*angles)(be_worker *w, const be_rope *rope, const double *frequency, double magnitude, const be_batch *batch);

  /* out[t] = x * weight / sqrt(mean(x^2) + eps) with x = h[rows ? rows[t] : t], for t < n. Values up to five times the
   * root mean square of their row are no outliers. */
  void (*norm)(be_worker *w, const be_act *out, const float *h, const float *weight, float eps, const int32_t *rows,
               int32_t n);

  /* h += the norm of x, both [n][cols]. x is overwritten. */
  void (*norm_add)(be_worker *w, float *h, float *x, const float *weight, float eps, int64_t cols, int32_t n);

  /* All products take the same x, n tokens of it. */
  void (*linear)(be_worker *w, const be_act *x, const be_product *products, int n_products, int32_t n, bool add);

  /* Norms the heads of q and k where asked; rotates q [n_tokens][n_heads][head_dim] in place, pairing dimensions
   * (i, i + head_dim / 2); rotates k [n_tokens][n_kv_heads][head_dim] and stores it and v at the tokens' positions
   * in the cache. */
  void (*rope_store)(be_worker *w, float *q, float *k, const float *v, int n_heads, const be_head_norms *norms,
                     const be_rope *rope, const be_attention_temperature *temperature, const be_batch *batch,
                     const kv_view *kv);

  /* out [n_tokens][n_heads * head_dim] = softmax(score) V over what each token sees, with score = scale q k, or
   * cap tanh(scale q k / cap) where cap > 0. */
  void (*attend)(be_worker *w, const be_act *out, const float *q, int n_heads, float scale, float cap,
                 const be_batch *batch, const kv_view *kv);

  /* Both products of a feed-forward's first half and what is made of them, for n rows of x, or, with a routing, for
   * its entries: row i of x and of the output is entry i, and goes through the weights of its expert. Weights of
   * experts without entries are not read. */
  void (*linear_gated)(be_worker *w, const be_act *x, const be_gated *product, const be_routing *routing, int32_t n);

  /* x = cap tanh(x / cap), [n][cols]. */
  void (*soft_cap)(be_worker *w, float *x, float cap, int64_t cols, int32_t n);

  /* ---- Mixture of experts ---- */

  /* Gives each of n tokens to the n_used experts of largest logits [n][n_experts] (of equal ones the first), with
   * the softmax over those as weights. */
  void (*route)(be_worker *w, const be_routing *routing, const float *logits, int32_t n);

  /* out[i] = x[rows[i]] for i < n, in all forms that out has; x has them too. */
  void (*gather)(be_worker *w, const be_act *out, const be_act *x, const int32_t *rows, int32_t n);

  /* out [entries][rows]: row i = W x[i] with the weights of entry i's expert; experts->weight is [n_experts], all of
   * one shape. Weights of experts without entries are not read. */
  void (*linear_experts)(be_worker *w, const be_act *x, const be_product *experts, const be_routing *routing);

  /* h[t] += sum over the experts of token t, ascending, of weight * y[entry]; h [n][cols], y [entries][cols]. */
  void (*combine)(be_worker *w, float *h, const float *y, const be_routing *routing, int64_t cols, int32_t n);

  /* ---- Measuring ---- */

  /* Work of one kind on all workers, as fast as the device can: BE_PROBE_READ reads `amount` bytes of memory, a
   * multiple of 4096, the others do `amount` rounds of arithmetic in registers for each worker. Returns how many bytes
   * or operations (a multiply-add is two) that was. */
  uint64_t (*probe)(be_worker *w, be_probe kind, const void *memory, uint64_t amount);

  /* ---- Outside run() ---- */

  /* Copies a page of the cache, and sets every byte of memory from alloc(). */
  void (*copy_page)(const be_device *d, void *to, const void *from, size_t bytes);
  void (*fill)(const be_device *d, void *memory, uint8_t byte, size_t bytes);
} be_ops;

struct be_device {
  const be_ops *ops;
};

/* Opens the device of this name: "cpu". isa: a cpu_isa_name(), the highest to use; NULL: the highest there is. */
gale_status be_open(const char *isa, be_device **device, gale_error *error);

#endif
