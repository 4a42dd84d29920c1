#include "gale/stores/choice.h"

#include "gale/stores/files.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool ends_with(const char *s, const char *end) {
  size_t n = strlen(s), m = strlen(end);
  return n >= m && strcasecmp(s + n - m, end) == 0;
}

/* ---- Shards: NAME-00001-of-00003.gguf ---- */

enum { DIGITS = 5 };

/* True for a shard: its number, how many there are, and the length of what stands before them. */
static bool shard_of(const char *name, unsigned *number, unsigned *count, size_t *stem) {
  static const char PATTERN[] = "-00000-of-00000.gguf";
  size_t n = strlen(name), m = sizeof PATTERN - 1;
  if (n <= m) return false;
  const char *tail = name + n - m;
  for (size_t i = 0; i < m; i++)
    if (PATTERN[i] == '0' ? tail[i] < '0' || tail[i] > '9' : tail[i] != PATTERN[i]) return false;
  *number = (unsigned)strtoul(tail + 1, NULL, 10);
  *count = (unsigned)strtoul(tail + DIGITS + 5, NULL, 10);
  *stem = n - m;
  return true;
}

/* A GGUF file that may be chosen: not a further shard, not a projector of images. */
static bool is_candidate(const char *name) {
  unsigned number, count;
  size_t stem;
  if (!ends_with(name, ".gguf") || strncasecmp(name, "mmproj", 6) == 0) return false;
  return !shard_of(name, &number, &count, &stem) || number == 1;
}

static size_t stem_length(const char *name) {
  unsigned number, count;
  size_t stem;
  return shard_of(name, &number, &count, &stem) ? stem : strlen(name) - 5;
}

static store_status incomplete(store_model *m, const char *folder, const char *file, const char *finish) {
  snprintf(m->why, sizeof m->why, "%s/%s: the model is not complete, this file is missing%s%s", folder, file,
           finish ? "; to fetch it: " : "", finish ? finish : "");
  return STORE_FAILED;
}

/* Adds a file's size. */
static store_status add_file(const char *folder, const char *name, const char *finish, store_model *m) {
  char *path = text_printf("%s/%s", folder, name);
  if (!path) return STORE_MEMORY;
  int64_t size = file_size(path);
  free(path);
  if (size < 0) return incomplete(m, folder, name, finish);
  m->bytes += (uint64_t)size;
  return STORE_FOUND;
}

/* Checks a GGUF file with its shards, and sets path and bytes. */
static store_status take_gguf(const char *folder, const char *name, const char *finish, store_model *m) {
  unsigned number, count = 1;
  size_t stem = 0;
  bool shards = shard_of(name, &number, &count, &stem);
  if (shards && (count == 0 || count > 10000)) {
    snprintf(m->why, sizeof m->why, "%s/%s: a file of %u shards", folder, name, count);
    return STORE_FAILED;
  }
  store_status status = STORE_FOUND;
  for (unsigned i = 1; i <= count && status == STORE_FOUND; i++) {
    char *shard = shards ? text_printf("%.*s-%05u-of-%05u.gguf", (int)stem, name, i, count) : strdup(name);
    status = shard ? add_file(folder, shard, finish, m) : STORE_MEMORY;
    free(shard);
  }
  if (status != STORE_FOUND) return status;
  m->path = text_printf("%s/%s", folder, name);
  return m->path ? STORE_FOUND : STORE_MEMORY;
}

/* ---- The one that is meant ---- */

/* Whether tag stands in the name, and not as part of a longer word. */
static bool has_word(const char *name, size_t n, const char *tag) {
  size_t m = strlen(tag);
  for (size_t i = 0; i + m <= n; i++) {
    if (strncasecmp(name + i, tag, m) != 0) continue;
    bool begins = i == 0 || strchr("-._", name[i - 1]), ends = i + m == n || strchr("-.", name[i + m]);
    if (begins && ends) return true;
  }
  return false;
}

static bool has_tag(const char *name, size_t n, const char *tag) {
  size_t m = strlen(tag);
  for (size_t i = 0; i + m <= n; i++)
    if (strncasecmp(name + i, tag, m) == 0) return true;
  return false;
}

typedef bool name_test(const char *name, size_t n, const char *tag);

/* Bytes of a GGUF file and its further shards, as far as they are there. */
static uint64_t whole_bytes(const store_files *files, const char *name) {
  unsigned number, count;
  size_t stem, other;
  uint64_t bytes = 0;
  bool shards = shard_of(name, &number, &count, &stem);
  for (size_t i = 0; i < files->length; i++) {
    const store_file *f = &files->items[i];
    unsigned of = 0;
    bool same = strcmp(f->name, name) == 0;
    if (shards && !same)
      same = shard_of(f->name, &number, &of, &other) && of == count && other == stem && !strncmp(f->name, name, stem);
    if (same && f->bytes > 0) bytes += (uint64_t)f->bytes;
  }
  return bytes;
}

/* The smallest of those whose names pass, or NULL; test NULL: of all. */
static const char *smallest(const store_files *files, name_test *test, const char *tag) {
  const char *best = NULL;
  uint64_t least = 0;
  for (size_t i = 0; i < files->length; i++) {
    const char *name = files->items[i].name;
    if (!is_candidate(name) || (test && !test(name, stem_length(name), tag))) continue;
    uint64_t bytes = whole_bytes(files, name);
    if (!best || bytes < least) {
      best = name;
      least = bytes;
    }
  }
  return best;
}

static const char *pick(const store_files *files, const char *tag) {
  static const char *const LIKED[] = {"Q4_K_M", "Q4_0", "Q8_0"};
  if (tag) {
    const char *best = smallest(files, has_word, tag);
    return best ? best : smallest(files, has_tag, tag);
  }
  for (size_t i = 0; i < sizeof LIKED / sizeof *LIKED; i++) {
    const char *best = smallest(files, has_word, LIKED[i]);
    if (best) return best;
  }
  return smallest(files, NULL, NULL);
}

store_status choose_gguf(const char *folder, const char *tag, const char *finish, store_model *m) {
  store_files files = folder_files(folder, "");
  const char *name = files.failed ? NULL : pick(&files, tag);
  store_status status = files.failed ? STORE_MEMORY : name ? take_gguf(folder, name, finish, m) : STORE_NONE;
  store_files_free(&files);
  return status;
}

store_status choose_prefixed(const char *folder, const char *prefix, const char *tag, store_model *m) {
  store_files files = folder_files(folder, prefix);
  const char *name = files.failed ? NULL : pick(&files, tag);
  store_status status = files.failed ? STORE_MEMORY : name ? take_gguf(folder, name, NULL, m) : STORE_NONE;
  store_files_free(&files);
  return status;
}

/* ---- Directories ---- */

static bool has_file(const store_files *files, const char *name) {
  for (size_t i = 0; i < files->length; i++)
    if (strcmp(files->items[i].name, name) == 0) return true;
  return false;
}

static bool is_weights(const char *name, const char *prefix) {
  return ends_with(name, ".safetensors") && (!prefix || strncmp(name, prefix, strlen(prefix)) == 0);
}

/* The files that an index names must be there, beside those that are. */
static store_status check_index(const char *folder, const char *index, const char *finish, store_model *m) {
  char *path = text_printf("%s/%s", folder, index);
  size_t length = 0;
  char *bytes = path ? read_small(path, 64u << 20, &length) : NULL;
  json_t *root = bytes ? json_loadb(bytes, length, 0, NULL) : NULL, *value;
  const char *tensor;
  store_status status = STORE_FOUND;
  json_object_foreach(json_object_get(root, "weight_map"), tensor, value) {
    const char *file = json_string_value(value);
    store_model counted = *m;
    if (status != STORE_FOUND || !file || !store_name_ok(file, "")) continue;
    status = add_file(folder, file, finish, &counted);
    if (status != STORE_FOUND) memcpy(m->why, counted.why, sizeof m->why);
  }
  json_decref(root);
  free(bytes);
  free(path);
  return status;
}

/* A directory's weights: every file of that prefix, and what its index names. */
static store_status take_directory(const char *folder, const store_files *files, bool native, const char *finish,
                                   store_model *m) {
  const char *prefix = native ? "consolidated" : NULL,
             *index = native ? "consolidated.safetensors.index.json" : "model.safetensors.index.json";
  store_status status = STORE_FOUND;
  size_t n = 0;
  for (size_t i = 0; i < files->length && status == STORE_FOUND; i++) {
    const char *name = files->items[i].name;
    if (!is_weights(name, prefix) || (!native && strncmp(name, "consolidated", 12) == 0)) continue;
    status = add_file(folder, name, finish, m);
    n++;
  }
  if (status == STORE_FOUND && has_file(files, index)) status = check_index(folder, index, finish, m);
  if (status != STORE_FOUND) return status;
  if (n == 0) return incomplete(m, folder, native ? "consolidated.safetensors" : "model.safetensors", finish);
  m->path = strdup(folder);
  return m->path ? STORE_FOUND : STORE_MEMORY;
}

typedef struct forms {
  bool native, hf, gguf;
} forms;

/* Folders of GGUF files often have a config.json too, and folders of a half-fetched model nothing else. */
static forms forms_of(const store_files *files) {
  forms f = {.native = has_file(files, "params.json")};
  bool config = has_file(files, "config.json"), weights = has_file(files, "model.safetensors.index.json");
  for (size_t i = 0; i < files->length; i++) {
    f.gguf |= is_candidate(files->items[i].name);
    weights |= is_weights(files->items[i].name, NULL) && !is_weights(files->items[i].name, "consolidated");
  }
  f.hf = config && (weights || (!f.native && !f.gguf));
  return f;
}

/* A directory of Mistral's whose other form is there too is opened by its params.json. */
static store_status take_native(const char *folder, const store_files *files, const char *finish, store_model *m) {
  store_status status = take_directory(folder, files, true, finish, m);
  if (status != STORE_FOUND || !has_file(files, "config.json")) return status;
  free(m->path);
  m->path = text_printf("%s/params.json", folder);
  return m->path ? STORE_FOUND : STORE_MEMORY;
}

store_status choose_model(const char *folder, const char *tag, const char *finish, store_model *m) {
  store_files files = folder_files(folder, "");
  forms f = forms_of(&files);
  store_status status = STORE_NONE;
  if (files.failed)
    status = STORE_MEMORY;
  else if (f.native && (tag ? strcasecmp(tag, "native") == 0 : !f.hf))
    status = take_native(folder, &files, finish, m);
  else if (f.gguf && (tag || !f.hf))
    status = choose_gguf(folder, tag, finish, m);
  else if (f.hf && !tag)
    status = take_directory(folder, &files, false, finish, m);
  store_files_free(&files);
  return status;
}

/* ---- What of a repository is fetched ---- */

/* What is read of a directory beside its weights. */
static const char *const beside[] = {"config.json",
                                     "generation_config.json",
                                     "tokenizer.json",
                                     "tokenizer_config.json",
                                     "special_tokens_map.json",
                                     "added_tokens.json",
                                     "chat_template.jinja",
                                     "params.json",
                                     "tekken.json"};

static bool is_beside(const char *name) {
  for (size_t i = 0; i < sizeof beside / sizeof *beside; i++)
    if (strcmp(name, beside[i]) == 0) return true;
  return ends_with(name, ".index.json") || strncmp(name, "tokenizer.model", 15) == 0 || strstr(name, ".model.v");
}

/* Whether a file belongs to a directory of one of the two forms; the other's weights don't. */
static bool is_of_directory(const char *name, bool native) {
  bool consolidated = strncmp(name, "consolidated", 12) == 0;
  if (ends_with(name, ".safetensors") || ends_with(name, ".index.json")) return consolidated == native;
  return is_beside(name) && !(native && strcmp(name, "config.json") == 0);
}

static bool is_of_gguf(const char *name, const char *chosen) {
  unsigned number, count, of;
  size_t stem, other;
  if (!shard_of(chosen, &number, &count, &stem)) return strcmp(name, chosen) == 0;
  return shard_of(name, &number, &of, &other) && of == count && other == stem && strncmp(name, chosen, stem) == 0;
}

bool choose_wanted(const store_files *files, const char *tag, bool *wanted) {
  forms f = forms_of(files);
  bool native = f.native && (tag ? strcasecmp(tag, "native") == 0 : !f.hf), any = false;
  const char *chosen = !native && f.gguf && (tag || !f.hf) ? pick(files, tag) : NULL;
  for (size_t i = 0; i < files->length; i++) {
    const char *name = files->items[i].name;
    bool directory = native || (f.hf && !tag);
    wanted[i] = !strchr(name, '/') && (chosen ? is_of_gguf(name, chosen) : directory && is_of_directory(name, native));
    any |= wanted[i];
  }
  return any;
}

/* ---- Lists ---- */

/* The part of a file's name that tells it from its neighbours: behind the last '-' or '.', if that chooses it. */
static const char *tag_of(const store_files *files, const char *name, size_t *length) {
  size_t n = stem_length(name), at = n;
  while (at > 0 && name[at - 1] != '-' && name[at - 1] != '.') at--;
  char *tag = text_printf("%.*s", (int)(n - at), name + at);
  const char *chosen = tag && *tag ? pick(files, tag) : NULL;
  bool enough = chosen && strcmp(chosen, name) == 0;
  free(tag);
  if (!enough) at = 0;
  *length = n - at;
  return name + at;
}

void list_gguf(const char *folder, const char *name, store_names *names) {
  store_files files = folder_files(folder, "");
  size_t n = 0, length;
  for (size_t i = 0; i < files.length; i++) n += is_candidate(files.items[i].name);
  for (size_t i = 0; i < files.length; i++) {
    if (!is_candidate(files.items[i].name)) continue;
    const char *tag = tag_of(&files, files.items[i].name, &length);
    if (n == 1)
      store_names_add(names, "%s", name);
    else
      store_names_add(names, "%s:%.*s", name, (int)length, tag);
  }
  names->failed |= files.failed;
  store_files_free(&files);
}

void list_models(const char *folder, const char *name, store_names *names) {
  store_files files = folder_files(folder, "");
  forms f = forms_of(&files);
  if (f.hf)
    store_names_add(names, "%s", name);
  else if (f.native)
    store_names_add(names, "%s", name);
  if (f.native && f.hf) store_names_add(names, "%s:native", name);
  if (f.gguf) list_gguf(folder, name, names);
  names->failed |= files.failed;
  store_files_free(&files);
}
