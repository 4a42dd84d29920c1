/* What the processor can do. */
#ifndef BASE_CPU_H
#define BASE_CPU_H

#include <stdbool.h>

typedef enum cpu_isa {
  CPU_GENERIC, /* portable C */
  CPU_AVX2,    /* AVX2, FMA, F16C */
  CPU_AVXVNNI, /* AVX2 and AVX-VNNI, which processors with AVX-512 may lack */
  CPU_AVX512,  /* AVX2, and AVX-512 F, BW, VL, DQ and VNNI */
  CPU_AMX,     /* AVX-512, and AMX tiles of 8-bit integers */
  CPU_NEON,    /* AArch64 with the dot-product extension */
  CPU_ISAS
} cpu_isa;

/* Whether processor and operating system can run code for this instruction set. Asking for CPU_AMX also requests
 * from the system that this process may use tiles. */
bool cpu_supports(cpu_isa isa);

/* The highest supported instruction set. */
cpu_isa cpu_detect(void);

const char *cpu_isa_name(cpu_isa isa);
bool cpu_isa_from_name(const char *name, cpu_isa *isa);

/* Whether the processor is one of AMD's. */
bool cpu_is_amd(void);

/* How many processors this process may use: as many as its affinity has, but no more than its control groups grant the
 * time of (limits.h); at least 1. */
int cpu_count(void);

#endif
