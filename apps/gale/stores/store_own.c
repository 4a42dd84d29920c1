/* gale's own folder, ${XDG_CACHE_HOME:-~/.cache}/gale/models: a folder for each model. */
#include "gale/stores/choice.h"
#include "gale/stores/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *root(void) {
  return cache_path("gale/models");
}

static store_status find(const char *name, store_model *m) {
  if (strchr(name, '/') || *name == '.') return STORE_NONE;
  char *folder = root(), *directory = NULL;
  size_t n = strcspn(name, ":");
  if (folder) directory = text_printf("%s/%.*s", folder, (int)n, name);
  const char *tag = name[n] ? name + n + 1 : NULL;
  store_status status = STORE_NONE;
  if (is_directory(directory)) status = choose_model(directory, tag, NULL, m);
  if (is_directory(directory) && status == STORE_NONE) {
    snprintf(m->why, sizeof m->why, "%s: the fetched model's folder holds no such GGUF file or model directory",
             directory);
    status = STORE_FAILED;
  }
  free(folder);
  free(directory);
  return status;
}

static void list(store_names *names) {
  char *folder = root();
  store_names models = folder_names(folder);
  for (size_t i = 0; i < models.length; i++) {
    char *directory = text_printf("%s/%s", folder, models.items[i]);
    size_t before = names->length;
    if (directory) list_models(directory, models.items[i], names);
    if (directory && is_directory(directory) && names->length == before) store_names_add(names, "%s", models.items[i]);
    free(directory);
  }
  names->failed |= models.failed;
  store_names_free(&models);
  free(folder);
}

const store store_own = {"gale", true, false, find, list, root};
