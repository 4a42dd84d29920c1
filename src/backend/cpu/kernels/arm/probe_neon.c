/* Probes with NEON and its dot products. */
#include "backend/cpu/kernels/kernels.h"

#include <arm_neon.h>

static uint64_t read_memory(const char *memory, size_t bytes) {
  enum { STEP = 128, AHEAD = 4096 };
  uint64x2_t sum[8];
  for (int i = 0; i < 8; i++) sum[i] = vdupq_n_u64(0);
  for (const char *at = memory, *end = memory + bytes; at < end; at += STEP) {
    for (int i = 0; i < STEP; i += 64) __builtin_prefetch(at + AHEAD + i);
    for (int i = 0; i < 8; i++) sum[i] = vaddq_u64(sum[i], vld1q_u64((const uint64_t *)(const void *)(at + i * 16)));
  }
  for (int i = 1; i < 8; i++) sum[0] = vaddq_u64(sum[0], sum[i]);
  return vaddvq_u64(sum[0]);
}

/* As many sums as four units with four steps of latency need. */
enum { CHAINS = 16, INT_OPS = 2 * 16 * CHAINS, FLOAT_OPS = 2 * 4 * CHAINS };

/* Four products of bytes and their sum at once: SDOT. */
static uint64_t int8_products(uint64_t rounds, const char operands[64]) {
  int8x16_t x = vld1q_s8((const int8_t *)(const void *)operands);
  int32x4_t sum[CHAINS];
  for (int i = 0; i < CHAINS; i++) sum[i] = vdupq_n_s32(i);
  for (uint64_t round = 0; round < rounds; round++)
    for (int i = 0; i < CHAINS; i++) sum[i] = vdotq_s32(sum[i], x, x);
  for (int i = 1; i < CHAINS; i++) sum[0] = vaddq_s32(sum[0], sum[i]);
  return (uint32_t)vaddvq_s32(sum[0]);
}

static uint64_t float_products(uint64_t rounds, const char operands[64]) {
  float32x4_t sum[CHAINS], half = vdupq_n_f32(0.5f);
  for (int i = 0; i < CHAINS; i++) sum[i] = vdupq_n_f32((float)(operands[i] + i));
  for (uint64_t round = 0; round < rounds; round++)
    for (int i = 0; i < CHAINS; i++) sum[i] = vfmaq_f32(sum[i], half, half);
  for (int i = 1; i < CHAINS; i++) sum[0] = vaddq_f32(sum[0], sum[i]);
  return (uint32_t)vaddvq_u32(vreinterpretq_u32_f32(sum[0]));
}

void cpu_probe_neon(cpu_kernels *k) {
  k->probe_read = read_memory;
  k->probe_int8 = (probe_arithmetic){int8_products, INT_OPS};
  k->probe_float = (probe_arithmetic){float_products, FLOAT_OPS};
}
