#include "engine/scan_loops.h"

const scan_kernels scan_portable = SCAN_KERNELS;
