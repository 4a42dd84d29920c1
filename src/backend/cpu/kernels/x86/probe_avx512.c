/* Probes with AVX-512 and VNNI. */
#include "backend/cpu/kernels/kernels.h"

#include <immintrin.h>

static uint64_t lanes_sum(__m512i x) {
  uint64_t lanes[8], sum = 0;
  _mm512_storeu_si512(lanes, x);
  for (int i = 0; i < 8; i++) sum += lanes[i];
  return sum;
}

static uint64_t read_memory(const char *memory, size_t bytes) {
  enum { STEP = 512, AHEAD = 4096 };
  __m512i sum[8];
  for (int i = 0; i < 8; i++) sum[i] = _mm512_setzero_si512();
  for (const char *at = memory, *end = memory + bytes; at < end; at += STEP) {
    for (int i = 0; i < STEP; i += 64) __builtin_prefetch(at + AHEAD + i);
    for (int i = 0; i < 8; i++) sum[i] = _mm512_add_epi64(sum[i], _mm512_loadu_si512(at + i * 64));
  }
  for (int i = 1; i < 8; i++) sum[0] = _mm512_add_epi64(sum[0], sum[i]);
  return lanes_sum(sum[0]);
}

/* As many sums as two units with four steps of latency need, and some more. */
enum { CHAINS = 12, INT_OPS = 2 * 64 * CHAINS, FLOAT_OPS = 2 * 16 * CHAINS };

/* Four products of bytes and their sum at once: VPDPBUSD. */
static uint64_t int8_products(uint64_t rounds, const char operands[64]) {
  __m512i x = _mm512_loadu_si512(operands), sum[CHAINS];
  for (int i = 0; i < CHAINS; i++) sum[i] = _mm512_set1_epi32(i);
  for (uint64_t round = 0; round < rounds; round++)
    for (int i = 0; i < CHAINS; i++) sum[i] = _mm512_dpbusd_epi32(sum[i], x, x);
  for (int i = 1; i < CHAINS; i++) sum[0] = _mm512_add_epi32(sum[0], sum[i]);
  return lanes_sum(sum[0]);
}

static uint64_t float_products(uint64_t rounds, const char operands[64]) {
  __m512 sum[CHAINS], half = _mm512_set1_ps(0.5f), one = _mm512_set1_ps(1);
  for (int i = 0; i < CHAINS; i++) sum[i] = _mm512_set1_ps((float)(operands[i] + i));
  for (uint64_t round = 0; round < rounds; round++)
    for (int i = 0; i < CHAINS; i++) sum[i] = _mm512_fmadd_ps(sum[i], half, one);
  for (int i = 1; i < CHAINS; i++) sum[0] = _mm512_add_ps(sum[0], sum[i]);
  return lanes_sum(_mm512_castps_si512(sum[0]));
}

void cpu_probe_avx512(cpu_kernels *k) {
  k->probe_read = read_memory;
  k->probe_int8 = (probe_arithmetic){int8_products, INT_OPS};
  k->probe_float = (probe_arithmetic){float_products, FLOAT_OPS};
}
