/* Sixteen floats at once with NEON, as four registers; math_avx512.h has the same functions for AVX-512. Each is one
 * IEEE operation on every lane, so that code written with them gives the bits of the portable C that it follows. */
#ifndef ARM_MATH_NEON_H
#define ARM_MATH_NEON_H

#include <arm_neon.h>
#include <stdint.h>

enum { LANES = 16 };
typedef struct lanes {
  float32x4_t a, b, c, d; /* lanes 0 .. 3, 4 .. 7, 8 .. 11 and 12 .. 15 */
} lanes;

/* A function of four lanes, of each quarter of its arguments. */
#define LANES_OF_1(F, X) ((lanes){F((X).a), F((X).b), F((X).c), F((X).d)})
#define LANES_OF_2(F, X, Y) ((lanes){F((X).a, (Y).a), F((X).b, (Y).b), F((X).c, (Y).c), F((X).d, (Y).d)})

static inline lanes lanes_set(float x) {
  float32x4_t four = vdupq_n_f32(x);
  return (lanes){four, four, four, four};
}
static inline lanes lanes_zero(void) {
  return lanes_set(0);
}

/* ---- Memory. The functions with n touch the first n lanes only, 0 <= n <= 16; the others read as zero ---- */

static inline lanes lanes_load(const float *p) {
  return (lanes){vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)};
}
static inline float32x4_t lanes_load4_n(const float *p, int n) {
  if (n >= 4) return vld1q_f32(p);
  float32x4_t x = vdupq_n_f32(0);
  if (n > 0) x = vld1q_lane_f32(p, x, 0);
  if (n > 1) x = vld1q_lane_f32(p + 1, x, 1);
  if (n > 2) x = vld1q_lane_f32(p + 2, x, 2);
  return x;
}
static inline lanes lanes_load_n(const float *p, int n) {
  if (n == LANES) return lanes_load(p);
  return (lanes){lanes_load4_n(p, n), lanes_load4_n(p + 4, n - 4), lanes_load4_n(p + 8, n - 8),
                 lanes_load4_n(p + 12, n - 12)};
}
static inline void lanes_store(float *p, lanes x) {
  vst1q_f32(p, x.a);
  vst1q_f32(p + 4, x.b);
  vst1q_f32(p + 8, x.c);
  vst1q_f32(p + 12, x.d);
}
static inline void lanes_store4_n(float *p, float32x4_t x, int n) {
  if (n >= 4) {
    vst1q_f32(p, x);
    return;
  }
  if (n > 0) vst1q_lane_f32(p, x, 0);
  if (n > 1) vst1q_lane_f32(p + 1, x, 1);
  if (n > 2) vst1q_lane_f32(p + 2, x, 2);
}
static inline void lanes_store_n(float *p, lanes x, int n) {
  lanes_store4_n(p, x.a, n);
  lanes_store4_n(p + 4, x.b, n - 4);
  lanes_store4_n(p + 8, x.c, n - 8);
  lanes_store4_n(p + 12, x.d, n - 12);
}
static inline float32x4_t lanes_widen(uint16x4_t halves) {
  return vcvt_f32_f16(vreinterpret_f16_u16(halves));
}
static inline lanes lanes_load_f16(const uint16_t *p) {
  uint16x8_t low = vld1q_u16(p), high = vld1q_u16(p + 8);
  return (lanes){lanes_widen(vget_low_u16(low)), lanes_widen(vget_high_u16(low)), lanes_widen(vget_low_u16(high)),
                 lanes_widen(vget_high_u16(high))};
}
static inline lanes lanes_load_f16_n(const uint16_t *p, int n) {
  uint16_t halves[LANES] = {0};
  for (int i = 0; i < n; i++) halves[i] = p[i];
  return lanes_load_f16(halves);
}
static inline float32x4_t lanes_from_i16(int16x4_t x) {
  return vcvtq_f32_s32(vmovl_s16(x));
}
static inline lanes lanes_load_i8(const char *p) {
  int8x16_t x = vld1q_s8((const int8_t *)p);
  int16x8_t low = vmovl_s8(vget_low_s8(x)), high = vmovl_s8(vget_high_s8(x));
  return (lanes){lanes_from_i16(vget_low_s16(low)), lanes_from_i16(vget_high_s16(low)),
                 lanes_from_i16(vget_low_s16(high)), lanes_from_i16(vget_high_s16(high))};
}
static inline void lanes_store_f16(uint16_t *p, lanes x) {
  vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(x.a)));
  vst1_u16(p + 4, vreinterpret_u16_f16(vcvt_f16_f32(x.b)));
  vst1_u16(p + 8, vreinterpret_u16_f16(vcvt_f16_f32(x.c)));
  vst1_u16(p + 12, vreinterpret_u16_f16(vcvt_f16_f32(x.d)));
}
/* Rounds to signed bytes and returns their sum. */
static inline int32_t lanes_store_i8(int8_t *p, lanes x) {
  int32x4_t a = vcvtnq_s32_f32(x.a), b = vcvtnq_s32_f32(x.b), c = vcvtnq_s32_f32(x.c), d = vcvtnq_s32_f32(x.d);
  int16x8_t low = vcombine_s16(vmovn_s32(a), vmovn_s32(b)), high = vcombine_s16(vmovn_s32(c), vmovn_s32(d));
  vst1q_s8(p, vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
  return vaddvq_s16(vaddq_s16(low, high));
}

/* ---- Arithmetic ---- */

static inline lanes lanes_add(lanes x, lanes y) {
  return LANES_OF_2(vaddq_f32, x, y);
}
static inline lanes lanes_sub(lanes x, lanes y) {
  return LANES_OF_2(vsubq_f32, x, y);
}
static inline lanes lanes_mul(lanes x, lanes y) {
  return LANES_OF_2(vmulq_f32, x, y);
}
static inline lanes lanes_div(lanes x, lanes y) {
  return LANES_OF_2(vdivq_f32, x, y);
}
/* x y + z */
static inline lanes lanes_fma(lanes x, lanes y, lanes z) {
  return (lanes){vfmaq_f32(z.a, x.a, y.a), vfmaq_f32(z.b, x.b, y.b), vfmaq_f32(z.c, x.c, y.c),
                 vfmaq_f32(z.d, x.d, y.d)};
}
static inline lanes lanes_negate(lanes x) {
  return LANES_OF_1(vnegq_f32, x);
}
static inline lanes lanes_round(lanes x) {
  return LANES_OF_1(vrndnq_f32, x);
}
/* x 2^n in two steps, since 2^128 is not a float. */
static inline float32x4_t lanes_scale4(float32x4_t x, float32x4_t n) {
  int32x4_t whole = vcvtnq_s32_f32(n), bias = vdupq_n_s32(127);
  int32x4_t half = vshrq_n_s32(whole, 1), rest = vsubq_s32(whole, half);
  x = vmulq_f32(x, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(half, bias), 23)));
  return vmulq_f32(x, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(rest, bias), 23)));
}
/* x 2^n for whole n, where neither is so far out that the result would be rounded. */
static inline lanes lanes_scale(lanes x, lanes n) {
  return LANES_OF_2(lanes_scale4, x, n);
}

/* math_tree16() */
static inline float lanes_tree(lanes x) {
  float32x4_t four = vaddq_f32(vaddq_f32(x.a, x.c), vaddq_f32(x.b, x.d));
  return vaddv_f32(vadd_f32(vget_low_f32(four), vget_high_f32(four)));
}

/* ---- Comparisons ---- */

static inline float32x4_t lanes_max4(float32x4_t x, float32x4_t y) {
  return vbslq_f32(vcgtq_f32(x, y), x, y);
}
/* x > y ? x : y, which for NaN is y. */
static inline lanes lanes_max(lanes x, lanes y) {
  return LANES_OF_2(lanes_max4, x, y);
}
/* x < y ? yes : no */
static inline lanes lanes_less(lanes x, lanes y, lanes yes, lanes no) {
  return (lanes){vbslq_f32(vcltq_f32(x.a, y.a), yes.a, no.a), vbslq_f32(vcltq_f32(x.b, y.b), yes.b, no.b),
                 vbslq_f32(vcltq_f32(x.c, y.c), yes.c, no.c), vbslq_f32(vcltq_f32(x.d, y.d), yes.d, no.d)};
}
static inline float32x4_t lanes_between4(int first, int last, float32x4_t x, float32x4_t other) {
  static const int32_t numbers[4] = {0, 1, 2, 3};
  int32x4_t i = vld1q_s32(numbers);
  uint32x4_t in = vandq_u32(vcgeq_s32(i, vdupq_n_s32(first)), vcleq_s32(i, vdupq_n_s32(last)));
  return vbslq_f32(in, x, other);
}
/* first <= lane number <= last ? x : other, for any first and last. */
static inline lanes lanes_between(int first, int last, lanes x, lanes other) {
  return (lanes){lanes_between4(first, last, x.a, other.a), lanes_between4(first - 4, last - 4, x.b, other.b),
                 lanes_between4(first - 8, last - 8, x.c, other.c),
                 lanes_between4(first - 12, last - 12, x.d, other.d)};
}
/* The largest lane, none of which is NaN; of zeros either. */
static inline float lanes_largest(lanes x) {
  return vmaxvq_f32(vmaxq_f32(vmaxq_f32(x.a, x.b), vmaxq_f32(x.c, x.d)));
}
static inline uint32x4_t lanes_magnitude_bits(float32x4_t x) {
  return vreinterpretq_u32_f32(vabsq_f32(x));
}
/* The bits of the largest magnitude of x and y, as whole numbers. */
static inline uint32_t lanes_largest_bits(lanes x, lanes y) {
  uint32x4_t a = vmaxq_u32(lanes_magnitude_bits(x.a), lanes_magnitude_bits(x.b));
  uint32x4_t b = vmaxq_u32(lanes_magnitude_bits(x.c), lanes_magnitude_bits(x.d));
  uint32x4_t c = vmaxq_u32(lanes_magnitude_bits(y.a), lanes_magnitude_bits(y.b));
  uint32x4_t d = vmaxq_u32(lanes_magnitude_bits(y.c), lanes_magnitude_bits(y.d));
  return vmaxvq_u32(vmaxq_u32(vmaxq_u32(a, b), vmaxq_u32(c, d)));
}
static inline uint32_t lanes_above4(float32x4_t x, float least) {
  static const uint32_t bits[4] = {1, 2, 4, 8};
  return vaddvq_u32(vandq_u32(vcgtq_f32(vabsq_f32(x), vdupq_n_f32(least)), vld1q_u32(bits)));
}
static inline uint32_t lanes_above16(lanes x, float least) {
  return lanes_above4(x.a, least) | lanes_above4(x.b, least) << 4 | lanes_above4(x.c, least) << 8 |
         lanes_above4(x.d, least) << 12;
}
/* Bit i: whether the magnitude of value i is above `least`, of the lanes of x and then of y. */
static inline uint32_t lanes_above(lanes x, lanes y, float least) {
  return lanes_above16(x, least) | lanes_above16(y, least) << 16;
}
static inline float32x4_t lanes_without4(float32x4_t x, uint32_t bits) {
  static const uint32_t own[4] = {1, 2, 4, 8};
  uint32x4_t set = vtstq_u32(vdupq_n_u32(bits), vld1q_u32(own));
  return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(x), set));
}
/* x with zero in lane i where bit i is set. */
static inline lanes lanes_without(lanes x, uint32_t bits) {
  return (lanes){lanes_without4(x.a, bits), lanes_without4(x.b, bits >> 4), lanes_without4(x.c, bits >> 8),
                 lanes_without4(x.d, bits >> 12)};
}

#endif
