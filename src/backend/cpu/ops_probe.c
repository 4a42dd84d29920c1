/* Probes: work of one kind, as fast as this processor does it. */
#include "backend/cpu/cpu.h"

enum { PIECE = 1 << 20 };

static uint64_t read_shared(be_worker *w, const char *memory, uint64_t bytes) {
  team *crew = w->context->team;
  uint64_t sum = 0;
  for (uint64_t at; (at = (uint64_t)team_take(crew, PIECE)) < bytes;)
    sum += w->context->device->kernels.probe_read(memory + at, bytes - at < PIECE ? bytes - at : PIECE);
  return sum;
}

uint64_t cpu_probe(be_worker *w, be_probe kind, const void *memory, uint64_t amount) {
  const cpu_kernels *k = &w->context->device->kernels;
  team *crew = w->context->team;
  const probe_arithmetic *arithmetic = kind == BE_PROBE_INT8 ? &k->probe_int8 : &k->probe_float;
  char operands[64];
  for (int i = 0; i < 64; i++) operands[i] = (char)(i + w->index);
  volatile uint64_t result = kind == BE_PROBE_READ ? read_shared(w, memory, amount) : arithmetic->run(amount, operands);
  (void)result;
  team_barrier(crew);
  return kind == BE_PROBE_READ ? amount : amount * arithmetic->ops * (uint64_t)team_size(crew);
}
