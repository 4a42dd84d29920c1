/* llama.cpp's cache: files ORG_NAME_FILE.gguf, and manifest=ORG=NAME=TAG.json; later versions use Hugging Face's.
 * ORG/NAME[:TAG]. */
#include "gale/stores/choice.h"
#include "gale/stores/files.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *root(void) {
  char *path = environment_path("LLAMA_CACHE");
  return path ? path : cache_path("llama.cpp");
}

/* The file that a manifest names: {"ggufFile": {"rfilename": ...}}. */
static char *manifest_file(const char *cache, const char *org, const char *name, const char *tag) {
  char *entry = text_printf("manifest=%s=%s=%s.json", org, name, tag ? tag : "latest");
  char *found = entry ? folder_entry(cache, entry) : NULL;
  char *path = found ? text_printf("%s/%s", cache, found) : NULL, *file = NULL;
  size_t length = 0;
  char *bytes = path ? read_small(path, 1u << 20, &length) : NULL;
  json_t *value = bytes ? json_loadb(bytes, length, 0, NULL) : NULL;
  const char *stated = json_string_value(json_object_get(json_object_get(value, "ggufFile"), "rfilename"));
  if (stated && store_name_ok(stated, "")) file = text_printf("%s_%s_%s", org, name, stated);
  for (char *c = file; c && *c; c++)
    if (*c == '/') *c = '_';
  json_decref(value);
  free(bytes);
  free(path);
  free(found);
  free(entry);
  return file;
}

static store_status find_by_manifest(const char *cache, const char *org, const char *name, const char *tag,
                                     store_model *m) {
  char *file = manifest_file(cache, org, name, tag), *path = file ? text_printf("%s/%s", cache, file) : NULL;
  int64_t size = path ? file_size(path) : -1;
  free(file);
  if (size < 0) {
    free(path);
    return STORE_NONE;
  }
  m->path = path;
  m->bytes = (uint64_t)size;
  return STORE_FOUND;
}

static store_status find_in(const char *cache, const char *name, store_model *m) {
  size_t org = strcspn(name, "/:@"), n = name[org] == '/' ? strcspn(name + org + 1, "/:@") : 0;
  const char *rest = name + org + 1 + n, *tag = n && *rest == ':' ? rest + 1 : NULL;
  if (n == 0 || (*rest && !tag)) return STORE_NONE;
  char *first = strndup(name, org), *second = strndup(name + org + 1, n);
  store_status status = first && second ? find_by_manifest(cache, first, second, tag, m) : STORE_MEMORY;
  char *prefix = first && second ? text_printf("%s_%s_", first, second) : NULL;
  if (status == STORE_NONE && prefix) status = choose_prefixed(cache, prefix, tag, m);
  free(prefix);
  free(second);
  free(first);
  return status;
}

static store_status find(const char *name, store_model *m) {
  char *cache = root();
  store_status status = cache ? find_in(cache, name, m) : STORE_NONE;
  free(cache);
  return status == STORE_NONE ? store_hf.find(name, m) : status;
}

/* The manifests tell ORG from NAME, which a file's name does not. */
static void list(store_names *names) {
  char *cache = root();
  store_names files = folder_names(cache);
  for (size_t i = 0; i < files.length; i++) {
    char org[128], name[128], tag[128];
    if (sscanf(files.items[i], "manifest=%127[^=]=%127[^=]=%127[^=]", org, name, tag) != 3) continue;
    size_t n = strlen(tag);
    if (n <= 5 || strcmp(tag + n - 5, ".json") != 0) continue;
    tag[n - 5] = 0;
    if (strcmp(tag, "latest") == 0)
      store_names_add(names, "%s/%s", org, name);
    else
      store_names_add(names, "%s/%s:%s", org, name, tag);
  }
  names->failed |= files.failed;
  store_names_free(&files);
  free(cache);
}

const store store_llamacpp = {"llama.cpp", false, true, find, list, root};
