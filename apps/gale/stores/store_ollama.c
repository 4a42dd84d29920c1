/* Ollama's store: manifests/HOST/NAMESPACE/NAME/TAG, and blobs named by their hashes. [HOST/][NAMESPACE/]NAME[:TAG],
 * where case does not matter. https://github.com/ollama/ollama/blob/main/docs/modelfile.mdx */
#include "gale/stores/files.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *root(void) {
  char *path = environment_path("OLLAMA_MODELS");
  if (path) return path;
  path = home_path(".ollama/models");
  if (is_directory(path)) return path;
  free(path);
  return strdup("/usr/share/ollama/.ollama/models");
}

/* ---- Names ---- */

enum { HOST, NAMESPACE, NAME, TAG, PARTS };

/* Parts that are left out are NULL. */
static bool take_apart(const char *name, char *parts[PARTS]) {
  const char *slash = strrchr(name, '/'), *last = slash ? slash + 1 : name;
  size_t n = strcspn(last, ":");
  parts[NAME] = strndup(last, n);
  parts[TAG] = strdup(last[n] ? last + n + 1 : "latest");
  if (!parts[NAME] || !parts[TAG]) return false;
  if (!slash) return *parts[NAME] && *parts[TAG];
  const char *between = memchr(name, '/', (size_t)(slash - name));
  parts[NAMESPACE] =
      between ? strndup(between + 1, (size_t)(slash - between - 1)) : strndup(name, (size_t)(slash - name));
  if (between) parts[HOST] = strndup(name, (size_t)(between - name));
  if (!parts[NAMESPACE] || (between && !parts[HOST])) return false;
  return *parts[NAME] && *parts[TAG] && !strchr(parts[TAG], ':') && !strchr(parts[NAMESPACE], '/');
}

/* One part further down; frees folder. */
static char *step_down(char *folder, const char *name) {
  char *found = folder && name ? folder_entry(folder, name) : NULL;
  char *path = found ? text_printf("%s/%s", folder, found) : NULL;
  free(found);
  free(folder);
  return path;
}

static char *manifest_below(const char *manifests, const char *host, char *const parts[PARTS]) {
  char *path = step_down(strdup(manifests), host);
  path = step_down(path, parts[NAMESPACE] ? parts[NAMESPACE] : "library");
  path = step_down(path, parts[NAME]);
  path = step_down(path, parts[TAG]);
  if (file_size(path) >= 0) return path;
  free(path);
  return NULL;
}

static bool is_first_choice(const char *host) {
  return strncmp(host, "registry.", 9) == 0;
}

/* The host that is named, else the one that Ollama fetches from, else any. */
static char *find_manifest(const char *base, char *const parts[PARTS]) {
  char *manifests = text_printf("%s/manifests", base), *path = NULL;
  if (manifests && parts[HOST]) {
    path = manifest_below(manifests, parts[HOST], parts);
  } else if (manifests) {
    store_names hosts = folder_names(manifests);
    for (int turn = 0; turn < 2 && !path; turn++)
      for (size_t i = 0; i < hosts.length && !path; i++)
        if (is_first_choice(hosts.items[i]) == (turn == 0)) path = manifest_below(manifests, hosts.items[i], parts);
    store_names_free(&hosts);
  }
  free(manifests);
  return path;
}

/* ---- Manifests ---- */

#define MEDIA "application/vnd.ollama.image."

/* The blob of a digest "sha256:HEX". */
static char *blob_path(const char *base, const json_t *layer) {
  const char *digest = json_string_value(json_object_get(layer, "digest"));
  static const char KIND[] = "sha256:";
  size_t n = sizeof KIND - 1;
  if (!digest || strncmp(digest, KIND, n) != 0 || strlen(digest) != n + 64) return NULL;
  if (digest[n + strspn(digest + n, "0123456789abcdefABCDEF")]) return NULL;
  return text_printf("%s/blobs/sha256-%s", base, digest + n);
}

static store_status failed(store_model *m, const char *manifest, const char *what, const char *more) {
  snprintf(m->why, sizeof m->why, "%s: %s%s", manifest, what, more);
  return STORE_FAILED;
}

static store_status take_weights(const char *base, const char *manifest, const json_t *layer, const char *name,
                                 store_model *m) {
  if (m->path) return failed(m, manifest, "more than one layer of weights", "");
  char *path = blob_path(base, layer);
  if (!path) return failed(m, manifest, "a layer's digest is none", "");
  const json_t *stated = json_object_get(layer, "size");
  int64_t size = file_size(path);
  if (size < 0 || !json_is_integer(stated) || json_integer_value(stated) != size) {
    snprintf(m->why, sizeof m->why, "%s: the model is not complete, this file %s; to fetch it: ollama pull %s", path,
             size < 0 ? "is missing" : "does not have the size that the manifest states", name);
    free(path);
    return STORE_FAILED;
  }
  m->path = path;
  m->bytes = (uint64_t)size;
  return STORE_FOUND;
}

static void take_beside(const char *base, const json_t *layer, char **to) {
  if (!*to) *to = blob_path(base, layer);
}

static store_status take_layer(const char *base, const char *manifest, const json_t *layer, const char *name,
                               store_model *m) {
  const char *type = json_string_value(json_object_get(layer, "mediaType"));
  if (!type || strncmp(type, MEDIA, sizeof MEDIA - 1) != 0) return STORE_FOUND;
  const char *kind = type + sizeof MEDIA - 1;
  if (strcmp(kind, "model") == 0) return take_weights(base, manifest, layer, name, m);
  if (strcmp(kind, "adapter") == 0 || strcmp(kind, "tensor") == 0)
    return failed(m, manifest, "the model has a layer that is not supported: ", kind);
  if (strcmp(kind, "params") == 0) take_beside(base, layer, &m->params);
  if (strcmp(kind, "system") == 0) take_beside(base, layer, &m->system);
  if (strcmp(kind, "template") == 0) take_beside(base, layer, &m->template);
  return STORE_FOUND;
}

/* Models that run elsewhere have a name here and nothing else. */
static bool is_remote(const char *base, const json_t *root_value) {
  char *path = blob_path(base, json_object_get(root_value, "config"));
  size_t length = 0;
  char *bytes = path ? read_small(path, 4u << 20, &length) : NULL;
  json_t *config = bytes ? json_loadb(bytes, length, 0, NULL) : NULL;
  const char *host = json_string_value(json_object_get(config, "remote_host"));
  bool remote = host && *host;
  json_decref(config);
  free(bytes);
  free(path);
  return remote;
}

static store_status read_manifest(const char *base, const char *manifest, const char *name, store_model *m) {
  size_t length = 0;
  char *bytes = read_small(manifest, 4u << 20, &length);
  json_t *value = bytes ? json_loadb(bytes, length, 0, NULL) : NULL;
  const json_t *layers = json_object_get(value, "layers");
  store_status status = STORE_FOUND;
  if (!json_is_array(layers)) status = failed(m, manifest, "not a manifest of Ollama's", "");
  if (status == STORE_FOUND && is_remote(base, value))
    status = failed(m, manifest, "the model runs on another machine and is not here", "");
  for (size_t i = 0; i < json_array_size(layers) && status == STORE_FOUND; i++)
    status = take_layer(base, manifest, json_array_get(layers, i), name, m);
  if (status == STORE_FOUND && !m->path) status = failed(m, manifest, "no layer of weights", "");
  json_decref(value);
  free(bytes);
  return status;
}

static store_status find(const char *name, store_model *m) {
  char *parts[PARTS] = {0}, *base = root();
  bool good = take_apart(name, parts);
  char *manifest = good && base ? find_manifest(base, parts) : NULL;
  store_status status = manifest ? read_manifest(base, manifest, name, m) : STORE_NONE;
  if (status != STORE_FOUND) store_model_free(m);
  free(manifest);
  free(base);
  for (int i = 0; i < PARTS; i++) free(parts[i]);
  return status;
}

/* ---- Lists ---- */

/* Adds what lies `levels` below a folder, with the names of the folders on the way. */
static void list_below(const char *folder, const char *name, int levels, store_names *names) {
  store_names found = folder_names(folder);
  for (size_t i = 0; i < found.length; i++) {
    const char *between = !*name ? "" : levels == 0 ? ":" : "/";
    char *path = text_printf("%s/%s", folder, found.items[i]);
    char *below = text_printf("%s%s%s", name, between, found.items[i]);
    if (path && below && levels > 0)
      list_below(path, below, levels - 1, names);
    else if (path && below && file_size(path) >= 0)
      store_names_add(names, "%s", below);
    free(below);
    free(path);
  }
  names->failed |= found.failed;
  store_names_free(&found);
}

/* A name without what need not be said. */
static const char *shortest(char *name) {
  size_t n = strlen(name);
  if (n > 7 && strcmp(name + n - 7, ":latest") == 0) name[n - 7] = 0;
  const char *space = strchr(name, '/');
  if (!is_first_choice(name) || !space) return name;
  return strncmp(space + 1, "library/", 8) == 0 ? space + 9 : space + 1;
}

static void list(store_names *names) {
  char *base = root(), *manifests = base ? text_printf("%s/manifests", base) : NULL;
  store_names found = {0};
  if (manifests) list_below(manifests, "", PARTS - 1, &found);
  for (size_t i = 0; i < found.length; i++) store_names_add(names, "%s", shortest(found.items[i]));
  names->failed |= found.failed;
  store_names_free(&found);
  free(manifests);
  free(base);
}

const store store_ollama = {"ollama", true, false, find, list, root};
