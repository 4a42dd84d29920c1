/* The keys of a GGUF file, for a model that came in other files. */
#ifndef CONVERT_CONVERT_H
#define CONVERT_CONVERT_H

#include "load/requantize.h"

/* Gives *to, which requantize_open() made, the keys of a GGUF file: those of a GGUF source, or made of the
 * configuration and the tokenizer. Fails if GGUF has no keys for something that the model needs. */
gale_status convert_settings(const model_source *source, const quant_mix *r, checkpoint *to, gale_error *error);

/* ---- Inside the conversion ---- */

/* Appends a setting; key and value must live as long as `to`. */
gale_status convert_add(checkpoint *to, setting s, gale_error *error);

/* convert_vocabulary.c: the keys of a tokenizer that is in a file of its own. */
gale_status convert_vocabulary(const model_source *source, checkpoint *to, gale_error *error);

#endif
