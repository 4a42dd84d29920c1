/* A checkpoint made of another one: GGUF names, other storage types. Nothing is converted until it is read. */
#ifndef MODEL_CONVERT_H
#define MODEL_CONVERT_H

#include "model/recipe.h"

/* What a conversion needs to know of its source; all of it must outlive the conversion. */
typedef struct convert_source {
  const checkpoint *checkpoint;
  const model_config *config;
  const model_weights *weights; /* as weights_find() leaves them */
} convert_source;

/* Makes *to, of kind CHECKPOINT_GGUF and without settings, whose tensors are those of the source's items: matrices of
 * experts stacked, rows of wq and wk in the order that the family's GGUF files have, the norms' offset added. Reading a
 * tensor reads the source's rows, and encodes those that are not of the right type already. A number that is not
 * finite, or too large for the type, is an error of that read which names the tensor.
 *
 * *config becomes the source's configuration as it fits *to. *note, unless it is NULL, becomes something the user
 * should be told, or NULL; it lives as long as *to.
 *
 * crew NULL: tensors may be read by several threads at a time. Otherwise its workers share out each read, and there is
 * one reader at a time. Bytes are the same either way. Close *to with checkpoint_close(). */
gale_status convert_open(const convert_source *source, const recipe *r, team *crew, checkpoint **to,
                         model_config *config, const char **note, gale_error *error);

/* Gives *to the keys of a GGUF file: those of a GGUF source, or made of the configuration and the tokenizer.
 * Fails if GGUF has no keys for something that the model needs. */
gale_status convert_settings(const convert_source *source, const recipe *r, checkpoint *to, gale_error *error);

/* ---- Inside the conversion ---- */

/* The value of general.architecture for a model's GGUF file. */
const char *convert_architecture(const convert_source *source);

/* Appends a setting; key and value must live as long as `to`. */
gale_status convert_add(checkpoint *to, setting s, gale_error *error);

/* convert_vocabulary.c: the keys of a tokenizer that is in a file of its own. */
gale_status convert_vocabulary(const convert_source *source, checkpoint *to, gale_error *error);

#endif
