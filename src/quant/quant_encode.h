/* From floats to storage blocks, with small squared error.
 *
 * A block of a quantised type is a set of levels and the numbers that turn them into weights. Both are searched for
 * together: scales (and minima) are tried that put the block's extremes at several places of the range of levels, each
 * is followed by a least-squares fit to the levels it gives, and what is stored in few bits - a half, an integer factor
 * of a superblock - is rounded before the final levels are chosen, among the neighbouring values that could stand for
 * it. A block's bytes depend on its weights alone. */
#ifndef QUANT_QUANT_ENCODE_H
#define QUANT_QUANT_ENCODE_H

#include "quant/quant.h"

/* Whether quant_encode() makes this type: F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K. */
bool quant_can_encode(quant_type type);

/* Weights of larger magnitude are more than the type's halves can hold or scale; F32 and BF16 have no such limit. */
#define QUANT_LARGEST 65504.0f

/* n finite weights, a multiple of the type's block, to storage form. A magnitude above QUANT_LARGEST becomes
 * infinite in F16 and is cut off in quantised types. Thread-safe. */
void quant_encode(quant_type type, const float *from, void *to, size_t n);

#endif
