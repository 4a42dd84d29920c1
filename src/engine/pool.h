/* Pooling of hidden states into an embedding, token by token: the same bytes however a text came in chunks. */
#ifndef ENGINE_POOL_H
#define ENGINE_POOL_H

#include <stddef.h>

#include "gale.h"

/* Adds a text's next n rows, [n][dim], to what came before, sum [dim], which begins as zeros. With GALE_POOLING_LAST
 * earlier rows do not count and may be left out. */
void pool_add(gale_pooling pooling, const float *rows, size_t n, size_t dim, double *sum);

/* embedding [dim] becomes sum at unit length. GALE_E_NUMERIC, with nothing written, where it has no direction. */
gale_status pool_finish(const double *sum, size_t dim, float *embedding, gale_error *error);

#endif
