#include "engine/pool.h"

#include "base/error.h"

#include <math.h>
#include <string.h>

void pool_add(gale_pooling pooling, const float *rows, size_t n, size_t dim, double *sum) {
  for (size_t t = 0; t < n; t++) {
    if (pooling == GALE_POOLING_LAST) memset(sum, 0, dim * sizeof *sum);
    for (size_t i = 0; i < dim; i++) sum[i] += rows[t * dim + i];
  }
}

gale_status pool_finish(const double *sum, size_t dim, float *embedding, gale_error *error) {
  double square = 0;
  for (size_t i = 0; i < dim; i++) square += sum[i] * sum[i];
  double length = sqrt(square);
  if (!isfinite(length) || length == 0)
    return error_set(error, GALE_E_NUMERIC, "the text has no embedding: its hidden states are %s",
                     length == 0 ? "zero" : "not finite");
  for (size_t i = 0; i < dim; i++) embedding[i] = (float)(sum[i] / length);
  return GALE_OK;
}
