/* Quantised panels in the sixteen registers of AVX2: the 16 rows of a panel are the lanes of two vectors. Compiled
 * for AVX-VNNI, the same code uses its byte products (multiply_256.h) and other settings. */
#ifndef X86_LINEAR_256_H
#define X86_LINEAR_256_H

#include "backend/cpu/kernels/lanes/linear_tiles.h"

#include <immintrin.h>
#include <string.h>

enum { HALF_PANELS = 2, LANES = 8, MOST_TOKENS = 6 };

/* FEW_TOKENS: most tokens of a tile in steps of few. ABOVE: how much the levels of types of 8 bits or with values are
 * above the true ones when they are multiplied: 128, as they are stored, or 0, which gives them a sign. */
#if defined(__AVXVNNI__)
/* 12 sums, two vectors of weights and one of activations take 15 registers; sums of floats are kept in memory. */
enum { FEW_TOKENS = 6, ABOVE = 128 };
#else
/* Quantised weights need two sums for each token and half panel. With four tokens the floating-point sums are kept in
 * memory, which costs less than unpacking more often. */
enum { FEW_TOKENS = 4, ABOVE = 0 };
#endif

TILE_INLINE __m256 load_halves(const char *p) {
  return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

/* Writes a token's sums of the 8 rows of half a panel to the output. */
TILE_INLINE void store_rows(const linear_task *t, int64_t panel, int half, int32_t token, __m256 acc) {
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

/* A scale for each of the 8 rows of half a panel. */
TILE_INLINE __m256 load_half_scale(tile_scale s, int half) {
  s = tile_scale_from(s, half * LANES);
  __m256 halves = load_halves(s.halves);
  if (!s.factor) return halves;
  __m128i factor = _mm_loadl_epi64((const __m128i *)s.factor);
  if (s.width == FACTOR_HIGH_NIBBLES) factor = _mm_srli_epi16(factor, 4);
  if (s.width != FACTOR_BYTES) factor = _mm_and_si128(factor, _mm_set1_epi8(15));
  return _mm256_mul_ps(halves, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(factor)));
}

/* Sub-block h of block b: the scale and the minimum, with their factors. */
TILE_INLINE __m256 load_scale(tile_format f, const char *scales, int64_t b, int half, int h) {
  return load_half_scale(tile_scale_at(f, scales, b, h), half);
}
TILE_INLINE __m256 load_min(tile_format f, const char *scales, int64_t b, int half, int h) {
  return load_half_scale(tile_min_at(f, scales, b, h), half);
}

/* ---- Activations, of 8 blocks: scale, and minus the sums of the levels of their halves ---- */

/* All ones in the first n of 8 lanes. */
TILE_INLINE __m256i first_lanes(int64_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n < LANES ? (int)n : LANES), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/* Minus the zero point times the sum of the levels of sub-block h: a sum's start. */
TILE_INLINE __m256i start_sums(tile_format f, int h, __m256i neg_sums) {
  return _mm256_madd_epi16(neg_sums, _mm256_set1_epi32(tile_pair(f, h, (int16_t)zero_point(f))));
}

/* The sum of the levels of sub-block h times the scale: what the minimum is multiplied by. */
TILE_INLINE __m256 scaled_sums(tile_format f, int h, __m256i neg_sums, __m256 scale) {
  __m256i sums = _mm256_madd_epi16(neg_sums, _mm256_set1_epi32(tile_pair(f, h, -1)));
  return _mm256_mul_ps(scale, _mm256_cvtepi32_ps(sums));
}

#endif
