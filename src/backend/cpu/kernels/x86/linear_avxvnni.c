/* Quantised linear layers with AVX2 and AVX-VNNI. */
#include "backend/cpu/kernels/x86/linear_many_256.h"

TILE_QUANTIZED(LINEAR_256)

#define FILL(NAME, TYPE) k->linear[QUANT_##TYPE] = linear_##NAME;
void cpu_linear_avxvnni(cpu_kernels *k) {
  TILE_QUANTIZED(FILL)
  kernels_need_scratch(k, part_bytes(SHAPE_256));
}
