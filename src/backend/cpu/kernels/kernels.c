#include "backend/cpu/kernels/kernels.h"

static bool includes(cpu_isa isa, cpu_isa lower) {
  return lower <= isa && cpu_supports(lower);
}

/* With few tokens the kernels wait for memory. Intel's processors prefetch by themselves less than half of what memory
 * gives, and one token waits most: their first-level cache alone has too few lines under way for it. AMD's prefetch
 * more, and prefetching into both caches makes them slower. docs/PERFORMANCE.md has the measurements. */
static linear_prefetch prefetch_of_processor(void) {
  enum { SEVERAL = 4608 };
  static const linear_prefetch amd = {{0, 3456}, {0, SEVERAL}}, others = {{9216, 2304}, {0, SEVERAL}};
  return cpu_is_amd() ? amd : others;
}

void cpu_kernels_fill(cpu_kernels *k, cpu_isa isa) {
  cpu_kernels_portable(k);
  k->prefetch = prefetch_of_processor();
#if defined(__x86_64__)
  if (includes(isa, CPU_AVX2)) {
    cpu_linear_avx2(k);
    cpu_attend_avx2(k);
    cpu_rows_avx2(k);
    cpu_outliers_avx2(k);
    cpu_probe_avx2(k);
  }
  if (includes(isa, CPU_AVXVNNI)) {
    cpu_linear_avxvnni(k);
    cpu_attend_avxvnni(k);
  }
  if (includes(isa, CPU_AVX512)) {
    cpu_linear_avx512(k);
    cpu_linear_many_avx512(k);
    cpu_attend_avx512(k);
    cpu_rows_avx512(k);
    cpu_outliers_avx512(k);
    cpu_probe_avx512(k);
  }
  if (includes(isa, CPU_AMX)) cpu_linear_amx(k);
#elif defined(__aarch64__)
  if (includes(isa, CPU_NEON)) {
    cpu_linear_neon(k);
    cpu_attend_neon(k);
    cpu_rows_neon(k);
    cpu_outliers_neon(k);
    cpu_probe_neon(k);
  }
#else
  (void)isa;
#endif
}
