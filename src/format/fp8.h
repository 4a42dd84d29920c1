/* 8-bit floats (E4M3) in safetensors files: a weight and beside it a tensor of scales. The model sees ordinary
 * floats: element = E4M3 number * scale, in BF16 where that is exact for every element (all scales are powers of
 * two) and else in F32, which rounds once: BF16 has 8 significant bits, fewer than the product of 4 with those of
 * any other scale. Scales of activations are left out, since activations are not made 8-bit floats here.
 * Source: the OCP specification of 8-bit floats (finite-only variant: 0x7F and 0xFF are NaN, there is no
 * infinity), and what releases call their scales (fp8.c). */
#ifndef FORMAT_FP8_H
#define FORMAT_FP8_H

#include "format/checkpoint.h"

/* Scales of a weight: along axis a one for each block[a] elements, at steps of stride[a]. */
typedef struct fp8_scale {
  int64_t block[4], stride[4];
  const float *values;
} fp8_scale;

/* Turns the 8-bit floats among c->foreign that have scales into tensors, and drops tensors of scales. c is indexed
 * before and after. */
gale_status fp8_resolve(checkpoint *c, gale_error *error);

/* checkpoint.read for safetensors files. */
gale_status fp8_read(const checkpoint *c, const tensor *t, uint64_t offset, void *to, uint64_t n, gale_error *error);

#endif
