/* A checkpoint made of another one: GGUF names, other storage types. Nothing is converted until it is read. */
#ifndef LOAD_REQUANTIZE_H
#define LOAD_REQUANTIZE_H

#include "base/team.h"
#include "load/quant_choice.h"
#include "model/model.h"

/* Makes *to, of kind CHECKPOINT_GGUF and without settings, whose tensors are those of the source's targets: matrices of
 * experts stacked, rows of wq and wk in the order that the family's GGUF files have, the norms' offset added. Reading a
 * tensor reads the source's rows, and encodes those that are not of the right type already. A number that is not
 * finite, or too large for the type, is an error of that read which names the tensor.
 *
 * *config becomes the source's configuration as it fits *to. *note, unless it is NULL, becomes something the user
 * should be told, or NULL; it lives as long as *to.
 *
 * workers NULL: tensors may be read by several threads at a time. Otherwise its workers share out each read, and there
 * is one reader at a time. Bytes are the same either way. Close *to with checkpoint_close(). */
gale_status requantize_open(const model_source *source, const quant_mix *r, team *workers, checkpoint **to,
                            model_config *config, const char **note, gale_error *error);

/* The value of general.architecture for a model's GGUF file. */
const char *gguf_architecture(const model_source *source);

/* Where the settings of a checkpoint that is no GGUF file state YaRN, as the path of their object; NULL: nowhere. */
const char *yarn_prefix(const checkpoint *c);

#endif
