/* Probes with AVX2 and FMA. */
#include "backend/cpu/kernels/kernels.h"

#include <immintrin.h>

/* Makes the compiler take a vector for a new one, so that it repeats what it did with it. */
#define RENEW(X) __asm__ volatile("" : "+x"(X))

static uint64_t lanes_sum(__m256i x) {
  __m128i two = _mm_add_epi64(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
  return (uint64_t)_mm_cvtsi128_si64(two) + (uint64_t)_mm_extract_epi64(two, 1);
}

static uint64_t read_memory(const char *memory, size_t bytes) {
  enum { STEP = 256, AHEAD = 4096 };
  __m256i sum[8];
  for (int i = 0; i < 8; i++) sum[i] = _mm256_setzero_si256();
  for (const char *at = memory, *end = memory + bytes; at < end; at += STEP) {
    for (int i = 0; i < STEP; i += 64) __builtin_prefetch(at + AHEAD + i);
    for (int i = 0; i < 8; i++)
      sum[i] = _mm256_add_epi64(sum[i], _mm256_loadu_si256((const __m256i *)(const void *)(at + i * 32)));
  }
  for (int i = 1; i < 8; i++) sum[0] = _mm256_add_epi64(sum[0], sum[i]);
  return lanes_sum(sum[0]);
}

enum { INT_CHAINS = 4, IN_16_BITS = 8, INT_OPS = 2 * 32 * IN_16_BITS * INT_CHAINS };

/* Products of bytes by VPMADDUBSW; eight sums of two fit into 16 bits, as with 4-bit weights, and are then widened. */
static uint64_t int8_products(uint64_t rounds, const char operands[64]) {
  __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)operands), ones = _mm256_set1_epi16(1);
  __m256i y = _mm256_loadu_si256((const __m256i *)(const void *)(operands + 32)), sum[INT_CHAINS];
  for (int i = 0; i < INT_CHAINS; i++) sum[i] = _mm256_setzero_si256();
  for (uint64_t round = 0; round < rounds; round++)
    for (int i = 0; i < INT_CHAINS; i++) {
      RENEW(x);
      __m256i part = _mm256_maddubs_epi16(x, y);
      for (int j = 1; j < IN_16_BITS; j++) {
        RENEW(x);
        part = _mm256_add_epi16(part, _mm256_maddubs_epi16(x, y));
      }
      sum[i] = _mm256_add_epi32(sum[i], _mm256_madd_epi16(part, ones));
    }
  for (int i = 1; i < INT_CHAINS; i++) sum[0] = _mm256_add_epi32(sum[0], sum[i]);
  return lanes_sum(sum[0]);
}

enum { FLOAT_CHAINS = 12, FLOAT_OPS = 2 * 8 * FLOAT_CHAINS };

static uint64_t float_products(uint64_t rounds, const char operands[64]) {
  __m256 sum[FLOAT_CHAINS], half = _mm256_set1_ps(0.5f), one = _mm256_set1_ps(1);
  for (int i = 0; i < FLOAT_CHAINS; i++) sum[i] = _mm256_set1_ps((float)(operands[i] + i));
  for (uint64_t round = 0; round < rounds; round++)
    for (int i = 0; i < FLOAT_CHAINS; i++) sum[i] = _mm256_fmadd_ps(sum[i], half, one);
  for (int i = 1; i < FLOAT_CHAINS; i++) sum[0] = _mm256_add_ps(sum[0], sum[i]);
  return lanes_sum(_mm256_castps_si256(sum[0]));
}

void cpu_probe_avx2(cpu_kernels *k) {
  k->probe_read = read_memory;
  k->probe_int8 = (probe_arithmetic){int8_products, INT_OPS};
  k->probe_float = (probe_arithmetic){float_products, FLOAT_OPS};
}
