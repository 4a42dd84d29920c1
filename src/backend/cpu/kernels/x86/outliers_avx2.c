/* The products of outliers with AVX2. */
#include "backend/cpu/kernels/x86/math_avx2.h"

#include "backend/cpu/kernels/lanes/outliers_lanes.h"

void cpu_outliers_avx2(cpu_kernels *k) {
  outliers_fill(k);
}
