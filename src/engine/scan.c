#include "engine/scan.h"

#include "base/cpu.h"

const scan_kernels *scan_find(const char *isa) {
  cpu_isa highest;
  if (!isa || !cpu_isa_from_name(isa, &highest)) highest = cpu_detect();
#if defined(__x86_64__)
  if (highest >= CPU_AVX512 && cpu_supports(CPU_AVX512)) return &scan_avx512;
  if (highest >= CPU_AVX2 && cpu_supports(CPU_AVX2)) return &scan_avx2;
#endif
  return &scan_portable;
}
