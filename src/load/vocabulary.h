/* Finds and builds the tokenizer of a checkpoint: the one place that knows both files and text. */
#ifndef LOAD_VOCABULARY_H
#define LOAD_VOCABULARY_H

#include "format/checkpoint.h"
#include "tokenizer/tokenizer.h"

/* Keys of gale's own in GGUF files, for what Mistral's tokenizer files say: the version of the prompts, and what
 * [MODEL_SETTINGS] may hold. */
#define VOCABULARY_VERSION "gale.prompts.version"
#define VOCABULARY_EFFORTS "gale.prompts.reasoning_efforts"
#define VOCABULARY_EFFORT "gale.prompts.reasoning_effort"
#define VOCABULARY_SCHEMA "gale.prompts.json_schema"

/* *tokenizer is NULL on success if the checkpoint has none. */
gale_status vocabulary_load(const checkpoint *c, gale_tokenizer **tokenizer, gale_error *error);

/* Calls `use` with the vocabulary of c->tokenizer_path, which must be a tokenizer.json or a SentencePiece model, as the
 * checkpoint's other files amend it. */
gale_status vocabulary_read(const checkpoint *c, vocabulary_fn use, void *user, gale_error *error);

#endif
