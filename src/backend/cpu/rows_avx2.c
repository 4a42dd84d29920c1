/* rows kernels for avx2. */
#include "backend/cpu/kernels.h"

void cpu_rows_avx2(cpu_kernels *k) {
  (void)k;
}
