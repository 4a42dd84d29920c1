/* Directories in Mistral's own form: params.json, consolidated*.safetensors, and tekken.json or a
 * SentencePiece model whose name ends in its version. */
#include "format/json.h"
#include "format/reader.h"
#include "format/safetensors.h"

#include <string.h>

gale_status mistral_read(checkpoint *c, const char *directory, gale_error *error) {
  char *params = arena_path(&c->memory, directory, "params.json");
  if (!params) return error_memory(error, strlen(directory));
  c->kind = CHECKPOINT_MISTRAL;
  c->format = "Mistral";
  c->config_path = params;
  gale_status status = json_settings_file(c, params, "", JSON_INTEGERS_EXACT, error);
  if (!status) status = directory_tokenizer(&c->memory, directory, true, &c->tokenizer_path, error);
  if (!status) status = safetensors_read_directory(c, directory, "consolidated", error);
  return status;
}
