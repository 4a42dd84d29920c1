#include "engine/scan_loops.h"

const scan_kernels scan_avx2 = SCAN_KERNELS;
