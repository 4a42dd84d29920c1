/* Operations on one row of activations with AVX-512. */
#include "backend/cpu/math_avx512.h"

#include "backend/cpu/rows_lanes.h"

void cpu_rows_avx512(cpu_kernels *k) {
  rows_fill(k);
}
