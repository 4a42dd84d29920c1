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

/* ---- Quantised weights: levels ---- */

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
  return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)quant_get(f.type)->values));
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

/* Types whose levels have a sign; those of others are as stored. */
TILE_INLINE bool is_signed(tile_format f) {
  return f.bits == 8 || tile_has_values(f);
}

/* Inputs 4 step .. 4 step + 3 of half a panel. */
TILE_INLINE __m256i step_levels(tile_format f, const char *plane, int half, int step, __m256i values) {
  const char *p = plane + half * 32;
  if (f.bits == 8)
    return _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(p + step * 64)), _mm256_set1_epi8(-128));
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

/* Sums of two products in 16 bits. Activations' levels are within -127 .. 127, so that no sum saturates:
 *   2, 3 bits  2 * 7 * 127 = 1,778, and 4 of them are 7,112
 *   4 bits     2 * 15 * 127 = 3,810, and 8 of them are 30,480
 *   5 bits     2 * 31 * 127 = 7,874, and 4 of them are 31,496
 *   6 bits     2 * 63 * 127 = 16,002, and 2 of them are 32,004
 *   signed     2 * 128 * 127 = 32,512; the weight's sign moves to the activation, which has no -128 to overflow */
TILE_INLINE __m256i products(tile_format f, __m256i w, __m256i x) {
  if (!is_signed(f)) return _mm256_maddubs_epi16(w, x);
  return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
}

/* How many of those are added in 16 bits; with factors for halves of a piece no more than the 4 of a half. */
TILE_INLINE int steps_in_16_bits(tile_format f) {
  return is_signed(f) ? 1 : f.bits == 4 ? 8 : f.bits == 6 ? 2 : 4;
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

/* What the sums in 16 bits of half a panel are multiplied by, and with them the activation's sums. */
typedef struct multipliers {
  __m256i of[2]; /* products of the first and the second half of a piece */
  __m256i zero;  /* the zero point, times minus the sums of the activation's levels */
  __m256i min;   /* minus the factors of the minimum, likewise */
} multipliers;

/* Those of the factors of half a panel. */
TILE_INLINE multipliers load_multipliers(tile_format f, const char *factors) {
  const __m256i one = _mm256_set1_epi16(1);
  multipliers to = {{one, one}, _mm256_set1_epi16((short)f.zero), _mm256_set1_epi16(-1)};
  if (f.factors == FACTORS_NONE) return to;
  __m128i a = load_bytes(factors), b = tile_has_halves(f) ? load_bytes(factors + PANEL_ROWS) : a;
  if (f.factors == FACTORS_SCALE_MIN) {
    __m128i min = load_bytes(factors + PANEL_ROWS);
    to.min = _mm256_sub_epi16(_mm256_setzero_si256(), pairs(min, min));
  } else if (f.factors == FACTORS_SCALES_MINS) {
    to.min = _mm256_sub_epi16(_mm256_setzero_si256(), pairs(nibbles(a, 4), nibbles(b, 4)));
    a = nibbles(a, 0), b = nibbles(b, 0);
  }
  to.of[0] = pairs(a, a);
  to.of[1] = pairs(b, b);
  to.zero = _mm256_mullo_epi16(pairs(a, b), to.zero);
  return to;
}

/* ---- Quantised weights: tiles ---- */

/* Where a tile's operands are. */
typedef struct operands {
  int64_t cols, n_blocks, scales_at, ahead;
  const int8_t *level;
  const float *scale;
  const int16_t *neg_sum;
  const char *at, *next;
  __m256i values;
} operands;

TILE_INLINE operands find_operands(tile_format f, const linear_task *t, int64_t panel, int32_t token) {
  int64_t cols = t->x->cols, n_blocks = cols / QUANT_BLOCK;
  return (operands){.cols = cols,
                    .n_blocks = n_blocks,
                    .scales_at = n_blocks * f.levels,
                    .ahead = tile_ahead(f, n_blocks),
                    .level = t->x->level + token * cols,
                    .scale = t->x->scale + token * n_blocks,
                    .neg_sum = t->x->neg_sum + token * n_blocks * 2,
                    .at = tile_panel(t, panel),
                    .next = tile_panel(t, panel + 1),
                    .values = load_values(f)};
}

/* The integer products of piece b. */
TILE_INLINE void multiply(tile_format f, const operands *o, int64_t b, int tokens, const multipliers by[HALF_PANELS],
                          __m256i sum[HALF_PANELS][LEVEL_TOKENS]) {
  __m256i part[HALF_PANELS][LEVEL_TOKENS];
  UNROLL
  for (int s = 0; s < 8; s++) {
    /* Both nibbles of a byte come one after the other, but not where a half of the piece is summed by itself. */
    int step = tile_has_halves(f) ? s : s % 2 * 4 + s / 2;
    int run = steps_in_16_bits(f), in_run = s % run;
    UNROLL
    for (int h = 0; h < HALF_PANELS; h++) {
      __m256i w = step_levels(f, o->at + b * f.levels, h, step, o->values);
      UNROLL
      for (int i = 0; i < tokens; i++) {
        __m256i x = _mm256_set1_epi32(four_bytes(o->level + i * o->cols + b * QUANT_BLOCK + step * 4));
        __m256i two = products(f, w, x);
        part[h][i] = in_run == 0 ? two : _mm256_add_epi16(part[h][i], two);
        if (in_run < run - 1) continue;
        __m256i wide = _mm256_madd_epi16(part[h][i], by[h].of[step / 4]);
        sum[h][i] = s < run ? wide : _mm256_add_epi32(sum[h][i], wide);
      }
    }
  }
}

/* Adds the products, scaled, and the minima. */
TILE_INLINE void accumulate(tile_format f, const operands *o, int64_t b, int tokens, const multipliers by[HALF_PANELS],
                            __m256i sum[HALF_PANELS][LEVEL_TOKENS], __m256 acc[HALF_PANELS][LEVEL_TOKENS]) {
  UNROLL
  for (int i = 0; i < tokens; i++) {
    int64_t block = i * o->n_blocks + b;
    __m256 x_scale = _mm256_set1_ps(o->scale[block]);
    __m256i minus_sums = _mm256_set1_epi32(four_bytes(o->neg_sum + 2 * block));
    UNROLL
    for (int h = 0; h < HALF_PANELS; h++) {
      const char *scales = tile_scales(f, o->at + o->scales_at, b) + h * HALVES / 2;
      __m256 both = _mm256_mul_ps(load_halves(scales), x_scale);
      __m256i product = sum[h][i];
      if (f.zero && !is_signed(f)) product = _mm256_add_epi32(product, _mm256_madd_epi16(minus_sums, by[h].zero));
      acc[h][i] = _mm256_fmadd_ps(both, _mm256_cvtepi32_ps(product), acc[h][i]);
      if (!f.has_min) continue;
      __m256 min = _mm256_mul_ps(x_scale, _mm256_cvtepi32_ps(_mm256_madd_epi16(minus_sums, by[h].min)));
      acc[h][i] = _mm256_fmadd_ps(load_halves(scales + HALVES), min, acc[h][i]);
    }
  }
}

TILE_INLINE void quantized_tile(tile_format f, const linear_task *t, int64_t panel, int32_t token, int tokens) {
  const operands o = find_operands(f, t, panel, token);
  __m256 acc[HALF_PANELS][LEVEL_TOKENS];
  UNROLL
  for (int h = 0; h < HALF_PANELS; h++) {
    UNROLL
    for (int i = 0; i < tokens; i++) acc[h][i] = _mm256_setzero_ps();
  }
  for (int64_t b = 0; b < o.n_blocks; b++) {
    tile_prefetch(o.at, o.next, b + o.ahead, o.n_blocks, f.levels);
    tile_prefetch(o.at + o.scales_at, o.next + o.scales_at, b + o.ahead, o.n_blocks, tile_scale_bytes(f));
    __m256i sum[HALF_PANELS][LEVEL_TOKENS];
    multipliers by[HALF_PANELS];
    UNROLL
    for (int h = 0; h < HALF_PANELS; h++)
      by[h] = load_multipliers(f, tile_factors(f, o.at + o.scales_at, b) + h * LANES);
    multiply(f, &o, b, tokens, by, sum);
    accumulate(f, &o, b, tokens, by, sum, acc);
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
  static void linear_##NAME(const linear_task *t) {                                                                    \
    tile_all(t, FORMAT, 1, TOKENS, NAME##_tile);                                                                       \
  }
#define FLOAT(NAME, TYPE) LINEAR(NAME, TILE_##TYPE, FLOAT_TOKENS, float_tiles)
#define QUANTIZED(NAME, TYPE) LINEAR(NAME, TILE_##TYPE, LEVEL_TOKENS, quantized_tiles)
TILE_FLOAT(FLOAT)
TILE_QUANTIZED(QUANTIZED)

#define FILL(NAME, TYPE) k->linear[QUANT_##TYPE] = linear_##NAME;
void cpu_linear_avx2(cpu_kernels *k) {
  TILE_FLOAT(FILL)
  TILE_QUANTIZED(FILL)
}
