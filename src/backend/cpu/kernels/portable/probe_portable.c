/* Probes in portable C, which the compiler vectorises for the oldest processor of its target. */
#include "backend/cpu/kernels/portable/portable.h"

#include <string.h>

static uint64_t read_memory(const char *memory, size_t bytes) {
  enum { LINE = 64, AHEAD = 4096 };
  uint64_t sum[8] = {0}, all = 0;
  for (size_t at = 0; at < bytes; at += LINE) {
    uint64_t v[8];
    __builtin_prefetch(memory + at + AHEAD);
    memcpy(v, memory + at, sizeof v);
    for (int i = 0; i < 8; i++) sum[i] += v[i];
  }
  for (int i = 0; i < 8; i++) all += sum[i];
  return all;
}

enum { INPUTS = 1024, CHAINS = 64 };

/* Products of bytes summed in 32 bits. Each round starts elsewhere in y, so that none repeats the one before. */
static uint64_t int8_products(uint64_t rounds, const char operands[64]) {
  int8_t x[INPUTS], y[INPUTS + 64];
  for (int i = 0; i < INPUTS; i++) x[i] = (int8_t)(operands[i % 64] * 3);
  for (int i = 0; i < INPUTS + 64; i++) y[i] = (int8_t)(operands[i % 64] + i);
  uint32_t sum = 0;
  for (uint64_t round = 0; round < rounds; round++) {
    const int8_t *from = y + round % 64;
    int32_t part = 0;
    for (int i = 0; i < INPUTS; i++) part += x[i] * from[i];
    sum += (uint32_t)part;
  }
  return sum;
}

/* A multiplication and an addition, each rounded: without an instruction for both, fma() is a function. */
static uint64_t float_products(uint64_t rounds, const char operands[64]) {
  float sum[CHAINS], all = 0;
  for (int i = 0; i < CHAINS; i++) sum[i] = (float)operands[i];
  for (uint64_t round = 0; round < rounds; round++)
    for (int i = 0; i < CHAINS; i++) sum[i] = sum[i] * 0.5f + 1.0f;
  for (int i = 0; i < CHAINS; i++) all += sum[i];
  return (uint64_t)(int64_t)all;
}

void portable_probe(cpu_kernels *k) {
  k->probe_read = read_memory;
  k->probe_int8 = (probe_arithmetic){int8_products, 2 * INPUTS};
  k->probe_float = (probe_arithmetic){float_products, 2 * CHAINS};
}
