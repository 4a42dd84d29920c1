/* Operations on one row of activations with AVX2. */
#include "backend/cpu/kernels/x86/math_avx2.h"

#include "backend/cpu/kernels/lanes/rows_lanes.h"

void cpu_rows_avx2(cpu_kernels *k) {
  rows_fill(k);
}
