#include "base/cpu.h"

#include "base/limits.h"

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

typedef struct features {
  bool avx2, avxvnni, avx512, amx;
} features;

/* The features that the processor has and whose registers the operating system saves. */
static features read_features(void) {
  enum { FMA = 1 << 12, OSXSAVE = 1 << 27, AVX = 1 << 28, F16C = 1 << 29 }; /* leaf 1, ECX */
  enum { AVX2 = 1 << 5, F = 1 << 16, DQ = 1 << 17, BW = 1 << 30 };          /* leaf 7, EBX */
  const unsigned VL = 1u << 31, VNNI = 1u << 11;                            /* leaf 7, EBX; leaf 7, ECX */
  const unsigned TILES = 1u << 24 | 1u << 25;                               /* leaf 7, EDX: AMX-TILE, AMX-INT8 */
  const unsigned AVX_VNNI = 1u << 4;                                        /* leaf 7.1, EAX */
  const unsigned long long YMM = 0x6, ZMM = 0xE6, TMM = 0x60000;
  unsigned a, b, c, d;
  const unsigned first = FMA | OSXSAVE | AVX | F16C, wide = F | DQ | BW | VL;
  if (!__get_cpuid(1, &a, &b, &c, &d) || (c & first) != first) return (features){0};
  unsigned long long states = enabled_states();
  if ((states & YMM) != YMM || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & AVX2)) return (features){0};
  features f = {.avx2 = true};
  f.avx512 = (states & ZMM) == ZMM && (b & wide) == wide && (c & VNNI);
  f.amx = f.avx512 && (states & TMM) == TMM && (d & TILES) == TILES;
  const unsigned subleaves = a;
  f.avxvnni = subleaves >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & AVX_VNNI);
  return f;
}

bool cpu_is_amd(void) {
  char maker[12];
  unsigned most, b, c, d;
  if (!__get_cpuid(0, &most, &b, &c, &d)) return false;
  memcpy(maker, &b, 4);
  memcpy(maker + 4, &d, 4);
  memcpy(maker + 8, &c, 4);
  return memcmp(maker, "AuthenticAMD", sizeof maker) == 0;
}

bool cpu_supports(cpu_isa isa) {
  switch (isa) {
  case CPU_GENERIC:
    return true;
  case CPU_AVX2:
    return read_features().avx2;
  case CPU_AVXVNNI:
    return read_features().avxvnni;
  case CPU_AVX512:
    return read_features().avx512;
  case CPU_AMX:
    return read_features().amx && tiles_granted();
  default:
    return false;
  }
}
#elif defined(__aarch64__)
#include <sys/auxv.h>

bool cpu_supports(cpu_isa isa) {
  const unsigned long dot_product = 1ul << 20; /* HWCAP_ASIMDDP */
  return isa == CPU_GENERIC || (isa == CPU_NEON && (getauxval(AT_HWCAP) & dot_product));
}
#else
bool cpu_supports(cpu_isa isa) {
  return isa == CPU_GENERIC;
}
#endif

#if !defined(__x86_64__)
bool cpu_is_amd(void) {
  return false;
}
#endif

cpu_isa cpu_detect(void) {
  cpu_isa isa = CPU_ISAS - 1;
  while (!cpu_supports(isa)) isa--;
  return isa;
}

static const char *const names[CPU_ISAS] = {[CPU_GENERIC] = "generic", [CPU_AVX2] = "avx2", [CPU_AVXVNNI] = "avxvnni",
                                            [CPU_AVX512] = "avx512",   [CPU_AMX] = "amx",   [CPU_NEON] = "neon"};

const char *cpu_isa_name(cpu_isa isa) {
  return names[isa];
}

bool cpu_isa_from_name(const char *name, cpu_isa *isa) {
  for (int l = 0; l < CPU_ISAS; l++)
    if (strcmp(names[l], name) == 0) {
      *isa = (cpu_isa)l;
      return true;
    }
  return false;
}

int cpu_count(void) {
  cpu_set_t set;
  long online = sysconf(_SC_NPROCESSORS_ONLN);
  int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : (int)online, granted = limits_processors("");
  if (n > granted) n = granted;
  return n > 0 ? n : 1;
}
