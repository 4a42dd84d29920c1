/* LM Studio's folder: PUBLISHER/MODEL/FILE.gguf. PUBLISHER/MODEL[/FILE] or PUBLISHER/MODEL:TAG. */
#include "gale/stores/choice.h"
#include "gale/stores/files.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static char *home(void) {
  char *pointer = home_path(".lmstudio-home-pointer"), *path = pointer ? read_small(pointer, 4096, NULL) : NULL;
  free(pointer);
  if (path) path[strcspn(path, "\r\n")] = 0;
  if (path && *path) return path;
  free(path);
  path = home_path(".cache/lm-studio");
  if (is_directory(path)) return path;
  free(path);
  return home_path(".lmstudio");
}

static char *root(void) {
  char *folder = home(), *settings = folder ? text_printf("%s/settings.json", folder) : NULL, *path = NULL;
  size_t length = 0;
  char *bytes = settings ? read_small(settings, 16u << 20, &length) : NULL;
  json_t *root_value = bytes ? json_loadb(bytes, length, 0, NULL) : NULL;
  const char *stated = json_string_value(json_object_get(root_value, "downloadsFolder"));
  if (stated && *stated)
    path = strdup(stated);
  else if (folder)
    path = text_printf("%s/models", folder);
  json_decref(root_value);
  free(bytes);
  free(settings);
  free(folder);
  return path;
}

/* The folder PUBLISHER/MODEL that a name begins with; *rest is behind it. */
static char *model_folder(const char *models, const char *name, const char **rest) {
  size_t publisher = strcspn(name, "/:");
  if (name[publisher] != '/') return NULL;
  size_t model = strcspn(name + publisher + 1, "/:");
  *rest = name + publisher + 1 + model;
  char *wanted = strndup(name, publisher), *inner = strndup(name + publisher + 1, model), *path = NULL;
  char *found = wanted ? folder_entry(models, wanted) : NULL;
  char *parent = found ? text_printf("%s/%s", models, found) : NULL;
  char *below = parent && inner ? folder_entry(parent, inner) : NULL;
  if (below) path = text_printf("%s/%s", parent, below);
  free(below);
  free(parent);
  free(found);
  free(inner);
  free(wanted);
  return path;
}

static store_status find_file(const char *folder, const char *file, store_model *m) {
  m->path = text_printf("%s/%s", folder, file);
  int64_t size = file_size(m->path);
  if (!strchr(file, '/') && size >= 0) {
    m->bytes = (uint64_t)size;
    return STORE_FOUND;
  }
  store_model_free(m);
  return STORE_NONE;
}

static store_status find(const char *name, store_model *m) {
  char *models = root();
  const char *rest = "";
  char *folder = models ? model_folder(models, name, &rest) : NULL;
  store_status status = STORE_NONE;
  if (folder && *rest == '/')
    status = find_file(folder, rest + 1, m);
  else if (folder)
    status = choose_gguf(folder, *rest == ':' ? rest + 1 : NULL, NULL, m);
  free(folder);
  free(models);
  return status;
}

static void list_publisher(const char *models, const char *publisher, store_names *names) {
  char *folder = text_printf("%s/%s", models, publisher);
  store_names found = folder_names(folder);
  for (size_t i = 0; i < found.length; i++) {
    char *path = text_printf("%s/%s", folder, found.items[i]);
    char *name = text_printf("%s/%s", publisher, found.items[i]);
    if (path && name && is_directory(path) && store_name_ok(name, "")) list_gguf(path, name, names);
    free(name);
    free(path);
  }
  names->failed |= found.failed;
  store_names_free(&found);
  free(folder);
}

static void list(store_names *names) {
  char *models = root();
  store_names publishers = folder_names(models);
  for (size_t i = 0; i < publishers.length; i++) list_publisher(models, publishers.items[i], names);
  names->failed |= publishers.failed;
  store_names_free(&publishers);
  free(models);
}

const store store_lmstudio = {"lmstudio", false, true, find, list, root};
