/* Attention with NEON: tiles of 6 queries by 16 positions or 16 dimensions, in 24 of the 32 registers. */
#include "backend/cpu/kernels/arm/math_neon.h"

enum { SCORE_GROUPS = 1, VALUE_VECTORS = 1, Q8_VECTORS = 1 };

#include "backend/cpu/kernels/lanes/attend_lanes.h"

/* Adds the products of four levels of four keys, `lane` of q's sixteen. */
INLINE int32x4_t add_dots(int32x4_t sum, int8x16_t keys, int8x16_t q, int lane) {
  switch (lane) {
  case 0:
    return vdotq_laneq_s32(sum, keys, q, 0);
  case 1:
    return vdotq_laneq_s32(sum, keys, q, 1);
  case 2:
    return vdotq_laneq_s32(sum, keys, q, 2);
  default:
    return vdotq_laneq_s32(sum, keys, q, 3);
  }
}

/* Stored levels are 128 above the true ones: the highest bit turned over makes them signed. */
INLINE void score_dots(const uint8_t *keys, const int8_t *const *q, const int32_t *neg_sum, int n, lanes *dot) {
  enum { VECTORS = LANES / 4 };
  int32x4_t sum[TILE_QUERIES][VECTORS];
  (void)neg_sum;
  UNROLL for (int i = 0; i < n; i++) {
    UNROLL for (int v = 0; v < VECTORS; v++) sum[i][v] = vdupq_n_s32(0);
  }
  UNROLL for (int half = 0; half < 2; half++) {
    int8x16_t levels[TILE_QUERIES];
    UNROLL for (int i = 0; i < n; i++) levels[i] = vld1q_s8(q[i] + half * 16);
    UNROLL for (int s = 0; s < 4; s++) {
      UNROLL for (int v = 0; v < VECTORS; v++) {
        uint8x16_t stored = vld1q_u8(keys + (half * 4 + s) * LINE + v * 16);
        int8x16_t key = vreinterpretq_s8_u8(veorq_u8(stored, vdupq_n_u8(0x80)));
        UNROLL for (int i = 0; i < n; i++) sum[i][v] = add_dots(sum[i][v], key, levels[i], s);
      }
    }
  }
  UNROLL for (int i = 0; i < n; i++) {
    dot[i] =
        (lanes){vcvtq_f32_s32(sum[i][0]), vcvtq_f32_s32(sum[i][1]), vcvtq_f32_s32(sum[i][2]), vcvtq_f32_s32(sum[i][3])};
  }
}

void cpu_attend_neon(cpu_kernels *k) {
  attend_fill(k);
}
