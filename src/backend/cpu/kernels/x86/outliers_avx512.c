/* The products of outliers with AVX-512. */
#include "backend/cpu/kernels/x86/math_avx512.h"

#include "backend/cpu/kernels/lanes/outliers_lanes.h"

void cpu_outliers_avx512(cpu_kernels *k) {
  outliers_fill(k);
}
