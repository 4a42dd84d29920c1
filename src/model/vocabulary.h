/* Finds and builds the tokenizer of a checkpoint: the one place that knows both files and text. */
#ifndef MODEL_VOCABULARY_H
#define MODEL_VOCABULARY_H

#include "format/checkpoint.h"
#include "text/tokenizer.h"

/* *tokenizer is NULL on success if the checkpoint has none. */
gale_status vocabulary_load(const checkpoint *c, gale_tokenizer **tokenizer, gale_error *error);

#endif
