/* The products of outliers with NEON. */
#include "backend/cpu/math_neon.h"

#include "backend/cpu/outliers_lanes.h"

void cpu_outliers_neon(cpu_kernels *k) {
  outliers_fill(k);
}
