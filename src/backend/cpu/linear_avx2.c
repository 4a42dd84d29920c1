/* Linear layers with AVX2: the 16 rows of a panel are the lanes of two vectors. */
#include "backend/cpu/linear_tiles.h"

#include <immintrin.h>
#include <string.h>

/* Of sixteen registers float weights leave 12 to sums. Quantised weights need two sums for each token and half
 * panel: with four tokens the floats wait in memory, which costs less than unpacking more often. */
enum { HALF_PANELS = 2, LANES = 8, FLOAT_TOKENS = 6, LEVEL_TOKENS = 4 };

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

/* ---- Float weights ---- */

TILE_INLINE __m256 load_weights(tile_format f, const char *p) {
  if (f.type == QUANT_F32) return _mm256_loadu_ps((const float *)p);
  if (f.type == QUANT_F16) return load_halves(p);
  __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

TILE_INLINE void float_tile(tile_format f, const linear_task *t, int64_t panel, int32_t token, int tokens) {
  int64_t cols = t->x->cols, ahead = tile_ahead(f, cols);
  const float *x = t->x->f32 + token * cols;
  const char *at = tile_panel(t, panel), *next = tile_panel(t, panel + 1);
  __m256 acc[HALF_PANELS][FLOAT_TOKENS];
  UNROLL
  for (int h = 0; h < HALF_PANELS; h++) {
    UNROLL
    for (int i = 0; i < tokens; i++) acc[h][i] = _mm256_setzero_ps();
  }
  for (int64_t c = 0; c < cols; c++) {
    tile_prefetch(at, next, c + ahead, cols, f.levels);
    __m256 w[HALF_PANELS];
    UNROLL
    for (int h = 0; h < HALF_PANELS; h++) w[h] = load_weights(f, at + c * f.levels + h * f.levels / 2);
    UNROLL
    for (int i = 0; i < tokens; i++) {
      __m256 v = _mm256_set1_ps(x[i * cols + c]);
      UNROLL
      for (int h = 0; h < HALF_PANELS; h++) acc[h][i] = _mm256_fmadd_ps(w[h], v, acc[h][i]);
    }
  }
  UNROLL
  for (int h = 0; h < HALF_PANELS; h++) {
    UNROLL
    for (int i = 0; i < tokens; i++) store(t, panel, h, token + i, acc[h][i]);
  }
}

/* ---- Quantised weights ---- */

TILE_INLINE int32_t four_bytes(const void *p) {
  int32_t v;
  memcpy(&v, p, sizeof v);
  return v;
}

/* 16 in byte i where bit i of mask is set. */
TILE_INLINE __m256i spread_fifths(int32_t mask) {
  const __m256i byte = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
  const __m256i bit = _mm256_set1_epi64x((int64_t)0x8040201008040201u);
  __m256i own = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(mask), byte), bit);
  return _mm256_and_si256(_mm256_cmpeq_epi8(own, bit), _mm256_set1_epi8(16));
}

/* Inputs 4 step .. 4 step + 3 of half a panel: 4 and 5 bits as stored, 8 bits with their sign. */
TILE_INLINE __m256i step_levels(tile_format f, const char *block, int half, int step) {
  const char *p = block + half * 32;
  if (f.bits == 8)
    return _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(p + step * 64)), _mm256_set1_epi8(-128));
  __m256i packed = _mm256_loadu_si256((const __m256i *)(p + step % 4 * 64));
  if (step >= 4) packed = _mm256_srli_epi16(packed, 4);
  __m256i nibbles = _mm256_and_si256(packed, _mm256_set1_epi8(15));
  if (f.bits == 4) return nibbles;
  return _mm256_or_si256(nibbles, spread_fifths(four_bytes(block + NIBBLES + step * 8 + half * 4)));
}

/* Sums of two products in 16 bits. Activations' levels are within -127 .. 127, so that no sum saturates:
 *   4 bits  2 * 15 * 127 = 3,810, and 8 of them are 30,480
 *   5 bits  2 * 31 * 127 = 7,874, and 4 of them are 31,496
 *   8 bits  2 * 128 * 127 = 32,512; the weight's sign moves to the activation, which has no -128 to overflow */
TILE_INLINE __m256i products(tile_format f, __m256i w, __m256i x) {
  if (f.bits < 8) return _mm256_maddubs_epi16(w, x);
  return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
}

/* How many of those fit into 16 bits. */
TILE_INLINE int steps_in_16_bits(tile_format f) {
  return f.bits == 4 ? 8 : f.bits == 5 ? 4 : 1;
}

/* Minus the zero point of 4 and 5 bits times the sum of the activation's levels. */
TILE_INLINE __m256i first_sum(tile_format f, int32_t neg_sum) {
  __m256i sum = _mm256_set1_epi32(neg_sum);
  return f.zero == 8 ? _mm256_slli_epi32(sum, 3) : f.zero == 16 ? _mm256_slli_epi32(sum, 4) : _mm256_setzero_si256();
}

TILE_INLINE void quantized_tile(tile_format f, const linear_task *t, int64_t panel, int32_t token, int tokens) {
  int64_t cols = t->x->cols, n_blocks = cols / QUANT_BLOCK, scales_at = n_blocks * f.levels;
  int64_t ahead = tile_ahead(f, n_blocks);
  const int8_t *level = t->x->level + token * cols;
  const float *scale = t->x->scale + token * n_blocks;
  const int32_t *neg_sum = t->x->neg_sum + token * n_blocks;
  const char *at = tile_panel(t, panel), *next = tile_panel(t, panel + 1);
  __m256 acc[HALF_PANELS][LEVEL_TOKENS];
  UNROLL
  for (int h = 0; h < HALF_PANELS; h++) {
    UNROLL
    for (int i = 0; i < tokens; i++) acc[h][i] = _mm256_setzero_ps();
  }
  for (int64_t b = 0; b < n_blocks; b++) {
    tile_prefetch(at, next, b + ahead, n_blocks, f.levels);
    tile_prefetch(at + scales_at, next + scales_at, b + ahead, n_blocks, f.scales);
    __m256i part[HALF_PANELS][LEVEL_TOKENS], sum[HALF_PANELS][LEVEL_TOKENS];
    UNROLL
    for (int s = 0; s < 8; s++) {
      int step = s % 2 * 4 + s / 2; /* both nibbles of a byte one after the other */
      int run = steps_in_16_bits(f), in_run = s % run;
      UNROLL
      for (int h = 0; h < HALF_PANELS; h++) {
        __m256i w = step_levels(f, at + b * f.levels, h, step);
        UNROLL
        for (int i = 0; i < tokens; i++) {
          __m256i x = _mm256_set1_epi32(four_bytes(level + i * cols + b * QUANT_BLOCK + step * 4));
          __m256i two = products(f, w, x);
          part[h][i] = in_run == 0 ? two : _mm256_add_epi16(part[h][i], two);
          if (in_run < run - 1) continue;
          __m256i wide = _mm256_madd_epi16(part[h][i], _mm256_set1_epi16(1));
          sum[h][i] = s < run ? wide : _mm256_add_epi32(sum[h][i], wide);
        }
      }
    }
    UNROLL
    for (int i = 0; i < tokens; i++) {
      __m256i first = first_sum(f, neg_sum[i * n_blocks + b]);
      __m256 x_scale = _mm256_set1_ps(scale[i * n_blocks + b]);
      __m256 x_sum = _mm256_mul_ps(x_scale, _mm256_set1_ps((float)-neg_sum[i * n_blocks + b]));
      UNROLL
      for (int h = 0; h < HALF_PANELS; h++) {
        const char *scales = at + scales_at + b * f.scales + h * HALVES / 2;
        __m256 both = _mm256_mul_ps(load_halves(scales), x_scale);
        acc[h][i] = _mm256_fmadd_ps(both, _mm256_cvtepi32_ps(_mm256_add_epi32(first, sum[h][i])), acc[h][i]);
        if (f.has_min) acc[h][i] = _mm256_fmadd_ps(load_halves(scales + HALVES), x_sum, acc[h][i]);
      }
    }
  }
  UNROLL
  for (int h = 0; h < HALF_PANELS; h++) {
    UNROLL
    for (int i = 0; i < tokens; i++) store(t, panel, h, token + i, acc[h][i]);
  }
}

/* ---- One function for each type ---- */

TILE_INLINE void float_tiles(tile_format f, const linear_task *t, int64_t panel, int32_t token, int tokens) {
  switch (tokens) {
  case 1:
    float_tile(f, t, panel, token, 1);
    break;
  case 2:
    float_tile(f, t, panel, token, 2);
    break;
  case 3:
    float_tile(f, t, panel, token, 3);
    break;
  case 4:
    float_tile(f, t, panel, token, 4);
    break;
  case 5:
    float_tile(f, t, panel, token, 5);
    break;
  default:
    float_tile(f, t, panel, token, 6);
    break;
  }
}

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
  default:
    quantized_tile(f, t, panel, token, 4);
    break;
  }
}

#define LINEAR(NAME, FORMAT, TOKENS, TILES)                                                                            \
  static void NAME##_tile(const linear_task *t, int64_t panel, int32_t token, int tokens) {                            \
    TILES(FORMAT, t, panel, token, tokens);                                                                            \
  }                                                                                                                    \
  static void NAME(const linear_task *t) {                                                                             \
    tile_all(t, FORMAT, 1, TOKENS, NAME##_tile);                                                                       \
  }

LINEAR(linear_f32, TILE_F32, FLOAT_TOKENS, float_tiles)
LINEAR(linear_f16, TILE_F16, FLOAT_TOKENS, float_tiles)
LINEAR(linear_bf16, TILE_BF16, FLOAT_TOKENS, float_tiles)
LINEAR(linear_q8_0, TILE_Q8_0, LEVEL_TOKENS, quantized_tiles)
LINEAR(linear_q4_0, TILE_Q4_0, LEVEL_TOKENS, quantized_tiles)
LINEAR(linear_q4_1, TILE_Q4_1, LEVEL_TOKENS, quantized_tiles)
LINEAR(linear_q5_0, TILE_Q5_0, LEVEL_TOKENS, quantized_tiles)
LINEAR(linear_q5_1, TILE_Q5_1, LEVEL_TOKENS, quantized_tiles)

void cpu_linear_avx2(cpu_kernels *k) {
  k->linear[QUANT_F32] = linear_f32;
  k->linear[QUANT_F16] = linear_f16;
  k->linear[QUANT_BF16] = linear_bf16;
  k->linear[QUANT_Q8_0] = linear_q8_0;
  k->linear[QUANT_Q4_0] = linear_q4_0;
  k->linear[QUANT_Q4_1] = linear_q4_1;
  k->linear[QUANT_Q5_0] = linear_q5_0;
  k->linear[QUANT_Q5_1] = linear_q5_1;
}
