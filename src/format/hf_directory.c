/* Directories in the form of Hugging Face: config.json, *.safetensors, and files about the tokenizer. */
#include "format/json.h"
#include "format/reader.h"
#include "format/safetensors.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_TEMPLATE = 16 << 20 };

static const char template_key[] = "tokenizer_config.chat_template";

static gale_status add_template(checkpoint *c, const char *text, size_t n, gale_error *error) {
  setting *s = NULL;
  for (size_t i = 0; i < c->n_settings; i++)
    if (strcmp(c->settings[i].key, template_key) == 0) s = &c->settings[i];
  if (!s) s = checkpoint_add_settings(c, 1);
  const char *copy = s ? arena_string(&c->memory, text, n) : NULL;
  if (!copy) return error_memory(error, n);
  *s = (setting){.key = template_key, .type = SETTING_STRING, .string = {copy, n}};
  return GALE_OK;
}

/* A chat template may be a list of named ones: [{"name": "default", "template": ...}, ...]. */
static gale_status add_default_template(checkpoint *c, const value *root, gale_error *error) {
  const value *list = value_get(root, "chat_template");
  for (const value *named = value_is(list, VALUE_ARRAY) ? list->first : NULL; named; named = named->next) {
    const value *text = value_get(named, "template");
    if (value_says(value_get(named, "name"), "default") && value_is(text, VALUE_STRING))
      return add_template(c, text->text.s, text->text.n, error);
  }
  return GALE_OK;
}

/* model_max_length is commonly stated as 10^30, so integers may have any size here. */
static gale_status read_tokenizer_config(checkpoint *c, const char *directory, gale_error *error) {
  const char *path = NULL;
  json_document d;
  gale_status status = directory_entry(&c->memory, directory, "tokenizer_config.json", &path, error);
  if (status || !path) return status;
  status = json_parse_file(path, JSON_INTEGERS_ANY, &d, error);
  if (status) return status;
  status = json_settings(c, path, "tokenizer_config.", d.root, JSON_INTEGERS_ANY, error);
  if (!status) status = add_default_template(c, d.root, error);
  json_close(&d);
  return status;
}

static gale_status read_generation_config(checkpoint *c, const char *directory, gale_error *error) {
  const char *path = NULL;
  gale_status status = directory_entry(&c->memory, directory, "generation_config.json", &path, error);
  if (status || !path) return status;
  return json_settings_file(c, path, "generation_config.", JSON_INTEGERS_EXACT, error);
}

/* Newer directories keep the chat template in a file of its own, which is then the one that counts. */
static gale_status read_template(checkpoint *c, const char *directory, gale_error *error) {
  const char *path = NULL;
  char *text = NULL;
  size_t n = 0;
  gale_status status = directory_entry(&c->memory, directory, "chat_template.jinja", &path, error);
  if (status || !path) return status;
  status = file_load(path, MAX_TEMPLATE, &text, &n, error);
  if (status) return status;
  status = add_template(c, text, n, error);
  free(text);
  return status;
}

/* Tokens that are added to a SentencePiece model; a tokenizer.json lists its own. */
static gale_status read_added_tokens(checkpoint *c, const char *directory, gale_error *error) {
  const char *path = NULL;
  gale_status status = directory_entry(&c->memory, directory, "added_tokens.json", &path, error);
  if (status || !path) return status;
  return json_settings_file(c, path, "added_tokens.", JSON_INTEGERS_EXACT, error);
}

static gale_status begin(checkpoint *c, const char *directory, gale_error *error) {
  c->kind = CHECKPOINT_HF;
  c->format = "Hugging Face";
  c->config_path = arena_path(&c->memory, directory, "config.json");
  return c->config_path ? GALE_OK : error_memory(error, strlen(directory));
}

static gale_status read_beside_weights(checkpoint *c, const char *directory, gale_error *error) {
  gale_status status = directory_tokenizer(&c->memory, directory, false, &c->tokenizer_path, error);
  if (!status) status = read_generation_config(c, directory, error);
  if (!status) status = read_tokenizer_config(c, directory, error);
  if (!status) status = read_added_tokens(c, directory, error);
  if (!status) status = read_template(c, directory, error);
  return status;
}

gale_status hf_read_tokenizer(checkpoint *c, const char *directory, gale_error *error) {
  gale_status status = begin(c, directory, error);
  if (!status) status = read_beside_weights(c, directory, error);
  if (!status) status = checkpoint_index(c, error);
  return status;
}

gale_status hf_read(checkpoint *c, const char *directory, gale_error *error) {
  gale_status status = begin(c, directory, error);
  if (!status) status = json_settings_file(c, c->config_path, "", JSON_INTEGERS_EXACT, error);
  if (!status) status = read_beside_weights(c, directory, error);
  if (!status) status = safetensors_read_directory(c, directory, "model", error);
  return status;
}
