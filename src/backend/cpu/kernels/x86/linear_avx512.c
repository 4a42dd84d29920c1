/* Linear layers with AVX-512 and VNNI: the rows of a panel are the lanes of a vector. */
#include "backend/cpu/kernels/x86/linear_512.h"

/* Two panels read each activation half as often. With 7 and 8 tokens some of the floating-point sums are kept in
 * memory, which costs less than reading weights twice. */
enum { PANELS = 2, TOKENS = 8 };

/* ---- Float weights ---- */

TILE_INLINE __m512 load_weights(tile_format f, const char *p) {
  if (f.type == QUANT_F32) return _mm512_loadu_ps(p);
  if (f.type == QUANT_F16) return load_halves(p);
  __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

TILE_INLINE void float_tile(tile_format f, const linear_task *t, int64_t panel, int32_t token, int tokens) {
  int64_t cols = t->x->cols;
  int bytes = FLOAT_INPUTS * f.levels;
  const tile_distance ahead = tile_ahead(t, cols / FLOAT_INPUTS, bytes);
  const float *x = t->x->f32 + token * cols;
  const char *at[PANELS], *next[PANELS];
  __m512 acc[PANELS][TOKENS];
  UNROLL
  for (int p = 0; p < PANELS; p++) {
    at[p] = tile_panel(t, panel + p);
    next[p] = tile_panel(t, panel + PANELS + p);
    UNROLL
    for (int i = 0; i < tokens; i++) acc[p][i] = _mm512_setzero_ps();
  }
  for (int64_t c = 0; c < cols; c++) {
    for (int p = 0; p < PANELS && c % FLOAT_INPUTS == 0; p++)
      tile_prefetch(at[p], next[p], c / FLOAT_INPUTS, ahead, cols / FLOAT_INPUTS, bytes);
    UNROLL
    for (int p = 0; p < PANELS; p++) {
      __m512 w = load_weights(f, at[p] + c * f.levels);
      UNROLL
      for (int i = 0; i < tokens; i++) acc[p][i] = _mm512_fmadd_ps(w, _mm512_set1_ps(x[i * cols + c]), acc[p][i]);
    }
  }
  UNROLL
  for (int p = 0; p < PANELS; p++) {
    UNROLL
    for (int i = 0; i < tokens; i++) store_rows(t, panel + p, token + i, acc[p][i]);
  }
}

/* ---- Quantised weights: tiles ---- */

/* Where a tile's operands are, of its panels and its tokens. */
typedef struct operands {
  tile_operands common;
  const char *at[PANELS], *next[PANELS];
  __m512i values;
} operands;

TILE_INLINE operands find_operands(tile_format f, const linear_task *t, int64_t panel, int32_t token) {
  operands o = {.common = tile_find_operands(f, t, token), .values = load_values(f)};
  UNROLL
  for (int p = 0; p < PANELS; p++) {
    o.at[p] = tile_panel(t, panel + p);
    o.next[p] = tile_panel(t, panel + PANELS + p);
  }
  return o;
}

/* What blocks add to every row: of a tile's tokens and sub-blocks, for 16 blocks from a multiple of 16 on. */
typedef struct block_sums {
  int32_t start[2][TOKENS][16];
  float min[2][TOKENS][16];
} block_sums;

TILE_INLINE void sum_blocks(tile_format f, const operands *o, int64_t b, int tokens, block_sums *to) {
  int64_t left = o->common.n_blocks - b;
  __mmask16 blocks = (__mmask16)(left < 16 ? (1u << left) - 1 : 0xFFFF);
  for (int i = 0; i < tokens; i++) {
    int64_t at = i * o->common.n_blocks + b;
    __m512i sums = _mm512_maskz_loadu_epi32(blocks, o->common.neg_sum + 2 * at);
    __m512 scale = _mm512_maskz_loadu_ps(blocks, o->common.scale + at);
    for (int h = 0; h < tile_sub_blocks(f); h++) {
      if (zero_point(f)) _mm512_storeu_si512(to->start[h][i], start_sums(f, h, sums));
      if (f.has_min) _mm512_storeu_ps(to->min[h][i], scaled_sums(f, h, sums, scale));
    }
  }
}

/* The integer products of sub-block h of block b. */
TILE_INLINE void multiply(tile_format f, const operands *o, int64_t b, int h, int tokens, const block_sums *sums,
                          __m512i sum[PANELS][TOKENS]) {
  UNROLL
  for (int i = 0; i < tokens; i++) {
    /* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): prepared for every type with a zero point */
    __m512i start = zero_point(f) ? _mm512_set1_epi32(sums->start[h][i][b % 16]) : _mm512_setzero_si512();
    UNROLL
    for (int p = 0; p < PANELS; p++) sum[p][i] = start;
  }
  UNROLL
  for (int s = 0; s < 8 / tile_sub_blocks(f); s++) {
    int step = tile_step(f, h, s);
    __m512i w[PANELS];
    UNROLL
    for (int p = 0; p < PANELS; p++) w[p] = step_levels(f, o->at[p] + b * f.levels, step, o->values);
    UNROLL
    for (int i = 0; i < tokens; i++) {
      __m512i x = _mm512_set1_epi32(four_bytes(o->common.level + i * o->common.cols + b * QUANT_BLOCK + step * 4));
      UNROLL
      for (int p = 0; p < PANELS; p++) sum[p][i] = _mm512_dpbusd_epi32(sum[p][i], w[p], x);
    }
  }
}

/* Adds those of panel p, scaled, and the minima. */
TILE_INLINE void accumulate(tile_format f, const operands *o, int64_t b, int p, int h, int tokens,
                            const block_sums *sums, const __m512i sum[TOKENS], __m512 acc[TOKENS]) {
  const char *scales = o->at[p] + o->common.scales_at;
  __m512 d = load_scale(f, scales, b, h), m = f.has_min ? load_min(f, scales, b, h) : d;
  UNROLL
  for (int i = 0; i < tokens; i++) {
    __m512 scale = _mm512_set1_ps(o->common.scale[i * o->common.n_blocks + b]);
    acc[i] = _mm512_fmadd_ps(_mm512_mul_ps(d, scale), _mm512_cvtepi32_ps(sum[i]), acc[i]);
    if (f.has_min) acc[i] = _mm512_fmadd_ps(m, _mm512_set1_ps(sums->min[h][i][b % 16]), acc[i]);
  }
}

TILE_INLINE void quantized_tile(tile_format f, const linear_task *t, int64_t panel, int32_t token, int tokens) {
  const operands o = find_operands(f, t, panel, token);
  __m512 acc[PANELS][TOKENS];
  block_sums sums;
  UNROLL
  for (int p = 0; p < PANELS; p++) {
    UNROLL
    for (int i = 0; i < tokens; i++) acc[p][i] = _mm512_setzero_ps();
  }
  for (int64_t b = 0; b < o.common.n_blocks; b++) {
    if ((zero_point(f) || f.has_min) && b % 16 == 0) sum_blocks(f, &o, b, tokens, &sums);
    UNROLL
    for (int p = 0; p < PANELS; p++) tile_prefetch_block(f, &o.common, o.at[p], o.next[p], b);
    UNROLL
    for (int h = 0; h < tile_sub_blocks(f); h++) {
      __m512i sum[PANELS][TOKENS];
      multiply(f, &o, b, h, tokens, &sums, sum);
      UNROLL
      for (int p = 0; p < PANELS; p++) accumulate(f, &o, b, p, h, tokens, &sums, sum[p], acc[p]);
    }
  }
  UNROLL
  for (int p = 0; p < PANELS; p++) {
    UNROLL
    for (int i = 0; i < tokens; i++) store_rows(t, panel + p, token + i, acc[p][i]);
  }
}

/* ---- One function for each type ---- */

TILE_INLINE void tile_of(tile_format f, const linear_task *t, int64_t panel, int32_t token, int tokens) {
  if (f.bits > 8)
    float_tile(f, t, panel, token, tokens);
  else
    quantized_tile(f, t, panel, token, tokens);
}

TILE_INLINE void tiles_of(tile_format f, const linear_task *t, int64_t panel, int32_t token,
                          int tokens){TILE_BY_TOKENS(tokens, TOKENS, tile_of, f, t, panel, token)}

#define LINEAR(NAME, TYPE)                                                                                             \
  static void NAME##_tile(const linear_task *t, int64_t panel, int32_t token, int tokens) {                            \
    tiles_of(TILE_##TYPE, t, panel, token, tokens);                                                                    \
  }                                                                                                                    \
  static void linear_##NAME(const linear_task *t) {                                                                    \
    tile_all(t, TILE_##TYPE, PANELS, TOKENS, NAME##_tile);                                                             \
  }
TILE_FLOAT(LINEAR) TILE_QUANTIZED(LINEAR)

#define ENTRY(NAME, TYPE) [QUANT_##TYPE] = linear_##NAME,
    const linear_kernel linear_few_avx512[QUANT_TYPES] = {TILE_FLOAT(ENTRY) TILE_QUANTIZED(ENTRY)};

void cpu_linear_avx512(cpu_kernels *k) {
  memcpy(k->linear, linear_few_avx512, sizeof k->linear);
}
