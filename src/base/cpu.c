#include "base/cpu.h"

#include <sched.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>

static unsigned long long enabled_states(void) {
  unsigned low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (unsigned long long)high << 32 | low;
}

/* Tiles are off until a process asks for them; from then on all its threads may use them. */
static bool tiles_granted(void) {
  enum { REQUEST_STATE = 0x1023, TILE_DATA = 18 };
  return syscall(SYS_arch_prctl, REQUEST_STATE, TILE_DATA) == 0;
}

cpu_level cpu_detect(void) {
  enum { FMA = 1 << 12, OSXSAVE = 1 << 27, AVX = 1 << 28, F16C = 1 << 29 }; /* leaf 1, ECX */
  enum { AVX2 = 1 << 5, F = 1 << 16, DQ = 1 << 17, BW = 1 << 30 };          /* leaf 7, EBX */
  const unsigned VL = 1u << 31, VNNI = 1u << 11;                            /* leaf 7, EBX; leaf 7, ECX */
  const unsigned TILES = 1u << 24 | 1u << 25;                               /* leaf 7, EDX: AMX-TILE, AMX-INT8 */
  const unsigned long long YMM = 0x6, ZMM = 0xE6, TMM = 0x60000;
  unsigned a, b, c, d;
  const unsigned first = FMA | OSXSAVE | AVX | F16C;
  if (!__get_cpuid(1, &a, &b, &c, &d) || (c & first) != first) return CPU_GENERIC;
  unsigned long long states = enabled_states();
  if ((states & YMM) != YMM || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & AVX2)) return CPU_GENERIC;
  const unsigned wide = F | DQ | BW | VL;
  bool avx512 = (states & ZMM) == ZMM && (b & wide) == wide && (c & VNNI);
  if (!avx512) return CPU_AVX2;
  bool amx = (states & TMM) == TMM && (d & TILES) == TILES && tiles_granted();
  return amx ? CPU_AMX : CPU_AVX512;
}
#elif defined(__aarch64__)
#include <sys/auxv.h>

cpu_level cpu_detect(void) {
  const unsigned long dot_product = 1ul << 20; /* HWCAP_ASIMDDP */
  return getauxval(AT_HWCAP) & dot_product ? CPU_NEON : CPU_GENERIC;
}
#else
cpu_level cpu_detect(void) {
  return CPU_GENERIC;
}
#endif

static const char *const names[CPU_LEVELS] = {
    [CPU_GENERIC] = "generic", [CPU_AVX2] = "avx2", [CPU_AVX512] = "avx512", [CPU_AMX] = "amx", [CPU_NEON] = "neon"};

const char *cpu_level_name(cpu_level level) {
  return names[level];
}

bool cpu_level_from_name(const char *name, cpu_level *level) {
  for (int l = 0; l < CPU_LEVELS; l++)
    if (strcmp(names[l], name) == 0) {
      *level = (cpu_level)l;
      return true;
    }
  return false;
}

bool cpu_level_includes(cpu_level has, cpu_level wants) {
  return wants == CPU_GENERIC || wants == has || (has != CPU_NEON && wants <= has);
}

int cpu_count(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  int n = CPU_COUNT(&set);
  return n > 0 ? n : 1;
}

long cpu_cache_bytes(void) {
  static const int levels[] = {_SC_LEVEL4_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE, _SC_LEVEL2_CACHE_SIZE};
  long bytes = 0;
  for (int i = 0; i < 3 && bytes <= 0; i++) bytes = sysconf(levels[i]);
  return bytes > 0 ? bytes : 0;
}
