#include "format/reader.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *arena_path(arena *memory, const char *directory, const char *name) {
  size_t d = strlen(directory);
  return arena_printf(memory, "%s%s%s", directory, d && directory[d - 1] == '/' ? "" : "/", name);
}

gale_status directory_entry(arena *memory, const char *directory, const char *name, const char **path,
                            gale_error *error) {
  char *joined = arena_path(memory, directory, name);
  if (!joined) return error_memory(error, strlen(directory) + strlen(name) + 2);
  *path = access(joined, F_OK) == 0 ? joined : NULL;
  return GALE_OK;
}

static bool matches(const char *name, const char *prefix, const char *suffix) {
  size_t n = strlen(name), p = strlen(prefix), s = strlen(suffix);
  return n >= p + s && memcmp(name, prefix, p) == 0 && memcmp(name + n - s, suffix, s) == 0;
}

static int compare_versions(const void *a, const void *b) {
  return strverscmp(*(const char *const *)a, *(const char *const *)b);
}

gale_status directory_scan(arena *memory, const char *directory, const char *prefix, const char *suffix,
                           const char ***names, size_t *n, gale_error *error) {
  DIR *d = opendir(directory);
  if (!d) return error_set(error, GALE_E_IO, "%s: %s", directory, strerror(errno));
  size_t count = 0, capacity = 0;
  const char **found = NULL;
  bool memory_left = true;
  for (struct dirent *entry; memory_left && (entry = readdir(d));) {
    if (!matches(entry->d_name, prefix, suffix)) continue;
    if (count == capacity) {
      capacity = capacity ? 2 * capacity : 16;
      const char **larger = arena_array(memory, capacity, sizeof *larger);
      if (larger && found) memcpy(larger, found, count * sizeof *larger);
      found = larger;
    }
    char *name = found ? arena_string(memory, entry->d_name, strlen(entry->d_name)) : NULL;
    if (name)
      found[count++] = name;
    else
      memory_left = false;
  }
  closedir(d);
  if (!memory_left) return error_memory(error, capacity * sizeof *found);
  if (count) qsort(found, count, sizeof *found, compare_versions);
  *names = found;
  *n = count;
  return GALE_OK;
}

static const struct {
  const char *prefix, *suffix, *advice;
} others[] = {
    {"adapter_model", ".safetensors", "is an adapter (LoRA): merge it into its model and name that"},
    {"adapter_model", ".bin", "is an adapter (LoRA): merge it into its model and name that"},
    {"adapter_config", ".json", "belongs to an adapter (LoRA): merge it into its model and name that"},
    {"pytorch_model", ".bin", "is not read: convert it to safetensors"},
    {"consolidated", ".pth", "is not read: convert it to safetensors"},
    {"consolidated", ".pt", "is not read: convert it to safetensors"},
    {"", ".pth", "is not read: convert it to safetensors"},
    {"", ".pt", "is not read: convert it to safetensors"},
    {"", ".ckpt", "is not read: convert it to safetensors"},
    {"tf_model", ".h5", "is TensorFlow's and not read: convert it to safetensors"},
    {"flax_model", ".msgpack", "is Flax's and not read: convert it to safetensors"},
    {"", ".npz", "is MLX's old form and not read: convert it to safetensors"},
    {"", ".onnx", "is not read: name a model of safetensors or GGUF"},
    {"", ".gguf", "is a GGUF file: name it instead of its directory"},
    {"", ".bin", "is not read: convert it to safetensors"},
};

const char *directory_instead(arena *memory, const char *directory) {
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    const char **names = NULL;
    size_t n = 0;
    if (directory_scan(memory, directory, others[i].prefix, others[i].suffix, &names, &n, NULL) != GALE_OK) return "";
    if (n > 0) return arena_printf(memory, "; %s %s", names[0], others[i].advice);
  }
  return "";
}

/* Behind ".model.v" in a name, or NULL: tokenizer.model.v3, mistral_instruct_tokenizer_240323.model.v3. */
static const char *version_of(const char *name) {
  static const char MARK[] = ".model.v";
  const char *at = strstr(name, MARK);
  return at && at[sizeof MARK - 1] >= '0' && at[sizeof MARK - 1] <= '9' ? at + sizeof MARK - 1 : NULL;
}

/* The name of the latest version among Mistral's own files, tekken.json before SentencePiece models; NULL: none. */
static gale_status find_mistral(arena *memory, const char *directory, const char **found, gale_error *error) {
  const char **names = NULL, *best = NULL;
  size_t n = 0;
  gale_status status = directory_scan(memory, directory, "tekken", ".json", &names, &n, error);
  for (size_t i = 0; i < n && !status; i++)
    if (!best || strcmp(best, "tekken.json") != 0) best = names[i];
  if (status || best) {
    *found = best;
    return status;
  }
  status = directory_scan(memory, directory, "", "", &names, &n, error);
  for (size_t i = 0; i < n && !status; i++) {
    const char *version = version_of(names[i]);
    if (version && (!best || strverscmp(version, version_of(best)) >= 0)) best = names[i];
  }
  *found = best;
  return status;
}

gale_status directory_tokenizer(arena *memory, const char *directory, bool mistral, const char **path,
                                gale_error *error) {
  static const char *const COMMON[] = {"tokenizer.json", "tokenizer.model"};
  const char *own, *name = NULL;
  *path = NULL;
  gale_status status = find_mistral(memory, directory, &own, error);
  if (status) return status;
  if (mistral) name = own;
  for (int i = 0; i < 2 && !name; i++) {
    status = directory_entry(memory, directory, COMMON[i], path, error);
    if (status || *path) return status;
  }
  if (!name) name = own;
  if (!name) return GALE_OK;
  *path = arena_path(memory, directory, name);
  return *path ? GALE_OK : error_memory(error, strlen(directory));
}
