/* Panels in the registers of AVX-512: the levels and factors of 16 rows. */
#ifndef X86_LINEAR_512_H
#define X86_LINEAR_512_H

#include "backend/cpu/kernels/lanes/linear_tiles.h"

#include <immintrin.h>
#include <string.h>

/* The versions for few tokens, by type. */
extern const linear_kernel linear_few_avx512[QUANT_TYPES];

TILE_INLINE __m512 load_halves(const char *p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

/* Writes a token's sums of the 16 rows of a panel to the output. */
TILE_INLINE void store_rows(const linear_task *t, int64_t panel, int32_t token, __m512 acc) {
  __mmask16 rows = (__mmask16)((1u << tile_rows(t, panel)) - 1);
  if (!rows) return;
  float *out = t->out + token * t->stride + panel * PANEL_ROWS;
  if (t->add) acc = _mm512_add_ps(_mm512_maskz_loadu_ps(rows, out), acc);
  _mm512_mask_storeu_ps(out, rows, acc);
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

/* Levels of inputs 4 step .. 4 step + 3 of a block, for 16 rows. */
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

/* ---- Scales ---- */

/* A scale for each of the 16 rows of a panel. */
TILE_INLINE __m512 load_rows(tile_scale s) {
  __m512 halves = load_halves(s.halves);
  if (!s.factor) return halves;
  __m128i factor = _mm_loadu_si128((const __m128i *)s.factor);
  if (s.width == FACTOR_HIGH_NIBBLES) factor = _mm_srli_epi16(factor, 4);
  if (s.width != FACTOR_BYTES) factor = _mm_and_si128(factor, _mm_set1_epi8(15));
  return _mm512_mul_ps(halves, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(factor)));
}

/* Sub-block h of block b: the scale and the minimum, with their factors. */
TILE_INLINE __m512 load_scale(tile_format f, const char *scales, int64_t b, int h) {
  return load_rows(tile_scale_at(f, scales, b, h));
}
TILE_INLINE __m512 load_min(tile_format f, const char *scales, int64_t b, int h) {
  return load_rows(tile_min_at(f, scales, b, h));
}

/* ---- Activations, of 16 blocks: scale, and minus the sums of the levels of their halves ---- */

/* Minus the zero point times the sum of the levels of sub-block h: a sum's start. */
TILE_INLINE __m512i start_sums(tile_format f, int h, __m512i neg_sums) {
  return _mm512_madd_epi16(neg_sums, _mm512_set1_epi32(tile_pair(f, h, (int16_t)zero_point(f))));
}

/* The sum of the levels of sub-block h times the scale: what the minimum is multiplied by. */
TILE_INLINE __m512 scaled_sums(tile_format f, int h, __m512i neg_sums, __m512 scale) {
  __m512i sums = _mm512_madd_epi16(neg_sums, _mm512_set1_epi32(tile_pair(f, h, -1)));
  return _mm512_mul_ps(scale, _mm512_cvtepi32_ps(sums));
}

#endif
