/* Reads safetensors: eight bytes of header length, a JSON header, data. Source: the format's published
 * description. As its reference implementation does, this reader asks that the tensors' ranges cover
 * the data exactly, and that the header is at most 100 MB. */
#include "format/safetensors.h"
#include "format/fp8.h"
#include "format/json.h"
#include "format/reader.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { PREFIX_BYTES = 8, NO_TYPE = -1, MAX_SHARDS = 99999 };

static const struct {
  const char *name;
  int bytes;
  int type; /* a quant_type, or NO_TYPE: a foreign tensor */
} dtypes[] = {
    {"F32", 4, QUANT_F32}, {"F16", 2, QUANT_F16},   {"BF16", 2, QUANT_BF16}, {"F64", 8, NO_TYPE},
    {"I64", 8, NO_TYPE},   {"U64", 8, NO_TYPE},     {"I32", 4, NO_TYPE},     {"U32", 4, NO_TYPE},
    {"I16", 2, NO_TYPE},   {"U16", 2, NO_TYPE},     {"I8", 1, NO_TYPE},      {"U8", 1, NO_TYPE},
    {"BOOL", 1, NO_TYPE},  {"F8_E4M3", 1, NO_TYPE}, {"F8_E5M2", 1, NO_TYPE}, {"F8_E8M0", 1, NO_TYPE},
};
enum { N_DTYPES = sizeof dtypes / sizeof *dtypes };

/* A tensor as the header states it. */
typedef struct entry {
  tensor tensor;
  uint64_t begin, end; /* from the data's start */
  int element_bytes;
  const char *foreign; /* its dtype if no quant_type is that, else NULL */
} entry;

static gale_status bad(const file *f, const char *name, const char *field, const char *why, gale_error *error) {
  return error_set(error, GALE_E_FORMAT, "%s: %s of tensor \"%.80s\" (header at offset %d): %s", f->path, field, name,
                   PREFIX_BYTES, why);
}

/* ---- One tensor ---- */

static gale_status entry_dtype(const file *f, const json_t *value, entry *e, gale_error *error) {
  const char *name = e->tensor.name, *dtype = json_string_value(json_object_get(value, "dtype"));
  if (!dtype) return bad(f, name, "dtype", "a string is accepted", error);
  for (int i = 0; i < N_DTYPES; i++) {
    if (strcmp(dtypes[i].name, dtype) != 0) continue;
    e->element_bytes = dtypes[i].bytes;
    if (dtypes[i].type == NO_TYPE)
      e->foreign = dtypes[i].name;
    else
      e->tensor.type = (quant_type)dtypes[i].type;
    return GALE_OK;
  }
  return error_set(error, GALE_E_UNSUPPORTED,
                   "%s: dtype of tensor \"%.80s\" (header at offset %d): \"%.20s\"; F32, F16, BF16, F8_E4M3 and "
                   "(unused) integers are accepted",
                   f->path, name, PREFIX_BYTES, dtype);
}

static gale_status entry_shape(const file *f, const json_t *value, entry *e, gale_error *error) {
  tensor *t = &e->tensor;
  const json_t *shape = json_object_get(value, "shape");
  size_t n = json_array_size(shape);
  if (!json_is_array(shape) || n > 4)
    return bad(f, t->name, "shape", "a list of up to 4 dimensions is accepted", error);
  int64_t elements = 1;
  t->n_dims = n ? (int)n : 1;
  t->shape[0] = 1; /* a scalar */
  for (size_t i = 0; i < n; i++) {
    const json_t *dimension = json_array_get(shape, i);
    t->shape[i] = json_integer_value(dimension);
    if (!json_is_integer(dimension) || t->shape[i] < 1)
      return bad(f, t->name, "shape", "dimensions of 1 and more are accepted", error);
    if (__builtin_mul_overflow(elements, t->shape[i], &elements) || elements > INT64_MAX / e->element_bytes)
      return bad(f, t->name, "shape", "the product of its dimensions is too large", error);
  }
  t->bytes = (uint64_t)(elements * e->element_bytes);
  return GALE_OK;
}

static gale_status entry_range(const file *f, const json_t *value, entry *e, uint64_t data_bytes, gale_error *error) {
  const char *name = e->tensor.name;
  const json_t *range = json_object_get(value, "data_offsets");
  const json_t *begin = json_array_get(range, 0), *end = json_array_get(range, 1);
  if (json_array_size(range) != 2 || !json_is_integer(begin) || !json_is_integer(end))
    return bad(f, name, "data_offsets", "a list of two integers is accepted", error);
  int64_t b = json_integer_value(begin), n = json_integer_value(end);
  if (b < 0 || n < b || (uint64_t)n > data_bytes)
    return error_set(error, GALE_E_FORMAT,
                     "%s: data_offsets of tensor \"%.80s\" (header at offset %d): [%" PRId64 ", %" PRId64
                     "] is not a range inside the %" PRIu64 " bytes of data",
                     f->path, name, PREFIX_BYTES, b, n, data_bytes);
  if ((uint64_t)(n - b) != e->tensor.bytes)
    return error_set(error, GALE_E_FORMAT,
                     "%s: data_offsets of tensor \"%.80s\" (header at offset %d): %" PRId64
                     " bytes, but dtype and shape make %" PRIu64,
                     f->path, name, PREFIX_BYTES, n - b, e->tensor.bytes);
  e->begin = (uint64_t)b;
  e->end = (uint64_t)n;
  return GALE_OK;
}

static gale_status read_entry(const file *f, const char *name, const json_t *value, uint64_t data_bytes, entry *e,
                              gale_error *error) {
  e->tensor.name = name;
  if (!*name) return bad(f, name, "name", "it is empty", error);
  if (!json_is_object(value)) return bad(f, name, "entry", "an object is accepted", error);
  gale_status status = entry_dtype(f, value, e, error);
  if (!status) status = entry_shape(f, value, e, error);
  if (!status) status = entry_range(f, value, e, data_bytes, error);
  return status;
}

/* ---- One file ---- */

static int compare_begins(const void *a, const void *b) {
  const entry *x = a, *y = b;
  return (x->begin > y->begin) - (x->begin < y->begin);
}

/* Sorts the entries by their data and checks that they cover it. */
static gale_status check_cover(const file *f, entry *entries, size_t n, uint64_t data, uint64_t data_bytes,
                               gale_error *error) {
  uint64_t covered = 0;
  qsort(entries, n, sizeof *entries, compare_begins);
  for (size_t i = 0; i < n; i++) {
    const entry *e = &entries[i];
    if (e->begin != covered)
      return error_set(error, GALE_E_FORMAT,
                       "%s: data_offsets of tensor \"%.80s\": %s at offset %" PRIu64
                       "; ranges that cover the data exactly are accepted",
                       f->path, e->tensor.name, e->begin < covered ? "an overlap" : "a gap",
                       data + (e->begin < covered ? e->begin : covered));
    covered = e->end;
  }
  if (covered != data_bytes)
    return error_set(error, GALE_E_FORMAT, "%s: data at offset %" PRIu64 ": %" PRIu64 " bytes belong to no tensor",
                     f->path, data + covered, data_bytes - covered);
  return GALE_OK;
}

static gale_status add_entries(checkpoint *c, uint32_t file_index, const entry *entries, size_t n, uint64_t data,
                               gale_error *error) {
  size_t n_foreign = 0;
  for (size_t i = 0; i < n; i++) n_foreign += entries[i].foreign != NULL;
  tensor *next = checkpoint_add_tensors(c, n - n_foreign);
  foreign_tensor *next_foreign = checkpoint_add_foreign(c, n_foreign);
  if (!next || !next_foreign) return error_memory(error, n * sizeof *next);
  for (size_t i = 0; i < n; i++) {
    const entry *e = &entries[i];
    tensor *t = e->foreign ? &next_foreign->tensor : next++;
    if (e->foreign) next_foreign++->dtype = e->foreign;
    *t = e->tensor;
    t->name = arena_string(&c->memory, t->name, strlen(t->name));
    if (!t->name) return error_memory(error, sizeof *t);
    t->file = file_index;
    t->offset = data + e->begin;
  }
  return GALE_OK;
}

static gale_status read_header(checkpoint *c, uint32_t file_index, json_t *root, uint64_t data, gale_error *error) {
  const file *f = &c->files[file_index];
  entry *entries = calloc(json_object_size(root) + 1, sizeof *entries);
  if (!entries) return error_memory(error, json_object_size(root) * sizeof *entries);
  gale_status status = GALE_OK;
  size_t n = 0;
  const char *name;
  json_t *value;
  json_object_foreach(root, name, value) {
    if (strcmp(name, "__metadata__") == 0) continue;
    status = read_entry(f, name, value, f->size - data, &entries[n++], error);
    if (status) break;
  }
  if (!status) status = check_cover(f, entries, n, data, f->size - data, error);
  if (!status) status = add_entries(c, file_index, entries, n, data, error);
  free(entries);
  return status;
}

static gale_status load_header(const file *f, json_t **root, uint64_t *data, gale_error *error) {
  uint64_t n;
  gale_status status = file_read(f, 0, &n, sizeof n, error);
  if (status) return status;
  if (n > JSON_MAX_BYTES || n > f->size - PREFIX_BYTES)
    return error_set(error, GALE_E_FORMAT,
                     "%s: header length at offset 0: %" PRIu64 "; at most %u, inside the file's %" PRIu64
                     " bytes, is accepted",
                     f->path, n, JSON_MAX_BYTES, f->size);
  char *text = malloc((size_t)n + 1);
  if (!text) return error_memory(error, n + 1);
  status = file_read(f, PREFIX_BYTES, text, n, error);
  if (!status) status = json_parse(f->path, text, (size_t)n, PREFIX_BYTES, JSON_INTEGERS_EXACT, root, error);
  free(text);
  *data = PREFIX_BYTES + n;
  return status;
}

gale_status safetensors_read_file(checkpoint *c, const char *path, gale_error *error) {
  uint32_t index = 0;
  json_t *root = NULL;
  uint64_t data = 0;
  gale_status status = checkpoint_add_file(c, path, &index, error);
  if (!status) status = load_header(&c->files[index], &root, &data, error);
  if (status) return status;
  status = read_header(c, index, root, data, error);
  json_decref(root);
  return status;
}

/* ---- Several files ---- */

static bool is_plain_name(const char *name) {
  return *name && !strchr(name, '/') && !strstr(name, "..");
}

/* Index of the open file with a path, or n_files. */
static size_t find_file(const checkpoint *c, const char *path) {
  for (size_t i = c->n_files; i-- > 0;)
    if (strcmp(c->files[i].path, path) == 0) return i;
  return c->n_files;
}

/* A weight_map, walked entry by entry. */
typedef struct shard_map {
  const char *directory, *path; /* of the index file */
  json_t *entries;
} shard_map;

/* The path of an entry's file, to be freed by the caller; NULL if there is none, and *status says why. */
static char *shard_path(const shard_map *map, const char *name, const json_t *value, gale_status *status,
                        gale_error *error) {
  const char *shard = json_string_value(value);
  if (!shard || !is_plain_name(shard)) {
    *status = error_set(error, GALE_E_FORMAT,
                        "%s: weight_map entry \"%.80s\": \"%.80s\"; the plain name of a file in the same directory is "
                        "accepted",
                        map->path, name, shard ? shard : "not a string");
    return NULL;
  }
  char *path = path_join(map->directory, shard);
  *status = path ? GALE_OK : error_memory(error, strlen(map->directory) + strlen(shard) + 2);
  return path;
}

static gale_status read_shards(checkpoint *c, const shard_map *map, gale_error *error) {
  const char *name;
  json_t *value;
  json_object_foreach(map->entries, name, value) {
    gale_status status;
    char *path = shard_path(map, name, value, &status, error);
    if (!path) return status;
    if (find_file(c, path) == c->n_files) status = safetensors_read_file(c, path, error);
    free(path);
    if (status) return status;
  }
  return GALE_OK;
}

/* Every tensor of the map lies in the shard that it names. */
static gale_status check_shards(const checkpoint *c, const shard_map *map, gale_error *error) {
  const char *name;
  json_t *value;
  json_object_foreach(map->entries, name, value) {
    gale_status status;
    char *path = shard_path(map, name, value, &status, error);
    if (!path) return status;
    const tensor *t = checkpoint_tensor(c, name);
    const foreign_tensor *foreign = foreign_find(c, name);
    if (foreign) t = &foreign->tensor;
    if (!t || strcmp(c->files[t->file].path, path) != 0)
      status = error_set(error, GALE_E_FORMAT, "%s: weight_map entry \"%.80s\": %s has no such tensor", map->path, name,
                         path);
    free(path);
    if (status) return status;
  }
  return GALE_OK;
}

static gale_status read_index(checkpoint *c, const char *directory, const char *path, gale_error *error) {
  json_t *root = NULL;
  gale_status status = json_parse_file(path, JSON_INTEGERS_EXACT, &root, error);
  if (status) return status;
  shard_map map = {directory, path, json_object_get(root, "weight_map")};
  if (json_object_size(map.entries) == 0)
    status = error_set(error, GALE_E_FORMAT, "%s: key \"weight_map\": an object of tensors and their files is accepted",
                       path);
  if (!status) status = read_shards(c, &map, error);
  if (!status) status = checkpoint_index(c, error);
  if (!status) status = check_shards(c, &map, error);
  json_decref(root);
  return status;
}

/* N of a name STEM-00001-of-0000N.safetensors, or 0 if it is another name. */
static unsigned long shard_count(const char *name, const char *stem) {
  const char *of = strstr(name + strlen(stem), "-of-");
  char *end = NULL;
  unsigned long count = of && of[4] >= '0' && of[4] <= '9' ? strtoul(of + 4, &end, 10) : 0;
  return count > 0 && count <= MAX_SHARDS && strcmp(end, ".safetensors") == 0 ? count : 0;
}

static gale_status read_numbered(checkpoint *c, const char *directory, const char *stem, unsigned long count,
                                 gale_error *error) {
  for (unsigned long i = 1; i <= count; i++) {
    char *path = arena_printf(&c->memory, "%s/%s-%05lu-of-%05lu.safetensors", directory, stem, i, count);
    if (!path) return error_memory(error, strlen(directory) + strlen(stem));
    gale_status status = safetensors_read_file(c, path, error);
    if (status) return status;
  }
  return checkpoint_index(c, error);
}

static gale_status read_single(checkpoint *c, const char *path, gale_error *error) {
  gale_status status = safetensors_read_file(c, path, error);
  return status ? status : checkpoint_index(c, error);
}

static gale_status read_directory(checkpoint *c, const char *directory, const char *stem, gale_error *error) {
  char *single = arena_printf(&c->memory, "%s.safetensors", stem);
  char *index = arena_printf(&c->memory, "%s.safetensors.index.json", stem);
  char *numbered = arena_printf(&c->memory, "%s-", stem);
  if (!single || !index || !numbered) return error_memory(error, strlen(stem));
  const char *path = NULL;
  gale_status status = directory_entry(&c->memory, directory, index, &path, error);
  if (!status && path) return read_index(c, directory, path, error);
  if (!status) status = directory_entry(&c->memory, directory, single, &path, error);
  if (!status && path) return read_single(c, path, error);
  if (status) return status;

  const char **names;
  size_t n;
  status = directory_scan(&c->memory, directory, numbered, ".safetensors", &names, &n, error);
  if (status) return status;
  unsigned long count = n > 0 ? shard_count(names[0], stem) : 0;
  if (count > 0) return read_numbered(c, directory, stem, count, error);
  status = directory_scan(&c->memory, directory, "", ".safetensors", &names, &n, error);
  if (status) return status;
  if (n != 1)
    return error_set(error, GALE_E_FORMAT,
                     "%s: %zu files *.safetensors; %s, %s, numbered shards or a single file are accepted", directory, n,
                     index, single);
  path = arena_path(&c->memory, directory, names[0]);
  return path ? read_single(c, path, error) : error_memory(error, strlen(directory));
}

gale_status safetensors_read_directory(checkpoint *c, const char *directory, const char *stem, gale_error *error) {
  c->read = fp8_read;
  gale_status status = read_directory(c, directory, stem, error);
  return status ? status : fp8_resolve(c, error);
}
