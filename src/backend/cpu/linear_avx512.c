/* linear kernels for avx512. */
#include "backend/cpu/kernels.h"

void cpu_linear_avx512(cpu_kernels *k) {
  (void)k;
}
