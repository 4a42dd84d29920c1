/* Quantised panels in the sixteen registers of AVX2: the 16 rows of a panel are the lanes of two vectors.
 *
 * Define before
 *   TOKENS   tokens of a tile, at most 6
 *   ABOVE    how much the levels of types of 8 bits or with values are above the true ones when they are
 *            multiplied: 128, as they are stored, or 0, which gives them a sign
 * and after it
 *   multiply()  see below */
#ifndef CPU_LINEAR_256_H
#define CPU_LINEAR_256_H

#include "backend/cpu/linear_tiles.h"

#include <immintrin.h>
#include <string.h>

enum { HALF_PANELS = 2, LANES = 8 };

TILE_INLINE __m256 load_halves(const char *p) {
  return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

TILE_INLINE void store(const linear_task *t, int64_t panel, int half, int32_t token, __m256 acc) {
  int n = tile_rows(t, panel) - half * LANES;
  if (n <= 0) return;
  float *out = t->out + token * t->stride + panel * PANEL_ROWS + half * LANES;
  __m256i rows = _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  if (t->add) acc = _mm256_add_ps(_mm256_maskload_ps(out, rows), acc);
  _mm256_maskstore_ps(out, rows, acc);
}

/* ---- Levels ---- */

TILE_INLINE int32_t four_bytes(const void *p) {
  int32_t v;
  memcpy(&v, p, sizeof v);
  return v;
}

/* `one` in byte i where bit i of mask is set. */
TILE_INLINE __m256i spread_bits(int32_t mask, char one) {
  const __m256i byte = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
  const __m256i bit = _mm256_set1_epi64x((int64_t)0x8040201008040201u);
  __m256i own = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(mask), byte), bit);
  return _mm256_and_si256(_mm256_cmpeq_epi8(own, bit), _mm256_set1_epi8(one));
}

/* The values of a type that has some, at the indices of each 128 bits. */
TILE_INLINE __m256i load_values(tile_format f) {
  if (!tile_has_values(f)) return _mm256_setzero_si256();
  __m256i values = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)quant_get(f.type)->values));
  return ABOVE ? _mm256_xor_si256(values, _mm256_set1_epi8(-128)) : values;
}

/* Types whose true levels have a sign in 8 bits; those of others are multiplied as stored. */
TILE_INLINE bool has_signs(tile_format f) {
  return f.bits == 8 || tile_has_values(f);
}

/* How much the levels that are multiplied are above the true ones. */
TILE_INLINE int zero_point(tile_format f) {
  return has_signs(f) ? ABOVE : f.zero;
}

/* Two bits of each of inputs 4 step .. 4 step + 3, at bit `at`, among others. */
TILE_INLINE __m256i step_twos(const char *plane, int step, int at) {
  __m256i twos = _mm256_loadu_si256((const __m256i *)(plane + step / 4 * 64));
  switch (step % 4 * 2 - at) {
  case -4:
    return _mm256_slli_epi16(twos, 4);
  case -2:
    return _mm256_slli_epi16(twos, 2);
  case 2:
    return _mm256_srli_epi16(twos, 2);
  case 4:
    return _mm256_srli_epi16(twos, 4);
  case 6:
    return _mm256_srli_epi16(twos, 6);
  default:
    return twos;
  }
}

/* Inputs 4 step .. 4 step + 3 of half a panel. */
TILE_INLINE __m256i step_levels(tile_format f, const char *plane, int half, int step, __m256i values) {
  const char *p = plane + half * 32;
  if (f.bits == 8) {
    __m256i stored = _mm256_loadu_si256((const __m256i *)(p + step * 64));
    return ABOVE ? stored : _mm256_xor_si256(stored, _mm256_set1_epi8(-128));
  }
  __m256i level = _mm256_setzero_si256();
  if (f.bits & 4) {
    __m256i packed = _mm256_loadu_si256((const __m256i *)(p + step % 4 * 64));
    if (step >= 4) packed = _mm256_srli_epi16(packed, 4);
    level = _mm256_and_si256(packed, _mm256_set1_epi8(15));
    plane += NIBBLES;
  }
  if (tile_has_values(f)) return _mm256_shuffle_epi8(values, level);
  if (f.bits & 2) {
    int at = f.bits & 4;
    __m256i twos = step_twos(plane + half * 32, step, at);
    level = _mm256_or_si256(level, _mm256_and_si256(twos, _mm256_set1_epi8((char)(3 << at))));
    plane += TWOS;
  }
  if (f.bits & 1)
    level = _mm256_or_si256(level, spread_bits(four_bytes(plane + step * 8 + half * 4), (char)(1 << (f.bits - 1))));
  return level;
}

/* ---- Scales ---- */

TILE_INLINE __m128i load_bytes(const char *p) {
  return _mm_loadl_epi64((const __m128i *)p);
}

/* The nibbles of bytes, from bit `shift` on: 0 or 4. */
TILE_INLINE __m128i nibbles(__m128i bytes, int shift) {
  return _mm_and_si128(shift ? _mm_srli_epi16(bytes, 4) : bytes, _mm_set1_epi8(15));
}

TILE_INLINE __m256 scaled(const char *halves, __m128i factor) {
  return _mm256_mul_ps(load_halves(halves), _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(factor)));
}

/* Of sub-block h of piece b of half a panel: the scale times its factor, which is exact. */
TILE_INLINE __m256 load_scale(tile_format f, const char *scales, int64_t b, int half, int h) {
  const char *halves = tile_scales(f, scales, b) + half * HALVES / 2;
  if (f.factors == FACTORS_NONE) return load_halves(halves);
  __m128i factor = load_bytes(tile_factors(f, scales, b) + half * LANES + h * PANEL_ROWS);
  return scaled(halves, f.factors == FACTORS_SCALES_MINS ? nibbles(factor, 0) : factor);
}

/* The minimum, likewise. */
TILE_INLINE __m256 load_min(tile_format f, const char *scales, int64_t b, int half, int h) {
  const char *halves = tile_scales(f, scales, b) + HALVES + half * HALVES / 2;
  const char *factors = tile_factors(f, scales, b) + half * LANES;
  if (f.factors == FACTORS_NONE) return load_halves(halves);
  if (f.factors == FACTORS_SCALE_MIN) return scaled(halves, load_bytes(factors + PANEL_ROWS));
  return scaled(halves, nibbles(load_bytes(factors + h * PANEL_ROWS), 4));
}

/* ---- Tiles ---- */

/* Where a tile's operands are, of its panels and its tokens. */
typedef struct operands {
  tile_operands common;
  const char *at, *next;
  __m256i values;
} operands;

TILE_INLINE operands find_operands(tile_format f, const linear_task *t, int64_t panel, int32_t token) {
  return (operands){.common = tile_find_operands(f, t, token),
                    .at = tile_panel(t, panel),
                    .next = tile_panel(t, panel + 1),
                    .values = load_values(f)};
}

/* Inputs 4 step .. 4 step + 3 of block b of token i, in each row's 32 bits. */
TILE_INLINE __m256i step_inputs(const operands *o, int64_t b, int i, int step) {
  return _mm256_set1_epi32(four_bytes(o->common.level + i * o->common.cols + b * QUANT_BLOCK + step * 4));
}

/* What blocks add to every row: of a tile's tokens and sub-blocks, for 8 blocks from a multiple of 8 on. */
typedef struct block_sums {
  int32_t start[2][TOKENS][8]; /* minus the zero point times the sum of the activation's levels */
  float min[2][TOKENS][8];     /* that sum, scaled */
} block_sums;

TILE_INLINE void sum_blocks(tile_format f, const operands *o, int64_t b, int tokens, block_sums *to) {
  int64_t left = o->common.n_blocks - b;
  __m256i blocks =
      _mm256_cmpgt_epi32(_mm256_set1_epi32(left < 8 ? (int)left : 8), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  for (int i = 0; i < tokens; i++) {
    int64_t at = i * o->common.n_blocks + b;
    __m256i sums = _mm256_maskload_epi32((const int *)(o->common.neg_sum + 2 * at), blocks);
    __m256 scale = _mm256_maskload_ps(o->common.scale + at, blocks);
    for (int h = 0; h < tile_sub_blocks(f); h++) {
      __m256i start = _mm256_madd_epi16(sums, _mm256_set1_epi32(tile_pair(f, h, (int16_t)zero_point(f))));
      __m256i sum = _mm256_madd_epi16(sums, _mm256_set1_epi32(tile_pair(f, h, -1)));
      if (zero_point(f)) _mm256_storeu_si256((__m256i *)to->start[h][i], start);
      if (f.has_min) _mm256_storeu_ps(to->min[h][i], _mm256_mul_ps(scale, _mm256_cvtepi32_ps(sum)));
    }
  }
}

/* The integer products of sub-block h of piece b. */
TILE_INLINE void multiply(tile_format f, const operands *o, int64_t b, int h, int tokens, const block_sums *sums,
                          __m256i sum[HALF_PANELS][TOKENS]);

/* Adds those of half a panel, scaled, and the minima. */
TILE_INLINE void accumulate(tile_format f, const operands *o, int64_t b, int half, int h, int tokens,
                            const block_sums *sums, const __m256i sum[TOKENS], __m256 acc[TOKENS]) {
  const char *scales = o->at + o->common.scales_at;
  __m256 d = load_scale(f, scales, b, half, h), m = f.has_min ? load_min(f, scales, b, half, h) : d;
  UNROLL
  for (int i = 0; i < tokens; i++) {
    __m256 scale = _mm256_set1_ps(o->common.scale[i * o->common.n_blocks + b]);
    acc[i] = _mm256_fmadd_ps(_mm256_mul_ps(d, scale), _mm256_cvtepi32_ps(sum[i]), acc[i]);
    if (f.has_min) acc[i] = _mm256_fmadd_ps(m, _mm256_set1_ps(sums->min[h][i][b % 8]), acc[i]);
  }
}

TILE_INLINE void quantized_tile(tile_format f, const linear_task *t, int64_t panel, int32_t token, int tokens) {
  const operands o = find_operands(f, t, panel, token);
  __m256 acc[HALF_PANELS][TOKENS];
  block_sums sums;
  UNROLL
  for (int half = 0; half < HALF_PANELS; half++) {
    UNROLL
    for (int i = 0; i < tokens; i++) acc[half][i] = _mm256_setzero_ps();
  }
  for (int64_t b = 0; b < o.common.n_blocks; b++) {
    if ((zero_point(f) || f.has_min) && b % 8 == 0) sum_blocks(f, &o, b, tokens, &sums);
    tile_prefetch(o.at, o.next, b, o.common.ahead, o.common.n_blocks, f.levels);
    tile_prefetch(o.at + o.common.scales_at, o.next + o.common.scales_at, b, o.common.ahead, o.common.n_blocks,
                  tile_scale_bytes(f));
    UNROLL
    for (int h = 0; h < tile_sub_blocks(f); h++) {
      __m256i sum[HALF_PANELS][TOKENS];
      multiply(f, &o, b, h, tokens, &sums, sum);
      UNROLL
      for (int half = 0; half < HALF_PANELS; half++) accumulate(f, &o, b, half, h, tokens, &sums, sum[half], acc[half]);
    }
  }
  UNROLL
  for (int half = 0; half < HALF_PANELS; half++) {
    UNROLL
    for (int i = 0; i < tokens; i++) store(t, panel, half, token + i, acc[half][i]);
  }
}

/* ---- One function for each type ---- */

TILE_INLINE void quantized_tiles(tile_format f, const linear_task *t, int64_t panel, int32_t token, int tokens) {
  switch (tokens) {
  case 1:
    quantized_tile(f, t, panel, token, 1);
    break;
  case 2:
    quantized_tile(f, t, panel, token, 2);
    break;
  case 3:
    quantized_tile(f, t, panel, token, 3);
    break;
  case 4:
    quantized_tile(f, t, panel, token, 4);
    break;
  case 5:
    if (TOKENS > 4) quantized_tile(f, t, panel, token, 5);
    break;
  default:
    if (TOKENS > 5) quantized_tile(f, t, panel, token, 6);
    break;
  }
}

#define LINEAR_256(NAME, TYPE)                                                                                         \
  static void NAME##_tile(const linear_task *t, int64_t panel, int32_t token, int tokens) {                            \
    quantized_tiles(TILE_##TYPE, t, panel, token, tokens);                                                             \
  }                                                                                                                    \
  static void linear_##NAME(const linear_task *t) {                                                                    \
    tile_all(t, TILE_##TYPE, 1, TOKENS, NAME##_tile);                                                                  \
  }

#endif
