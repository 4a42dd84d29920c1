#include "engine/scan.h"

#include "base/cpu.h"

const scan_kernels *scan_detect(void) {
#if defined(__x86_64__)
  if (cpu_supports(CPU_AVX512)) return &scan_avx512;
  if (cpu_supports(CPU_AVX2)) return &scan_avx2;
#endif
  return &scan_portable;
}
