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

/* ---- Factors ---- */

/* The bytes a of each row and the bytes b of each row of half a panel, as pairs of 16 bits. */
TILE_INLINE __m256i pairs(__m128i a, __m128i b) {
  return _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(a, b));
}

TILE_INLINE __m128i load_bytes(const char *p) {
  return _mm_loadl_epi64((const __m128i *)p);
}

/* The nibbles of bytes, from bit `shift` on: 0 or 4. */
TILE_INLINE __m128i nibbles(__m128i bytes, int shift) {
  return _mm_and_si128(shift ? _mm_srli_epi16(bytes, 4) : bytes, _mm_set1_epi8(15));
}

/* The bytes of half a panel's factors of half a piece. */
TILE_INLINE __m128i factor_bytes(tile_format f, const char *factors, int half) {
  __m128i bytes = load_bytes(factors + half * PANEL_ROWS);
  return f.factors == FACTORS_SCALES_MINS ? nibbles(bytes, 0) : bytes;
}

/* Bytes as floats: these add and multiply integers below 2^24 exactly. */
TILE_INLINE __m256 to_floats(__m128i bytes) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
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

/* The factors of piece b for half a panel. */
TILE_INLINE const char *factors_at(tile_format f, const operands *o, int64_t b, int half) {
  return tile_factors(f, o->at + o->common.scales_at, b) + half * LANES;
}

/* Inputs 4 step .. 4 step + 3 of block b of token i, in each row's 32 bits. */
TILE_INLINE __m256i step_inputs(const operands *o, int64_t b, int i, int step) {
  return _mm256_set1_epi32(four_bytes(o->common.level + i * o->common.cols + b * QUANT_BLOCK + step * 4));
}

/* Minus the sums of the levels of the halves of block b of token i, in each row's 32 bits. */
TILE_INLINE __m256i minus_sums(const operands *o, int64_t b, int i) {
  return _mm256_set1_epi32(four_bytes(o->common.neg_sum + (i * o->common.n_blocks + b) * 2));
}

/* What blocks add to every row: of a tile's tokens, for 8 blocks from a multiple of 8 on. */
typedef struct block_sums {
  int32_t zero[2][TOKENS][8]; /* minus the zero point times the sum of the activation's levels, of each half where
                               * these have factors of their own */
  float min[TOKENS][8];       /* the sum of the levels for minima with one factor, the scaled sum for those without */
} block_sums;

/* The products of piece b, an integer for each row, as floats. */
TILE_INLINE void multiply(tile_format f, const operands *o, int64_t b, int tokens, const block_sums *sums,
                          __m256 product[HALF_PANELS][TOKENS]);

TILE_INLINE void sum_blocks(tile_format f, const operands *o, int64_t b, int tokens, block_sums *to) {
  int64_t left = o->common.n_blocks - b;
  __m256i blocks =
      _mm256_cmpgt_epi32(_mm256_set1_epi32(left < 8 ? (int)left : 8), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  int zero = zero_point(f);
  for (int i = 0; i < tokens; i++) {
    int64_t at = i * o->common.n_blocks + b;
    __m256i sums = _mm256_maskload_epi32((const int *)(o->common.neg_sum + 2 * at), blocks);
    for (int h = 0; zero && h < 2; h++) {
      int by = !tile_has_halves(f) ? zero << 16 | zero : h ? zero << 16 : zero;
      _mm256_storeu_si256((__m256i *)to->zero[h][i], _mm256_madd_epi16(sums, _mm256_set1_epi32(by)));
      if (!tile_has_halves(f)) break;
    }
    if (!f.has_min || tile_has_halves(f)) continue;
    __m256 sum = _mm256_cvtepi32_ps(_mm256_madd_epi16(sums, _mm256_set1_epi16(-1)));
    if (f.factors == FACTORS_NONE) sum = _mm256_mul_ps(_mm256_maskload_ps(o->common.scale + at, blocks), sum);
    _mm256_storeu_ps(to->min[i], sum);
  }
}

/* Whether any of these is needed. */
TILE_INLINE bool has_block_sums(tile_format f) {
  return zero_point(f) || (f.has_min && !tile_has_halves(f));
}

/* Adds the products of half a panel, scaled. */
TILE_INLINE void add_products(tile_format f, const operands *o, int64_t b, int half, int tokens,
                              const __m256 product[TOKENS], __m256 acc[TOKENS]) {
  __m256 d = load_halves(tile_scales(f, o->at + o->common.scales_at, b) + half * HALVES / 2);
  UNROLL
  for (int i = 0; i < tokens; i++) {
    __m256 scale = _mm256_set1_ps(o->common.scale[i * o->common.n_blocks + b]);
    acc[i] = _mm256_fmadd_ps(_mm256_mul_ps(d, scale), product[i], acc[i]);
  }
}

/* Adds the minima of half a panel. */
TILE_INLINE void add_minima(tile_format f, const operands *o, int64_t b, int half, int tokens, const block_sums *sums,
                            __m256 acc[TOKENS]) {
  __m256 m = load_halves(tile_scales(f, o->at + o->common.scales_at, b) + HALVES + half * HALVES / 2), min = m;
  __m256i minus_mins = _mm256_setzero_si256();
  if (f.factors != FACTORS_NONE) {
    __m128i first = load_bytes(factors_at(f, o, b, half)), second = load_bytes(factors_at(f, o, b, half) + PANEL_ROWS);
    if (f.factors == FACTORS_SCALE_MIN)
      min = to_floats(second);
    else
      minus_mins = _mm256_sub_epi16(minus_mins, pairs(nibbles(first, 4), nibbles(second, 4)));
  }
  UNROLL
  for (int i = 0; i < tokens; i++) {
    __m256 scaled, scale = _mm256_set1_ps(o->common.scale[i * o->common.n_blocks + b]);
    if (tile_has_halves(f)) {
      scaled = _mm256_mul_ps(scale, _mm256_cvtepi32_ps(_mm256_madd_epi16(minus_mins, minus_sums(o, b, i))));
    } else {
      scaled = _mm256_set1_ps(sums->min[i][b % 8]);
      /* The addition gives a product of zero the sign that it has as an integer. */
      if (f.factors == FACTORS_SCALE_MIN)
        scaled = _mm256_mul_ps(scale, _mm256_fmadd_ps(min, scaled, _mm256_setzero_ps()));
    }
    acc[i] = _mm256_fmadd_ps(m, scaled, acc[i]);
  }
}

TILE_INLINE void quantized_tile(tile_format f, const linear_task *t, int64_t panel, int32_t token, int tokens) {
  const operands o = find_operands(f, t, panel, token);
  __m256 acc[HALF_PANELS][TOKENS];
  block_sums sums;
  UNROLL
  for (int h = 0; h < HALF_PANELS; h++) {
    UNROLL
    for (int i = 0; i < tokens; i++) acc[h][i] = _mm256_setzero_ps();
  }
  for (int64_t b = 0; b < o.common.n_blocks; b++) {
    if (has_block_sums(f) && b % 8 == 0) sum_blocks(f, &o, b, tokens, &sums);
    tile_prefetch(o.at, o.next, b + o.common.ahead, o.common.n_blocks, f.levels);
    tile_prefetch(o.at + o.common.scales_at, o.next + o.common.scales_at, b + o.common.ahead, o.common.n_blocks,
                  tile_scale_bytes(f));
    __m256 product[HALF_PANELS][TOKENS];
    multiply(f, &o, b, tokens, &sums, product);
    UNROLL
    for (int h = 0; h < HALF_PANELS; h++) {
      add_products(f, &o, b, h, tokens, product[h], acc[h]);
      if (f.has_min) add_minima(f, &o, b, h, tokens, &sums, acc[h]);
    }
  }
  UNROLL
  for (int h = 0; h < HALF_PANELS; h++) {
    UNROLL
    for (int i = 0; i < tokens; i++) store(t, panel, h, token + i, acc[h][i]);
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
