#include "gale/cli/models.h"

#include "gale/cli/console.h"
#include "gale/cli/suggest.h"
#include "gale/stores/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *models_packed_folder(void) {
  return cache_path("gale/packed");
}

/* ---- Names that are in no store ---- */

/* All names that run takes, ended by NULL. */
static store_names all_names(void) {
  store_names all = {0};
  for (const store *const *s = store_table; *s; s++) {
    store_names of_one = {0};
    (*s)->list(&of_one);
    for (size_t i = 0; i < of_one.length; i++) {
      store_names_add(&all, "%s", of_one.items[i]);
      if (*s != &store_own) store_names_add(&all, "%s:%s", (*s)->name, of_one.items[i]);
    }
    store_names_free(&of_one);
  }
  return all;
}

/* The folders that were looked into, with commas between them. */
static char *roots(void) {
  char *text = NULL;
  for (const store *const *s = store_table; *s; s++) {
    char *root = (*s)->root(), *longer = NULL;
    if (root && asprintf(&longer, "%s%s%s", text ? text : "", text ? ", " : "", root) < 0) longer = NULL;
    free(root);
    if (!longer) continue;
    free(text);
    text = longer;
  }
  return text;
}

static int unknown_model(const char *model) {
  store_names all = all_names();
  char *looked_into = roots();
  const char **words = calloc(all.length + 1, sizeof *words), *near = NULL;
  for (size_t i = 0; words && i < all.length; i++) words[i] = all.items[i];
  if (words) near = suggest(model, words);
  int code = fail(
      "no model '%s'%s%s%s; MODEL is a GGUF file, a Hugging Face or Mistral directory, a name (gale list) in "
      "%s, or shape:NAME[:layers=N][@TYPE]",
      model, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "", looked_into ? looked_into : "a store");
  free(words);
  free(looked_into);
  store_names_free(&all);
  return code;
}

/* ---- Names ---- */

static bool is_path(const char *model) {
  return strncmp(model, "shape:", 6) == 0 || *model == '/' || *model == '.' || *model == '~' ||
         access(model, F_OK) == 0;
}

/* Such a name was meant as a path, if it is in no store. */
static bool looks_like_path(const char *model) {
  size_t n = strlen(model);
  return n > 0 && (model[n - 1] == '/' || (n > 5 && strcmp(model + n - 5, ".gguf") == 0));
}

int models_resolve(const options *o, const char *model, store_model *m) {
  *m = (store_model){0};
  const store *from = NULL;
  store_status status = is_path(model) ? STORE_NONE : store_resolve(model, m, &from);
  if (status == STORE_NONE && (is_path(model) || looks_like_path(model))) {
    m->path = strdup(model);
    status = m->path ? STORE_FOUND : STORE_MEMORY;
  }
  int code = status == STORE_MEMORY ? fail_memory() : status == STORE_NONE ? unknown_model(model) : 0;
  if (status == STORE_FAILED) code = fail("%s", m->why);
  if (code) store_model_free(m);
  bool bare = from && strncmp(model, from->name, strlen(from->name)) != 0;
  if (!code && bare && from != &store_own) note(o, "gale: %s: in the store of %s, %s", model, from->name, m->path);
  return code;
}
