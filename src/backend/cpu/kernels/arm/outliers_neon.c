/* The products of outliers with NEON. */
#include "backend/cpu/kernels/arm/math_neon.h"

#include "backend/cpu/kernels/lanes/outliers_lanes.h"

void cpu_outliers_neon(cpu_kernels *k) {
  outliers_fill(k);
}
