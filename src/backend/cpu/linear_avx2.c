/* linear kernels for avx2. */
#include "backend/cpu/kernels.h"

void cpu_linear_avx2(cpu_kernels *k) {
  (void)k;
}
