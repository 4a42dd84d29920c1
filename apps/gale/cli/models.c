#include "gale/cli/models.h"

#include "gale/cli/console.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A folder of gale's in the user's cache; NULL without a home or memory. */
static char *cache_folder(const char *name) {
  const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
  char *folder = NULL;
  int n = -1;
  if (cache && *cache)
    n = asprintf(&folder, "%s/gale/%s", cache, name);
  else if (home && *home)
    n = asprintf(&folder, "%s/.cache/gale/%s", home, name);
  return n < 0 ? NULL : folder;
}

static char *models_folder(void) {
  return cache_folder("models");
}

char *models_packed_folder(void) {
  return cache_folder("packed");
}

static bool exists(const char *directory, const char *name) {
  char *path;
  if (asprintf(&path, "%s/%s", directory, name) < 0) return false;
  bool found = access(path, F_OK) == 0;
  free(path);
  return found;
}

static int by_name(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names in a folder that do not begin with a dot. Returns 0 or errno. */
static int read_folder(const char *folder, model_list *list) {
  *list = (model_list){0};
  DIR *d = opendir(folder);
  if (!d) return errno;
  int reason = 0;
  for (struct dirent *e; !reason && (e = readdir(d));) {
    if (e->d_name[0] == '.') continue;
    char **grown = realloc(list->names, (list->length + 1) * sizeof *grown);
    if (grown) list->names = grown;
    char *name = grown ? strdup(e->d_name) : NULL;
    if (name)
      list->names[list->length++] = name;
    else
      reason = ENOMEM;
  }
  closedir(d);
  if (list->length) qsort(list->names, list->length, sizeof *list->names, by_name);
  if (reason) models_free(list);
  return reason;
}

int models_find(model_list *list) {
  *list = (model_list){0};
  char *folder = models_folder();
  if (!folder) return 0;
  int reason = read_folder(folder, list), code = 0;
  if (reason && reason != ENOENT && reason != ENOTDIR) code = fail("%s: %s", folder, strerror(reason));
  free(folder);
  return code;
}

void models_free(model_list *list) {
  for (size_t i = 0; i < list->length; i++) free(list->names[i]);
  free(list->names);
  *list = (model_list){0};
}

static bool ends_with(const char *s, const char *end) {
  size_t n = strlen(s), m = strlen(end);
  return n >= m && strcmp(s + n - m, end) == 0;
}

/* The GGUF file of a folder: the only one, or the first of its shards. */
static const char *find_gguf(const model_list *files) {
  const char *found = NULL;
  size_t n = 0;
  for (size_t i = 0; i < files->length; i++) {
    if (!ends_with(files->names[i], ".gguf")) continue;
    const char *shard = strstr(files->names[i], "-of-");
    if (shard && shard - files->names[i] >= 6 && strncmp(shard - 6, "-00001", 6) != 0) continue;
    found = files->names[i];
    n++;
  }
  return n == 1 ? found : NULL;
}

char *models_path(const char *name) {
  char *folder = models_folder(), *directory = NULL, *path = NULL;
  if (folder && *name && *name != '.' && !strchr(name, '/') && asprintf(&directory, "%s/%s", folder, name) < 0)
    directory = NULL;
  model_list files = {0};
  if (directory && read_folder(directory, &files) == 0) {
    const char *gguf = find_gguf(&files);
    if (exists(directory, "config.json") || exists(directory, "params.json"))
      path = strdup(directory);
    else if (gguf && asprintf(&path, "%s/%s", directory, gguf) < 0)
      path = NULL;
  }
  models_free(&files);
  free(directory);
  free(folder);
  return path;
}

static int unknown_model(const char *model) {
  model_list list;
  int code = models_find(&list);
  if (code) return code;
  char names[512] = "none";
  size_t n = 0;
  for (size_t i = 0; i < list.length && n < sizeof names; i++)
    n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", i ? ", " : "", list.names[i]);
  for (size_t i = 0; i < list.length; i++)
    if (strcmp(list.names[i], model) == 0) code = 1;
  models_free(&list);
  if (code)
    return fail("%s: the fetched model's folder does not hold exactly one GGUF file or a model directory", model);
  return fail("no model '%s' (fetched: %s); MODEL is a GGUF file, a Hugging Face or Mistral directory, a fetched "
              "model's name, or shape:NAME[:layers=N][@TYPE]",
              model, names);
}

int models_resolve(const char *model, char **path) {
  bool as_it_is = strncmp(model, "shape:", 6) == 0 || strchr(model, '/') || access(model, F_OK) == 0;
  char *found = as_it_is ? strdup(model) : models_path(model);
  if (!found) return as_it_is ? fail_memory() : unknown_model(model);
  *path = found;
  return 0;
}
