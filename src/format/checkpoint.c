#include "format/reader.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- Opening and closing ---- */

static gale_status read_directory(checkpoint *c, const char *path, gale_error *error) {
  const char *config = NULL, *params = NULL;
  gale_status status = directory_entry(&c->memory, path, "config.json", &config, error);
  if (!status) status = directory_entry(&c->memory, path, "params.json", &params, error);
  if (status) return status;
  bool hf = config;
  if (config && params) {
    const char **names;
    size_t n;
    status = directory_scan(&c->memory, path, "model", ".safetensors", &names, &n, error);
    if (status) return status;
    hf = n > 0;
  }
  if (hf) return hf_read(c, path, error);
  if (params) return mistral_read(c, path, error);
  const char *instead = directory_instead(&c->memory, path);
  return error_set(
      error, GALE_E_FORMAT,
      "%s: a directory without a model%s; config.json and *.safetensors (Hugging Face), or params.json and "
      "consolidated*.safetensors (Mistral) are accepted",
      path, instead ? instead : "");
}

/* The directory of a path that names its params.json, or NULL: so the Mistral form of a directory that has both is
 * named. */
static char *params_directory(arena *memory, const char *path) {
  static const char NAME[] = "/params.json";
  size_t n = strlen(path), m = sizeof NAME - 1;
  return n > m && strcmp(path + n - m, NAME) == 0 ? arena_string(memory, path, n - m) : NULL;
}

static gale_status read_any(checkpoint *c, const char *path, gale_error *error) {
  static const char shape[] = "shape:";
  c->path = arena_string(&c->memory, path, strlen(path));
  if (!c->path) return error_memory(error, strlen(path) + 1);
  if (strncmp(path, shape, sizeof shape - 1) == 0) return shape_read(c, path + sizeof shape - 1, error);
  if (path_is_directory(path)) return read_directory(c, path, error);
  const char *directory = params_directory(&c->memory, path);
  if (directory) return mistral_read(c, directory, error);
  return gguf_read(c, path, error);
}

static gale_status open_with(gale_status (*read)(checkpoint *, const char *, gale_error *), const char *path,
                             checkpoint **c, gale_error *error) {
  checkpoint *fresh = calloc(1, sizeof *fresh);
  if (!fresh) return error_memory(error, sizeof *fresh);
  gale_status status = read(fresh, path, error);
  if (status)
    checkpoint_close(&fresh);
  else
    *c = fresh;
  return status;
}

gale_status checkpoint_open(const char *path, checkpoint **c, gale_error *error) {
  return open_with(read_any, path, c, error);
}

gale_status checkpoint_open_tokenizer(const char *directory, checkpoint **c, gale_error *error) {
  return open_with(hf_read_tokenizer, directory, c, error);
}

void checkpoint_close(checkpoint **c) {
  if (!*c) return;
  for (size_t i = 0; i < (*c)->n_files; i++) file_close(&(*c)->files[i]);
  arena_free(&(*c)->memory);
  free(*c);
  *c = NULL;
}

/* ---- Filling ---- */

/* Appends `more` zeroed elements of `size` bytes to n, where *room fit: in place, or in twice the memory, so that
 * adding one by one takes linear time. Returns the array; NULL when out of memory, with nothing changed. */
static void *extend(arena *memory, void *items, size_t n, size_t more, size_t size, size_t *room) {
  if (more > SIZE_MAX / 4 || n > SIZE_MAX / 4) return NULL;
  char *array = items;
  if (!array || n + more > *room) {
    size_t wanted = more < n ? 2 * n : n + more;
    array = arena_array(memory, wanted, size);
    if (!array) return NULL;
    if (items) memcpy(array, items, n * size);
    *room = wanted;
  }
  memset(array + n * size, 0, more * size);
  return array;
}

gale_status checkpoint_add_file(checkpoint *c, const char *path, uint32_t *index, gale_error *error) {
  file *files = extend(&c->memory, c->files, c->n_files, 1, sizeof *files, &c->room.files);
  if (!files) return error_memory(error, (c->n_files + 1) * sizeof *files);
  c->files = files;
  gale_status status = file_open(&files[c->n_files], path, error);
  if (!status) *index = (uint32_t)c->n_files++;
  return status;
}

tensor *checkpoint_add_tensors(checkpoint *c, size_t n) {
  tensor *tensors = extend(&c->memory, c->tensors, c->n_tensors, n, sizeof *tensors, &c->room.tensors);
  if (!tensors) return NULL;
  c->tensors = tensors;
  c->n_tensors += n;
  return tensors + c->n_tensors - n;
}

setting *checkpoint_add_settings(checkpoint *c, size_t n) {
  setting *settings = extend(&c->memory, c->settings, c->n_settings, n, sizeof *settings, &c->room.settings);
  if (!settings) return NULL;
  c->settings = settings;
  c->n_settings += n;
  return settings + c->n_settings - n;
}

foreign_tensor *checkpoint_add_foreign(checkpoint *c, size_t n) {
  foreign_tensor *foreign = extend(&c->memory, c->foreign, c->n_foreign, n, sizeof *foreign, &c->room.foreign);
  if (!foreign) return NULL;
  c->foreign = foreign;
  c->n_foreign += n;
  return foreign + c->n_foreign - n;
}

/* ---- Look-up ---- */

_Static_assert(offsetof(tensor, name) == 0 && offsetof(setting, key) == 0 && offsetof(foreign_tensor, tensor) == 0,
               "named_at() reads the first member");

static const char *named_at(const void *items, size_t size, size_t index) {
  return *(const char *const *)((const char *)items + index * size);
}

typedef struct named {
  const char *name;
  uint32_t index;
} named;

static int compare_named(const void *a, const void *b) {
  const named *x = a, *y = b;
  int order = strcmp(x->name, y->name);
  return order ? order : (x->index > y->index) - (x->index < y->index);
}

/* The indices of n items in order of their names; *twice becomes the second of two items of one name,
 * or n. */
static gale_status sort_names(arena *memory, const void *items, size_t n, size_t size, const uint32_t **order,
                              size_t *twice, gale_error *error) {
  named *names = calloc(n + 1, sizeof *names);
  uint32_t *indices = arena_array(memory, n, sizeof *indices);
  *twice = n;
  if (!names || !indices) {
    free(names);
    return error_memory(error, n * sizeof *names);
  }
  for (size_t i = 0; i < n; i++) names[i] = (named){named_at(items, size, i), (uint32_t)i};
  qsort(names, n, sizeof *names, compare_named);
  for (size_t i = 0; i < n; i++) {
    indices[i] = names[i].index;
    if (i > 0 && strcmp(names[i - 1].name, names[i].name) == 0) *twice = names[i].index;
  }
  free(names);
  *order = indices;
  return GALE_OK;
}

static gale_status refuse_twice(const checkpoint *c, const tensor *t, gale_error *error) {
  return error_set(error, GALE_E_FORMAT,
                   "%s: tensor \"%s\" is there twice, the second time with data at offset %" PRIu64,
                   c->n_files ? c->files[t->file].path : c->path, t->name, t->offset);
}

gale_status checkpoint_index(checkpoint *c, gale_error *error) {
  size_t twice;
  gale_status status = sort_names(&c->memory, c->settings, c->n_settings, sizeof(setting), &c->by_key, &twice, error);
  if (status) return status;
  if (twice < c->n_settings)
    return error_set(error, GALE_E_FORMAT, "%s: key \"%s\" is there twice, the second time at offset %" PRIu64,
                     c->config_path, c->settings[twice].key, c->settings[twice].offset);
  status = sort_names(&c->memory, c->tensors, c->n_tensors, sizeof(tensor), &c->by_name, &twice, error);
  if (status) return status;
  if (twice < c->n_tensors) return refuse_twice(c, &c->tensors[twice], error);
  status = sort_names(&c->memory, c->foreign, c->n_foreign, sizeof(foreign_tensor), &c->by_foreign_name, &twice, error);
  if (status) return status;
  return twice < c->n_foreign ? refuse_twice(c, &c->foreign[twice].tensor, error) : GALE_OK;
}

static const void *find(const void *items, size_t n, size_t size, const uint32_t *order, const char *name) {
  for (size_t low = 0, high = n; low < high;) {
    size_t middle = low + (high - low) / 2;
    int side = strcmp(name, named_at(items, size, order[middle]));
    if (side == 0) return (const char *)items + order[middle] * size;
    if (side < 0)
      high = middle;
    else
      low = middle + 1;
  }
  return NULL;
}

const tensor *checkpoint_tensor(const checkpoint *c, const char *name) {
  return find(c->tensors, c->n_tensors, sizeof(tensor), c->by_name, name);
}

const setting *checkpoint_setting(const checkpoint *c, const char *key) {
  return find(c->settings, c->n_settings, sizeof(setting), c->by_key, key);
}

const foreign_tensor *foreign_find(const checkpoint *c, const char *name) {
  return find(c->foreign, c->n_foreign, sizeof(foreign_tensor), c->by_foreign_name, name);
}

const char *checkpoint_foreign(const checkpoint *c, const char *name) {
  const foreign_tensor *f = foreign_find(c, name);
  return f ? f->dtype : NULL;
}

/* ---- Tensors ---- */

gale_status checkpoint_read(const checkpoint *c, const tensor *t, uint64_t offset, void *to, uint64_t n,
                            gale_error *error) {
  uint64_t unit = (uint64_t)quant_get(t->type)->block_bytes;
  if (offset > t->bytes || n > t->bytes - offset || offset % unit || n % unit)
    return error_set(error, GALE_E_ARGUMENT,
                     "%s: tensor \"%s\": bytes %" PRIu64 " + %" PRIu64 " are not whole blocks inside its %" PRIu64
                     " bytes",
                     c->path, t->name, offset, n, t->bytes);
  return c->read(c, t, offset, to, n, error);
}

gale_status checkpoint_read_file(const checkpoint *c, const tensor *t, uint64_t offset, void *to, uint64_t n,
                                 gale_error *error) {
  return file_read(&c->files[t->file], t->offset + offset, to, n, error);
}

bool tensor_measure(tensor *t, const char **why) {
  const quant_info *info = quant_get(t->type);
  int64_t elements = 1;
  for (int i = 0; i < t->n_dims; i++) {
    *why = "a dimension is 0 or negative";
    if (t->shape[i] < 1) return false;
    *why = "the product of its dimensions is too large";
    if (__builtin_mul_overflow(elements, t->shape[i], &elements)) return false;
  }
  if (elements / info->block > INT64_MAX / info->block_bytes) return false;
  *why = "its rows are not whole blocks of its type";
  if (t->shape[t->n_dims - 1] % info->block) return false;
  t->bytes = quant_bytes(t->type, (uint64_t)elements);
  return true;
}

type_list types_dividing(int64_t columns) {
  type_list list = {""};
  size_t used = 0;
  for (int type = 0; type < QUANT_TYPES; type++) {
    const quant_info *info = quant_get((quant_type)type);
    size_t length = strlen(info->name);
    if (columns % info->block || used + length + 3 > sizeof list.text) continue;
    if (used) {
      memcpy(list.text + used, ", ", 2);
      used += 2;
    }
    memcpy(list.text + used, info->name, length);
    used += length;
  }
  return list;
}
