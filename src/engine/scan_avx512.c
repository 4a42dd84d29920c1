#include "engine/scan_loops.h"

const scan_kernels scan_avx512 = SCAN_KERNELS;
