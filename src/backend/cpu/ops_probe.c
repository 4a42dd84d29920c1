/* Probes: work of one kind, as fast as this processor does it. */
#include "backend/cpu/cpu_device.h"

enum { ITEM_BYTES = 1 << 20 };

static uint64_t read_shared(be_worker *w, const char *memory, uint64_t bytes) {
  uint64_t sum = 0;
  for (uint64_t at; (at = (uint64_t)team_take(w->member, 1) * ITEM_BYTES) < bytes;)
    sum += w->context->device->kernels.probe_read(memory + at, bytes - at < ITEM_BYTES ? bytes - at : ITEM_BYTES);
  return sum;
}

/* One item for each worker, so that all of them compute at the same time. */
static uint64_t compute_shared(be_worker *w, const probe_arithmetic *arithmetic, uint64_t rounds) {
  uint64_t sum = 0;
  char operands[64];
  for (int64_t i; (i = team_take(w->member, 1)) < team_size(w->context->team);) {
    for (int j = 0; j < 64; j++) operands[j] = (char)(j + i);
    sum += arithmetic->run(rounds, operands);
  }
  return sum;
}

uint64_t cpu_probe(be_worker *w, be_probe kind, const void *memory, uint64_t amount) {
  const cpu_kernels *k = &w->context->device->kernels;
  const probe_arithmetic *arithmetic = kind == BE_PROBE_INT8 ? &k->probe_int8 : &k->probe_float;
  volatile uint64_t result =
      kind == BE_PROBE_READ ? read_shared(w, memory, amount) : compute_shared(w, arithmetic, amount);
  (void)result;
  team_barrier(w->member);
  return kind == BE_PROBE_READ ? amount : amount * arithmetic->ops * (uint64_t)team_size(w->context->team);
}
