/* The kernels of the CPU backend: single-threaded loops over memory. The portable C fills the table
 * first and defines every result; each instruction set overrides what it has a faster version of, equal
 * bit for bit. */
#ifndef KERNELS_KERNELS_H
#define KERNELS_KERNELS_H

#include "backend/backend.h"
#include "base/cpu.h"

/* Activations from row `first` on. */
static inline be_act act_from(const be_act *x, int64_t first) {
  be_act a = *x;
  int64_t blocks = x->cols / QUANT_BLOCK;
  if (x->f32) a.f32 += first * x->cols;
  if (!x->level) return a;
  a.level += first * x->cols;
  a.scale += first * blocks;
  a.neg_sum += first * blocks * 2;
  if (!x->outlier_at) return a;
  a.outlier_at += first * blocks;
  a.outlier += first * blocks;
  return a;
}

/* How many bytes ahead of the sums weights are prefetched into the second-level cache and into the first; 0: not at
 * all. */
typedef struct prefetch_bytes {
  int64_t far, near;
} prefetch_bytes;

/* What tasks of one token and of several prefetch. */
typedef struct linear_prefetch {
  prefetch_bytes one, several;
} linear_prefetch;

/* n_panels neighbouring panels of one matrix times n_tokens activations. */
typedef struct linear_task {
  const char *panels;
  size_t panel_bytes;
  int64_t n_panels;
  const be_act *x; /* rows 0 .. n_tokens - 1; cols of it are the matrix's */
  int32_t n_tokens;
  float *out;     /* of the first panel's first row; token t is at out + t * stride */
  int64_t n_rows; /* rows to write: n_panels * 16, or fewer where the last panel is not full */
  int64_t stride;
  bool add;                 /* to what is there */
  linear_prefetch prefetch; /* of the panels; nothing where they are in a cache already */
  void *scratch;            /* cpu_kernels.linear_scratch bytes, aligned to PANEL_ALIGN, of this caller alone */
} linear_task;

typedef void (*linear_kernel)(const linear_task *t);

enum { ATTEND_QUERIES = 48 };

/* n_queries query vectors over one KV_BLOCK of one key/value head. Query i sees positions first[i] ..
 * last[i] (absolute, at least one, all inside the block). Gives for each the largest score, the sum of
 * exp(score - max), and the values weighted by exp(score - max). */
typedef struct attend_task {
  int head_dim, head_pad, n_queries;
  float scale, cap;                     /* cap 0: none; see be_ops.attend */
  const char *keys[KV_BLOCK / KV_PAGE]; /* of the head in each page; NULL where nothing is seen */
  const char *values[KV_BLOCK / KV_PAGE];
  int32_t block_start;                   /* position at which the block starts */
  const float *q[ATTEND_QUERIES];        /* [head_dim] */
  const int8_t *q_level[ATTEND_QUERIES]; /* q8: q in blocks of 32, [head_pad] */
  const float *q_scale[ATTEND_QUERIES];
  const int16_t *q_neg_sum[ATTEND_QUERIES]; /* of halves of blocks */
  int32_t first[ATTEND_QUERIES], last[ATTEND_QUERIES];
  float *max, *sum;  /* [n_queries] */
  float *out;        /* [n_queries][head_dim] */
  const char *after; /* keys of a page that may be wanted after this task, or NULL */
} attend_task;

/* Arithmetic that stays in registers: rounds of `ops` operations each, on operands that keep the compiler from
 * computing the result beforehand. The value returned depends on all of them. */
typedef struct probe_arithmetic {
  uint64_t (*run)(uint64_t rounds, const char operands[64]);
  uint64_t ops;
} probe_arithmetic;

typedef struct cpu_kernels {
  linear_kernel linear[QUANT_TYPES];
  linear_kernel add_outliers[QUANT_TYPES]; /* to what linear[] wrote; quantised types, where x has outliers */
  size_t linear_scratch;
  linear_prefetch prefetch;                /* for linear[], from memory, by the processor's maker */
  void (*attend[3])(const attend_task *t); /* by gale_kv_type */

  /* Blocks of 32 of x [n], n a multiple of 32, become the values of `to` from number `at` on, a multiple of 32 as well:
   * scale = math_scale(max |x|), level = x / scale rounded to even, neg_sum = minus the sums of 16 levels. Where
   * all values but one are at most to->outlier_rest of the largest, and this is above `least`, it is the block's
   * outlier, and the block is made of the others. A block that holds a value that is not finite gets the scale NaN and
   * levels of 0. */
  void (*quantize)(const float *x, int64_t n, const be_act *to, int64_t at, float least);

  /* The same for queries of a q8 cache, without outliers: scale = max |x| / 127, level = x * (127 / max |x|). */
  void (*quantize_query)(const float *x, int64_t n, const be_act *to, int64_t at);

  /* out = x * weight / sqrt(mean(x^2) + eps), all [n]. Returns the root mean square of out. */
  float (*norm)(const float *x, const float *weight, float eps, float *out, int64_t n);

  /* out = activation(gate) * up, all [n]; by be_activation. */
  void (*activate[2])(const float *gate, const float *up, float *out, int64_t n);

  /* x = cap tanh(x / cap), [n]. */
  void (*soft_cap)(float *x, float cap, int64_t n);

  /* Rotates the pairs (x[i], x[i + n]) by angle i, i < n; may be in place. */
  void (*rotate)(const float *x, const float *cos, const float *sin, float *out, int n);

  /* Rounds n floats to halves. */
  void (*to_half)(const float *x, uint16_t *out, int64_t n);

  /* acc = acc * a + x * b, all [n]: fma(x, b, acc * a). */
  void (*fold)(float *acc, float a, const float *x, float b, int64_t n);

  /* What the machine can do at most with this instruction set. probe_read reads `bytes`, a multiple of 4096; its
   * result depends on all of them. */
  uint64_t (*probe_read)(const char *memory, size_t bytes);
  probe_arithmetic probe_int8, probe_float;
} cpu_kernels;

/* Makes linear_scratch at least so large. */
static inline void kernels_need_scratch(cpu_kernels *k, size_t bytes) {
  if (k->linear_scratch < bytes) k->linear_scratch = bytes;
}

/* Fills the table for a supported instruction set, with the kernels of the supported ones up to it, each over those of
 * the one before. */
void cpu_kernels_fill(cpu_kernels *k, cpu_isa isa);

/* Each file of kernels puts its own into the table. */
void cpu_kernels_portable(cpu_kernels *k);
void cpu_linear_avx2(cpu_kernels *k);
void cpu_attend_avx2(cpu_kernels *k);
void cpu_rows_avx2(cpu_kernels *k);
void cpu_outliers_avx2(cpu_kernels *k);
void cpu_probe_avx2(cpu_kernels *k);
void cpu_linear_avxvnni(cpu_kernels *k);
void cpu_attend_avxvnni(cpu_kernels *k);
void cpu_linear_avx512(cpu_kernels *k);
void cpu_linear_many_avx512(cpu_kernels *k);
void cpu_attend_avx512(cpu_kernels *k);
void cpu_rows_avx512(cpu_kernels *k);
void cpu_outliers_avx512(cpu_kernels *k);
void cpu_probe_avx512(cpu_kernels *k);
void cpu_linear_amx(cpu_kernels *k);
void cpu_linear_neon(cpu_kernels *k);
void cpu_attend_neon(cpu_kernels *k);
void cpu_rows_neon(cpu_kernels *k);
void cpu_outliers_neon(cpu_kernels *k);
void cpu_probe_neon(cpu_kernels *k);

#endif
