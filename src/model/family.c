/* Which family a checkpoint belongs to. */
#include "model/config.h"

#include <stdio.h>
#include <string.h>

static const family *const families[] = {
    &family_llama, &family_mistral, &family_mixtral, &family_gemma, &family_gemma2, &family_gemma3, NULL};

/* Multimodal models around a text model of several families, told by text_config.model_type. */
static const struct {
  const char *architecture, *model_type;
  const char *text; /* where text_config does not state its own */
} wrappers[] = {
    {"LlavaForConditionalGeneration", "llava", "llama"},
    {"LlavaNextForConditionalGeneration", "llava_next", "llama"},
    {"PixtralForConditionalGeneration", "pixtral", "mistral"},
    {"VoxtralForConditionalGeneration", "voxtral", "llama"},
};
enum { N_WRAPPERS = sizeof wrappers / sizeof *wrappers };

static const char *text_at(const checkpoint *c, const char *key) {
  const setting *s = checkpoint_setting(c, key);
  return s && s->type == SETTING_STRING ? s->string.bytes : "";
}

static bool among(const char *const *names, const char *name) {
  for (; *names; names++)
    if (strcmp(*names, name) == 0) return true;
  return false;
}

static const family *of_model_type(const char *model_type) {
  for (const family *const *f = families; *f; f++)
    if (among((*f)->hf_types, model_type)) return *f;
  return NULL;
}

static const family *of_text(const checkpoint *c, const char *otherwise) {
  const char *text = text_at(c, "text_config.model_type");
  return of_model_type(*text ? text : otherwise);
}

static const family *of_architecture(const checkpoint *c, const char *name) {
  for (const family *const *f = families; *f; f++)
    if (among((*f)->hf, name)) return *f;
  for (int i = 0; i < N_WRAPPERS; i++)
    if (strcmp(wrappers[i].architecture, name) == 0) return of_text(c, wrappers[i].text);
  return NULL;
}

/* ---- What is supported, for messages ---- */

typedef struct name_list {
  char text[512];
  size_t used;
} name_list;

static void add_name(name_list *l, const char *name) {
  int n = snprintf(l->text + l->used, sizeof l->text - l->used, "%s%s", l->used ? ", " : "", name);
  if (n > 0 && (size_t)n < sizeof l->text - l->used) l->used += (size_t)n;
}

static gale_status refuse_gguf(const checkpoint *c, gale_error *error) {
  const char *name = config_architecture(c);
  name_list known = {0};
  for (const family *const *f = families; *f; f++)
    for (const char *const *n = (*f)->gguf; *n; n++) add_name(&known, *n);
  if (strcmp(name, "clip") == 0)
    return error_set(error, GALE_E_UNSUPPORTED,
                     "%s: holds only the vision or audio part of a model (architecture \"clip\"); the file of the text "
                     "model is accepted, of one of the architectures %s",
                     c->config_path, known.text);
  return error_set(error, GALE_E_UNSUPPORTED, "%s: architecture \"%s\" is not supported; supported are: %s",
                   c->config_path, name, known.text);
}

/* name "": the configuration states no architecture. */
static gale_status refuse_hf(const checkpoint *c, const char *name, gale_error *error) {
  const char *type = text_at(c, "model_type"), *text = text_at(c, "text_config.model_type");
  name_list known = {0};
  for (const family *const *f = families; *f; f++)
    for (const char *const *n = *name ? (*f)->hf : (*f)->hf_types; *n; n++) add_name(&known, *n);
  for (int i = 0; i < N_WRAPPERS; i++) add_name(&known, *name ? wrappers[i].architecture : wrappers[i].model_type);
  if (!*name && !*type)
    return error_set(error, GALE_E_FORMAT,
                     "%s: neither architectures nor model_type is stated; supported types are: %s", c->config_path,
                     known.text);
  char kind[160] = "", inner[96] = "";
  if (*type) snprintf(kind, sizeof kind, "%smodel_type \"%.64s\"", *name ? ", " : "", type);
  if (*text) snprintf(inner, sizeof inner, " around \"%.64s\"", text);
  return error_set(error, GALE_E_UNSUPPORTED, "%s: %s%.64s%s%s%s is not supported; supported are: %s", c->config_path,
                   *name ? "architecture \"" : "", name, *name ? "\"" : "architectures is not stated, and ", kind,
                   inner, known.text);
}

/* ---- Choosing ---- */

/* Where architectures names none, model_type decides, as it always does in transformers. */
static gale_status choose_hf(const checkpoint *c, const family **found, gale_error *error) {
  const setting *s = checkpoint_setting(c, "architectures");
  if (s && s->type == SETTING_NULL) s = NULL;
  if (s && s->type != SETTING_ARRAY)
    return error_set(error, GALE_E_FORMAT, "%s: architectures is not a list of names", c->config_path);
  size_t n = s ? s->array.length : 0;
  for (size_t i = 0; i < n && !*found; i++) {
    if (s->array.items[i].type != SETTING_STRING)
      return error_set(error, GALE_E_FORMAT, "%s: architectures is not a list of names", c->config_path);
    *found = of_architecture(c, s->array.items[i].string.bytes);
  }
  if (n > 0) return *found ? GALE_OK : refuse_hf(c, s->array.items[0].string.bytes, error);
  const char *type = text_at(c, "model_type");
  *found = of_model_type(type);
  for (int i = 0; i < N_WRAPPERS && !*found; i++)
    if (strcmp(wrappers[i].model_type, type) == 0) *found = of_text(c, wrappers[i].text);
  return *found ? GALE_OK : refuse_hf(c, "", error);
}

static gale_status choose(const checkpoint *c, const family **found, gale_error *error) {
  if (c->kind == CHECKPOINT_HF) return choose_hf(c, found, error);
  for (const family *const *f = families; *f && !*found; f++) {
    bool own = c->kind == CHECKPOINT_MISTRAL ? (*f)->native : among((*f)->gguf, config_architecture(c));
    if (own) *found = *f;
  }
  return *found ? GALE_OK : refuse_gguf(c, error);
}

gale_status model_configure(const checkpoint *c, arena *memory, model_config *config, gale_error *error) {
  *config = (model_config){0};
  gale_status status = choose(c, &config->family, error);
  if (status) return status;
  if (c->kind == CHECKPOINT_HF) config->norm_eps = 1e-6f; /* transformers' default in most families */
  return config->family->configure(c, memory, config, error);
}
