/* What the processor can do. */
#ifndef BASE_CPU_H
#define BASE_CPU_H

#include <stdbool.h>

typedef enum cpu_level {
  CPU_GENERIC, /* portable C */
  CPU_AVX2,    /* AVX2, FMA, F16C */
  CPU_AVX512,  /* AVX-512 F, BW, VL, DQ and VNNI as well */
  CPU_AMX,     /* AMX tiles of 8-bit integers as well */
  CPU_NEON,    /* AArch64 with the dot-product extension */
  CPU_LEVELS
} cpu_level;

/* The highest level that processor and operating system support. */
cpu_level cpu_detect(void);

const char *cpu_level_name(cpu_level level);
bool cpu_level_from_name(const char *name, cpu_level *level);

/* True if a machine of level `has` can run code of level `wants`. */
bool cpu_level_includes(cpu_level has, cpu_level wants);

/* Processors this process may run on, at least 1. */
int cpu_count(void);

/* Bytes of the last-level cache; 0 if the system does not say. */
long cpu_cache_bytes(void);

#endif
