/* The tensors of safetensors files. */
#ifndef FORMAT_SAFETENSORS_H
#define FORMAT_SAFETENSORS_H

#include "format/checkpoint.h"

/* Appends one file's tensors, in the order of their data; those of no quant_type to c->foreign. */
gale_status safetensors_read_file(checkpoint *c, const char *path, gale_error *error);

/* Appends the tensors of a directory: of the shards that STEM.safetensors.index.json names; else of STEM.safetensors;
 * else of STEM-00001-of-0000N.safetensors and the other shards; else of the only *.safetensors there is. 8-bit floats
 * with scales become tensors (fp8.h). Indexes c and sets c->read, so it comes last. */
gale_status safetensors_read_directory(checkpoint *c, const char *directory, const char *stem, gale_error *error);

#endif
