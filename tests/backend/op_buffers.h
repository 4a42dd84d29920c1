/* tests/kernels/buffers.h with what cmocka's tests need beside it. */
#ifndef BACKEND_OP_BUFFERS_H
#define BACKEND_OP_BUFFERS_H

#include "base/cpu.h"
#include "kernels/buffers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static inline void assert_same_floats(const float *a, const float *b, size_t n, const char *what) {
  for (size_t i = 0; i < n; i++)
    if (!same_float(a[i], b[i]))
      fail_msg("%s: element %zu of %zu is %a (%08x), should be %a (%08x)", what, i, n, a[i], float_to_bits(a[i]), b[i],
               float_to_bits(b[i]));
}

#endif
