/* What the checks and timings of kernels share; check_main.c runs them. An op is a group of kernels, and a type one of
 * them: a storage type of weights, a type of cache, an operation on rows. */
#ifndef TESTS_KERNELS_CHECK_H
#define TESTS_KERNELS_CHECK_H

#include "backend/cpu/kernels/kernels.h"
#include "kernels/buffers.h"

/* One kernel of one instruction set while it is checked. */
typedef struct check {
  cpu_isa isa;
  const cpu_kernels *portable, *kernels; /* the portable ones and those of the set */
  int cases;                             /* random ones wanted */
  uint64_t seed;
  long done;
  bool failed; /* the first difference was printed; the rest is left out */
  char what[200];
} check;

/* Begins a case, which gets a description. */
__attribute__((format(printf, 2, 3))) void check_case(check *c, const char *format, ...);

/* The case fails unless ok; says what is wrong. */
__attribute__((format(printf, 3, 4))) void check_that(check *c, bool ok, const char *format, ...);

/* The case fails unless n floats have the bits that they should have. */
void check_same(check *c, const float *is, const float *should, size_t n, const char *name);

/* How a kernel is timed. Zero: the op's own choice. */
typedef struct timing {
  cpu_isa isa;
  const cpu_kernels *portable, *kernels;
  int threads; /* linear and probes only */
  double seconds;
  int64_t rows, cols;
  int32_t tokens, head_dim;
} timing;

/* Seconds of the best of several runs, which together take about t->seconds. */
double timing_best(const timing *t, void (*run)(void *argument), void *argument);

/* Prints a line: what was timed and how long it took, bytes and operations (0: none) of one run, and how many times as
 * fast as the portable C that is, where its seconds for the same work are known. */
void timing_print(const char *what, double took, double bytes, double ops, double portable);

typedef struct kernel_op {
  const char *name;
  int n_types;
  const char *(*type)(int type);
  bool (*differs)(const cpu_kernels *a, const cpu_kernels *b, int type);
  void (*equal)(check *c, int type); /* the bits are those of the portable C. NULL: only timed */
  void (*exact)(check *c, int type); /* the portable C is as near to the exact result as docs/NUMERICS.md says */
  void (*time)(const timing *t, int type);
} kernel_op;

/* The kernels of AMX with emulated tiles; false where the processor lacks what else they need. */
bool emulated_amx(cpu_kernels *k);

extern const kernel_op op_linear, op_attend, op_rows, op_probe;

#endif
