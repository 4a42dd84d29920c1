/* Operations on one row of activations with AVX2. */
#include "backend/cpu/math_avx2.h"

#include "backend/cpu/rows_lanes.h"

void cpu_rows_avx2(cpu_kernels *k) {
  rows_fill(k);
}
