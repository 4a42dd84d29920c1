/* Linear layers with AMX: 16 tokens times 16 rows of a piece are one tile product. Its integers are those of the other
 * versions, and what follows on them is done in the same order. */
#include "backend/cpu/linear_512.h"

/* A task is cut so that the activations of a part of its inputs and the sums of all its panels stay in the
 * second-level cache, and a panel's part of the weights in the first. */
enum {
  TILE_TOKENS = 16,
  TOKENS = 256,
  BLOCKS = 32,
  PANELS = 32,
  PIECE = PANEL_ROWS * QUANT_BLOCK,
  LAG = 6, /* blocks from a tile product to its use: a load waits until the tile's store has left the core */
  SUMS = 8,
  MIN_TOKENS = 32, /* fewer take less time in vectors, */
  MIN_REST = 8     /* and so does a tile with fewer */
};

typedef struct amx_scratch {
  int8_t level[TOKENS / TILE_TOKENS][BLOCKS][TILE_TOKENS][QUANT_BLOCK];
  int8_t weight[BLOCKS][PIECE]; /* true levels, as in panels of 8 bits */
  float scale[TOKENS / TILE_TOKENS][BLOCKS][TILE_TOKENS];
  int32_t sum_of_levels[TOKENS / TILE_TOKENS][BLOCKS][TILE_TOKENS]; /* for minima, see pack_sums() */
  int32_t product[2][SUMS][TILE_TOKENS][PANEL_ROWS];
  float acc[PANELS][TOKENS][PANEL_ROWS];
} amx_scratch;

/* The tokens and blocks that the scratch memory holds. */
typedef struct amx_part {
  int32_t token, tokens;
  int64_t block;
  int blocks;
} amx_part;

/* ---- Tiles: 0 to 3 are products, 4 and 5 activations, 6 and 7 weights ---- */

typedef struct tile_config {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
} tile_config;

/* depth: inputs of a product. */
static void configure_tiles(int depth) {
  tile_config c = {.palette = 1};
  for (int i = 0; i < 8; i++) {
    c.row_bytes[i] = (uint16_t)(i == 4 || i == 5 ? depth : 64);
    c.rows[i] = (uint8_t)(i >= 6 ? depth / 4 : 16);
  }
  /* GCC 12 believes that the next line reads no more than a pointer's size. */
  __asm__ volatile("" : : "r"(&c) : "memory");
  _tile_loadconfig(&c);
}

/* The products of one piece of 16 rows and of 16 tokens, [token][row], of each half where asked. */
TILE_INLINE void multiply_tiles(bool halves, const int8_t *level, const int8_t *weight, int32_t *to) {
  enum { HALF = SUMS * TILE_TOKENS * PANEL_ROWS };
  _tile_loadd(4, level, QUANT_BLOCK);
  _tile_loadd(6, weight, 64);
  _tile_zero(0);
  _tile_dpbssd(0, 4, 6);
  _tile_stored(0, to, 64);
  if (!halves) return;
  _tile_loadd(5, level + QUANT_BLOCK / 2, QUANT_BLOCK);
  _tile_loadd(7, weight + PIECE / 2, 64);
  _tile_zero(1);
  _tile_dpbssd(1, 5, 7);
  _tile_stored(1, to + HALF, 64);
}

/* ---- Packing ---- */

/* What the minima of a block multiply: the scaled sum of its levels as a float for minima without factors, the sum as
 * a float for one factor a block, minus the sums of both halves as 16 bits each for two. */
TILE_INLINE __m512i pack_sums(tile_format f, __m512i neg_sums, __m512 scale) {
  if (tile_has_halves(f)) return neg_sums;
  __m512 sum = _mm512_cvtepi32_ps(_mm512_madd_epi16(neg_sums, _mm512_set1_epi16(-1)));
  return _mm512_castps_si512(f.factors == FACTORS_NONE ? _mm512_mul_ps(scale, sum) : sum);
}

/* The levels of a tile of tokens, n of which are there; the others get levels of zero. */
TILE_INLINE void pack_levels(const be_act *x, const amx_part *p, int tile, int n, amx_scratch *s) {
  const int8_t *from = x->level + (p->token + tile * TILE_TOKENS) * x->cols + p->block * QUANT_BLOCK;
  __m256i zero = _mm256_setzero_si256();
  for (int b = 0; b < p->blocks; b += 2) /* a cache line holds two */
    for (int i = 0; i < TILE_TOKENS; i++) {
      const int8_t *at = from + i * x->cols + b * QUANT_BLOCK;
      bool second = b + 1 < p->blocks;
      __m256i level = i < n ? _mm256_loadu_si256((const __m256i *)at) : zero;
      _mm256_store_si256((__m256i *)s->level[tile][b][i], level);
      if (second) level = i < n ? _mm256_loadu_si256((const __m256i *)(at + QUANT_BLOCK)) : zero;
      if (second) _mm256_store_si256((__m256i *)s->level[tile][b + 1][i], level);
    }
}

/* The scales and sums of 16 blocks from block b of the part on, of token i of a tile. */
TILE_INLINE void pack_scales(tile_format f, const be_act *x, const amx_part *p, int tile, int i, int b,
                             amx_scratch *s) {
  int64_t at = (p->token + tile * TILE_TOKENS + i) * (x->cols / QUANT_BLOCK) + p->block + b;
  __mmask16 blocks = (__mmask16)(p->blocks - b < 16 ? (1u << (p->blocks - b)) - 1 : 0xFFFF);
  __m512i rows = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  __m512i to = _mm512_mullo_epi32(rows, _mm512_set1_epi32(TILE_TOKENS));
  __m512 scale = _mm512_maskz_loadu_ps(blocks, x->scale + at);
  _mm512_i32scatter_ps(&s->scale[tile][b][i], to, scale, sizeof(float));
  if (!f.has_min) return;
  __m512i sums = pack_sums(f, _mm512_maskz_loadu_epi32(blocks, x->neg_sum + 2 * at), scale);
  _mm512_i32scatter_epi32(&s->sum_of_levels[tile][b][i], to, sums, sizeof(int32_t));
}

TILE_INLINE void pack_activations(tile_format f, const be_act *x, const amx_part *p, amx_scratch *s) {
  for (int tile = 0; tile * TILE_TOKENS < p->tokens; tile++) {
    int left = p->tokens - tile * TILE_TOKENS, n = left < TILE_TOKENS ? left : TILE_TOKENS;
    pack_levels(x, p, tile, n, s);
    for (int i = 0; i < n; i++)
      for (int b = 0; b < p->blocks; b += 16) pack_scales(f, x, p, tile, i, b, s);
  }
}

/* The true levels of a panel's pieces. next: read after them. */
TILE_INLINE void unpack_weights(tile_format f, const char *levels, int blocks, const char *next, amx_scratch *s) {
  __m512i values = load_values(f), zero = _mm512_set1_epi8((char)zero_point(f));
  for (int b = 0; b < blocks; b++) {
    for (int i = 0; i < f.levels; i += 64) __builtin_prefetch(next + b * f.levels + i);
    UNROLL
    for (int step = 0; step < 8; step++) {
      __m512i level = step_levels(f, levels + b * f.levels, step, values);
      if (zero_point(f)) level = _mm512_sub_epi8(level, zero);
      _mm512_storeu_si512(s->weight[b] + step * 64, level);
    }
  }
}

/* ---- Sums ---- */

TILE_INLINE void add_scaled(tile_format f, const char *scales, int64_t block, const float *scale,
                            int32_t (*first)[PANEL_ROWS], int32_t (*second)[PANEL_ROWS], __m512 acc[TILE_TOKENS]) {
  __m512 d = load_halves(tile_scales(f, scales, block)), factor[2] = {d, d};
  for (int h = 0; h < sums_of(f) && f.factors != FACTORS_NONE; h++)
    factor[h] = load_factor(f, tile_factors(f, scales, block), h);
  UNROLL
  for (int i = 0; i < TILE_TOKENS; i++) {
    __m512 sum = _mm512_cvtepi32_ps(_mm512_loadu_si512(first[i]));
    /* The addition gives a product of zero the sign that it has as an integer. */
    if (f.factors != FACTORS_NONE) sum = _mm512_fmadd_ps(factor[0], sum, _mm512_setzero_ps());
    if (sums_of(f) == 2) sum = _mm512_fmadd_ps(factor[1], _mm512_cvtepi32_ps(_mm512_loadu_si512(second[i])), sum);
    acc[i] = _mm512_fmadd_ps(_mm512_mul_ps(d, _mm512_set1_ps(scale[i])), sum, acc[i]);
  }
}

TILE_INLINE void add_minima(tile_format f, const char *scales, int64_t block, const float *scale, const int32_t *sums,
                            __m512 acc[TILE_TOKENS]) {
  const char *factors = tile_factors(f, scales, block);
  __m512 m = load_halves(tile_scales(f, scales, block) + HALVES), min = m;
  if (f.factors == FACTORS_SCALE_MIN) min = load_factor(f, factors, 1);
  __m512i mins = f.factors == FACTORS_SCALES_MINS ? minus_mins(f, factors) : _mm512_setzero_si512();
  UNROLL
  for (int i = 0; i < TILE_TOKENS; i++) {
    __m512i sum = _mm512_set1_epi32(sums[i]);
    __m512 scaled = _mm512_castsi512_ps(sum);
    if (f.factors == FACTORS_SCALE_MIN) scaled = _mm512_fmadd_ps(min, scaled, _mm512_setzero_ps());
    if (f.factors == FACTORS_SCALES_MINS) scaled = _mm512_cvtepi32_ps(_mm512_madd_epi16(mins, sum));
    if (f.factors != FACTORS_NONE) scaled = _mm512_mul_ps(_mm512_set1_ps(scale[i]), scaled);
    acc[i] = _mm512_fmadd_ps(m, scaled, acc[i]);
  }
}

/* All blocks of a part for one panel and one tile of tokens. */
TILE_INLINE void sum_tile(tile_format f, const char *scales, const amx_part *p, int tile, amx_scratch *s,
                          float (*to)[PANEL_ROWS]) {
  __m512 acc[TILE_TOKENS];
  UNROLL
  for (int i = 0; i < TILE_TOKENS; i++) acc[i] = p->block ? _mm512_loadu_ps(to[i]) : _mm512_setzero_ps();
  for (int ahead = 0; ahead < p->blocks + LAG; ahead++) {
    if (ahead < p->blocks)
      multiply_tiles(tile_has_halves(f), s->level[tile][ahead][0], s->weight[ahead], s->product[0][ahead % SUMS][0]);
    int b = ahead - LAG;
    if (b < 0) continue;
    add_scaled(f, scales, p->block + b, s->scale[tile][b], s->product[0][b % SUMS], s->product[1][b % SUMS], acc);
    if (f.has_min) add_minima(f, scales, p->block + b, s->scale[tile][b], s->sum_of_levels[tile][b], acc);
  }
  UNROLL
  for (int i = 0; i < TILE_TOKENS; i++) _mm512_storeu_ps(to[i], acc[i]);
}

TILE_INLINE void store_panel(const linear_task *t, int64_t panel, const amx_part *p, float (*acc)[PANEL_ROWS]) {
  __mmask16 rows = (__mmask16)((1u << tile_rows(t, panel)) - 1);
  float *out = t->out + p->token * t->stride + panel * PANEL_ROWS;
  for (int32_t i = 0; i < p->tokens; i++, out += t->stride) {
    __m512 sum = _mm512_loadu_ps(acc[i]);
    if (t->add) sum = _mm512_add_ps(_mm512_maskz_loadu_ps(rows, out), sum);
    _mm512_mask_storeu_ps(out, rows, sum);
  }
}

/* Panels first .. end - 1 for the tokens of a part. */
TILE_INLINE void sum_panels(tile_format f, const linear_task *t, int64_t first, int64_t end, amx_part p) {
  amx_scratch *s = t->scratch;
  int64_t all = t->x->cols / QUANT_BLOCK, scales_at = all * f.levels;
  for (p.block = 0; p.block < all; p.block += BLOCKS) {
    p.blocks = all - p.block < BLOCKS ? (int)(all - p.block) : BLOCKS;
    pack_activations(f, t->x, &p, s);
    for (int64_t panel = first; panel < end; panel++) {
      const char *at = tile_panel(t, panel), *next = panel + 1 < end ? tile_panel(t, panel + 1) : at;
      unpack_weights(f, at + p.block * f.levels, p.blocks, next + p.block * f.levels, s);
      for (int tile = 0; tile * TILE_TOKENS < p.tokens; tile++)
        sum_tile(f, at + scales_at, &p, tile, s, s->acc[panel - first] + tile * TILE_TOKENS);
    }
  }
  for (int64_t panel = first; panel < end; panel++) store_panel(t, panel, &p, s->acc[panel - first]);
}

/* The tokens of a task for which tiles are worth while; the others are left to `vectors`. */
TILE_INLINE void linear(tile_format f, const linear_task *t, void (*vectors)(const linear_task *t)) {
  int32_t rest = t->n_tokens % TILE_TOKENS, tiled = rest < MIN_REST ? t->n_tokens - rest : t->n_tokens;
  if (t->n_tokens < MIN_TOKENS) tiled = 0;
  if (tiled > 0) {
    configure_tiles(tile_has_halves(f) ? QUANT_BLOCK / 2 : QUANT_BLOCK);
    for (int32_t token = 0; token < tiled; token += TOKENS) {
      amx_part p = {.token = token, .tokens = tiled - token < TOKENS ? tiled - token : TOKENS};
      for (int64_t panel = 0; panel < t->n_panels; panel += PANELS)
        sum_panels(f, t, panel, panel + PANELS < t->n_panels ? panel + PANELS : t->n_panels, p);
    }
    _tile_release();
  }
  if (tiled == t->n_tokens) return;
  be_act x = *t->x;
  int64_t at = tiled * x.cols;
  x.level += at;
  x.scale += at / QUANT_BLOCK;
  x.neg_sum += at / QUANT_BLOCK * 2;
  linear_task left = *t;
  left.x = &x;
  left.n_tokens -= tiled;
  left.out += tiled * t->stride;
  vectors(&left);
}

/* ---- One function for each type ---- */

#define LINEAR(NAME, TYPE)                                                                                             \
  static void linear_##NAME(const linear_task *t) {                                                                    \
    linear(TILE_##TYPE, t, linear_avx512[QUANT_##TYPE]);                                                               \
  }
TILE_QUANTIZED(LINEAR)

void cpu_linear_amx(cpu_kernels *k) {
#define FILL(NAME, TYPE) k->linear[QUANT_##TYPE] = linear_##NAME;
  TILE_QUANTIZED(FILL)
  k->linear[QUANT_Q2_K] = linear_avx512[QUANT_Q2_K]; /* its minima take longer than its products */
  k->linear_scratch = sizeof(amx_scratch);
}
