/* Panels in the registers of AVX-512: the levels and factors of 16 rows. */
#ifndef CPU_LINEAR_512_H
#define CPU_LINEAR_512_H

#include "backend/cpu/linear_tiles.h"

#include <immintrin.h>
#include <string.h>

/* The vector versions, by type. */
extern const linear_kernel linear_avx512[QUANT_TYPES];

TILE_INLINE __m512 load_halves(const char *p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

/* ---- Levels ---- */

TILE_INLINE int32_t four_bytes(const void *p) {
  int32_t v;
  memcpy(&v, p, sizeof v);
  return v;
}

/* The values of a type that has some, 128 above the true ones, at the indices of each 128 bits. */
TILE_INLINE __m512i load_values(tile_format f) {
  if (!tile_has_values(f)) return _mm512_setzero_si512();
  __m512i values = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)quant_get(f.type)->values));
  return _mm512_xor_si512(values, _mm512_set1_epi8(-128));
}

/* How much the levels that are multiplied are above the true ones. */
TILE_INLINE int zero_point(tile_format f) {
  return tile_has_values(f) ? 128 : f.zero;
}

/* Two bits of each of inputs 4 step .. 4 step + 3, at bit `at`, among others. */
TILE_INLINE __m512i step_twos(const char *plane, int step, int at) {
  __m512i twos = _mm512_loadu_si512(plane + step / 4 * 64);
  switch (step % 4 * 2 - at) {
  case -4:
    return _mm512_slli_epi16(twos, 4);
  case -2:
    return _mm512_slli_epi16(twos, 2);
  case 2:
    return _mm512_srli_epi16(twos, 2);
  case 4:
    return _mm512_srli_epi16(twos, 4);
  case 6:
    return _mm512_srli_epi16(twos, 6);
  default:
    return twos;
  }
}

/* Inputs 4 step .. 4 step + 3 of a piece. */
TILE_INLINE __m512i step_levels(tile_format f, const char *plane, int step, __m512i values) {
  if (f.bits == 8) return _mm512_loadu_si512(plane + step * 64);
  __m512i level = _mm512_setzero_si512();
  if (f.bits & 4) {
    __m512i packed = _mm512_loadu_si512(plane + step % 4 * 64);
    if (step >= 4) packed = _mm512_srli_epi16(packed, 4);
    level = _mm512_and_si512(packed, _mm512_set1_epi8(15));
    plane += NIBBLES;
  }
  if (tile_has_values(f)) return _mm512_shuffle_epi8(values, level);
  if (f.bits & 2) {
    enum { OR_AND = 0xF8 }; /* a | (b & c) */
    int at = f.bits & 4;
    __m512i mask = _mm512_set1_epi8((char)(3 << at));
    level = _mm512_ternarylogic_epi32(level, step_twos(plane, step, at), mask, OR_AND);
    plane += TWOS;
  }
  if (f.bits & 1) {
    __mmask64 ones;
    memcpy(&ones, plane + step * 8, sizeof ones);
    level = _mm512_mask_add_epi8(level, ones, level, _mm512_set1_epi8((char)(1 << (f.bits - 1))));
  }
  return level;
}

/* ---- Factors ---- */

/* The bytes a of each row and the bytes b of each row, as pairs of 16 bits. */
TILE_INLINE __m512i pairs(__m128i a, __m128i b) {
  return _mm512_cvtepi8_epi16(_mm256_set_m128i(_mm_unpackhi_epi8(a, b), _mm_unpacklo_epi8(a, b)));
}

TILE_INLINE __m128i load_bytes(const char *p) {
  return _mm_loadu_si128((const __m128i *)p);
}

/* The nibbles of bytes, from bit `shift` on: 0 or 4. */
TILE_INLINE __m128i nibbles(__m128i bytes, int shift) {
  return _mm_and_si128(shift ? _mm_srli_epi16(bytes, 4) : bytes, _mm_set1_epi8(15));
}

/* Of half a piece, as floats: these add and multiply integers below 2^24 exactly. */
TILE_INLINE __m512 load_factor(tile_format f, const char *factors, int half) {
  __m128i factor = load_bytes(factors + half * PANEL_ROWS);
  if (f.factors == FACTORS_SCALES_MINS) factor = nibbles(factor, 0);
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(factor));
}

/* Minus the factors of the minima of both halves. */
TILE_INLINE __m512i minus_mins(tile_format f, const char *factors) {
  __m128i a = load_bytes(factors), b = load_bytes(factors + PANEL_ROWS);
  __m512i mins = f.factors == FACTORS_SCALE_MIN ? pairs(b, b) : pairs(nibbles(a, 4), nibbles(b, 4));
  return _mm512_sub_epi16(_mm512_setzero_si512(), mins);
}

/* Types with factors for halves of a piece need a sum for each. With both there are more sums than registers, which
 * costs less than unpacking levels more often. */
TILE_INLINE int sums_of(tile_format f) {
  return tile_has_halves(f) ? 2 : 1;
}

#endif
