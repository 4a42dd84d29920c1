/* Directories in Mistral's own form: params.json, consolidated*.safetensors, and tekken.json or a
 * SentencePiece model whose name ends in its version. */
#include "format/json.h"
#include "format/reader.h"
#include "format/safetensors.h"

#include <string.h>

static gale_status find_tokenizer(checkpoint *c, const char *directory, gale_error *error) {
  gale_status status = directory_entry(&c->memory, directory, "tekken.json", &c->tokenizer_path, error);
  if (status || c->tokenizer_path) return status;
  const char **names;
  size_t n;
  status = directory_scan(&c->memory, directory, "tokenizer.model", "", &names, &n, error);
  if (status || n == 0) return status;
  c->tokenizer_path = arena_path(&c->memory, directory, names[n - 1]); /* the latest version */
  return c->tokenizer_path ? GALE_OK : error_memory(error, strlen(directory));
}

gale_status mistral_read(checkpoint *c, const char *directory, gale_error *error) {
  char *params = arena_path(&c->memory, directory, "params.json");
  if (!params) return error_memory(error, strlen(directory));
  c->kind = CHECKPOINT_MISTRAL;
  c->format = "Mistral";
  c->config_path = params;
  gale_status status = json_settings_file(c, params, "", JSON_INTEGERS_EXACT, error);
  if (!status) status = find_tokenizer(c, directory, error);
  if (!status) status = safetensors_read_directory(c, directory, "consolidated", error);
  return status;
}
